package llm

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

const (
	maxTextChoices = 64       // further choices are counted with the last
	maxText        = 64 << 10 // of one choice: when it is reached, it is counted and begun anew
)

// texts gathers what a model wrote, by choice, to count it when the upstream tells no usage. The text
// lives as long as the call and goes nowhere.
type texts struct {
	c       *Counter
	ep      wire.Endpoint
	model   string
	choices []*strings.Builder // pointers: a builder must not be copied, as a slice does when it grows
	tokens  int64
}

// add takes in a reply, or a chunk of one.
func (t *texts) add(v gjson.Result) {
	switch t.ep {
	case wire.Responses:
		t.response(v)
		return
	case wire.Messages:
		t.block(v.Get("delta"))
		t.block(v.Get("content_block"))
		v.Get("content").ForEach(func(_, b gjson.Result) bool { t.block(b); return true })
		return
	}
	v.Get("choices").ForEach(func(_, c gjson.Result) bool {
		var d choice
		d.read(c)
		t.say(&d)
		return true
	})
}

// choice is one of the choices of a reply, or of a chunk of one, read in one pass.
type choice struct {
	index          int64
	finished       bool
	text           string
	delta, message gjson.Result
}

func (d *choice) read(c gjson.Result) {
	c.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "index":
			d.index = v.Int()
		case "finish_reason":
			d.finished = v.Type == gjson.String
		case "text":
			d.text = v.Str
		case "delta":
			d.delta = v
		case "message":
			d.message = v
		}
		return true
	})
}

// say keeps what a choice says.
func (t *texts) say(d *choice) {
	b := t.choice(int(min(max(d.index, 0), maxTextChoices-1)))
	b.WriteString(d.text)
	message(b, d.delta)
	message(b, d.message)
	t.cut(b)
}

func (t *texts) choice(i int) *strings.Builder {
	for len(t.choices) <= i {
		t.choices = append(t.choices, new(strings.Builder))
	}
	return t.choices[i]
}

// cut counts a text that has become long, and begins it anew.
func (t *texts) cut(b *strings.Builder) {
	if b.Len() > maxText {
		t.tokens += t.c.Text(t.model, b.String())
		b.Reset()
	}
}

// response takes in a response of OpenAI's, or an event of its stream, of which those named delta have all of the text.
func (t *texts) response(v gjson.Result) {
	b := t.choice(0)
	if d := v.Get("delta"); d.Type == gjson.String {
		b.WriteString(d.Str)
	}
	v.Get("output").ForEach(func(_, item gjson.Result) bool {
		b.WriteString(item.Get("name").Str)
		b.WriteString(item.Get("arguments").Str)
		for _, list := range []string{"content", "summary"} {
			item.Get(list).ForEach(func(_, part gjson.Result) bool {
				b.WriteString(part.Get("text").Str)
				b.WriteString(part.Get("refusal").Str)
				return true
			})
		}
		t.cut(b)
		return true
	})
	t.cut(b)
}

// block takes in a block of content of Anthropic's, or a piece of one.
func (t *texts) block(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	b := t.choice(0)
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "text", "thinking", "partial_json", "name":
			b.WriteString(v.Str)
		case "input":
			if v.Raw != "{}" { // as it is where a stream begins it
				b.WriteString(v.Raw)
			}
		}
		return true
	})
	t.cut(b)
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
	if t.ep == wire.Messages {
		n = claude(n)
	}
	return n
}
