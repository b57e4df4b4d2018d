// What the official client for Node sees of the proxy, told to openainode_test.go as one JSON object.
const { createRequire } = require("node:module");
const OpenAI = createRequire(process.argv[2] + "/")("openai");

const client = new OpenAI({ baseURL: process.argv[3], apiKey: "dummy", maxRetries: 2 });
const messages = [{ role: "user", content: "How many roads must a man walk down?" }];
const headers = { "X-Standin-Output-Tokens": "7" };

async function refused(model) {
  const began = performance.now();
  try {
    const c = await client.chat.completions.create({ model, messages, max_completion_tokens: 20 }, { headers });
    return { status: 200, tokens: c.usage.completion_tokens, ms: performance.now() - began };
  } catch (e) {
    return { status: e.status, code: e.code, type: e.type, message: e.message, kind: e.constructor.name,
      retryAfter: e.headers?.get("retry-after-ms"), shouldRetry: e.headers?.get("x-should-retry"), ms: performance.now() - began };
  }
}

async function main() {
  const out = {};
  const { data, response } = await client.chat.completions
    .create({ model: "gpt-4o", messages, max_completion_tokens: 20 }, { headers }).withResponse();
  out.chat = { text: data.choices[0].message.content, usage: data.usage, decision: response.headers.get("x-swarmpurse-decision") };

  for (const [name, options] of [["plain", undefined], ["usage", { include_usage: true }]]) {
    const s = await client.chat.completions.create(
      { model: "gpt-4o", messages, max_completion_tokens: 20, stream: true, stream_options: options }, { headers });
    const got = { chunks: 0, text: "", usage: null };
    for await (const c of s) {
      got.chunks++;
      got.text += c.choices[0]?.delta?.content ?? "";
      got.usage = c.usage ?? got.usage;
    }
    out["stream " + name] = got;
  }

  const r = await client.responses.create({ model: "gpt-4o", input: "Hi.", max_output_tokens: 20 }, { headers });
  out.response = { text: r.output_text, usage: r.usage };
  const events = await client.responses.create({ model: "gpt-4o", input: "Hi.", max_output_tokens: 20, stream: true }, { headers });
  out["response stream"] = { text: "" };
  for await (const e of events) {
    if (e.type === "response.output_text.delta") out["response stream"].text += e.delta;
    if (e.type === "response.completed") out["response stream"].usage = e.response.usage;
  }

  const models = await client.models.list();
  out.models = models.data.map((m) => m.id);
  out.later = await refused("later");
  out.never = await refused("never");
  process.stdout.write(JSON.stringify(out));
}

main().catch((e) => { console.error(e); process.exit(1); });
