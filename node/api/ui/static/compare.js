// What a shadow would have decided otherwise, how the arms of experiments compare, and which flags are on.

import { h } from "./dom.js";
import { brief, count, millis, percent } from "./format.js";

const table = (key, label, head, rows) => h("div", { class: "scroll", key, tabindex: "0", role: "region", "aria-label": label }, h("table", { class: key }, h("caption", null, label),
  h("thead", null, h("tr", null, head.map((c, i) => h("th", { scope: "col", class: i > 0 && "n" }, c)))),
  h("tbody", null, rows.map((r) => h("tr", { key: r[0] }, h("th", { scope: "row" }, r[0]), r.slice(1).map((c) => h("td", { class: "n" }, c)))))));

export function shadowPart(s) {
  const kinds = Object.entries(s.kinds ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    s.ended && h("p", { class: "warn", key: "ended" }, "▲ Its time is over: nobody looks at it any more."),
    h("p", { key: "sum" }, `Of ${count(s.compared)} calls at ${count(s.nodes)} nodes it would have decided `, h("b", null, count(s.differ)), " otherwise", s.compared > 0 && ` (${percent(s.differ / s.compared)})`,
      `: ${count(s.stricter)} that ran would have been refused, ${count(s.looser)} that were refused would have run.`),
    s.assumed > 0 && h("p", { class: "muted", key: "assumed" }, `Of ${count(s.assumed)} it is not known whether the rights that they need were there.`),
    s.dropped > 0 && h("p", { class: "muted", key: "dropped" }, `${count(s.dropped)} were not compared: too many at once.`),
    kinds.length > 0 && table("kinds", "What differs", ["what", "calls"], kinds.map(([what, n]) => [what, count(n)])),
    s.recent?.length > 0 && h("ul", { class: "differs", key: "recent", "aria-label": "The last calls that differ" }, s.recent.slice(0, 5).map((c) => h("li", { key: c.id },
      h("button", { type: "button", class: "pick", "data-explain": c.id }, c.id), ` ${[c.tenant, c.agent, c.model].filter(Boolean).join(" / ")}: `,
      c.differences.map((d) => `${d.what} ${d.shadow} instead of ${d.stable}`).join("; ")))),
  ];
}

const signed = (v, f) => (v > 0 ? "+" : v < 0 ? "−" : "") + f(Math.abs(v));
const figure = { score: (v) => v.toFixed(3), cost: brief, latency: (v) => millis(1000 * v), refused: percent };
const signs = { better: "▲ better", worse: "▼ worse" };

export function experimentsPart(revisions) {
  const list = (revisions ?? []).flatMap((r) => (r.experiments ?? []).map((e) => ({ ...e, revision: r.revision })));
  return list.length > 0 && h("div", { key: "experiments" }, h("h3", null, "Experiments"), list.map((e) => h("div", { class: "experiment", key: e.id },
    h("h4", null, e.name), h("p", { class: "muted" }, `Of revision ${e.revision}, by ${e.by}, ${e.when ? "where " + e.when : "all calls"}; as counted by ${count(e.nodes)} nodes.`),
    table("arms", `Arms of ${e.name}`, ["arm", "runs", "calls", "refused", "score", e.cost, "time"], e.arms.map((a) => [
      a.name, a.does, count(a.calls), count(a.refused), a.score === undefined ? "–" : `${a.score.toFixed(3)} of ${count(a.scores)}`, a.cost === undefined ? "–" : brief(a.cost), millis(a.latency_ms)])),
    e.arms.filter((a) => a.compared).map((a) => h("div", { key: a.name }, h("p", null, h("b", null, a.name), ": ", a.verdict),
      table("measures", `${a.name} beside ${e.arms[0].name}`, ["measure", e.arms[0].name, a.name, `difference, ${Math.round(100 * e.confidence)}% between`, "verdict"], a.compared.map((c) => {
        const f = figure[c.measure] ?? brief;
        return [c.measure, f(c.first), f(c.here), signed(c.difference, f) + (c.low === undefined ? "" : `, ${signed(c.low, f)} and ${signed(c.high, f)}`), signs[c.verdict] ?? c.verdict];
      })))))));
}

export function flagsPart(flags) {
  return flags?.length > 0 && h("div", { key: "flags" }, h("h3", null, "Flags"), table("flags", "For whom they are on", ["flag", "on for", "and always for"], flags.map((f) => [
    f.name, f.on >= 1 ? "all calls" : f.on > 0 ? `${percent(f.on)} by ${f.by}` : "nobody else", [...(f.targets ?? []), f.more_targets > 0 && `${count(f.more_targets)} more`].filter(Boolean).join(", ") || "–"])));
}
