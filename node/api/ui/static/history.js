// What the node has counted, over the last minutes: rates are differences between two looks.

const keep = 5 * 60; // looks

export class History {
  #looks = [];
  #life = "";

  // add takes an overview that came at the time t, in ms.
  add(t, o) {
    const life = o.status.node + o.status.started;
    if (life !== this.#life) this.#looks = []; // another process: it counts from nought
    this.#life = life;
    const look = { t, spent: new Map(), classes: new Map() };
    for (const b of o.budgets) {
      for (const i of b.instances) {
        look.spent.set(i.instance, { spent: i.swarm.spent, issued: i.swarm.issued, window: i.window_start });
      }
    }
    for (const c of o.classes) look.classes.set(c.name, c);
    this.#looks.push(look);
    if (this.#looks.length > keep) this.#looks.shift();
  }

  // since is the look from about ms ago, or the first; and the last.
  #pair(ms) {
    const last = this.#looks.at(-1);
    if (!last) return null;
    let from = this.#looks[0];
    for (const l of this.#looks) {
      if (l.t > last.t - ms) break;
      from = l;
    }
    return from === last ? null : { from, last, seconds: (last.t - from.t) / 1000 };
  }

  // flow is what was spent and issued of an instance per second of late; null while that is not known, as when a window has just begun.
  flow(instance, ms = 10000) {
    const p = this.#pair(ms);
    const a = p?.from.spent.get(instance);
    const b = p?.last.spent.get(instance);
    if (!a || !b || a.window !== b.window) return { spent: null, issued: null };
    return { spent: Math.max(0, b.spent - a.spent) / p.seconds, issued: Math.max(0, b.issued - a.issued) / p.seconds };
  }

  // line is the tokens of an instance spent per second, look by look; null where it is not known.
  line(instance) {
    return steps(this.#looks, (a, b) => {
      const x = a.spent.get(instance);
      const y = b.spent.get(instance);
      return x && y && x.window === y.window ? Math.max(0, y.spent - x.spent) : null;
    });
  }

  // calls are the decisions of the last minute: by verdict and by verdict and code.
  calls(ms = 60000) {
    const p = this.#pair(ms);
    const out = { seconds: p?.seconds ?? 0, total: 0, by: new Map(), reasons: [] };
    if (!p) return out;
    const codes = new Map();
    for (const [name, c] of p.last.classes) {
      const before = tally(p.from.classes.get(name));
      for (const d of c.decisions) {
        const n = d.calls - (before.get(d.decision + " " + d.code) ?? 0);
        if (n <= 0) continue;
        out.total += n;
        out.by.set(d.decision, (out.by.get(d.decision) ?? 0) + n);
        const k = d.decision + " " + d.code;
        codes.set(k, { decision: d.decision, code: d.code, calls: (codes.get(k)?.calls ?? 0) + n });
      }
    }
    out.reasons = [...codes.values()].sort((a, b) => b.calls - a.calls);
    return out;
  }

  // callLine is the calls a second, look by look, that may and may not run.
  callLine() {
    const sum = (l, may) => {
      let n = 0;
      for (const c of l.classes.values()) for (const d of c.decisions) if ((d.decision === "admit" || d.decision === "degrade") === may) n += d.calls;
      return n;
    };
    return {
      run: steps(this.#looks, (a, b) => Math.max(0, sum(b, true) - sum(a, true))),
      refused: steps(this.#looks, (a, b) => Math.max(0, sum(b, false) - sum(a, false))),
    };
  }

  // class is how the calls of a class fared of late: calls, met and missed, and the time in the queue that half and 99 % of them did not pass, in ms.
  class(name, ms = 60000) {
    const p = this.#pair(ms);
    const b = p?.last.classes.get(name);
    if (!b) return null;
    const a = p.from.classes.get(name);
    const was = new Map((a?.waits ?? []).map((w) => [w.over_ms, w.calls]));
    const waits = b.waits.map((w) => ({ over: w.over_ms, most: w.most_ms ?? Infinity, calls: w.calls - (was.get(w.over_ms) ?? 0) })).filter((w) => w.calls > 0);
    const before = tally(a);
    let calls = 0;
    for (const d of b.decisions) calls += Math.max(0, d.calls - (before.get(d.decision + " " + d.code) ?? 0));
    const queued = waits.reduce((n, w) => n + w.calls, 0);
    const met = b.met - (a?.met ?? 0);
    const missed = b.missed - (a?.missed ?? 0);
    return { calls, perSecond: calls / p.seconds, met, missed, p50: quantile(0.5, calls, queued, waits, b.latency_budget_ms), p99: quantile(0.99, calls, queued, waits, b.latency_budget_ms) };
  }
}

const tally = (c) => new Map((c?.decisions ?? []).map((d) => [d.decision + " " + d.code, d.calls]));

function steps(looks, f) {
  const out = [];
  for (let i = 1; i < looks.length; i++) {
    const v = f(looks[i - 1], looks[i]);
    out.push(v === null ? null : (v * 1000) / Math.max(1, looks[i].t - looks[i - 1].t));
  }
  return out;
}

// quantile is an upper bound, as the node counts waits by steps; those that did not queue waited 0. No call waits longer than its
// class's budget, so where that lies within the step it is the bound.
function quantile(q, calls, queued, waits, budget) {
  if (calls <= 0) return null;
  let n = Math.ceil(q * calls) - Math.max(0, calls - queued);
  if (n <= 0) return 0;
  for (const w of waits) {
    n -= w.calls;
    if (n <= 0) return budget > w.over ? Math.min(w.most, budget) : w.most;
  }
  return Infinity;
}
