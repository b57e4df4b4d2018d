//go:build unix

package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// A clock that steps forward by an hour makes no call older: the only slot stays with the call that has it, also when the
// node was killed meanwhile and only knows that somebody may have it.
func TestSlotOutlivesAStepOfTheClock(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"running": false, "killed before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSwarm(t, 1, document(1, "open", "slot", "{slots: 1}"))
			p := s.nodes[0]
			admit := func(wait string) (api.AdmitAnswer, time.Time) {
				t.Helper()
				a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"open": 1}, TTL: "10m", Wait: wait})
				if err != nil {
					t.Fatal(err)
				}
				d, err := p.Decision(t.Context(), a.ID)
				if err != nil {
					t.Fatal(err)
				}
				return a, d.At
			}
			first, begin := admit("30s") // for the disk, on a busy machine
			if !first.Admitted() {
				t.Fatalf("the slot is not given: %+v", first)
			}
			if killed {
				p.kill()
				p.restart()
			}
			if err := p.Faults(t.Context(), api.Faults{Clock: "1h"}); err != nil {
				t.Fatal(err)
			}
			// Until more than a whole second after the step, by the node's clock: it then has looked through all reservations.
			eventually(t, func() error {
				a, at := admit("0s")
				if a.Admitted() {
					t.Fatal("the slot was given to a second call")
				}
				if at.Before(begin.Add(time.Hour + 1500*time.Millisecond)) {
					return fmt.Errorf("the clock says %v", at)
				}
				return nil
			})
		})
	}
}

// A clock that is set wrong on purpose: a step forward is taken at once, a step back is worked off.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 1, computePolicy(1, "{grant: 1000}"))
	p := s.nodes[0]
	ahead := func() time.Duration {
		t.Helper()
		a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.Decision(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(d.At)
	}
	set := func(clock string) {
		t.Helper()
		if err := p.Faults(t.Context(), api.Faults{Clock: clock}); err != nil {
			t.Fatal(err)
		}
	}
	set("1h")
	eventually(t, func() error {
		if d := ahead(); d < 59*time.Minute {
			return fmt.Errorf("the clock is %v ahead", d)
		}
		return nil
	})
	set("-1h")
	first := ahead()
	eventually(t, func() error {
		if d := ahead(); d > first-50*time.Millisecond {
			return fmt.Errorf("the clock is %v ahead, as if it were right", d)
		}
		return nil
	})
	if d := ahead(); d < 58*time.Minute {
		t.Errorf("the clock stepped back: it is %v ahead now, was %v", d, first)
	}
}
