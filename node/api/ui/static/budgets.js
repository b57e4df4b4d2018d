// Budgets: limit, what is spent and who holds the rest, price, velocity, issuance.

import { h } from "./dom.js";
import { bar, spark } from "./chart.js";
import { brief, count, percent, perSecond, plainName, span } from "./format.js";

export function budgetsPart(o, history, look) {
  if (o.budgets.length === 0) return [h("p", { class: "muted" }, "The policy has no budgets.")];
  return [
    h("p", { class: "legend bars", key: "legend" }, [["spent", "spent"], ["reserved", "reserved"], ["here", "rights of this node"], ["rights", "rights of others"], ["away", "out of reach"]].map(([name, word]) =>
      h("span", { key: name }, h("i", { class: "seg " + name, "aria-hidden": "true" }), " ", word))),
    h("div", { class: "budgets", key: "list" }, o.budgets.map((b) => budget(b, o, history, look))),
  ];
}

function budget(b, o, history, look) {
  return h("article", { class: "budget" + (b.instances.length > 1 ? " many" : ""), key: b.name },
    h("h3", null, b.name, " ", h("span", { class: "tag" }, b.token), h("span", { class: "tag" }, b.supply), h("span", { class: "tag " + b.ceiling.split(" ")[0] }, b.ceiling),
      b.per?.length && h("span", { class: "tag" }, "per " + b.per.join(", ")), b.pricing !== "fixed" && h("span", { class: "tag" }, "price moves"), b.fairness && h("span", { class: "tag" }, "fair")),
    b.instances.length === 0 && h("p", { class: "muted" }, "Not used yet."),
    h("div", { class: "instances", key: "instances" }, b.instances.map((i) => instance(b, i, o, history, look))),
    b.truncated && h("p", { class: "muted" }, count(b.truncated) + " more, less pressed: see swarmpurse budgets " + b.name));
}

const levels = ["", "level 1", "level 2", "level 3: nearly used up"];

function instance(b, i, o, history, look) {
  const sw = i.swarm;
  const mine = Math.min(i.local.rights, sw.rights);
  const others = Math.max(0, sw.rights - i.away - mine);
  const stock = b.kind === "rate" || b.kind === "slots"; // what was spent of a rate is no part of its bucket
  const spent = stock ? 0 : sw.spent;
  const whole = Math.max(1, i.limit, spent + sw.reserved + sw.rights);
  const flow = history.flow(i.instance);
  const name = plainName(i.instance);
  const chosen = look.instance === i.instance;
  const parts = [{ name: "spent", part: spent / whole }, { name: "reserved", part: sw.reserved / whole }, { name: "here", part: mine / whole },
    { name: "rights", part: others / whole }, { name: "away", part: i.away / whole }];
  const facts = [
    [b.kind === "rate" ? "burst" : b.kind === "slots" ? "slots" : "limit", brief(i.limit), count(i.limit)],
    [b.kind === "rate" ? "spent in all" : "spent", brief(sw.spent), count(sw.spent)],
    ["reserved", brief(sw.reserved), count(sw.reserved)],
    ["rights", brief(sw.rights - i.away), `${count(sw.rights)} in the swarm, ${count(i.local.rights)} at this node, ${count(i.away)} out of reach`],
    i.away > 0 && ["out of reach", brief(i.away), count(i.away), "bad"],
    ["velocity", perSecond(sw.demand), "tokens a second that calls ask for, in the swarm"],
    ["spending", perSecond(flow.spent), "tokens a second spent, in the last 10 seconds"],
    ["issued", brief(sw.issued) + (flow.issued ? ` (${perSecond(flow.issued)})` : ""), count(sw.issued)],
    ["price", "× " + Number(i.price.toPrecision(4)), "what costs are multiplied by"],
    i.overspend > 0 && ["overdrawn", brief(i.overspend), count(i.overspend), "warn"],
    i.exhausted_in_ms !== undefined && ["used up in", span(i.exhausted_in_ms), "at the velocity of now", i.backpressure > 1 ? "warn" : ""],
    i.window_end && ["window ends in", span(Math.max(0, new Date(i.window_end) - look.now)), i.window_end],
  ];
  return h("div", { class: "instance" + (chosen ? " chosen" : ""), key: i.instance },
    h("div", { class: "line1" },
      h("button", { type: "button", class: "pick", "data-instance": i.instance, "aria-expanded": String(chosen), title: "rights by node" }, name),
      i.frozen && h("span", { class: "tag bad" }, "✻ frozen"),
      i.backpressure > 0 && h("span", { class: "tag warn" }, "▲ pressure " + levels[i.backpressure]),
      i.feedback && i.feedback.part < 1 && h("span", { class: "tag warn" }, "slowed to " + percent(i.feedback.part) + " by its provider"),
      spark({ spent: history.line(i.instance) }),
      h("span", { class: "used" }, percent(i.used) + (stock ? " in use" : " used"))),
    bar(parts, `${name}: ${stock ? "" : percent(spent / whole) + " spent, "}${percent(sw.reserved / whole)} reserved, ${percent(mine / whole)} at this node, ${percent(others / whole)} at others, ${percent(i.away / whole)} out of reach`),
    h("dl", { class: "facts" }, facts.filter(Boolean).map(([k, v, title, mark]) => h("div", { key: k, class: mark || null, title }, h("dt", null, k), h("dd", null, v)))),
    chosen && holders(i, look));
}

function holders(i, look) {
  if (!look.holders) return h("p", { class: "muted" }, look.holdersError ?? "asking for its holders …");
  const list = [...look.holders].sort((a, b) => b.rights - a.rights || (a.node < b.node ? -1 : 1));
  const most = Math.max(1, ...list.map((x) => x.rights));
  const shown = list.slice(0, 50);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rights by node of " + plainName(i.instance) },
    h("table", { class: "holders" },
      h("caption", null, "Rights by node"),
      h("thead", null, h("tr", null, ["node", "rights", "", "shares", "reserved", "spent", "issued", "asks for", "heard"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", null, shown.map((x) => h("tr", { key: x.node + x.generation, class: x.alive ? null : "away" },
        h("th", { scope: "row" }, x.alive ? "" : "✕ ", x.node), h("td", { class: "n" }, count(x.rights)), h("td", { class: "wide" }, bar([{ name: x.alive ? "rights" : "away", part: x.rights / most }], percent(x.rights / most) + " of the most")),
        h("td", { class: "n" }, percent(x.shares / 1e9)), h("td", { class: "n" }, count(x.reserved)), h("td", { class: "n" }, count(x.spent)), h("td", { class: "n" }, count(x.issued)),
        h("td", { class: "n" }, perSecond(x.demand)), h("td", { class: "n" }, x.age_ms ? span(x.age_ms) + " ago" : "now"))))),
    list.length > shown.length && h("p", { class: "muted" }, count(list.length - shown.length) + " more"));
}
