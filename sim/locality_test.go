package sim

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const localityScenario = `apiVersion: swarmpurse/v1
name: local
nodes: 8
zones: [{name: eu}, {name: us}]
duration: 10s
upstreams:
  - {name: far, zone: us, begins: 30ms}
policy:
  apiVersion: swarmpurse/v1
  revision: 1
  tokens: {compute: {unit: token}}
  data: {docs: {zones: [eu]}}
  upstreams:
    - {name: near, zones: [eu], price: {input: 2, output: 2}}
    - {name: far, zones: [us], price: {input: 1, output: 1}}
  budgets:
    - {name: pool, token: compute, supply: {rate: 1M/s, burst: 1M}}
  rules:
    - {draw: [pool], route: price}
workload:
  - {name: free, kind: poisson, rate: 40/s, prompt: 100, output: 10, max: 10}
  - {name: bound, kind: poisson, rate: 40/s, prompt: 100, output: 10, max: 10, data: [docs], stays: [eu]}
`

func localRun(t *testing.T, sets ...[2]string) (violation string, money, saved float64, redirected, refused int64) {
	t.Helper()
	src := []byte(localityScenario)
	for _, set := range sets {
		var err error
		if src, err = scenario.Set(src, set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	sc, err := scenario.Parse("local.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Swarm(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		violation = r.Violation.Invariant + ": " + r.Violation.Detail
	}
	s := r.Systems[0]
	return violation, s.Money, 1 - s.Money/s.MoneyFirst, s.Redirected, s.Refused
}

// TestLocality: bound calls made in the wrong zone go to a node of the right one, free ones where they are cheap.
func TestLocality(t *testing.T) {
	violation, money, saved, redirected, refused := localRun(t)
	// 110 tokens a call: the free half saves half of its money.
	if violation != "" || money == 0 || saved < 0.2 || saved > 0.3 || redirected < 100 || redirected > 300 || refused != 0 {
		t.Errorf("%q, money %v, saved %v, redirected %d, refused %d", violation, money, saved, redirected, refused)
	}
	if _, _, _, _, refused := localRun(t, [2]string{"faults", "[{kind: partition, at: 3s, for: 4s, zone: us}]"}); refused == 0 || refused > 30 {
		t.Errorf("%d calls did not reach their upstream while it was cut off; each of four nodes tries a call in five seconds", refused)
	}
}

// TestDataThatLeaves: the judge knows nothing of the policy, so one that binds the data to another zone, or not at all, is found out.
func TestDataThatLeaves(t *testing.T) {
	for _, c := range []struct{ path, value, says string }{
		{"policy.data.docs.zones", "[us]", "data stays in its zones: "},
		{"policy.data.docs.zones", "[eu, us]", "data stays in its zones: "},
		{"policy.upstreams.0.zones", "[eu, us]", ""}, // then no upstream may take it
	} {
		violation, _, _, _, _ := localRun(t, [2]string{c.path, c.value})
		if c.says == "" && violation != "" || !strings.HasPrefix(violation, c.says) {
			t.Errorf("%s %s: %q, want %q", c.path, c.value, violation, c.says)
		}
	}
}
