package wire

import (
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// maxUsage bounds the JSON text of a usage object.
const maxUsage = 16 << 10

// Usage is what a provider counted.
type Usage struct {
	PromptTokens, CompletionTokens int64
	CachedTokens                   int64 // of PromptTokens, what the provider had cached
	ReasoningTokens                int64 // of CompletionTokens, what the model thought
}

// UsageFinder watches a JSON document go by and keeps its top-level "usage", in whatever pieces the
// document arrives and however long it is: an embedding reply of 100 MB has its usage at the end. It
// needs no more memory than a usage object. On what is not JSON it finds nothing of use, harmlessly.
type UsageFinder struct {
	depth  int
	inStr  bool
	esc    bool
	key    bool   // the present string, at depth 1, is a key
	wait   bool   // at depth 1, a key is due
	name   []byte // the present key, up to a bound
	taking bool   // the value of "usage" is going by
	buf    []byte
	found  []byte // the last complete value
}

const usageKey = "usage"

// Write takes the next bytes; it never fails.
func (f *UsageFinder) Write(p []byte) (int, error) {
	for _, c := range p {
		f.step(c)
	}
	return len(p), nil
}

func (f *UsageFinder) step(c byte) {
	if f.taking {
		if len(f.buf) >= maxUsage {
			f.taking, f.buf = false, f.buf[:0]
		} else if f.depth > 1 || c != ',' && c != '}' || f.inStr {
			f.buf = append(f.buf, c)
		}
	}
	if f.inStr {
		switch {
		case f.esc:
			f.esc = false
		case c == '\\':
			f.esc = true
		case c == '"':
			f.inStr = false
			return
		}
		if f.key && len(f.name) <= len(usageKey) {
			f.name = append(f.name, c)
		}
		return
	}
	switch c {
	case '"':
		f.inStr = true
		if f.key = f.depth == 1 && f.wait; f.key {
			f.name = f.name[:0]
		}
	case '{', '[':
		f.depth++
		f.wait = f.depth == 1 && c == '{'
	case '}', ']':
		if f.depth == 1 {
			f.take()
		}
		f.depth--
	case ',':
		if f.depth == 1 {
			f.take()
			f.wait = true
		}
	case ':':
		if f.depth == 1 && f.wait {
			f.wait = false
			if string(f.name) == usageKey {
				f.taking, f.buf = true, f.buf[:0]
			}
		}
	}
}

// take ends a value at the top level.
func (f *UsageFinder) take() {
	if f.taking {
		f.found = append(f.found[:0], f.buf...)
		f.taking = false
	}
}

// Usage returns what was found, nil if there is no usage, or none that makes sense.
func (f *UsageFinder) Usage() *Usage {
	if len(f.found) == 0 || !gjson.ValidBytes(f.found) {
		return nil
	}
	return ParseUsage(gjson.ParseBytes(f.found))
}

// MessageUsage puts together what a stream of Anthropic's says of its usage: at its start what went in, and at its end what came out, which may state
// the rest once more. It returns nil where ParseUsage does.
func MessageUsage(start, end gjson.Result) *Usage {
	text := []byte{'{'}
	for _, name := range [...]string{"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"} {
		v := end.Get(name)
		if !v.Exists() || v.Type == gjson.Null {
			v = start.Get(name)
		}
		if v.Exists() {
			if len(text) > 1 {
				text = append(text, ',')
			}
			text = fmt.Appendf(text, "%q:%s", name, v.Raw)
		}
	}
	return ParseUsage(gjson.ParseBytes(append(text, '}')))
}

// ParseUsage reads a usage object in either of the provider's spellings. It returns nil unless the
// amounts are whole numbers within bounds: a provider's nonsense must not become a charge.
func ParseUsage(v gjson.Result) *Usage {
	if !v.IsObject() {
		return nil
	}
	var u Usage
	some := false
	for _, f := range []struct {
		names [2]string
		into  *int64
	}{
		{[2]string{"prompt_tokens", "input_tokens"}, &u.PromptTokens},
		{[2]string{"completion_tokens", "output_tokens"}, &u.CompletionTokens},
	} {
		for _, name := range f.names {
			n := v.Get(name)
			if !n.Exists() || n.Type == gjson.Null {
				continue
			}
			if n.Type != gjson.Number || n.Num < 0 || n.Num > float64(ledger.MaxTokens) || n.Num != float64(int64(n.Num)) {
				return nil
			}
			*f.into, some = int64(n.Num), true
			break
		}
	}
	if !some {
		return nil
	}
	// Anthropic states what was read from its cache, and written to it, beside the input, OpenAI as a part of it.
	apart := false
	for _, name := range []string{"cache_read_input_tokens", "cache_creation_input_tokens"} {
		n := v.Get(name)
		if !n.Exists() || n.Type == gjson.Null {
			continue
		}
		if n.Type != gjson.Number || n.Num < 0 || n.Num > float64(ledger.MaxTokens) || n.Num != float64(int64(n.Num)) {
			return nil
		}
		u.PromptTokens = min(u.PromptTokens+int64(n.Num), int64(ledger.MaxTokens))
		if name == "cache_read_input_tokens" {
			u.CachedTokens, apart = int64(n.Num), true
		}
	}
	if apart {
		return &u
	}
	for _, f := range []struct {
		names [2]string
		most  int64
		into  *int64
	}{
		{[2]string{"prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"}, u.PromptTokens, &u.CachedTokens},
		{[2]string{"completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"}, u.CompletionTokens, &u.ReasoningTokens},
	} {
		for _, name := range f.names {
			// A part that cannot be is passed over: then all is charged as what is dearer, as a rule.
			if n := v.Get(name); n.Type == gjson.Number && n.Num >= 0 && n.Num <= float64(f.most) && n.Num == float64(int64(n.Num)) {
				*f.into = int64(n.Num)
				break
			}
		}
	}
	return &u
}
