// A decision's whole path, as `swarmpurse explain` shows it.

import { draw, h } from "./dom.js";
import { ask } from "./stream.js";
import { count, instant, millis, percent, perSecond, plainName, reason } from "./format.js";

// explains opens the dialog on an id. members is asked for the nodes that there are.
export function explains(dialog, members) {
  let wanted = "";
  const show = (...nodes) => draw(dialog, h("div", { class: "head" }, h("h2", { id: "explain-h" }, "Call ", wanted), h("button", { type: "button", class: "close", "data-close": true }, "Close")), ...nodes);
  dialog.addEventListener("click", (e) => {
    if (e.target === dialog || e.target.closest("[data-close]")) dialog.close();
  });
  return async (id) => {
    wanted = id.trim();
    if (!wanted) return;
    const mine = wanted;
    const name = mine.slice(0, Math.max(0, mine.lastIndexOf(".")));
    const self = members().find((m) => m.self)?.name;
    if (name && self && name !== self) {
      const owner = members().find((m) => m.name === name && m.http?.startsWith("http"));
      show(owner
        ? h("p", null, "Node ", name, " decided on it, and knows its path: ", h("a", { href: owner.http + "/ui/#call=" + encodeURIComponent(mine), rel: "noreferrer" }, "ask it"), ".")
        : h("p", { class: "bad" }, `It is a call of node ${name}, and there is none of that name here that could be asked.`));
      if (!dialog.open) dialog.showModal();
      return;
    }
    show(h("p", { class: "muted" }, "asking the node …"));
    if (!dialog.open) dialog.showModal();
    try {
      const d = await ask("/v1/decisions/" + encodeURIComponent(mine));
      if (mine === wanted) show(path(d));
    } catch (err) {
      if (mine === wanted) show(h("p", { class: "bad" }, err.message));
    }
  };
}

function facts(list) {
  return h("dl", { class: "facts" }, list.filter((f) => f[1]).map(([k, v]) => h("div", { key: k }, h("dt", null, k), h("dd", null, v))));
}

function step(title, mark, ...body) {
  return h("li", { class: mark }, h("h3", null, title), body);
}

function path(d) {
  const refused = d.decision === "defer" || d.decision === "deny";
  const waited = d.waited_ms > 0 || d.transfers?.length;
  return h("div", null, h("ol", { class: "path" },
    step(`Asked for by ${[d.tenant, d.agent].filter(Boolean).join(" / ") || "nobody named"}`, "", facts([
      ["at", instant(d.at)], ["node", d.node], ["run", d.run], ["class", d.class], ["model", d.model], ["data", d.data?.join(", ")],
      ["prompt", d.prompt_tokens && count(d.prompt_tokens)], ["output at most", d.max_output_tokens && count(d.max_output_tokens)], ["trace", d.trace_id], ["span", d.span_id],
    ])),
    step(d.rules?.length ? "Matched " + d.rules.join(", ") : "No rule matched", "", facts([
      ["policy", "revision " + d.policy_revision + (d.arm ? ", " + d.arm : "")], ["pressure", d.backpressure && `level ${d.backpressure} of 3`],
      ["guarantee", d.guaranteed && "within its tenant's"],
      ...(d.shared ?? []).map((s) => ["share of " + plainName(s.instance), `asked for ${perSecond(s.asked)} here, its share is ${perSecond(s.share)}` + (s.small ? "; it asks for little and goes first" : s.under ? "; it had had less, and went first" : "; it had had that, and went after others")]),
    ])),
    waited && step(`Waited ${millis(d.waited_ms)}`, "", d.transfers?.length
      ? table("Rights that came meanwhile", ["at", "from", "instance", "rights", "shares"], d.transfers.map((t) => [instant(t.at), t.from, plainName(t.instance), count(t.tokens), percent((t.shares ?? 0) / 1e9)]))
      : h("p", { class: "muted" }, "No transfer to this node is noted in that time: rights came back here, or its turn came.")),
    step(`${d.decision}: ${reason(d.code)}`, refused ? "bad" : "good", h("p", null, d.reason), advice(d.advice),
      d.reserved?.length > 0 && table("Reserved", ["instance", "token", "price", "reserved", "rights before", "after"], d.reserved.map((c) => {
        const r = d.rights?.find((x) => x.instance === c.instance);
        return [plainName(c.instance), c.token, "× " + (d.price?.[c.budget] ?? 1), count(c.amount), r ? count(r.before) : "–", r ? count(r.after) : "–"];
      }))),
    !refused && step(`${d.state}${d.outcome ? ": " + d.outcome : ""}`, d.state === "settled" ? "good" : d.state === "expired" ? "bad" : "", facts([
      ["settle before", d.expires && instant(d.expires)], ["overrun", d.overrun && count(d.overrun)],
      ["provider counted", d.usage && `${count(d.usage.prompt_tokens)} of prompt, ${count(d.usage.completion_tokens)} of output`],
    ]), d.charged?.length > 0 && table("Charged", ["instance", "token", "charged"], d.charged.map((c) => [plainName(c.instance), c.token, count(c.amount)]))),
    step("Its class and its kind", "", service(d), drift(d), d.audit_index !== undefined && facts([["audit log", "record " + count(d.audit_index)]]))),
  h("details", null, h("summary", null, "As the node tells it"), h("pre", { tabindex: "0" }, JSON.stringify(d, null, 2))));
}

function advice(a) {
  if (!a) return null;
  return facts([["use model", a.model], ["output at most", a.max_output_tokens && count(a.max_output_tokens)], ["sent to", a.upstream], ["ask node", a.node && a.node + (a.zone ? " in zone " + a.zone : "")]]);
}

function service(d) {
  const s = d.service;
  if (!s) return h("p", { class: "muted" }, "The policy has no such class any more.");
  return facts([
    ["this call", s.result && { met: "met", missed: "missed", excused: "excused" }[s.result]], ["budget of time", millis(s.latency_budget_ms)],
    ["objective", s.objective && percent(s.objective)], ["of its class met", count(s.met)], ["missed", count(s.missed)], ["excused", count(s.excused)],
    ["burn", s.burn?.map((b) => `${b.rate.toFixed(1)} in ${b.window}`).join(", ")],
  ]);
}

function drift(d) {
  return d.drift?.map((x) => h("p", null, `Calls of ${x.model || "no model"} by rule ${x.rule} put out ${count(x.output_mean)} of late` +
    (x.output_usual >= 0 ? `, ${percent(x.above)} of them more than ${count(x.output_usual)} where ${percent(x.above_expected)} are usual` : "") + ".",
    x.costs?.map((c) => ` At ${c.budget} they cost ${count(c.late)} where ${count(c.usual)} is usual.`)));
}

function table(caption, head, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null, h("caption", null, caption),
    h("thead", null, h("tr", null, head.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", null, rows.map((r) => h("tr", null, r.map((c, i) => h(i ? "td" : "th", i ? { class: /^[–×\d]/.test(String(c)) ? "n" : null } : { scope: "row" }, c)))))));
}
