package sim

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestBack: what the dead had is told, when it was in use again, and what nobody can claim.
func TestBack(t *testing.T) {
	type between [2]float64
	none := between{math.NaN(), math.NaN()}
	inf := math.Inf(1)
	die := func(nodes ...int) scenario.Fault {
		return scenario.Fault{Kind: scenario.Crash, At: 25 * time.Second, LoseDisk: true, Nodes: nodes}
	}
	for name, c := range map[string]struct {
		guards                    string
		fault                     scenario.Fault
		dead, stuck, frozen, back between
	}{
		"nobody dies":                {"lease: 10s\n", scenario.Fault{}, none, none, between{0, 0}, none},
		"one comes back on its disk": {"lease: 10s\n", scenario.Fault{Kind: scenario.Crash, At: 25 * time.Second, For: 5 * time.Second, Nodes: []int{1}}, none, none, between{0, 0}, none},
		"a founder dies":             {"lease: 10s\n", die(1), between{0.01, 0.3}, between{0, 0}, between{0, 0}, between{11, 45}},
		"a founder's machine is replaced": {"lease: 10s\n",
			scenario.Fault{Kind: scenario.Crash, At: 25 * time.Second, For: 5 * time.Second, LoseDisk: true, Nodes: []int{1}},
			between{0.01, 0.3}, between{0, 0}, between{0, 0}, between{5, 45}},
		"a founder leaves for good": {"lease: 10s\n", scenario.Fault{Kind: scenario.Leave, At: 25 * time.Second, Nodes: []int{1}},
			between{0, 0.01}, none, between{0, 0}, between{0, 10}},
		"nobody is guarded":                {"guardians: 0\n", die(1), between{0.01, 0.3}, between{1, 1}, between{0, 0}, none},
		"most die, and guardians of all":   {"lease: 10s\n", die(0, 1, 2, 3, 4, 5), between{0.5, 1}, between{0.01, 1}, between{0, 0.5}, between{0, inf}},
		"the lease outlives the end of it": {"lease: 10m\n", die(1), between{0.01, 0.3}, between{0, 0}, between{0, 0}, between{650, 800}},
	} {
		t.Run(name, func(t *testing.T) {
			sc := steady(t, 8, 50*time.Second)
			p, err := policy.Parse("test", []byte(strings.Replace(steadyPolicy, "tokens:\n", c.guards+"tokens:\n", 1)))
			if err != nil {
				t.Fatal(err)
			}
			sc.Policies = []*policy.Policy{p}
			if c.fault.Kind != "" {
				sc.Faults = []scenario.Fault{c.fault}
			}
			r, err := Run(t.Context(), sc, Options{Systems: []string{}})
			if err != nil || r.Violation != nil {
				t.Fatalf("%v, %+v", err, r.Violation)
			}
			s := r.System(result.Swarm)
			for _, x := range []struct {
				name string
				got  float64
				want between
			}{{"dead", s.Dead, c.dead}, {"stuck", s.Stuck, c.stuck}, {"frozen", s.Frozen, c.frozen}, {"back", s.Back, c.back}} {
				if no := math.IsNaN(x.want[0]); math.IsNaN(x.got) != no || !no && (x.got < x.want[0] || x.got > x.want[1]) {
					t.Errorf("%s is %v, not %v", x.name, x.got, x.want)
				}
			}
		})
	}
}
