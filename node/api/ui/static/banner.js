// What needs a look first: a cut, a node that is not ready, a connection that is lost.

import { h } from "./dom.js";
import { brief, count, plainName, span } from "./format.js";
import { cut } from "./swarm.js";

// banners says what is wrong; "" as the title if nothing is.
export function banners(o, link, now) {
  const list = [];
  let title = "";
  if (link.word !== "live") {
    const ago = link.since ? ` What is shown is ${span(now - link.since)} old.` : "";
    list.push(["bad", "link", "No connection", `${link.error?.message ?? "the node does not answer"}; trying again.${o ? ago : ""}`]);
    title = "no connection";
  }
  if (!o) return { list: list.map(banner), title };
  const c = cut(o);
  if (c) {
    title = "CUT";
    const names = c.gone.slice(0, 8).map((m) => m.name).join(", ") + (c.gone.length > 8 ? ` and ${count(c.gone.length - 8)} more` : "");
    const where = c.zones.length === 1 ? ` All of zone ${c.zones[0]} is out of reach.` : c.zones.length > 1 ? ` All of the zones ${c.zones.join(", ")} are out of reach.` : "";
    const away = o.budgets.flatMap((b) => b.instances).filter((i) => i.away > 0).sort((a, b) => b.away - a.away);
    const rights = away.length ? ` Rights that nobody can spend until they return or are claimed: ${away.slice(0, 3).map((i) => `${brief(i.away)} of ${plainName(i.instance)}`).join(", ")}${away.length > 3 ? " and more" : ""}.` : "";
    list.push(["bad", "cut", `✂ Cut: ${count(c.gone.length)} of ${count(o.members.length)} nodes are out of reach`, `${names}.${where} ${o.status.node} goes on with the rights on this side.${rights}`]);
  }
  if (!o.status.ready) {
    list.push(["bad", "ready", "Not ready", (o.status.reasons ?? []).join("; ")]);
    title ||= "not ready";
  }
  if (o.status.conservation_error) {
    list.push(["bad", "books", "The books do not close", `They are off by ${count(o.status.conservation_error)} tokens: please report this.`]);
    title ||= "books";
  }
  const silent = o.members.find((m) => m.self)?.guarding?.guardians.filter((g) => !g.answers) ?? [];
  if (silent.length && !c) list.push(["warn", "guards", "Guardians are silent", silent.map((g) => g.name).join(", ")]);
  if (o.frozen.length) list.push(["warn", "frozen", `✻ ${count(o.frozen.length)} frozen`, o.frozen.slice(0, 5).map((f) => f.instance ?? [f.tenant, f.agent].filter(Boolean).join(" / ")).join(", ")]);
  const t = o.policy.candidate;
  if (t?.shadow) list.push(["info", "trial", `Revision ${t.revision} is only looked at`, "it decides on nothing"]);
  else if (t) list.push(["info", "trial", `Revision ${t.revision} is being tried`, (t.paused ? "paused; " : t.held ? "it decides on no calls; " : "") + t.on]);
  return { list: list.map(banner), title };
}

const banner = ([kind, key, head, text]) => h("p", { class: "banner " + kind, key }, h("b", null, head), " ", text);
