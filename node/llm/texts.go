package llm

import (
	"strings"

	"github.com/tidwall/gjson"
)

const (
	maxTextChoices = 64       // further choices are counted with the last
	maxText        = 64 << 10 // of one choice: when it is reached, it is counted and begun anew
)

// texts gathers what a model wrote, by choice, to count it when the upstream tells no usage. The text
// lives as long as the call and goes nowhere.
type texts struct {
	c       *Counter
	model   string
	choices []*strings.Builder // pointers: a builder must not be copied, as a slice does when it grows
	tokens  int64
}

// add takes in a reply, or a chunk of one, of chat or of completions.
func (t *texts) add(v gjson.Result) {
	v.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		i := int(min(max(choice.Get("index").Int(), 0), maxTextChoices-1))
		for len(t.choices) <= i {
			t.choices = append(t.choices, new(strings.Builder))
		}
		b := t.choices[i]
		choice.ForEach(func(k, v gjson.Result) bool {
			switch k.Str {
			case "text":
				b.WriteString(v.Str)
			case "delta", "message":
				message(b, v)
			}
			return true
		})
		if b.Len() > maxText {
			t.tokens += t.c.Text(t.model, b.String())
			b.Reset()
		}
		return true
	})
}

func message(b *strings.Builder, m gjson.Result) {
	m.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "content", "refusal", "reasoning_content", "reasoning":
			b.WriteString(v.Str)
		case "function_call":
			b.WriteString(v.Get("name").Str)
			b.WriteString(v.Get("arguments").Str)
		case "tool_calls":
			v.ForEach(func(_, call gjson.Result) bool {
				b.WriteString(call.Get("function.name").Str)
				b.WriteString(call.Get("function.arguments").Str)
				return true
			})
		}
		return true
	})
}

func (t *texts) total() int64 {
	n := t.tokens
	for i := range t.choices {
		n += t.c.Text(t.model, t.choices[i].String())
	}
	return n
}
