package sim

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

var debugKinds = map[string]int{}

func TestDebug(t *testing.T) {
	debugHook = func(s string) { debugKinds[s]++ }
	sc := steady(t, 1000, 20*time.Second)
	sc.Workload[0].Rate = 500
	sc.Policies[0] = bigPolicy(t)
	if os.Getenv("RATE") != "" {
		fmt.Sscan(os.Getenv("RATE"), &sc.Workload[0].Rate)
	}
	sc.Rest = 0
	w, err := newWorld(context.Background(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, sec := range []int{2, 5, 10, 15, 20} {
		clear(debugKinds)
		r, _ := w.run(Options{Until: time.Duration(sec) * time.Second})
		var hs []ledger.Shares
		hist := map[int]int{}
		var rights, lots ledger.Tokens
		for _, n := range w.nodes {
			if a := n.core.Replica.Account(w.pool.ids[0]); a != nil {
				s, _, _, _ := a.Peek()
				if s.Shares() > 0 {
					hs = append(hs, s.Shares())
					hist[int(float64(s.Shares())/1e9*2e6/1800)]++
				} else {
					lots += s.Balance()
				}
				rights += s.Balance()
			}
		}
		t.Logf("%ds: %d holders, rights %d, at those without shares %d, queue %v, adm %d asks %d %v", sec, len(hs), rights, lots, len(w.measure.queued), r.Systems[0].Admitted, w.measure.asks, debugKinds)
		t.Log(hist)
	}
}
