package llm

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// plan is what the body of a counted call asks for, and how to change it. The body itself is kept as
// it came: only the spans named here are replaced, so every other byte reaches the upstream unchanged
// and in order.
type plan struct {
	body      string
	model     string
	prompt    int64 // tokens, as counted
	perChoice int64 // output limit of one choice
	choices   int64 // prompts × choices, each of which may be that long
	stream    bool
	wantUsage bool // the client itself asked for include_usage

	limits []span // where the client states the output limit
	insert string // the field to add when it states none
	usage  *edit  // makes the upstream tell the usage of a stream
	end    int    // where new fields go: after the last one
}

type span struct{ from, to int }

type edit struct {
	span
	text string
}

func (p *plan) maxOutput() int64 { return mulTokens(p.perChoice, p.choices) }

// completionsDefault is how much the provider generates for a completion that states no limit.
const completionsDefault = 16

// outputLimits are the options that parsePlan needs.
type outputLimits struct {
	def int64 // of a chat that states none
	max int64 // 0 for none
}

// known are the top-level fields that the proxy itself reads, by endpoint.
var known = [numEndpoints][]string{
	epChat:        {"model", "messages", "stream", "stream_options", "max_completion_tokens", "max_tokens", "n", "tools", "functions", "response_format"},
	epCompletions: {"model", "prompt", "stream", "stream_options", "max_tokens", "n", "best_of"},
	epEmbeddings:  {"model", "input"},
}

// parsePlan reads the body of a counted call. It counts nothing yet.
//
// A field that it reads may be stated once only, and in its proper case: parsers disagree on what a
// repeated field means, and some ignore case, so that an upstream might see another limit than we.
func parsePlan(e endpoint, body string, lim outputLimits) (*plan, *apiError) {
	trimmed := strings.TrimLeft(body, " \t\r\n")
	if !json.Valid([]byte(body)) || !strings.HasPrefix(trimmed, "{") {
		return nil, invalid("", "We could not parse the JSON body of your request: it must be one JSON object.")
	}
	p := &plan{body: trimmed, choices: 1}
	fields, err := p.fields(e)
	if err != nil {
		return nil, err
	}
	if m, ok := fields["model"]; ok && m.Type != gjson.Null {
		if m.Type != gjson.String {
			return nil, wrongType("model", "a string")
		}
		if len(m.Str) > 256 {
			return nil, invalid("model", "'model' has %d bytes, at most 256 are allowed.", len(m.Str))
		}
		p.model = m.Str
	}
	switch e {
	case epChat:
		if !fields["messages"].IsArray() {
			return nil, wrongType("messages", "an array of messages")
		}
	case epCompletions:
		if v := fields["prompt"]; v.Exists() && v.Type != gjson.Null && v.Type != gjson.String && !v.IsArray() {
			return nil, wrongType("prompt", "a string or an array")
		}
	case epEmbeddings:
		if v := fields["input"]; v.Type != gjson.String && !v.IsArray() {
			return nil, wrongType("input", "a string or an array")
		}
		return p, nil
	}
	if err := p.readStream(fields); err != nil {
		return nil, err
	}
	return p, p.readLimits(e, fields, lim)
}

// fields collects the known top-level fields, by name, and finds where new ones go.
func (p *plan) fields(e endpoint) (map[string]gjson.Result, *apiError) {
	fields := make(map[string]gjson.Result, len(known[e]))
	var bad *apiError
	p.end = 1
	gjson.Parse(p.body).ForEach(func(k, v gjson.Result) bool {
		p.end = v.Index + len(v.Raw)
		for _, name := range known[e] {
			if k.Str == name {
				if _, twice := fields[name]; twice {
					bad = invalid(name, "'%s' is stated twice: state it once.", name)
					return false
				}
				fields[name] = v
			} else if strings.EqualFold(k.Str, name) {
				bad = invalid(name, "Unrecognized request argument supplied: %s. Did you mean '%s'?", clip(k.Str), name)
				return false
			}
		}
		return true
	})
	return fields, bad
}

func (p *plan) readStream(fields map[string]gjson.Result) *apiError {
	switch v := fields["stream"]; {
	case v.Type == gjson.True:
		p.stream = true
	case v.Exists() && v.Type != gjson.False && v.Type != gjson.Null:
		return wrongType("stream", "a boolean")
	}
	const on = `"include_usage":true`
	opts, stated := fields["stream_options"]
	if stated && opts.Type != gjson.Null && !opts.IsObject() {
		return wrongType("stream_options", "an object")
	}
	var include gjson.Result
	var bad *apiError
	end := opts.Index + 1
	empty := true
	if opts.IsObject() {
		opts.ForEach(func(k, v gjson.Result) bool {
			end, empty = v.Index+len(v.Raw), false
			if strings.EqualFold(k.Str, "include_usage") {
				if k.Str != "include_usage" || include.Exists() {
					bad = invalid("stream_options", "'stream_options.include_usage' is stated twice or misspelt: state it once.")
					return false
				}
				include = v
			}
			return true
		})
	}
	switch {
	case bad != nil:
		return bad
	case include.Exists() && !include.IsBool() && include.Type != gjson.Null:
		return wrongType("stream_options.include_usage", "a boolean")
	case !p.stream:
		return nil // whatever it says is the upstream's to judge
	case include.Type == gjson.True:
		p.wantUsage = true
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
func (p *plan) readLimits(e endpoint, fields map[string]gjson.Result, lim outputLimits) *apiError {
	var null *gjson.Result
	for _, name := range []string{"max_completion_tokens", "max_tokens"} {
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
		p.perChoice = max(p.perChoice, n)
		p.limits = append(p.limits, span{v.Index, v.Index + len(v.Raw)})
	}
	if len(p.limits) == 0 {
		p.perChoice, p.insert = lim.def, "max_completion_tokens"
		if e == epCompletions {
			p.perChoice, p.insert = min(lim.def, completionsDefault), "max_tokens"
		}
		if null != nil { // a null limit is stated, but says nothing: it is replaced where it stands
			p.limits, p.insert = []span{{null.Index, null.Index + len(null.Raw)}}, ""
		}
	}
	if lim.max > 0 {
		p.perChoice = min(p.perChoice, lim.max)
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
	p.choices = most
	return nil
}

// count fills in what the prompt costs.
func (p *plan) count(e endpoint, c *Counter) {
	switch e {
	case epChat:
		p.prompt = c.Chat(p.model, p.body)
	case epCompletions:
		var prompts int64
		p.prompt, prompts = c.Completions(p.model, p.body)
		p.choices = mulTokens(p.choices, prompts)
	case epEmbeddings:
		p.prompt = c.Embeddings(p.model, p.body)
	}
}

// build returns the body to forward, with an output limit of at most perChoice for each choice: a
// limit that the client states is left as it is written unless it is larger.
func (p *plan) build(perChoice int64) string {
	var edits []edit
	for _, s := range p.limits {
		if n, err := natural("", gjson.Parse(p.body[s.from:s.to]), 0); err != nil || n > perChoice {
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
		return p.body
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var b strings.Builder
	b.Grow(len(p.body) + 80)
	at := 0
	for _, e := range edits {
		b.WriteString(p.body[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	b.WriteString(p.body[at:])
	return b.String()
}

// natural reads a whole number of at least least, written in whatever way JSON allows.
func natural(name string, v gjson.Result, least int64) (int64, *apiError) {
	if v.Type != gjson.Number {
		return 0, wrongType(name, "an integer")
	}
	f, err := strconv.ParseFloat(v.Raw, 64)
	switch {
	case err != nil || f != math.Trunc(f):
		return 0, wrongType(name, "an integer")
	case f < float64(least):
		return 0, invalid(name, "Invalid '%s': integer below minimum value. Expected a value >= %d, but got %s instead.", name, least, clip(v.Raw))
	case f > float64(ledger.MaxTokens):
		return 0, invalid(name, "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %s instead.", name, int64(ledger.MaxTokens), clip(v.Raw))
	}
	return int64(f), nil
}

func wrongType(name, want string) *apiError {
	return invalid(name, "Invalid type for '%s': expected %s.", name, want)
}
