// The policy in force, a candidate that is tried, and what was said of revisions.

import { h } from "./dom.js";
import { bar } from "./chart.js";
import { experimentsPart, flagsPart, shadowPart } from "./compare.js";
import { count, instant, percent, span } from "./format.js";

export function policyPart(o, history, look) {
  const p = o.policy;
  const t = p.candidate;
  return [
    h("p", { key: "stable" }, h("b", null, "Revision " + p.revision), " is in force since ", instant(p.since), p.by && " by " + p.by, "."),
    t?.shadow ? shadow(t) : t ? candidate(t, look) : h("p", { class: "muted", key: "none" }, "No candidate is being tried."),
    flagsPart(p.flags),
    experimentsPart(history),
    o.frozen.length > 0 && h("div", { key: "frozen" }, h("h3", null, "Frozen"), h("ul", null, o.frozen.map((f) =>
      h("li", { key: f.instance ?? f.tenant + "/" + f.agent }, h("b", null, f.instance ?? [f.tenant && "tenant " + f.tenant, f.agent && "agent " + f.agent].filter(Boolean).join(", ")), ` since ${instant(f.at)}`, f.by && " by " + f.by, f.why && ": " + f.why)))),
    history?.length > 0 && h("details", { key: "history" }, h("summary", null, "All revisions"), h("ol", { class: "revisions" }, history.slice(0, 30).map((r) =>
      h("li", { key: r.hash }, h("b", null, "revision " + r.revision), " ", h("span", { class: "tag" }, r.state), r.refused && h("span", { class: "bad" }, " " + r.refused),
        h("ul", null, r.acts.map((a) => h("li", null, `${instant(a.at)} ${a.what}`, a.on && " on " + a.on, ` at ${a.node}`, a.by && " by " + a.by, a.why && ": " + a.why))))))),
  ];
}

function shadow(t) {
  return h("div", { class: "candidate", key: "shadow" },
    h("h3", null, "Revision " + t.revision + " is only looked at"),
    h("p", null, "It decides on nothing since ", instant(t.since), t.by && ", by " + t.by, t.why && ": " + t.why),
    t.held && h("p", { class: "warn" }, "▲ it is not compared: ", t.held),
    shadowPart(t.shadow));
}

function candidate(t, look) {
  const left = t.until ? new Date(t.until) - look.now : null;
  const arms = [["stable", t.stable], ["candidate", t.candidate]];
  const whole = left === null ? null : new Date(t.until) - new Date(t.since);
  const rows = [["calls", (a) => count(a.calls)], ["refused", (a) => percent(a.deny_rate)], ["99 % waited, of their budget", (a) => percent(a.p99_wait)],
    ["long outputs", (a) => (a.outputs ? percent(a.long_rate) : "–")], ["dear calls", (a) => (a.costs ? percent(a.dear_rate) : "–")]];
  return h("div", { class: "candidate", key: "candidate" },
    h("h3", null, "Revision " + t.revision + " is tried on " + t.on),
    t.paused && h("p", { class: "warn" }, "Paused", t.paused.by && " by " + t.paused.by, t.paused.why && ": " + t.paused.why),
    t.held && h("p", { class: "warn" }, "▲ it decides on no calls: ", t.held),
    left !== null && h("p", null, left > 0 ? `Promoted by itself in ${span(left)}, if its guard holds.` : "Its time is over: it is promoted now."),
    left !== null && whole > 0 && bar([{ name: "wait", part: Math.max(0, Math.min(1, 1 - left / whole)) }], "time of the trial that is over"),
    t.waits_for_promotion?.length > 0 && h("p", { class: "muted" }, "Only tried when it is promoted: ", t.waits_for_promotion.join("; ")),
    h("table", null, h("caption", null, `What became of calls, as counted by ${count(t.nodes)} nodes`),
      h("thead", null, h("tr", null, h("td"), arms.map(([name]) => h("th", { scope: "col" }, name)))),
      h("tbody", null, rows.map(([name, f]) => h("tr", { key: name }, h("th", { scope: "row" }, name), arms.map(([, a]) => h("td", { class: "n" }, f(a))))))));
}
