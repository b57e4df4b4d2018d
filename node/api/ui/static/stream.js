// The node's API: questions, and its events as they happen. EventSource can send no key and tells no status, so the stream is read here.

import { key } from "./key.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  const headers = { ...options.headers };
  if (key()) headers.Authorization = "Bearer " + key();
  const resp = await fetch(path, { ...options, headers, credentials: "same-origin", cache: "no-store", redirect: "error" });
  if (resp.ok) return resp;
  let message = "the node answered with status " + resp.status;
  try {
    message = (await resp.json()).error.message;
  } catch {
    // not an answer of a node
  }
  throw new ApiError(resp.status, message);
}

// ask gets JSON.
export async function ask(path) {
  const resp = await request(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(15000) });
  return resp.json();
}

const quiet = 40000; // ms without a byte until a connection is taken for dead: the node says something every 15 s
const most = 15000; // ms between two tries

// follow calls on.event(kind, data) for each event and on.state(word, error) with "live", "lost" or "refused". It goes on for ever; again ends a wait.
export function follow(kinds, on) {
  let last = "";
  let pause = 500;
  let wake = () => {};
  const run = async () => {
    for (;;) {
      try {
        await once(kinds, last, (id, kind, data) => {
          if (id) last = id;
          pause = 500;
          on.event(kind, data);
        }, () => on.state("live"));
        on.state("lost", new Error("the connection ended"));
      } catch (err) {
        on.state(err.status === 401 || err.status === 403 ? "refused" : "lost", err);
      }
      await new Promise((done) => {
        const timer = setTimeout(done, pause);
        wake = () => {
          clearTimeout(timer);
          done();
        };
      });
      pause = Math.min(most, pause * 2);
    }
  };
  run();
  return {
    again() {
      pause = 500;
      wake();
    },
  };
}

async function once(kinds, last, event, begun) {
  const stop = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(new Error("the node has said nothing for a while")), quiet);
  };
  alive();
  try {
    const headers = { Accept: "text/event-stream" };
    if (last) headers["Last-Event-ID"] = last;
    const resp = await request("/v1/events?kinds=" + kinds.join(","), { headers, signal: stop.signal });
    begun();
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const b of blocks) parse(b, event);
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

function parse(block, event) {
  let id = "";
  let kind = "";
  let data = "";
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    if (at <= 0) continue;
    const field = line.slice(0, at);
    const value = line.slice(at + 2);
    if (field === "id") id = value;
    else if (field === "event") kind = value;
    else if (field === "data") data += value;
  }
  if (kind && data) event(id, kind, JSON.parse(data));
}
