// Package standin is a stand-in model server. There is no model in it: it answers OpenAI-compatible
// calls with as many common words as it was asked for, at a chosen speed, so that tests, the demo and
// benchmarks can run a swarm without a provider.
//
// What it is exact about is tokens: its texts have exactly the number of tokens that its usage says,
// and it keeps its own count of all that it has read and generated, also for clients that hung up.
// GET /standin/stats tells it. Overspending is judged by that count, not by the swarm's own.
//
// It serves /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, streams included.
// Requests choose what happens with X-Standin-… headers (see request.go), which the proxy forwards.
//
// It is never used by a node itself. `swarmpurse demo` and tests run it.
package standin
