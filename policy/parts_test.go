package policy

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

// TestParts: what of the prompt was cached and what of the output was reasoning has a weight of its own; until it is known the
// dearest is reserved.
func TestParts(t *testing.T) {
	call := Call{PromptTokens: 1000, MaxOutputTokens: 400}
	for _, c := range []struct {
		cost              string
		usage             Usage
		reserved, settled ledger.Tokens
	}{
		{"prompt_tokens - 0.9 * cached_tokens + 4 * max_output_tokens", Usage{Prompt: 900, Output: 100, Cached: 800}, 2600, 100 + 80 + 400},
		{"prompt_tokens - 0.9 * cached_tokens + 4 * max_output_tokens", Usage{Prompt: 900, Output: 100}, 2600, 1300},
		{"prompt_tokens - cached_tokens", Usage{Prompt: 900, Cached: 900}, 1000, 0},
		{"prompt_tokens - cached_tokens", Usage{Prompt: 900, Cached: 950}, 1000, 0}, // more than all cannot be
		{"prompt_tokens + 2 * max_output_tokens + reasoning_tokens", Usage{Prompt: 900, Output: 100, Reasoning: 60}, 2200, 1160},
		{"max_output_tokens - reasoning_tokens", Usage{Prompt: 900, Output: 100, Reasoning: 60}, 400, 40},
		{"2.5 * (prompt_tokens - cached_tokens) + 0.25 * cached_tokens + 10.0 * max_output_tokens", Usage{Prompt: 900, Output: 100, Cached: 800, Reasoning: 90}, 6500, 250 + 200 + 1000},
		{"5 + cached_tokens", Usage{Prompt: 900, Cached: 1}, 1005, 6},
	} {
		t.Run(c.cost, func(t *testing.T) {
			plan, err := costPolicy(t, c.cost).Match(&call)
			if err != nil {
				t.Fatal(err)
			}
			d := &plan.Draws[0]
			if !d.Cost.Linear() {
				t.Error("not linear")
			}
			if n, err := d.Amount(&call); err != nil || n != c.reserved {
				t.Errorf("reserves %d, %v; want %d", n, err, c.reserved)
			}
			if n, err := d.SettleAt(c.usage, million); err != nil || n != c.settled {
				t.Errorf("settles %d, %v; want %d", n, err, c.settled)
			}
			for _, u := range []Usage{{Cached: -1}, {Reasoning: -1}} {
				if n, err := d.SettleAt(u, million); err == nil {
					t.Errorf("%+v costs %d", u, n)
				}
			}
		})
	}
	for doc, want := range map[string]string{
		"cost: {c: prompt_tokens * cached_tokens}":       "p.yaml:8:15: cost of c looks at cached_tokens or reasoning_tokens and is not linear in the counts",
		"cost: {c: prompt_tokens - 1.5 * cached_tokens}": "p.yaml:8:15: cost of c: cached_tokens would cost less than nothing; take off less",
		"cost: {c: 5 - reasoning_tokens}":                "p.yaml:8:15: cost of c: reasoning_tokens would cost less than nothing; take off less",
		"when: cached_tokens > 5":                        "p.yaml:8:11: when looks at cached_tokens or reasoning_tokens, which are known only when a call has ended",
	} {
		_, err := Parse("p.yaml", []byte(head+"tokens: {c: {unit: token}}\nbudgets:\n  - {name: b, token: c, supply: {grant: 1M}}\nrules:\n  - draw: [b]\n    "+doc+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
}

// TestDearest: whatever parts real usage within the reserved counts has, it costs no more than what was reserved.
func TestDearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l linear
		l.double, l.parts = rapid.Bool().Draw(t, "double"), true
		for i := range l.i {
			least := 0
			if i > 2 {
				least = -int(l.i[i-2]) - int(l.f[i-2]) // a part never costs less than nothing
			}
			if n := rapid.IntRange(least, 9).Draw(t, "weight"); l.double {
				l.f[i] = float64(n)
			} else {
				l.i[i] = int64(n)
			}
		}
		if part := l.below(); part != "" {
			t.Fatalf("%+v: %s costs less than nothing", l, part)
		}
		most := rapid.Int64Range(0, 1000)
		prompt, output := most.Draw(t, "prompt"), most.Draw(t, "output")
		reserved, v := l.of(l.dearest(prompt, output))
		u := Usage{Prompt: rapid.Int64Range(0, prompt).Draw(t, "p"), Output: rapid.Int64Range(0, output).Draw(t, "o"), Cached: most.Draw(t, "cached"), Reasoning: most.Draw(t, "reasoning")}
		if n, w := l.of(u); v != fine || w != fine || n > reserved {
			t.Fatalf("%+v: %+v costs %d (%v), reserved were %d (%v)", l, u, n, w, reserved, v)
		}
	})
}

// TestPartsAllocateNothing: a cost with parts stays on the fast path.
func TestPartsAllocateNothing(t *testing.T) {
	call := Call{PromptTokens: 1000, MaxOutputTokens: 400}
	plan, err := costPolicy(t, "prompt_tokens - 0.9 * cached_tokens + 4 * max_output_tokens + reasoning_tokens").Match(&call)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = plan.Draws[0].Amount(&call) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
