// Package wire reads and edits what crosses the proxy, byte by byte: request bodies, server-sent
// events, usage objects, paths. It owns every parser that meets bytes from outside and is fuzzed as a
// whole; it knows no tokenizer, no network and no budgets. Only package llm calls it.
package wire
