package sim

import (
	"fmt"
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const paceScenario = `apiVersion: swarmpurse/v1
name: paced
nodes: 2
zones: [{name: a}]
duration: 20s
policy:
  apiVersion: swarmpurse/v1
  revision: 1
  tokens: {bandwidth: {unit: byte}}
  budgets:
    - {name: line, token: bandwidth, supply: {rate: %s/s, burst: 100k}}
  rules:
    - {draw: [line]}
workload:
  - {name: answers, kind: poisson, rate: 2/s, prompt: 100, output: 10, max: 10, bytes: 100k, runs: {median: 500ms, p99: 1s}}
`

// TestAnswersArePaced: what a line brings passes, on a wide one and on one of a quarter of what answers want, where they take turns; nothing is
// owed. The judge sees every byte.
func TestAnswersArePaced(t *testing.T) {
	run := func(rate string) (passed, owed, settled int64) {
		sc, err := scenario.Parse("paced.yaml", fmt.Appendf(nil, paceScenario, rate))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Swarm(t.Context(), sc, Options{})
		if err != nil || r.Violation != nil {
			t.Fatal(err, r.Violation)
		}
		s := r.Systems[0]
		return s.Passed, s.Owed, s.Admitted
	}
	passed, owed, calls := run("2M")
	if owed != 0 || calls < 20 || passed != calls*100_000 {
		t.Errorf("on a wide line %d bytes of %d answers passed, %d of them owed", passed, calls, owed)
	}
	slow, owed, _ := run("50k")
	if owed != 0 || slow != passed {
		t.Errorf("on a line of a quarter of what they want %d bytes passed of %d, %d of them owed", slow, passed, owed)
	}
}

// TestBytesOfWindows: a scenario may not have bytes flow from windows.
func TestBytesOfWindows(t *testing.T) {
	src := []byte(fmt.Sprintf(paceScenario, "2M"))
	bad, err := scenario.Set(src, "policy.budgets.0.supply", "{window: 1h, amount: 1M}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.Parse("paced.yaml", bad); err == nil {
		t.Error("it is taken")
	}
}

// TestPaceBoundsCanFail: a line on which calls cannot be served in two seconds lets bytes pass without rights, and few at all.
func TestPaceBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	broken(t, "bandwidth", [][2]string{{"policy.budgets.1.supply.rate", "50k/s"}}, 0, "owed <= 0", "passed >= 240000000", "goodput >= 95%")
}
