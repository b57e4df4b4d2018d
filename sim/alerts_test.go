package sim

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/service"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestThresholdsAreThoseOfAlerts: what scenarios take for a drift, and for calls that are missed too fast, is what wakes people.
func TestThresholdsAreThoseOfAlerts(t *testing.T) {
	source, err := os.ReadFile("../node/telemetry/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(source, &doc); err != nil {
		t.Fatal(err)
	}
	// numbers are those in the alert's expression, in a form in which it must be.
	numbers := func(alert, form string) (list []float64) {
		t.Helper()
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				if r.Alert != alert {
					continue
				}
				m := regexp.MustCompile(form).FindStringSubmatch(r.Expr)
				if m == nil {
					t.Fatalf("the alert %s is %q", alert, r.Expr)
				}
				for _, s := range m[1:] {
					v, err := strconv.ParseFloat(s, 64)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, v)
				}
				return list
			}
		}
		t.Fatalf("there is no alert %s", alert)
		return nil
	}

	line := numbers("SwarmpurseModelDrifts", `^swarmpurse_output_above_reserved_ratio > ([0-9.]+) \* swarmpurse_output_above_expected_ratio \+ ([0-9.]+)$`)
	for _, expected := range []float64{0, 0.01, 0.05, 0.5} {
		at := line[0]*expected + line[1]
		if isDrift(&admit.Size{Expected: expected, Above: at - 1e-9}) || !isDrift(&admit.Size{Expected: expected, Above: at + 1e-9}) {
			t.Errorf("where %g are expected the alert begins at %g, and the figure drift_lasts does not", expected, at)
		}
	}

	fast := numbers("SwarmpurseClassBurnsFast", `ratio_rate5m / [a-z:_]+ > ([0-9.]+)\s+and [a-z:_]+ratio_rate1h / [a-z:_]+ > ([0-9.]+)\s*$`)
	if short, long := service.Windows[0].Length, service.Windows[2].Length; short != 5*time.Minute || long != time.Hour {
		t.Errorf("burn rates are taken over %v and %v, the alert's over 5m and 1h", short, long)
	}
	i := slices.IndexFunc(shipped(t, "objectives").Bounds, func(b scenario.Bound) bool {
		return b.Figure == "burn_rate" && b.Class == "batch" && b.Op == ">=" && b.Value == fast[0] && b.Value == fast[1]
	})
	if i < 0 {
		t.Errorf("objectives does not bind burn_rate[batch] at %v, from which the alert is", fast)
	}
}
