// Package llm is the node's proxy for clients of OpenAI and of Anthropic: agents change their base URL and nothing else.
//
// It owns: learning the caller of a call (key, path or headers), counting its prompt with an embedded
// tokenizer, asking for admission, clamping the output limit to what was reserved, forwarding, and
// ending the reservation exactly once with what the provider says the call really used.
//
// It never decides on a call (that is node/admit's business, reached through admit.Admitter), never
// stores or logs a prompt or a completion, never sends a call again that an upstream may have run,
// and never shows the provider's key to a caller.
//
// Package node builds one Proxy with New and mounts it at Patterns; it calls Reload when the
// upstreams change and Drain when the node shuts down. The Counter is also used by
// node/llm/standin, the stand-in model server, and may be used by whoever must count a prompt.
package llm
