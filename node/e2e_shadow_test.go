//go:build unix

package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// TestShadowInASwarm: a candidate that lets no mini run and adds a budget is looked at on three nodes. All calls are decided as before, by the stable
// revision; every node tells of all calls what the shadow would have decided otherwise, and explain of one; nothing is drawn on its budget. It ends when
// its time is over or somebody says so, and may then be tried or promoted.
func TestShadowInASwarm(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, string(triedPolicy(1, allModels)))
	stricter := []byte(strings.Replace(string(triedPolicy(2, noMini)), "rules:", "  - {name: other, token: compute, supply: {grant: 5}}\nrules:", 1) + "  - {when: model == 'large', draw: [other]}\n")
	shadow := func(doc []byte, bake string) api.Policy {
		t.Helper()
		got, err := s.nodes[0].ApplyPolicy(t.Context(), api.ApplyRequest{Source: doc, Rollout: map[string]string{"shadow": "true", "bake": bake}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := shadow(stricter, "1h"); got.Revision != 1 || got.Trial == nil || got.Trial.On != "shadow, for 1h" || got.Trial.Until == nil || got.Trial.Held != "" {
		t.Fatalf("%+v", got.Trial)
	}
	revisions(t, s.nodes, 1, 2)
	const rounds = 10
	var one string
	var sent, minis, larges int64
	for i := range rounds {
		for _, p := range s.nodes {
			for _, model := range []string{"mini", "large", "small", "small"} {
				a, err := p.Admit(t.Context(), api.AdmitRequest{Agent: fmt.Sprint("a", i), Model: model, Tokens: map[string]ledger.Tokens{"compute": 1}})
				if err != nil || a.Decision != "admit" || a.Policy.Revision != 1 || a.Policy.Arm != "" {
					t.Fatalf("%s: %+v, %v", model, a, err)
				}
				if _, err := p.Settle(t.Context(), api.SettleRequest{ID: a.ID}); err != nil {
					t.Fatal(err)
				}
				sent++
				switch model {
				case "mini":
					minis++
					if p == s.nodes[0] {
						one = a.ID
					}
				case "large":
					larges++
				}
			}
		}
	}
	seen := func(want int64) {
		t.Helper()
		eventually(t, func() error {
			for _, p := range s.nodes {
				got, err := p.Policy(t.Context())
				if err != nil || got.Trial == nil || got.Trial.Shadow == nil {
					return fmt.Errorf("%+v, %w", got.Trial, err)
				}
				v := got.Trial.Shadow
				if v.Compared+v.Dropped != want || v.Dropped == 0 && (v.Stricter != minis || v.Differ != minis+larges || v.Kinds["decision"] != minis || v.Kinds["draws"] != minis+larges || v.Looser != 0 || v.Assumed != larges) {
					return fmt.Errorf("%s: %+v, want %d compared, %d and %d", p.set.Name, v, want, minis, larges)
				}
				if len(v.Recent) == 0 || len(v.Recent) > 20 {
					return fmt.Errorf("%s shows %d calls", p.set.Name, len(v.Recent))
				}
			}
			return nil
		})
	}
	seen(sent)
	d, err := s.nodes[0].Decision(t.Context(), one)
	if err != nil || d.Decision != "admit" || d.Shadow == nil || d.Shadow.Revision != 2 || d.Shadow.Differences[0] != (api.ShadowDifference{What: "decision", Stable: "admitted", Shadow: "refused: no_rule"}) {
		t.Errorf("%+v, %v", d.Shadow, err)
	}
	if _, err := s.nodes[0].Budget(t.Context(), "other"); err == nil {
		t.Error("a budget of the shadow's is there")
	}
	eventually(t, func() error {
		if v := s.nodes[0].metric(`swarmpurse_shadow_calls_total{result="differ"}`); v != float64(minis+larges)/3 {
			return fmt.Errorf("metrics tell of %v differences", v)
		}
		return nil
	})
	// Its time is over: nobody looks any more, and calls go on as they were.
	if got := shadow(stricter, "1s"); got.Trial == nil || got.Trial.Shadow == nil {
		t.Fatalf("%+v", got.Trial)
	}
	eventually(t, func() error {
		for _, p := range s.nodes {
			if got, err := p.Policy(t.Context()); err != nil || got.Trial == nil || got.Trial.Shadow == nil || !got.Trial.Shadow.Ended || got.Trial.Until != nil {
				return fmt.Errorf("%s: %+v, %v", p.set.Name, got.Trial, err)
			}
		}
		return nil
	})
	seen(sent)
	// It goes on as a candidate for all calls when somebody says so, and is given up.
	if _, err := s.nodes[1].ApplyPolicy(t.Context(), api.ApplyRequest{Source: stricter, Rollout: map[string]string{"canary": "10%"}}); err == nil || !strings.Contains(err.Error(), `cannot add budget "other"`) {
		t.Error(err)
	}
	if _, err := s.nodes[1].ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{Why: "mini is needed"}); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 1, 0)
	h, err := s.nodes[2].PolicyHistory(t.Context())
	if err != nil || h.Revisions[0].Revision != 2 || h.Revisions[0].State != "rolled back" || h.Revisions[0].Shadow == nil || h.Revisions[0].Shadow.Differ != minis+larges {
		t.Errorf("%+v, %v", h.Revisions, err)
	}
	// Another one is promoted from being a shadow.
	if got, err := s.nodes[0].ApplyPolicy(t.Context(), api.ApplyRequest{Source: triedPolicy(3, noMini), Rollout: map[string]string{"shadow": "true"}}); err != nil || got.Trial == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := s.nodes[0].ActOnPolicy(t.Context(), api.Promote, api.PolicyAct{}); err != nil || got.Revision != 3 || got.Trial != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	revisions(t, s.nodes, 3, 0)
}
