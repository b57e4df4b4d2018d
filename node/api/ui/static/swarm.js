// The map of the swarm: zones, their nodes, how they are, and which of them this node cannot reach.

import { h } from "./dom.js";
import { brief, count, millis, percent, plainName, span } from "./format.js";

const words = { alive: "alive", leaving: "leaving", left: "left", failed: "out of reach", unlisted: "gone, holds rights" };
const signs = { alive: "●", leaving: "◐", left: "○", failed: "✕", unlisted: "◌" };

const away = (m) => m.status === "failed";

// cut says who is out of reach; null if nobody is.
export function cut(o) {
  const there = o.members.filter((m) => m.status === "alive" || m.status === "leaving");
  const gone = o.members.filter(away);
  if (gone.length === 0) return null;
  const zones = new Set(gone.map((m) => m.zone ?? ""));
  for (const m of there) zones.delete(m.zone ?? "");
  return { gone, there, zones: [...zones].filter(Boolean) };
}

// swarmPart draws the map. look has the node that is chosen and the instance of which rights are shown, with its holders.
export function swarmPart(o, look) {
  const c = cut(o);
  const here = o.members.filter((m) => !away(m));
  const rights = new Map();
  for (const x of look.holders ?? []) rights.set(x.node, (rights.get(x.node) ?? 0) + x.rights);
  const most = Math.max(1, ...rights.values());
  const side = (members, name, title) => h("div", { class: "side " + name, key: name }, title && h("h3", null, title), zones(members).map(([zone, ms]) =>
    h("div", { class: "zone", key: zone, role: "group", "aria-label": zone ? "zone " + zone : "no zone" },
      h("h4", null, zone ? "zone " + zone : "no zone", h("span", { class: "muted" }, " · " + ms.length + (ms.length === 1 ? " node" : " nodes"))),
      h("div", { class: ms.length > 24 ? "nodes dense" : "nodes" }, ms.map((m) => node(m, o, rights.get(m.name), most, look.node))))));
  return [
    legend(o, look),
    h("div", { class: c ? "map is-cut" : "map", key: "map" },
      side(here, "near", c && `${o.status.node} reaches ${count(here.filter((m) => m.status === "alive").length)} of ${count(o.members.length)} nodes`),
      c && h("div", { class: "tear", key: "tear", "aria-hidden": "true" }, h("span", null, "✂ cut")),
      c && side(c.gone, "far", `Out of reach: ${count(c.gone.length)}`)),
    nodeNote(o, look),
  ];
}

function zones(members) {
  const by = new Map();
  for (const m of members) {
    const z = m.zone ?? "";
    if (!by.has(z)) by.set(z, []);
    by.get(z).push(m);
  }
  return [...by.entries()].sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

function health(m, o) {
  const list = [];
  if (m.foreign) list.push("of another cluster");
  if (m.audit_alarm) list.push("audit log: " + m.audit_alarm);
  if (m.stuck?.length) list.push("rights stuck");
  if (m.policy_revision && m.status === "alive" && m.policy_revision !== o.policy.revision) list.push("policy revision " + m.policy_revision);
  if (m.self && !o.status.ready) list.push("not ready");
  const g = m.guarding;
  if (g?.guardians.length && g.guardians.filter((x) => x.answers).length * 2 <= g.guardians.length) list.push("guardians out of reach");
  return list;
}

function node(m, o, rights, most, chosen) {
  const ill = health(m, o);
  const part = rights === undefined ? 0 : rights / most;
  const word = words[m.status] ?? m.status;
  return h("button", {
    type: "button", class: `node ${m.status}${ill.length ? " ill" : ""}${m.self ? " self" : ""}`, key: m.name, "data-node": m.name,
    "aria-pressed": String(m.name === chosen), title: [m.name, word, ...ill].join(", "), vars: { part: part.toFixed(3) },
  },
    h("span", { class: "sign", "aria-hidden": "true" }, ill.length && m.status === "alive" ? "▲" : signs[m.status] ?? "?"),
    h("span", { class: "name" }, m.name),
    h("span", { class: "more" }, m.self ? "this node" : m.status === "alive" ? millis(m.rtt_ms) : word),
    rights !== undefined && h("span", { class: "held" }, brief(rights)),
    h("span", { class: "fill", "aria-hidden": "true" }));
}

function legend(o, look) {
  const list = o.budgets.flatMap((b) => b.instances.map((i) => i.instance));
  return h("div", { class: "legend", key: "legend" },
    h("label", { for: "map-of" }, "Rights shown of"),
    h("select", { id: "map-of", "data-choose": "instance" }, list.map((name) => h("option", { key: name, value: name, selected: name === look.instance }, plainName(name)))),
    h("span", { class: "muted" }, "● alive, with the round trip from ", o.status.node, " · ▲ needs a look · ✕ out of reach · ○ left"));
}

function nodeNote(o, look) {
  const m = o.members.find((x) => x.name === look.node);
  if (!m) return h("p", { class: "muted", key: "note" }, "Choose a node to see more of it.");
  const ill = health(m, o);
  const g = m.guarding;
  const facts = [
    ["state", (words[m.status] ?? m.status) + (ill.length ? "; " + ill.join("; ") : "")],
    ["zone", m.zone], ["gossip", m.gossip], ["version", m.version], ["policy revision", m.policy_revision], ["generation", m.generation],
    ["founder", m.founder && "has a seat"],
    ["guarded by", g && (g.guardians.length ? g.guardians.map((x) => x.name + (x.answers ? "" : " (silent)")).join(", ") : "nobody: it takes four members")],
    ["lease", g?.guardians.length && (g.lease_held ? "for " + span(g.lease_left_ms) : "not held")],
    ["guards", g?.wards.length && g.wards.join(", ")],
    ["its lease here", m.ward && span(m.lease_left_ms ?? 0)],
    ["stuck rights", m.stuck?.map((x) => `${plainName(x.instance)}: ${brief(x.tokens)} tokens, ${percent(x.shares / 1e9)} of shares (${x.why}${x.left_ms ? " for " + span(x.left_ms) : ""})`).join("; ")],
  ];
  return h("div", { class: "note", key: "note", role: "region", "aria-label": "Node " + m.name },
    h("h3", null, m.name),
    h("dl", null, facts.filter((f) => f[1]).map(([k, v]) => h("div", { key: k }, h("dt", null, k), h("dd", null, v)))),
    m.http?.startsWith("http") && !m.self && h("p", null, h("a", { href: m.http + "/ui/", rel: "noreferrer" }, "The swarm as ", m.name, " sees it")));
}
