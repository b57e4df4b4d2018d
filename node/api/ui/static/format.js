// Numbers and times for people.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (n) => whole.format(n ?? 0);

// brief is 1.25M for 1,250,000; small numbers are whole.
export const brief = (n) => (Math.abs(n ?? 0) < 10000 ? whole.format(n ?? 0) : short.format(n));

export function perSecond(n) {
  if (n === null || n === undefined || !isFinite(n)) return "–";
  if (n !== 0 && Math.abs(n) < 10) return n.toFixed(1) + "/s";
  return brief(n) + "/s";
}

export function percent(part) {
  if (part === null || part === undefined || !isFinite(part)) return "–";
  const p = part * 100;
  return (p > 0 && p < 10) || (p > 99 && p < 100) ? p.toFixed(1).replace(/^100\.0$/, "99.9") + "%" : Math.round(p) + "%";
}

export function millis(ms) {
  if (ms === null || ms === undefined || !isFinite(ms)) return "–";
  if (ms === 0) return "0 ms";
  if (ms < 1) return ms.toFixed(2) + " ms";
  if (ms < 1000) return Math.round(ms) + " ms";
  return span(ms);
}

// span is 1.5 s, 3 min 20 s, 2 h, 4 d.
export function span(ms) {
  if (ms < 9950) return (ms / 1000).toFixed(1).replace(".0", "") + " s";
  const s = Math.round(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s < 600 && s % 60 ? " " + (s % 60) + " s" : "");
  if (s < 2 * 86400) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}

export function clock(at) {
  const d = new Date(at);
  return isNaN(d) ? "" : d.toLocaleTimeString("en-GB");
}

export function instant(at) {
  const d = new Date(at);
  return isNaN(d) ? "" : d.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

// reasons says in words what the codes of answers mean.
export const reasons = {
  ok: "admitted", no_rule: "no rule is for it", budget_exhausted: "budget used up", exceeds_limit: "larger than the budget",
  rights_elsewhere: "rights are at other nodes", headroom: "kept for better classes", shed: "shed under pressure",
  backpressure: "deferred under pressure", queue_full: "queue full", fenced: "node is fenced", draining: "node is shutting down",
  too_many_reservations: "too many open calls", disk_slow: "disk has not confirmed", guardians_away: "guardians out of reach",
  frozen: "frozen by an operator", locality: "wrong zone", no_upstream: "no upstream may take it",
  too_many_instances: "too many instances", audit_full: "audit log cannot be written",
};

export const reason = (code) => reasons[code] ?? String(code).replaceAll("_", " ");

// instanceName is as the command line takes it, with its escapes read.
export function plainName(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
