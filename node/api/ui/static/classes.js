// Queues by class, with latency against the class's budget; and what became of calls, with reasons.

import { h } from "./dom.js";
import { bar, spark } from "./chart.js";
import { count, millis, percent, perSecond, reason } from "./format.js";

export function classesPart(o, history) {
  return [
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Queues by class" }, h("table", { class: "classes" },
      h("thead", null, h("tr", null, ["class", "waiting", "calls", "waited: half", "99 %", "of its budget", "met", "burn 5m / 1h"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", null, o.classes.map((c) => row(c, history))))),
    h("p", { class: "muted", key: "note" }, "At this node, in the last minute. Met are calls that were admitted within their class's budget of time; excused ones, as of a tenant whose own budget is used up, count neither way."),
  ];
}

function row(c, history) {
  const r = history.class(c.name);
  const budget = c.latency_budget_ms;
  const over = r && r.p99 !== null && r.p99 > budget;
  const judged = r ? r.met + r.missed : 0;
  const met = judged > 0 ? r.met / judged : null;
  const short = c.objective && met !== null && met < c.objective;
  const burn = (w) => c.burn?.find((b) => b.window === w)?.rate.toFixed(1);
  return h("tr", { key: c.name },
    h("th", { scope: "row" }, c.name),
    h("td", { class: "n" + (c.waiting ? " warn" : "") }, count(c.waiting)),
    h("td", { class: "n" }, perSecond(r?.perSecond ?? null)),
    h("td", { class: "n" }, r?.p50 === null || !r ? "–" : r.p50 ? "≤ " + millis(r.p50) : "at once"),
    h("td", { class: "n" + (over ? " bad" : "") }, r?.p99 === null || !r ? "–" : r.p99 ? "≤ " + millis(r.p99) : "at once"),
    h("td", { class: "wide" }, budget > 10
      ? [bar([{ name: over ? "bad" : "wait", part: Math.min(1, (r?.p99 ?? 0) / budget) }], r?.p99 ? percent(r.p99 / budget) + " of " + millis(budget) : "none of " + millis(budget)), h("span", { class: "muted" }, " of " + millis(budget))]
      : h("span", { class: "muted" }, "does not wait")),
    h("td", { class: "n" + (short ? " bad" : "") }, short ? "▲ " : "", percent(met), c.objective && h("span", { class: "muted" }, " of " + percent(c.objective))),
    h("td", { class: "n" }, c.objective ? burn("5m") + " / " + burn("1h") : h("span", { class: "muted" }, "no objective")));
}

const verdicts = [["admit", "admitted"], ["degrade", "degraded"], ["defer", "deferred"], ["deny", "denied"]];

export function ratesPart(o, history) {
  const c = history.calls();
  const line = history.callLine();
  const run = (c.by.get("admit") ?? 0) + (c.by.get("degrade") ?? 0);
  const label = verdicts.map(([v, word]) => `${percent((c.by.get(v) ?? 0) / Math.max(1, c.total))} ${word}`).join(", ");
  return [
    h("div", { class: "figures", key: "figures" },
      figure("calls", perSecond(c.seconds ? c.total / c.seconds : null)), figure("admitted", percent(c.total ? run / c.total : null)),
      figure("refused", percent(c.total ? 1 - run / c.total : null)), figure("waiting now", count(o.status.waiting)), figure("running", count(o.status.active))),
    bar(verdicts.map(([v]) => ({ name: v, part: (c.by.get(v) ?? 0) / Math.max(1, c.total) })), c.total ? label : c.seconds ? "no calls in the last minute" : "counting"),
    h("p", { class: "legend bars", key: "legend" }, verdicts.map(([v, word]) => h("span", { key: v }, h("i", { class: "seg " + v, "aria-hidden": "true" }), ` ${word} ${count(c.by.get(v) ?? 0)}`))),
    h("div", { class: "trend", key: "trend" }, spark({ run: line.run, refused: line.refused }, 480, 56)),
    h("table", { class: "reasons", key: "reasons" },
      h("caption", null, "Why, in the last minute"),
      h("tbody", null, c.reasons.length ? c.reasons.slice(0, 8).map((r) => h("tr", { key: r.decision + r.code },
        h("th", { scope: "row" }, h("span", { class: "verdict " + r.decision }, r.decision), " ", reason(r.code)),
        h("td", { class: "n" }, count(r.calls)), h("td", { class: "n" }, percent(r.calls / c.total)))) : h("tr", null, h("td", { class: "muted" }, c.seconds ? "No calls in the last minute." : "Counting since this page was opened …")))),
  ];
}

const figure = (name, value) => h("div", { key: name, class: "figure" }, h("b", null, value), h("span", null, name));
