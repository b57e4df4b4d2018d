// Calls and transfers as they come.

import { h } from "./dom.js";
import { brief, clock, count, millis, percent, plainName, reason } from "./format.js";

const kept = 200;
const shown = 40;

// Feed keeps the last events of the node.
export class Feed {
  calls = [];
  news = [];
  #ends = new Map();

  add(kind, e) {
    if (kind === "decision") {
      this.calls.unshift(e);
      this.calls.length = Math.min(this.calls.length, kept);
    } else if (kind === "end") {
      this.#ends.set(e.id, e);
      if (this.#ends.size > 2 * kept) this.#ends.delete(this.#ends.keys().next().value);
    } else {
      this.news.unshift({ ...e, kind });
      this.news.length = Math.min(this.news.length, kept);
    }
  }

  end(id) {
    return this.#ends.get(id);
  }
}

export function callsPart(o, feed, look) {
  const list = feed.calls.filter((c) => !look.refusedOnly || c.decision === "defer" || c.decision === "deny").slice(0, shown);
  const left = o.events_left_out?.decision ?? 0;
  return [
    h("p", { class: "tools", key: "tools" },
      h("label", null, h("input", { type: "checkbox", "data-choose": "refused", id: "refused-only" }), " refused only"),
      h("span", { class: "muted" }, "Choose one to see its whole path.", left > 0 && ` ${count(left)} were too many to show.`)),
    h("ol", { class: "feed", key: "feed", tabindex: "0", "aria-label": "Calls, the newest first" }, list.length ? list.map((c) => call(c, feed.end(c.id))) : h("li", { class: "muted" }, "No calls yet.")),
  ];
}

function call(c, end) {
  const most = c.draws?.reduce((a, b) => (b.amount > a.amount ? b : a), c.draws[0]);
  return h("li", { key: c.id }, h("button", { type: "button", class: "call", "data-explain": c.id },
    h("time", { datetime: c.at }, clock(c.at)),
    h("span", { class: "verdict " + c.decision }, c.decision),
    h("span", { class: "caller" }, [c.tenant, c.agent].filter(Boolean).join(" / ") || "nobody named"),
    h("span", { class: "muted" }, c.class),
    h("span", { class: "why" }, c.code === "ok" ? (most ? brief(most.amount) + " " + most.token : "") : reason(c.code)),
    h("span", { class: "muted" }, c.waited_ms ? "waited " + millis(c.waited_ms) : "", end ? ` ${end.state}` : "")));
}

const titles = { transfer: "transfer", claim: "claimed", member: "member", policy: "policy", mint: "mint", burn: "burn", freeze: "freeze", alarm: "alarm", gap: "gap" };

export function transfersPart(o, feed) {
  return [
    h("p", { class: "muted", key: "note" }, `What comes to ${o.status.node} and goes from it, and what else happens: ${o.status.node} tells of its own transfers only.`),
    h("ol", { class: "feed", key: "feed", tabindex: "0", "aria-label": "Transfers and news, the newest first" }, feed.news.length ? feed.news.slice(0, shown).map((e) => news(e, o.status.node)) : h("li", { class: "muted" }, "Nothing yet.")),
  ];
}

function news(e, self) {
  const moved = [e.tokens && brief(e.tokens) + " rights", e.shares && percent(e.shares / 1e9) + " of shares"].filter(Boolean).join(", ");
  let text;
  switch (e.kind) {
    case "transfer":
      text = [h("b", null, e.what === "in" ? `${e.peer} → ${self}` : `${self} → ${e.peer}`), " ", moved, " of ", plainName(e.instance ?? "")];
      break;
    case "claim":
      text = [moved, " of ", plainName(e.instance ?? ""), " came back from ", e.peer];
      break;
    case "gap":
      text = ["some events are missing here: ", e.why];
      break;
    default:
      text = [[e.what, e.peer, e.instance && plainName(e.instance), moved].filter(Boolean).join(" "), e.policy_revision && " revision " + e.policy_revision, e.by && " by " + e.by, e.why && ": " + e.why];
  }
  return h("li", { key: e.n }, h("time", { datetime: e.at }, clock(e.at)), h("span", { class: "kind " + e.kind }, titles[e.kind] ?? e.kind), h("span", { class: "text" }, text));
}
