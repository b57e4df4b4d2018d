// The page: it follows the node's events and draws its parts, a few times a second at most.

import { arc } from "./arcs.js";
import { banners } from "./banner.js";
import { budgetsPart } from "./budgets.js";
import { classesPart, ratesPart } from "./classes.js";
import { draw, h } from "./dom.js";
import { explains } from "./explain.js";
import { callsPart, Feed, transfersPart } from "./feed.js";
import { span } from "./format.js";
import { History } from "./history.js";
import { asksForKey } from "./key.js";
import { policyPart } from "./policy.js";
import { ask, follow } from "./stream.js";
import { swarmPart } from "./swarm.js";

const kinds = ["state", "decision", "end", "transfer", "claim", "member", "policy", "mint", "burn", "freeze", "alarm"];
const frame = 250; // ms between two drawings

const $ = (selector) => document.querySelector(selector);
const part = (name) => $(`[data-part="${name}"]`);

let overview = null;
let revisions = null;
let revisionsOf = "";
let revisionsAt = 0;
let paused = false;
let link = { word: "lost", error: new Error("asking the node"), since: 0 };
let n = 0;
const history = new History();
const feed = new Feed();
const look = { node: "", instance: "", holders: null, holdersError: null, refusedOnly: false, now: Date.now() };
const explain = explains($("#explain"), () => overview?.members ?? []);
const keys = asksForKey($("#key"), () => stream.again());

// Drawing.

let drawn = 0;
let due = false;

function dirty() {
  if (due) return;
  due = true;
  setTimeout(() => requestAnimationFrame(render), Math.max(0, drawn + frame - performance.now()));
}

function render() {
  due = false;
  drawn = performance.now();
  look.now = Date.now();
  const said = banners(overview, link, look.now);
  draw($("#banner"), said.list);
  const o = overview;
  document.title = (said.title ? `⚠ ${said.title} · ` : "") + (o ? o.status.node + " · " : "") + "swarmpurse";
  document.body.classList.toggle("stale", link.word !== "live");
  if (!o) return;
  draw($("#who"), h("b", null, o.status.node), ` of ${o.status.cluster}`, o.status.zone && `, zone ${o.status.zone}`, ` · up ${span(look.now - new Date(o.status.started))} · `,
    h("span", { class: link.word === "live" && !paused ? "good" : "bad" }, link.word !== "live" ? "✕ not connected" : paused ? "paused" : "● live"));
  if (paused) return;
  draw(part("swarm"), swarmPart(o, look));
  draw(part("budgets"), budgetsPart(o, history, look));
  draw(part("classes"), classesPart(o, history));
  draw(part("rates"), ratesPart(o, history));
  draw(part("calls"), callsPart(o, feed, look));
  draw(part("transfers"), transfersPart(o, feed));
  draw(part("policy"), policyPart(o, revisions, look));
}

// What the node says.

function state(o) {
  overview = o;
  link.since = Date.now();
  history.add(link.since, o);
  const all = o.budgets.flatMap((b) => b.instances);
  if (!all.some((i) => i.instance === look.instance)) choose(all[0]?.instance ?? "");
  else holders();
  const now = [o.policy.revision, o.policy.hash, o.policy.candidate?.revision, o.policy.candidate?.paused?.at].join(" ");
  const compares = revisions?.some((r) => r.experiments) && link.since - revisionsAt > 5000; // what they count goes on
  if (now !== revisionsOf || compares) {
    revisionsOf = now;
    revisionsAt = link.since;
    ask("/v1/policy/history").then((h) => {
      revisions = h.revisions;
      dirty();
    }, () => {
      revisionsOf = ""; // with the next state again
    });
  }
}

function moved(e) {
  if (paused || !overview) return;
  const self = overview.status.node;
  const [from, to] = e.what === "in" ? [e.peer, self] : [self, e.peer];
  arc(part("swarm"), from, to, e.shares ? "shares" : "rights");
}

const stream = follow(kinds, {
  event(kind, data) {
    if (kind === "state") state(data);
    else if (kind === "bye") link = { ...link, word: "lost", error: new Error(data.why) };
    else {
      feed.add(kind, { ...data, n: ++n });
      if (kind === "transfer") moved(data);
    }
    dirty();
  },
  state(word, error) {
    link = { ...link, word, error };
    if (word === "refused") keys.show(error);
    else if (word === "live") keys.hide();
    dirty();
  },
});

// The holders of the instance that is chosen, asked for with each state, one question at a time.

let asking = false;

async function holders() {
  if (!look.instance || asking) return;
  asking = true;
  const name = look.instance;
  try {
    const b = await ask(`/v1/budgets/${encodeURIComponent(name.split("/")[0])}?instance=${encodeURIComponent(name)}`);
    if (name === look.instance) Object.assign(look, { holders: b.instances[0]?.holders ?? [], holdersError: null });
  } catch (err) {
    if (name === look.instance) Object.assign(look, { holders: null, holdersError: err.message });
  } finally {
    asking = false;
  }
  if (name === look.instance) dirty();
  else holders();
}

function choose(instance) {
  if (instance === look.instance) return;
  Object.assign(look, { instance, holders: null, holdersError: null });
  holders();
  dirty();
}

// What the user does.

document.addEventListener("click", (e) => {
  const at = (name) => e.target.closest?.(`[data-${name}]`)?.dataset[name];
  const [node, instance, id] = [at("node"), at("instance"), at("explain")];
  if (node !== undefined) look.node = look.node === node ? "" : node;
  else if (instance !== undefined) choose(instance);
  else if (id !== undefined) explain(id);
  else return;
  dirty();
});

document.addEventListener("change", (e) => {
  const what = e.target.dataset?.choose;
  if (what === "instance") choose(e.target.value);
  if (what === "refused") look.refusedOnly = e.target.checked;
  dirty();
});

$("#find").addEventListener("submit", (e) => {
  e.preventDefault();
  explain($("#find-id").value);
});

$("#pause").addEventListener("click", (e) => {
  paused = !paused;
  e.currentTarget.setAttribute("aria-pressed", String(paused));
  e.currentTarget.textContent = paused ? "Go on" : "Pause";
  dirty();
});

// A link from another node's page: #call=ID.
function linked() {
  const id = new URLSearchParams(location.hash.slice(1)).get("call");
  if (id) explain(id);
}
addEventListener("hashchange", linked);
linked();
setInterval(dirty, 1000);
dirty();
