package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestBuild(t *testing.T) {
	const msgs = `"messages":[]`
	for _, x := range []struct {
		name     string
		e        Endpoint
		in, want string
		perCall  int64
	}{
		{"limit stated", Chat, `{"max_tokens":50,` + msgs + `}`, `{"max_tokens":50,` + msgs + `}`, 50},
		{"limit too large", Chat, `{"max_tokens": 5000, ` + msgs + `}`, `{"max_tokens": 100, ` + msgs + `}`, 100},
		{"both limits", Chat, `{"max_tokens":20,"max_completion_tokens":500,` + msgs + `}`, `{"max_tokens":20,"max_completion_tokens":100,` + msgs + `}`, 100},
		{"no limit", Chat, `{` + msgs + ` }`, `{` + msgs + `,"max_completion_tokens":80 }`, 80},
		{"null limit", Chat, `{"max_tokens":null,` + msgs + `}`, `{"max_tokens":80,` + msgs + `}`, 80},
		{"choices", Chat, `{"n":3,"max_tokens":5,` + msgs + `}`, `{"n":3,"max_tokens":5,` + msgs + `}`, 15},
		{"as it is written", Chat, `{"max_tokens":1e1,` + msgs + `}`, `{"max_tokens":1e1,` + msgs + `}`, 10},
		{"completions", Completions, `{"prompt":["a","b"],"best_of":2}`, `{"prompt":["a","b"],"best_of":2,"max_tokens":16}`, 32},
		{"stream", Chat, `{"max_tokens":5,` + msgs + `,"stream":true}`, `{"max_tokens":5,` + msgs + `,"stream":true,"stream_options":{"include_usage":true}}`, 5},
		{"stream, options", Chat, `{"max_tokens":5,"stream_options":{"x":1},` + msgs + `,"stream":true}`, `{"max_tokens":5,"stream_options":{"x":1,"include_usage":true},` + msgs + `,"stream":true}`, 5},
		{"stream, no options", Chat, `{"max_tokens":5,"stream_options":{ },` + msgs + `,"stream":true}`, `{"max_tokens":5,"stream_options":{"include_usage":true },` + msgs + `,"stream":true}`, 5},
		{"stream, null options", Chat, `{"max_tokens":5,"stream_options":null,` + msgs + `,"stream":true}`, `{"max_tokens":5,"stream_options":{"include_usage":true},` + msgs + `,"stream":true}`, 5},
		{"stream, refused usage", Chat, `{"max_tokens":5,"stream_options":{"include_usage":false},` + msgs + `,"stream":true}`, `{"max_tokens":5,"stream_options":{"include_usage":true},` + msgs + `,"stream":true}`, 5},
		{"stream, both new", Chat, `{` + msgs + `,"stream":true}`, `{` + msgs + `,"stream":true,"max_completion_tokens":80,"stream_options":{"include_usage":true}}`, 80},
		{"unknown fields", Chat, "{ \"zz\" : [ 1.00,\"\\u0061\" ],\t" + msgs + `,"max_tokens":5,"é":{}}`, "{ \"zz\" : [ 1.00,\"\\u0061\" ],\t" + msgs + `,"max_tokens":5,"é":{}}`, 5},
		{"embeddings", Embeddings, `{"input":"x","max_tokens":5}`, `{"input":"x","max_tokens":5}`, 0},
	} {
		p, err := ParsePlan(x.e, x.in, OutputLimits{Default: 80, Max: 100})
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if got := p.Build(p.PerChoice, ""); got != x.want {
			t.Errorf("%s:\n got %s\nwant %s", x.name, got, x.want)
		}
		if got := p.MaxOutput(); got != x.perCall && x.e != Embeddings {
			t.Errorf("%s: reserves %d, want %d", x.name, got, x.perCall)
		}
	}
}

func TestParsePlanRefuses(t *testing.T) {
	for _, x := range []struct{ in, param, says string }{
		{``, "", "could not parse"},
		{`[]`, "", "could not parse"},
		{`{"messages":[]`, "", "could not parse"},
		{`{"messages":[]} x`, "", "could not parse"},
		{`{}`, "messages", "array"},
		{`{"messages":"x"}`, "messages", "array"},
		{`{"messages":[],"model":7}`, "model", "string"},
		{`{"messages":[],"max_tokens":"7"}`, "max_tokens", "integer"},
		{`{"messages":[],"max_tokens":1.5}`, "max_tokens", "integer"},
		{`{"messages":[],"max_tokens":-1}`, "max_tokens", "below minimum"},
		{`{"messages":[],"max_completion_tokens":1e300}`, "max_completion_tokens", "above maximum"},
		{`{"messages":[],"max_completion_tokens":99999999999999999999}`, "max_completion_tokens", "above maximum"},
		{`{"messages":[],"n":0}`, "n", "below minimum"},
		{`{"messages":[],"stream":"yes"}`, "stream", "boolean"},
		{`{"messages":[],"stream":true,"stream_options":true}`, "stream_options", "object"},
		{`{"messages":[],"max_tokens":1,"max_tokens":100000}`, "max_tokens", "twice"},
		{`{"messages":[],"max_tokens":1,"max_\u0074okens":100000}`, "max_tokens", "twice"},
		{`{"messages":[],"max_tokens":1,"MAX_TOKENS":100000}`, "max_tokens", "Did you mean"},
		{`{"messages":[],"stream":true,"stream_options":{"include_usage":false,"Include_Usage":true}}`, "stream_options", "twice"},
	} {
		_, err := ParsePlan(Chat, x.in, OutputLimits{Default: 80})
		if err == nil {
			t.Errorf("%s: was taken", x.in)
			continue
		}
		if err.Param != x.param || !strings.Contains(err.Message, x.says) {
			t.Errorf("%s: %q %q", x.in, err.Param, err.Message)
		}
	}
}

func TestSet(t *testing.T) {
	for in, want := range map[string]string{
		`{"messages":[],"max_tokens":5}`:                                  `{"messages":[],"max_tokens":5,"temperature":0.3,"top_p":1}`,
		`{"top_p": null, "messages":[],"temperature":1e0,"max_tokens":5}`: `{"top_p": 1, "messages":[],"temperature":0.3,"max_tokens":5}`,
	} {
		p, err := ParsePlan(Chat, in, OutputLimits{Default: 80})
		if err != nil {
			t.Fatal(err)
		}
		p.Set("temperature", 0.3)
		p.Set("top_p", 1)
		if got := p.Build(p.PerChoice, ""); got != want {
			t.Errorf("%s\n%s, want\n%s", in, got, want)
		}
	}
	if _, err := ParsePlan(Chat, `{"messages":[],"temperature":1,"temperature":2}`, OutputLimits{}); err == nil || err.Param != "temperature" {
		t.Errorf("%v", err)
	}
}

// What is forwarded is the client's body with nothing changed but the limit and the stream options:
// same fields, same order, same bytes.
func FuzzBuild(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":500,"stream":true,"x":[1, 2]}`,
		`{"messages":[],"stream":true,"stream_options":{"a":{}},"max_completion_tokens":null}`,
		`{"messages":[], "n":2 , "max_tokens":7e0}`,
		` {"messages" :[] }`,
		`{"model":"m","input":"hi","max_output_tokens":7,"stream":true}`,
	} {
		for e := range uint8(3) {
			f.Add(e, s, uint16(100))
		}
	}
	f.Add(uint8(1), "{}", uint16(100))
	f.Fuzz(func(t *testing.T, which uint8, in string, limit uint16) {
		e := [...]Endpoint{Chat, Responses, Messages}[which%3]
		p, err := ParsePlan(e, in, OutputLimits{Default: 80, Max: int64(limit) + 1})
		if err != nil {
			return
		}
		out := p.Build(p.PerChoice, "")
		if !json.Valid([]byte(out)) {
			t.Fatalf("%q became %q", in, out)
		}
		changed := map[string]bool{"stream_options": e == Chat && p.Stream}
		for _, name := range limitFields[e] {
			changed[name] = true
		}
		rest := func(s string) []byte {
			var fields [][2]string
			gjson.Parse(strings.TrimLeft(s, " \t\r\n")).ForEach(func(k, v gjson.Result) bool {
				if !changed[k.Str] {
					fields = append(fields, [2]string{k.Raw, v.Raw})
				}
				return true
			})
			return join(fields)
		}
		if !bytes.Equal(rest(in), rest(out)) {
			t.Fatalf("%q became %q", in, out)
		}
		stated := false
		for _, name := range limitFields[e] {
			if v := gjson.Get(out, name); v.Type == gjson.Number {
				stated = true
				if v.Num > float64(p.PerChoice) || v.Num > float64(limit)+1 {
					t.Fatalf("%q lets %s be %v, reserved are %d", out, name, v.Num, p.PerChoice)
				}
			}
		}
		if !stated {
			t.Fatalf("%q states no limit", out)
		}
		if e == Chat && p.Stream && !gjson.Get(out, "stream_options.include_usage").Bool() {
			t.Fatalf("%q does not ask for usage", out)
		}
	})
}

func join(fields [][2]string) []byte {
	var b bytes.Buffer
	for _, f := range fields {
		b.WriteString(f[0] + ":" + f[1] + "\n")
	}
	return b.Bytes()
}
