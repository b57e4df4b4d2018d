package api

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy"
)

// checkQuick holds what is read by hand to what encoding/json makes of it, and says whether it was read by hand.
func checkQuick(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) (admits, settles bool) {
	t.Helper()
	var a, wantA admitBody
	var tokens []policy.Amount
	if admits = quickAdmit(body, &a, &tokens); admits {
		err := decodeJSON(body, &wantA)
		want, err2 := wantA.Tokens.amounts("tokens")
		wantA.Tokens = nil
		if err != nil || err2 != nil || !reflect.DeepEqual(a, wantA) || !reflect.DeepEqual(tokens, want) {
			t.Fatalf("%q is by hand\n%+v %v, by encoding/json\n%+v %v (%v, %v)", body, a, tokens, wantA, want, err, err2)
		}
	}
	var s, wantS settleBody
	var used []policy.Amount
	if settles = quickSettle(body, &s, &used); settles {
		err := decodeJSON(body, &wantS)
		want, err2 := wantS.Used.amounts("used")
		wantS.Used = nil
		if err != nil || err2 != nil || !reflect.DeepEqual(s, wantS) || !reflect.DeepEqual(used, want) {
			t.Fatalf("%q is by hand\n%+v %v, by encoding/json\n%+v %v (%v, %v)", body, s, used, wantS, want, err, err2)
		}
	}
	return admits, settles
}

// TestQuick: what is plain is read by hand; what is not is left to encoding/json.
func TestQuick(t *testing.T) {
	for _, tt := range []struct {
		body           string
		admits, settle bool
	}{
		{`{"tenant":"search","agent":"crawler-17","class":"standard","model":"gpt-4o","prompt_tokens":1200,"max_output_tokens":600}`, true, false},
		{` { "tenant" : "é世" , "tokens" : { "requests" : 1 , "compute" : 18 } , "wait" : "250ms" } ` + "\r\n\t", true, false},
		{`{"id":"n1.d721gc71m8psg0a6","used":{"compute":1432},"outcome":"ok"}`, false, true},
		{`{}`, true, true},
		{`{"tokens":{}}`, true, false},
		{`{"prompt_tokens":-1}`, true, false}, // refused later, alike
		{`{"prompt_tokens":0,"max_output_tokens":-0}`, true, false},
		{`{"tenant":"a\u0062"}`, false, false},
		{"{\"tenant\":\"\xff\"}", false, false},
		{"{\"tenant\":\"a\nb\"}", false, false},
		{`{"tenant":"a","tenant":"b"}`, false, false},
		{`{"tokens":{"a":1,"a":2}}`, false, false},
		{`{"tokens":{"a":null}}`, false, false},
		{`{"Tenant":"a"}`, false, false},
		{`{"unknown":1}`, false, false},
		{`{"prompt_tokens":1.0}`, false, false},
		{`{"prompt_tokens":1e3}`, false, false},
		{`{"prompt_tokens":01}`, false, false},
		{`{"prompt_tokens":- 1}`, false, false},
		{`{"prompt_tokens":12345678901234567890}`, false, false},
		{`{"prompt_tokens":1`, false, false},
		{`{"tenant":null}`, false, false},
		{`{"tenant":"a",}`, false, false},
		{`{"tenant":"a"} x`, false, false},
		{`{"tenant":"a"`, false, false},
		{`{"tenant"`, false, false},
		{`{,}`, false, false},
		{`null`, false, false},
		{``, false, false},
		{`{"used":{"a":1},"usage":{"prompt_tokens":1}}`, false, false},
		{`{"tokens":{` + strings.Repeat(`"a":1,`, 100) + `"b":1}}`, false, false},
	} {
		if a, s := checkQuick(t, []byte(tt.body)); a != tt.admits || s != tt.settle {
			t.Errorf("%q: by hand %v and %v, want %v and %v", tt.body, a, s, tt.admits, tt.settle)
		}
	}
}

// TestQuickIsEncodingJSON: bodies put together at random, and bent in places, are read alike.
func TestQuickIsEncodingJSON(t *testing.T) {
	names := rapid.SampledFrom([]string{"tenant", "agent", "run", "class", "model", "prompt_tokens", "max_output_tokens", "tokens", "wait", "ttl", "idempotency_key", "id", "used", "outcome", "data", "Tenant"})
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t "})
	value := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return `"` + rapid.StringN(0, 6, 20).Draw(t, "text") + `"` }),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Int64().Draw(t, "large")) }),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(-1, 2000).Draw(t, "small")) }),
		rapid.SampledFrom([]string{`"x"`, `""`, "null", "true", "1.5", "-", "{}", `{"a":1}`, `{"b":2, "a" :1}`, `{"a":1,"a":2}`, `["d"]`, `"\u00e9"`}),
	)
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString(space.Draw(t, "s") + "{")
		for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
			if i > 0 {
				b.WriteString(space.Draw(t, "s") + ",")
			}
			b.WriteString(space.Draw(t, "s") + `"` + names.Draw(t, "name") + `"` + space.Draw(t, "s") + ":" + space.Draw(t, "s") + value.Draw(t, "value"))
		}
		b.WriteString(space.Draw(t, "s") + "}" + space.Draw(t, "s"))
		body := []byte(b.String())
		checkQuick(t, body)
		if at := rapid.IntRange(0, len(body)-1).Draw(t, "at"); rapid.Bool().Draw(t, "bent") {
			body[at] = rapid.Byte().Draw(t, "byte")
		} else {
			body = append(body[:at:at], body[at+1:]...)
		}
		checkQuick(t, body)
	})
}

func FuzzQuick(f *testing.F) {
	f.Add([]byte(`{"tenant":"a","prompt_tokens":12,"tokens":{"compute":1,"x":-2}}`))
	f.Add([]byte(`{"id":"n1.x","used":{"compute":1},"outcome":"ok"}`))
	f.Fuzz(func(t *testing.T, body []byte) { checkQuick(t, body) })
}

// TestQuickAllocates: the strings of a body are one, and so are its amounts.
func TestQuickAllocates(t *testing.T) {
	body := []byte(`{"tenant":"search","agent":"crawler-17","class":"standard","model":"gpt-4o","prompt_tokens":1200,"max_output_tokens":600}`)
	if n := testing.AllocsPerRun(100, func() {
		var b admitBody
		if !quickAdmit(body, &b, nil) || b.Model != "gpt-4o" {
			t.Fatal(b)
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
}
