//go:build unix

package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/needs"
)

// zone is where windows do not turn while the tests run, but those that are shorter than an hour do.
var zone = needs.Zone()

// document is a policy with one hard budget, "pot", that every call draws on.
func document(revision int, token, unit, supply string) string {
	return fmt.Sprintf(`apiVersion: swarmpurse/v1
revision: %d
timezone: %s
tokens:
  %s: {unit: %s}
budgets:
  - {name: pot, token: %s, supply: %s}
rules:
  - draw: [pot]
default: deny
`, revision, zone, token, unit, token, supply)
}

func computePolicy(revision int, supply string) string {
	return document(revision, "compute", "token", supply)
}

// A grant, and a window that does not turn meanwhile, hammered from all sides.
func TestHardBudgetIsNeverOverspent(t *testing.T) {
	limit := scale(1_200_000)
	for _, c := range []struct {
		name   string
		nodes  int
		supply string
		used   func(*rand.Rand, int64) int64
		memory bool
	}{
		{"grant on three nodes", 3, fmt.Sprintf("{grant: %d}", limit), nil, false},
		{"grant on five nodes, used less than reserved", 5, fmt.Sprintf("{grant: %d}", limit), twoThirds, false},
		{"window on three nodes, used less than reserved", 3, fmt.Sprintf("{window: month, amount: %d}", limit), twoThirds, true},
		{"window on five nodes", 5, fmt.Sprintf("{window: month, amount: %d}", limit), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSwarm(t, c.nodes, computePolicy(1, c.supply), func(set *settings) {
				if c.memory {
					set.Data = ""
				}
			})
			var b bank
			offer := limit*2 + limit/5
			if c.used != nil {
				offer = limit * 4 // half of it comes back
			}
			hammer{budget: "pot", token: "compute", workers: 24 / c.nodes, offer: offer, wait: "1s", sizes: mixed, used: c.used}.run(s, &b)
			within(t, &b, limit, 0)
			in, took := s.totals("pot", "pot")
			t.Logf("all nodes agree after %v", took.Round(time.Millisecond))
			if int64(in.Swarm.Spent) != b.admitted.Load() {
				t.Errorf("the swarm reports %d tokens spent, callers were charged %d", in.Swarm.Spent, b.admitted.Load())
			}
			if in.Overspend != 0 || int64(in.Limit) != limit {
				t.Errorf("limit %d, overspend %d", in.Limit, in.Overspend)
			}
		})
	}
}

// Windows of two seconds: none is overspent, whatever happens at the turn.
func TestShortWindowsAreNeverOverspent(t *testing.T) {
	t.Parallel()
	const limit, length = 60_000, 2 * time.Second
	s := newSwarm(t, 3, computePolicy(1, fmt.Sprintf("{window: 2s, amount: %d}", limit)))
	b := bank{}
	span := 9 * time.Second
	if testing.Short() {
		span = 5 * time.Second
	}
	h := hammer{budget: "pot", token: "compute", workers: 6, span: span, wait: "300ms", sizes: mixed, used: twoThirds, keep: true, pause: 10 * time.Millisecond}
	h.run(s, &b)

	// A decision is stamped when the node began to decide, at or before the reservation, and the reservation is
	// made before the caller hears of it. So a call lies in a range of windows for certain if its stamp is not
	// before them and its answer came before their end, by clocks that may be some milliseconds apart.
	const apart = 25 * time.Millisecond
	type at struct {
		time, got time.Time
		net       int64
	}
	var list []at
	for _, c := range b.list {
		d, err := s.nodes[c.node].Decision(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, at{d.At, c.got.Add(apart), c.net})
	}
	if len(list) == 0 {
		t.Fatal("nothing was admitted")
	}
	first := slices.MinFunc(list, func(a, b at) int { return a.time.Compare(b.time) }).time.Truncate(length)
	last := slices.MaxFunc(list, func(a, b at) int { return a.time.Compare(b.time) }).time
	full, used := 0, int64(0)
	for from := first; from.Before(last); from = from.Add(length) {
		for to := from.Add(length); to.Before(last.Add(length)); to = to.Add(length) {
			var got, all int64 // for certain; by the stamps alone
			for _, c := range list {
				if !c.time.Before(from) && c.got.Before(to) {
					got += c.net
				}
				if !c.time.Before(from) && c.time.Before(to) {
					all += c.net
				}
			}
			if most := int64(to.Sub(from)/length) * limit; got > most {
				t.Errorf("OVERSPENT: %d tokens from %v to %v, at most %d are allowed", got, from, to, most)
			}
			if to.Sub(from) == length && from.After(first) && to.Before(last) {
				full++
				used += all
				t.Logf("window %v: %d of %d tokens, %d of them for certain", from.Format("05"), all, limit, got)
			}
		}
	}
	if full == 0 {
		t.Fatal("no whole window was seen")
	}
	share := 100 * float64(used) / float64(full*limit)
	t.Logf("%d whole windows: %.2f %% of their limit used", full, share)
	if asked := b.offered.Load() / int64(span/length); asked > 2*limit && share < 98 {
		t.Errorf("%.2f %% of the limit was used while %d tokens were asked for in each window", share, asked)
	}
}

// A rate: over any time T at most rate × (T + lend) + burst, and a swarm that is asked for more than twice the
// rate admits nearly all of it.
func TestRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	const rate, burst, lend = 40_000, 20_000, 2 * time.Second
	s := newSwarm(t, 3, computePolicy(1, fmt.Sprintf("{rate: %d/s, burst: %d, lend: %v}", rate, burst, lend)))
	span := 6 * time.Second
	if testing.Short() {
		span /= 2
	}
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 10, span: span, wait: "100ms",
		sizes: mixed, keep: true, pause: 10 * time.Millisecond}
	h.run(s, &b)

	slices.SortFunc(b.list, func(a, b paid) int { return a.got.Compare(b.got) })
	worst := -1.0
	for _, from := range b.list {
		sum := int64(0)
		for _, c := range b.list {
			if c.sent.Before(from.sent) {
				continue
			}
			sum += c.net
			t := c.got.Sub(from.sent)
			worst = max(worst, float64(sum)/(rate*(t+lend).Seconds()+burst))
		}
	}
	if len(b.list) == 0 {
		t.Fatal("nothing was admitted")
	}
	whole := b.list[len(b.list)-1].got.Sub(b.list[0].sent).Seconds()
	good := float64(b.admitted.Load()) / (rate * whole)
	t.Logf("%.1f s: %.1f %% of the rate admitted; at worst %.1f %% of rate × (T + lend) + burst in any interval", whole, 100*good, 100*worst)
	if worst > 1 {
		t.Errorf("OVERSPENT: an interval had %.1f %% of rate × (T + lend) + burst", 100*worst)
	}
	if asked := float64(b.offered.Load()) / whole; asked > 2*rate && good < 0.9 {
		t.Errorf("only %.1f %% of the rate was admitted while %.0f tokens/s were asked for", 100*good, asked)
	}
}

// Slots: never more calls at once than there are, counted by the callers.
func TestSlotsAreNeverExceeded(t *testing.T) {
	const slots = 12
	s := newSwarm(t, 3, document(1, "open", "slot", fmt.Sprintf("{slots: %d}", slots)))
	var open, most, done atomic.Int64
	want := scale(1200)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var wg sync.WaitGroup
	for i, p := range s.nodes {
		for w := range 12 {
			r := rand.New(rand.NewPCG(uint64(i), uint64(w)))
			wg.Go(func() {
				for (done.Load() < want || most.Load() < slots) && ctx.Err() == nil { // all slots at once may take longer, where callers hardly run at once
					a, err := p.Admit(ctx, api.AdmitRequest{Tenant: "t", Tokens: map[string]ledger.Tokens{"open": 1}, Wait: "1s", TTL: "1m"})
					if err != nil {
						t.Errorf("admit: %v", err)
						return
					}
					if !a.Admitted() {
						continue
					}
					n := open.Add(1)
					if n > slots {
						t.Errorf("OVERSPENT: %d calls at once with %d slots", n, slots)
					}
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
					open.Add(-1)
					done.Add(1)
					if r.IntN(2) == 0 {
						_, err = p.Release(ctx, a.ID)
					} else {
						_, err = p.Settle(ctx, api.SettleRequest{ID: a.ID})
					}
					if err != nil {
						t.Errorf("end of %s: %v", a.ID, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d calls, at most %d at once of %d slots", done.Load(), most.Load(), slots)
	if done.Load() < want {
		t.Errorf("only %d calls ran", done.Load())
	}
	if most.Load() < slots {
		t.Errorf("in %v 36 callers never had more than %d of %d slots at once", 2*patience, most.Load(), slots)
	}
	in, _ := s.totals("pot", "pot")
	if in.Swarm.Rights != slots || in.Swarm.Spent != 0 {
		t.Errorf("after all calls ended: %+v", in.Swarm)
	}
}
