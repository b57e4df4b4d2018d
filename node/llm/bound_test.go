package llm

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// pieces of texts that tokenizers treat in ways of their own.
var pieces = []string{"the", " swarm", "don't", "12345", "naïve", "日本語", "…", "\n\n", "    ", "\t", "\x7f", "\x00", "🙂", "\u00a0", "\xff", "\xe6\x97", "\xed\xa0\x80", "ſ", "İ", "a\u0301", "<|endoftext|>"}

// TestBytesBoundTokens: no text has more tokens than bytes, and no body more than the bound that the proxy reserves by, whatever the tokenizer.
func TestBytesBoundTokens(t *testing.T) {
	models := []string{"gpt-4o", "gpt-4", "text-davinci-003", "davinci"}
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 60), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30), func(p []string) string { return strings.Join(p, "") }))
	type M = map[string]any
	rapid.Check(t, func(t *rapid.T) {
		model, s := rapid.SampledFrom(models).Draw(t, "model"), text.Draw(t, "text")
		if n, most := testCounter.Text(model, s), bounds.Text(model, s); n > most {
			t.Fatalf("%s: %q is %d tokens, bound %d", model, s, n, most)
		}
		if bounds.Text(model, s) > 3*int64(len(s)) {
			t.Fatalf("the bound of %q is %d", s, bounds.Text(model, s))
		}
		part := rapid.SampledFrom([]any{s, []any{M{"type": "text", "text": s}}, []any{M{"type": "image_url", "image_url": M{"url": s}}, s},
			[]any{M{"type": "input_audio", "input_audio": M{"data": s}}}, M{"x": s}, []any{M{"type": "tool_result", "content": s}}, nil}).Draw(t, "content")
		msg := []any{M{"role": "user", "name": s, "content": part, "tool_calls": []any{M{"function": M{"arguments": s}}}}}
		ep := rapid.SampledFrom([]wire.Endpoint{wire.Chat, wire.Completions, wire.Embeddings, wire.Responses, wire.Messages}).Draw(t, "endpoint")
		body, err := json.Marshal(M{"messages": msg, "prompt": []any{s, []int{1, 2}}, "input": rapid.SampledFrom([]any{s, msg, []int{1, 2}}).Draw(t, "input"),
			"system": s, "instructions": s, "tools": msg, "text": M{"x": s}, "response_format": M{"x": s}})
		if err != nil {
			t.Fatal(err)
		}
		p := &wire.Plan{Body: string(body), Model: model}
		if n, most := testCounter.body(ep, p), bounds.body(ep, p); n.tokens > most.tokens || n.prompts != most.prompts || n.media != most.media {
			t.Fatalf("%v %s: %+v, bound %+v", ep, body, n, most)
		}
	})
}

// Beyond what is tokenized the estimate stays below the bound, too.
func TestBoundOfVeryLongText(t *testing.T) {
	s := strings.Repeat("\x7f", MaxExact+10)
	if n, most := testCounter.Text("gpt-4o", s), bounds.Text("gpt-4o", s); n > most || most > int64(len(s))+1 {
		t.Errorf("%d tokens, bound %d", n, most)
	}
}
