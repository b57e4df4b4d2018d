package llm

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// What the chat format adds to the text itself, as OpenAI's cookbook counts it ("How to count tokens
// with tiktoken"): for each message, for a message that has a name, and for priming the reply.
const (
	perMessage   = 3
	perName      = 1
	replyPriming = 3
)

// Estimates for what cannot be tokenized. The provider's own count settles the call in the end.
const (
	// imageLow and imageHigh are what an image costs gpt-4o at low detail, and at most at high detail
	// (85 and 170 for each of 8 tiles of 512 pixels). gpt-4o-mini states more tokens for the same.
	imageLow, imageHigh         = 85, 85 + 8*170
	imageLowMini, imageHighMini = 2833, 2833 + 8*5667

	// audioBytes of base64 make one token: 10 tokens a second at 64 kbit/s.
	audioBytes = 1000
	// fileBytes of base64 make one token: six bytes of the file.
	fileBytes = 8

	// imageClaude is what an image costs Claude at most, at 1,568 pixels a side, and toolsClaude what it adds to the prompt of a call with tools.
	imageClaude = 1600
	toolsClaude = 346
)

// claude turns a count by OpenAI's tokenizer into an estimate for Claude, whose tokenizer is not public.
func claude(n int64) int64 { return wire.MulTokens(n, 13)/10 + 1 }

// Chat counts the prompt of a chat completion. body must be a valid JSON object.
//
// The texts of messages are counted exactly; tools, functions, tool calls and response formats by
// their JSON text, which is a little more than what the provider's own shorter form takes; images,
// audio and files by a fixed estimate.
func (c *Counter) Chat(model, body string) int64 {
	t := c.tally(model)
	t.chat(model, body)
	return t.total()
}

func (t *tally) chat(model, body string) {
	for _, m := range gjson.Get(body, "messages").Array() {
		t.message(model, m)
	}
	t.add(replyPriming)
	for _, field := range []string{"tools", "functions", "response_format"} {
		if v := gjson.Get(body, field); v.IsObject() || v.IsArray() {
			t.text(v.Raw)
		}
	}
}

// Responses counts the prompt of a response: what earlier ones, or a stored prompt, add to it only the provider knows. body must be a valid JSON object.
func (c *Counter) Responses(model, body string) int64 {
	t := c.tally(model)
	t.responses(model, body)
	return t.total()
}

func (t *tally) responses(model, body string) {
	for _, field := range []string{"instructions", "input"} {
		switch v := gjson.Get(body, field); {
		case v.Type == gjson.String:
			t.add(perMessage)
			t.text(v.Str)
		case v.IsArray():
			v.ForEach(func(_, item gjson.Result) bool {
				t.message(model, item)
				return true
			})
		}
	}
	t.add(replyPriming)
	for _, field := range []string{"tools", "text", "prompt"} {
		if v := gjson.Get(body, field); v.IsObject() || v.IsArray() {
			t.text(v.Raw)
		}
	}
}

// Messages estimates the prompt of a call of Anthropic's: by OpenAI's tokenizer, and 30 % more. body must be a valid JSON object.
func (c *Counter) Messages(model, body string) int64 {
	t := c.tally(model)
	return t.messages(model, body)
}

func (t *tally) messages(model, body string) int64 {
	switch v := gjson.Get(body, "system"); {
	case v.Type == gjson.String:
		t.text(v.Str)
	case v.IsArray():
		v.ForEach(func(_, part gjson.Result) bool { t.part(model, part); return true })
	}
	gjson.Get(body, "messages").ForEach(func(_, m gjson.Result) bool { t.message(model, m); return true })
	t.add(replyPriming)
	n := int64(0)
	if v := gjson.Get(body, "tools"); v.IsArray() {
		t.text(v.Raw)
		n = toolsClaude
	}
	return claude(t.total()) + n
}

// message counts every field that it meets, repeated and unknown ones too: whatever the upstream
// makes of those, it reads no more than that.
func (t *tally) message(model string, m gjson.Result) {
	t.add(perMessage)
	m.ForEach(func(k, v gjson.Result) bool {
		switch {
		case k.Str == "tool_call_id":
		case k.Str == "name":
			t.add(perName)
			t.text(v.String())
		case v.Type == gjson.String:
			t.text(v.Str)
		case k.Str == "content" && v.IsArray():
			v.ForEach(func(_, part gjson.Result) bool {
				t.part(model, part)
				return true
			})
		case v.IsArray() || v.IsObject():
			t.text(v.Raw)
		}
		return true
	})
}

func (t *tally) part(model string, part gjson.Result) {
	kind := part.Get("type").Str
	switch kind {
	case "image_url", "input_image", "input_file", "image", "document", "input_audio", "file":
		t.media = true
	}
	switch kind {
	case "image_url":
		low, high := int64(imageLow), int64(imageHigh)
		if strings.HasPrefix(model, "gpt-4o-mini") {
			low, high = imageLowMini, imageHighMini
		}
		if part.Get("image_url.detail").Str == "low" {
			t.add(low)
		} else {
			t.add(high)
		}
	case "input_image":
		if part.Get("detail").Str == "low" {
			t.add(imageLow)
		} else {
			t.add(imageHigh)
		}
	case "input_file":
		t.add(1 + int64(len(part.Get("file_data").Raw))/fileBytes)
	case "image":
		t.add(imageClaude)
	case "document":
		if s := part.Get("source"); s.Get("type").Str == "text" {
			t.text(s.Get("data").Str)
		} else {
			t.add(1 + int64(len(s.Get("data").Raw))/fileBytes)
		}
	case "tool_result":
		if v := part.Get("content"); v.IsArray() {
			v.ForEach(func(_, p gjson.Result) bool { t.part(model, p); return true })
		} else {
			t.text(v.String())
		}
	case "input_audio":
		t.add(1 + int64(len(part.Get("input_audio.data").Raw))/audioBytes)
	case "file":
		t.add(1 + int64(len(part.Get("file.file_data").Raw))/fileBytes)
	default: // text, refusal, and what is not known yet
		if s := part.Get("text"); s.Type == gjson.String {
			t.text(s.Str)
		} else if part.Type == gjson.String {
			t.text(part.Str)
		} else {
			t.text(part.Raw)
		}
	}
}

// Completions counts the prompts of a completion, and how many there are. body must be a valid JSON
// object.
func (c *Counter) Completions(model, body string) (tokens, prompts int64) {
	t := c.tally(model)
	n := t.inputs(gjson.Get(body, "prompt"))
	return t.total(), n
}

// Embeddings counts the inputs of an embedding. body must be a valid JSON object.
func (c *Counter) Embeddings(model, body string) int64 {
	t := c.tally(model)
	t.inputs(gjson.Get(body, "input"))
	return t.total()
}

// inputs counts a string, an array of strings, an array of token numbers, or an array of those, and returns how many there are.
func (t *tally) inputs(v gjson.Result) (n int64) {
	if !v.IsArray() {
		t.text(v.String())
		return 1
	}
	numbers := int64(0)
	v.ForEach(func(_, e gjson.Result) bool {
		switch {
		case e.Type == gjson.String:
			t.text(e.Str)
			n++
		case e.IsArray():
			e.ForEach(func(_, _ gjson.Result) bool { t.add(1); return true })
			n++
		default:
			numbers++
		}
		return true
	})
	if numbers > 0 {
		t.add(numbers)
		n++
	}
	return max(n, 1)
}

// size is what was counted of a body.
type size struct {
	tokens, prompts int64
	media           bool // there are images, audio or files in it
}

// body counts the prompt of a counted call.
func (c *Counter) body(e wire.Endpoint, p *wire.Plan) size {
	t := c.tally(p.Model)
	n := size{prompts: 1}
	switch e {
	case wire.Responses:
		t.responses(p.Model, p.Body)
	case wire.Messages:
		return size{t.messages(p.Model, p.Body), 1, t.media}
	case wire.Chat:
		t.chat(p.Model, p.Body)
	case wire.Completions:
		n.prompts = t.inputs(gjson.Get(p.Body, "prompt"))
	default:
		t.inputs(gjson.Get(p.Body, "input"))
	}
	n.tokens, n.media = t.total(), t.media
	return n
}
