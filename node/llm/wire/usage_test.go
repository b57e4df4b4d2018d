package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestUsageFinder(t *testing.T) {
	use := func(p, c int64) *Usage { return &Usage{PromptTokens: p, CompletionTokens: c} }
	for _, x := range []struct {
		name, in string
		want     *Usage
	}{
		{"chat", `{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`, use(3, 4)},
		{"embedding", `{"data":[[1,2]],"usage":{"prompt_tokens":3,"total_tokens":3}}`, use(3, 0)},
		{"responses", `{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":1},"output_tokens":6}}`, &Usage{PromptTokens: 5, CompletionTokens: 6, CachedTokens: 1}},
		{"parts", `{"usage":{"prompt_tokens":30,"completion_tokens":40,"prompt_tokens_details":{"cached_tokens":20,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":35}}}`,
			&Usage{PromptTokens: 30, CompletionTokens: 40, CachedTokens: 20, ReasoningTokens: 35}},
		{"parts of responses", `{"usage":{"input_tokens":30,"output_tokens":40,"input_tokens_details":{"cached_tokens":30},"output_tokens_details":{"reasoning_tokens":0}}}`,
			&Usage{PromptTokens: 30, CompletionTokens: 40, CachedTokens: 30}},
		{"parts that cannot be", `{"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":-1}}}`, use(3, 4)},
		{"Anthropic's", `{"usage":{"input_tokens":30,"cache_creation_input_tokens":5,"cache_read_input_tokens":20,"output_tokens":40}}`,
			&Usage{PromptTokens: 55, CompletionTokens: 40, CachedTokens: 20}},
		{"Anthropic's that cannot be", `{"usage":{"input_tokens":30,"cache_read_input_tokens":-20,"output_tokens":40}}`, nil},
		{"spaced", "{ \"usage\" :\n {\"prompt_tokens\" : 3 , \"completion_tokens\":4 } }", use(3, 4)},
		{"not at the top", `{"choices":[{"usage":{"prompt_tokens":3}}],"x":{"usage":{"prompt_tokens":3}}}`, nil},
		{"in a text", `{"text":"\"usage\":{\"prompt_tokens\":3}"}`, nil},
		{"a value named so", `{"x":"usage","y":{"prompt_tokens":3}}`, nil},
		{"null", `{"usage":null}`, nil},
		{"negative", `{"usage":{"prompt_tokens":-3,"completion_tokens":1}}`, nil},
		{"not whole", `{"usage":{"prompt_tokens":3.5}}`, nil},
		{"absurd", `{"usage":{"prompt_tokens":1e300}}`, nil},
		{"text", `{"usage":{"prompt_tokens":"3"}}`, nil},
		{"the last counts", `{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}`, use(2, 0)},
		{"too long", `{"usage":{"prompt_tokens":1,"x":"` + strings.Repeat("x", maxUsage) + `"}}`, nil},
		{"cut off", `{"usage":{"prompt_tokens":1`, nil},
		{"no JSON", `}}]"usage":{"prompt_tokens":1}`, nil},
	} {
		for _, size := range []int{1, 2, 7, len(x.in)} {
			got := find(x.in, size)
			if (got == nil) != (x.want == nil) || got != nil && *got != *x.want {
				t.Errorf("%s, in pieces of %d: got %+v, want %+v", x.name, size, got, x.want)
			}
		}
	}
}

// Of Anthropic's streams the end may state again what the start did, and is right then.
func TestMessageUsage(t *testing.T) {
	for _, x := range []struct {
		start, end string
		want       *Usage
	}{
		{`{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}`, `{"output_tokens":9}`, &Usage{PromptTokens: 8, CompletionTokens: 9, CachedTokens: 5}},
		{`{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}`, `{"input_tokens":4,"cache_read_input_tokens":null,"output_tokens":9}`, &Usage{PromptTokens: 9, CompletionTokens: 9, CachedTokens: 5}},
		{``, `{"output_tokens":9}`, &Usage{CompletionTokens: 9}},
		{`{"input_tokens":3,"output_tokens":1}`, ``, &Usage{PromptTokens: 3, CompletionTokens: 1}},
		{`{"input_tokens":"3"}`, `{"output_tokens":9}`, nil},
		{``, ``, nil},
	} {
		got := MessageUsage(gjson.Parse(x.start), gjson.Parse(x.end))
		if (got == nil) != (x.want == nil) || got != nil && *got != *x.want {
			t.Errorf("%s and %s: got %+v, want %+v", x.start, x.end, got, x.want)
		}
	}
}

func find(s string, size int) *Usage {
	var f UsageFinder
	for len(s) > 0 {
		n := min(size, len(s))
		_, _ = f.Write([]byte(s[:n]))
		s = s[n:]
	}
	return f.Usage()
}

// On valid JSON the finder agrees with a parser that sees the whole document; on anything else it
// stays within its memory and does not panic.
func FuzzUsageFinder(f *testing.F) {
	f.Add([]byte(`{"usage":{"prompt_tokens":3,"completion_tokens":4}}`), uint8(1))
	f.Add([]byte(`{"a":[{"usage":1}],"usage":{"input_tokens":3,"x":{"y":[1,"}"]}} , "b":"\\\""}`), uint8(3))
	f.Add([]byte(`[{"usage":{"prompt_tokens":3}}]`), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		got := find(string(b), int(size)+1)
		if !json.Valid(b) || len(b) > maxUsage || bytes.Contains(b, []byte(`\u`)) {
			return // a key written with escapes is not looked for
		}
		var want *Usage
		if root := gjson.ParseBytes(b); root.IsObject() {
			root.ForEach(func(k, v gjson.Result) bool {
				if k.Str == "usage" {
					want = ParseUsage(v)
				}
				return true
			})
		}
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Fatalf("%q: found %+v, a parser sees %+v", b, got, want)
		}
	})
}
