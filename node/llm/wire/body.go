package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// FieldError is a mistake of the caller's, in words fit to be sent back.
type FieldError struct {
	Param   string // the field, "" for the body as a whole
	Message string
}

func (e *FieldError) Error() string { return e.Message }

func bad(param, format string, args ...any) *FieldError {
	return &FieldError{param, fmt.Sprintf(format, args...)}
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Plan is what the body of a counted call asks for, and how to change it. The body itself is kept as
// it came: only the spans named here are replaced, so every other byte reaches the upstream unchanged
// and in order.
type Plan struct {
	Body      string
	Model     string
	PerChoice int64 // output limit of one choice
	Choices   int64 // how many choices of each prompt there may be
	Stream    bool
	WantUsage bool // the client itself asked for include_usage

	limits []span          // where the client states the output limit
	insert string          // the field to add when it states none
	usage  *edit           // makes the upstream tell the usage of a stream
	end    int             // where new fields go: after the last one
	model  *span           // where the model stands; nil if it is not stated
	stated map[string]span // where parameters stand that Set may change
	set    []edit
}

type span struct{ from, to int }

type edit struct {
	span
	text string
}

// MaxOutput is the output limit of the whole call.
func (p *Plan) MaxOutput() int64 { return MulTokens(p.PerChoice, p.Choices) }

// completionsDefault is how much the provider generates for a completion that states no limit.
const completionsDefault = 16

// OutputLimits are the options that ParsePlan needs, for one choice.
type OutputLimits struct {
	Default int64 // of a chat that states none
	Max     int64 // larger ones are lowered to it; 0 for none
}

// known are the top-level fields that the proxy itself reads, by endpoint.
var known = [NumEndpoints][]string{
	Chat:        {"model", "messages", "stream", "stream_options", "max_completion_tokens", "max_tokens", "n", "tools", "functions", "response_format", "temperature", "top_p"},
	Completions: {"model", "prompt", "stream", "stream_options", "max_tokens", "n", "best_of", "temperature", "top_p"},
	Embeddings:  {"model", "input"},
	Responses:   {"model", "input", "instructions", "stream", "max_output_tokens", "tools", "text", "prompt", "temperature", "top_p"},
	Messages:    {"model", "messages", "system", "stream", "max_tokens", "tools", "temperature", "top_p"},
}

// limitFields are where a call states how much may come out.
var limitFields = [NumEndpoints][]string{
	Chat:        {"max_completion_tokens", "max_tokens"},
	Completions: {"max_completion_tokens", "max_tokens"},
	Responses:   {"max_output_tokens"},
	Messages:    {"max_tokens"},
}

// ParsePlan reads the body of a counted call. It counts nothing yet.
//
// A field that it reads may be stated once only, and in its proper case: parsers disagree on what a
// repeated field means, and some ignore case, so that an upstream might see another limit than we.
func ParsePlan(e Endpoint, body string, lim OutputLimits) (*Plan, *FieldError) {
	trimmed := strings.TrimLeft(body, " \t\r\n")
	if !json.Valid([]byte(body)) || !strings.HasPrefix(trimmed, "{") {
		return nil, bad("", "We could not parse the JSON body of your request: it must be one JSON object.")
	}
	p := &Plan{Body: trimmed, Choices: 1}
	fields, err := p.fields(e)
	if err != nil {
		return nil, err
	}
	if m, ok := fields["model"]; ok {
		p.model = &span{m.Index, m.Index + len(m.Raw)}
	}
	for _, name := range []string{"temperature", "top_p"} {
		if v, ok := fields[name]; ok {
			if p.stated == nil {
				p.stated = map[string]span{}
			}
			p.stated[name] = span{v.Index, v.Index + len(v.Raw)}
		}
	}
	if m, ok := fields["model"]; ok && m.Type != gjson.Null {
		if m.Type != gjson.String {
			return nil, wrongType("model", "a string")
		}
		if len(m.Str) > 256 {
			return nil, bad("model", "'model' has %d bytes, at most 256 are allowed.", len(m.Str))
		}
		p.Model = m.Str
	}
	switch e {
	case Chat, Messages:
		if !fields["messages"].IsArray() {
			return nil, wrongType("messages", "an array of messages")
		}
	case Completions:
		if v := fields["prompt"]; v.Exists() && v.Type != gjson.Null && v.Type != gjson.String && !v.IsArray() {
			return nil, wrongType("prompt", "a string or an array")
		}
	case Responses: // without input what is to be answered is with the provider: an earlier response, a prompt of its own
		if v := fields["input"]; v.Exists() && v.Type != gjson.Null && v.Type != gjson.String && !v.IsArray() {
			return nil, wrongType("input", "a string or an array")
		}
	case Embeddings:
		if v := fields["input"]; v.Type != gjson.String && !v.IsArray() {
			return nil, wrongType("input", "a string or an array")
		}
		return p, nil
	}
	if err := p.readStream(e, fields); err != nil {
		return nil, err
	}
	return p, p.readLimits(e, fields, lim)
}

// fields collects the known top-level fields, by name, and finds where new ones go.
func (p *Plan) fields(e Endpoint) (map[string]gjson.Result, *FieldError) {
	fields := make(map[string]gjson.Result, len(known[e]))
	var wrong *FieldError
	p.end = 1
	gjson.Parse(p.Body).ForEach(func(k, v gjson.Result) bool {
		p.end = v.Index + len(v.Raw)
		for _, name := range known[e] {
			if k.Str == name {
				if _, twice := fields[name]; twice {
					wrong = bad(name, "'%s' is stated twice: state it once.", name)
					return false
				}
				fields[name] = v
			} else if strings.EqualFold(k.Str, name) {
				wrong = bad(name, "Unrecognized request argument supplied: %s. Did you mean '%s'?", clip(k.Str), name)
				return false
			}
		}
		return true
	})
	return fields, wrong
}

func (p *Plan) readStream(e Endpoint, fields map[string]gjson.Result) *FieldError {
	switch v := fields["stream"]; {
	case v.Type == gjson.True:
		p.Stream = true
	case v.Exists() && v.Type != gjson.False && v.Type != gjson.Null:
		return wrongType("stream", "a boolean")
	}
	if e == Responses || e == Messages { // they tell the usage of a stream unasked
		p.WantUsage = true
		return nil
	}
	const on = `"include_usage":true`
	opts, stated := fields["stream_options"]
	if stated && opts.Type != gjson.Null && !opts.IsObject() {
		return wrongType("stream_options", "an object")
	}
	var include gjson.Result
	var wrong *FieldError
	end := opts.Index + 1
	empty := true
	if opts.IsObject() {
		opts.ForEach(func(k, v gjson.Result) bool {
			end, empty = v.Index+len(v.Raw), false
			if strings.EqualFold(k.Str, "include_usage") {
				if k.Str != "include_usage" || include.Exists() {
					wrong = bad("stream_options", "'stream_options.include_usage' is stated twice or misspelt: state it once.")
					return false
				}
				include = v
			}
			return true
		})
	}
	switch {
	case wrong != nil:
		return wrong
	case include.Exists() && !include.IsBool() && include.Type != gjson.Null:
		return wrongType("stream_options.include_usage", "a boolean")
	case !p.Stream:
		return nil // whatever it says is the upstream's to judge
	case include.Type == gjson.True:
		p.WantUsage = true
	case include.Exists():
		p.usage = &edit{span{include.Index, include.Index + len(include.Raw)}, "true"}
	case opts.IsObject() && empty:
		p.usage = &edit{span{end, end}, on}
	case opts.IsObject():
		p.usage = &edit{span{end, end}, "," + on}
	case stated:
		p.usage = &edit{span{opts.Index, opts.Index + len(opts.Raw)}, "{" + on + "}"}
	default:
		p.usage = &edit{span{p.end, p.end}, `,"stream_options":{` + on + "}"}
	}
	return nil
}

// readLimits finds the output limit of one choice and how many choices there may be.
func (p *Plan) readLimits(e Endpoint, fields map[string]gjson.Result, lim OutputLimits) *FieldError {
	var null *gjson.Result
	for _, name := range limitFields[e] {
		v, stated := fields[name]
		if !stated {
			continue
		}
		if v.Type == gjson.Null {
			null = &v
			continue
		}
		n, err := natural(name, v, 0)
		if err != nil {
			return err
		}
		p.PerChoice = max(p.PerChoice, n)
		p.limits = append(p.limits, span{v.Index, v.Index + len(v.Raw)})
	}
	if len(p.limits) == 0 {
		p.PerChoice, p.insert = lim.Default, limitFields[e][0]
		if e == Completions {
			p.PerChoice, p.insert = min(lim.Default, completionsDefault), "max_tokens"
		}
		if null != nil { // a null limit is stated, but says nothing: it is replaced where it stands
			p.limits, p.insert = []span{{null.Index, null.Index + len(null.Raw)}}, ""
		}
	}
	if lim.Max > 0 {
		p.PerChoice = min(p.PerChoice, lim.Max)
	}
	most := int64(1)
	for _, name := range []string{"n", "best_of"} {
		if v, stated := fields[name]; stated && v.Type != gjson.Null {
			n, err := natural(name, v, 1)
			if err != nil {
				return err
			}
			most = max(most, n)
		}
	}
	p.Choices = most
	return nil
}

// Set has Build give a parameter, temperature or top_p, another value than the client's.
func (p *Plan) Set(name string, v float64) {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if s, ok := p.stated[name]; ok {
		p.set = append(p.set, edit{s, text})
		return
	}
	p.set = append(p.set, edit{span{p.end, p.end}, `,"` + name + `":` + text})
}

// Build returns the body to forward, with an output limit of at most perChoice for each choice: a
// limit that the client states is left as it is written unless it is larger. model takes the place of the client's
// unless it is "".
func (p *Plan) Build(perChoice int64, model string) string {
	edits := slices.Clone(p.set)
	if model != "" && model != p.Model {
		text, _ := json.Marshal(model) // a string
		if p.model != nil {
			edits = append(edits, edit{*p.model, string(text)})
		} else {
			edits = append(edits, edit{span{p.end, p.end}, `,"model":` + string(text)})
		}
	}
	for _, s := range p.limits {
		if n, err := natural("", gjson.Parse(p.Body[s.from:s.to]), 0); err != nil || n > perChoice {
			edits = append(edits, edit{s, strconv.FormatInt(perChoice, 10)})
		}
	}
	if p.insert != "" {
		edits = append(edits, edit{span{p.end, p.end}, `,"` + p.insert + `":` + strconv.FormatInt(perChoice, 10)})
	}
	if p.usage != nil {
		edits = append(edits, *p.usage)
	}
	if len(edits) == 0 {
		return p.Body
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	if p.end == 1 { // no field before the first new one
		edits[0].text = strings.TrimPrefix(edits[0].text, ",")
	}
	var b strings.Builder
	b.Grow(len(p.Body) + 80)
	at := 0
	for _, e := range edits {
		b.WriteString(p.Body[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	b.WriteString(p.Body[at:])
	return b.String()
}

// natural reads a whole number of at least least, written in whatever way JSON allows.
func natural(name string, v gjson.Result, least int64) (int64, *FieldError) {
	if v.Type != gjson.Number {
		return 0, wrongType(name, "an integer")
	}
	f, err := strconv.ParseFloat(v.Raw, 64)
	switch {
	case err != nil || f != math.Trunc(f):
		return 0, wrongType(name, "an integer")
	case f < float64(least):
		return 0, bad(name, "Invalid '%s': integer below minimum value. Expected a value >= %d, but got %s instead.", name, least, clip(v.Raw))
	case f > float64(ledger.MaxTokens):
		return 0, bad(name, "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %s instead.", name, int64(ledger.MaxTokens), clip(v.Raw))
	}
	return int64(f), nil
}

func wrongType(name, want string) *FieldError {
	return bad(name, "Invalid type for '%s': expected %s.", name, want)
}

// MulTokens multiplies amounts that are not negative, and stops at the largest that a call may have.
func MulTokens(a, b int64) int64 {
	const most = int64(ledger.MaxTokens)
	if a > 0 && b > most/a {
		return most
	}
	return min(a*b, most)
}
