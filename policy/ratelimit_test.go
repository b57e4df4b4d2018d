package policy

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const rateHead = head + `tokens:
  compute: {unit: token}
  requests: {unit: request}
classes: [{name: standard}, {name: batch}]
budgets: [{name: pool, token: compute, supply: {grant: 1M}}]
rules: [{draw: [pool]}]
ratelimit:
  - domain: llm
    descriptors:
`

// TestRateCall: which descriptor of the policy fits, and what call it makes.
func TestRateCall(t *testing.T) {
	p := mustParse(t, rateHead+`      - {match: {tenant: "*", model: "gpt-4*"}, hits: tokens.compute}
      - match: {client: "*", path: /batch}
        hits: prompt_tokens
        call: {tenant: $client, class: batch, attributes.kind: $path, attributes.from: envoy}
      - {match: {client: acme}, hits: max_output_tokens}
`)
	for _, tt := range []struct {
		entries string
		which   int // -1: none
		call    Call
	}{
		{"tenant=search model=gpt-4o", 0, Call{Tenant: "search", Model: "gpt-4o", Tokens: []Amount{{"compute", 7}}}},
		{"model=gpt-4o tenant=search", 0, Call{Tenant: "search", Model: "gpt-4o", Tokens: []Amount{{"compute", 7}}}},
		{"tenant=search model=gpt-4 agent=a run=r class=batch zone=eu", 0, Call{
			Tenant: "search", Agent: "a", Run: "r", Class: "batch", Model: "gpt-4", Tokens: []Amount{{"compute", 7}}, Attributes: map[string]string{"zone": "eu"},
		}},
		{"tenant=search model=gpt-3", -1, Call{}},
		{"tenant=search", -1, Call{}},
		{"tenant=first tenant=second model=gpt-4", 0, Call{Tenant: "first", Model: "gpt-4", Tokens: []Amount{{"compute", 7}}}},
		{"x=first x=second tenant=t model=gpt-4", 0, Call{Tenant: "t", Model: "gpt-4", Tokens: []Amount{{"compute", 7}}, Attributes: map[string]string{"x": "first"}}},
		{"client=acme path=/batch class=other from=there", 1, Call{
			Tenant: "acme", Class: "batch", PromptTokens: 7, Attributes: map[string]string{"kind": "/batch", "from": "envoy"},
		}},
		{"client=acme", 2, Call{MaxOutputTokens: 7, Attributes: map[string]string{"client": "acme"}}},
		{"client=acme2", -1, Call{}},
		{"", -1, Call{}},
	} {
		t.Run(tt.entries, func(t *testing.T) {
			d, ok := p.RateDomain("llm")
			if !ok {
				t.Fatal("the domain is not there")
			}
			entries := rateEntries(tt.entries)
			r := d.Find(entries)
			if r == nil || tt.which < 0 {
				if r != nil || tt.which >= 0 {
					t.Fatalf("fits %v", r)
				}
				return
			}
			if r != d.Descriptors[tt.which] {
				t.Fatalf("another descriptor: %+v", r)
			}
			c := Call{Tenant: "of another call", Attributes: map[string]string{"of": "it"}, Tokens: []Amount{{"requests", 1}}}
			if r.Call(entries, 7, &c); !sameCall(c, tt.call) {
				t.Errorf("got  %+v\nwant %+v", c, tt.call)
			}
		})
	}
	if _, ok := p.RateDomain("other"); ok {
		t.Error("a domain that the policy does not have")
	}
}

func sameCall(a, b Call) bool {
	if len(a.Tokens) == 0 {
		a.Tokens = nil
	}
	return reflect.DeepEqual(a, b)
}

func rateEntries(s string) (list []RateEntry) {
	for f := range strings.FieldsSeq(s) {
		k, v, _ := strings.Cut(f, "=")
		list = append(list, RateEntry{k, v})
	}
	return list
}

// TestRateCallOfAnyDescriptor: whatever Envoy sends, a descriptor that fits says hits exactly, its call's fields are values of its
// entries, and one that does not fit lacks something that is asked for.
func TestRateCallOfAnyDescriptor(t *testing.T) {
	p := mustParse(t, rateHead+`      - {match: {tenant: "s*", model: "*"}, hits: tokens.compute}
      - {match: {client: "*"}, hits: prompt_tokens, call: {tenant: $client, attributes.of: $client}}
`)
	d, _ := p.RateDomain("llm")
	word := rapid.SampledFrom([]string{"tenant", "model", "client", "class", "of", "s", "search", "x", ""})
	rapid.Check(t, func(t *rapid.T) {
		var entries []RateEntry
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			entries = append(entries, RateEntry{word.Draw(t, "key"), word.Draw(t, "value")})
		}
		value := map[string]string{}
		for _, e := range entries {
			if _, ok := value[e.Key]; !ok {
				value[e.Key] = e.Value
			}
		}
		hits := ledger.Tokens(rapid.Int64Range(0, int64(ledger.MaxTokens)).Draw(t, "hits"))
		_, hasModel := value["model"]
		_, hasClient := value["client"]
		first := hasModel && strings.HasPrefix(value["tenant"], "s")
		r := d.Find(entries)
		var c Call
		switch {
		case r == nil:
			if first || hasClient {
				t.Fatal("none fits")
			}
			return
		case first != (r == d.Descriptors[0]):
			t.Fatal("not the first that fits")
		}
		r.Call(entries, hits, &c)
		if first && (c.Tenant != value["tenant"] || c.Model != value["model"] || len(c.Tokens) != 1 || c.Tokens[0] != Amount{"compute", hits}) ||
			!first && (c.Tenant != value["client"] || c.Attributes["of"] != value["client"] || c.PromptTokens != int64(hits) || len(c.Tokens) != 0) {
			t.Fatalf("%+v of %+v", c, entries)
		}
		for k, v := range c.Attributes {
			if value[k] != v && !(k == "of" && !first) {
				t.Fatalf("attribute %q is %q", k, v)
			}
		}
	})
}

// TestCheckRateLimits: descriptors that do nothing.
func TestCheckRateLimits(t *testing.T) {
	p := mustParse(t, rateHead+`      - {match: {tenant: "s*"}, hits: tokens.compute}
      - {match: {tenant: "search", model: "*"}, hits: tokens.compute}
      - {match: {tenant: "*"}, hits: tokens.requests}
      - {match: {tenant: "x*"}, hits: tokens.compute}
      - {match: {model: "*"}, hits: prompt_tokens}
`)
	want := `p.yaml:5:3: warning: no budget caps token type "requests"
p.yaml:13:9: warning: domain "llm": descriptor 2 is never looked at, since descriptor 1 fits all that it fits
p.yaml:14:9: warning: domain "llm": hits are tokens.requests, and no rule draws on a budget of that, so they are not counted
p.yaml:15:9: warning: domain "llm": descriptor 4 is never looked at, since descriptor 3 fits all that it fits`
	var got []string
	for _, w := range Check(p) {
		got = append(got, w.String())
	}
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got:\n%s\nwant:\n%s", s, want)
	}
}

// TestRateLimitsWaitForPromotion: descriptors are read by the stable revision for all calls.
func TestRateLimitsWaitForPromotion(t *testing.T) {
	a := mustParse(t, rateHead+"      - {match: {tenant: \"*\"}, hits: tokens.compute}\n")
	moved := mustParse(t, "# a line above\n"+rateHead+"      - {match: {tenant: \"*\"}, hits: tokens.compute}\n")
	other := mustParse(t, rateHead+"      - {match: {tenant: \"*\"}, hits: prompt_tokens}\n")
	for _, tt := range []struct {
		b    *Policy
		want string
	}{{moved, "[]"}, {other, "[ratelimit]"}} {
		waits, err := Tryable(a, tt.b)
		if err != nil || fmt.Sprint(waits) != tt.want {
			t.Errorf("%v, %v; want %s", waits, err, tt.want)
		}
	}
	if d := Diff(a, other); len(d) != 1 || d[0].Where != "ratelimit.llm.descriptors.1.hits" {
		t.Errorf("%+v", d)
	}
}

// FuzzRateDescriptors: no text of a policy's descriptors makes the parser panic, or a policy whose descriptors cannot be asked.
func FuzzRateDescriptors(f *testing.F) {
	src, err := os.ReadFile("testdata/bad/ratelimit.yaml")
	if err != nil {
		f.Fatal(err)
	}
	_, bad, _ := strings.Cut(string(src), "descriptors:\n")
	for _, s := range []string{
		bad,
		"      - {match: {tenant: \"*\", a: b*}, hits: tokens.compute, call: {tenant: $a, attributes.x: $tenant}, hold: 1m}\n",
		"      - {match: {\"*\": \"*\"}, hits: max_output_tokens, report: true}\n",
	} {
		f.Add(s, "tenant", "x")
	}
	f.Fuzz(func(t *testing.T, src, key, value string) {
		if !utf8.ValidString(src) {
			t.Skip()
		}
		p, err := Parse("p.yaml", []byte(rateHead+src))
		if err != nil {
			if !strings.Contains(err.Error(), "p.yaml:") {
				t.Fatalf("no place: %v", err)
			}
			return
		}
		for _, d := range p.RateDomains() {
			for _, r := range append(d.Descriptors, d.Find([]RateEntry{{key, value}})) {
				if r == nil {
					continue
				}
				var c Call
				r.Call([]RateEntry{{key, value}, {"tenant", value}}, 3, &c)
				if n := c.PromptTokens + c.MaxOutputTokens; n != 3 && (len(c.Tokens) != 1 || c.Tokens[0].Amount != 3) {
					t.Fatalf("hits got lost: %+v", c)
				}
			}
		}
	})
}
