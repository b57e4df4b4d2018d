package ledger_test

import (
	"errors"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

func window(amount Tokens, length Millis) Spec {
	return Spec{Kind: Windowed, Amount: amount, Calendar: Calendar{Length: length}}
}

// testSpecs is one budget of every sort, each in three policy versions.
func testSpecs() map[string][]Spec {
	with := func(s Spec, f func(*Spec)) Spec { f(&s); return s }
	times := func(s Spec) []Spec {
		return []Spec{s, with(s, func(s *Spec) { s.Amount /= 2 }), with(s, func(s *Spec) { s.Amount *= 2 })}
	}
	grant := Spec{Kind: Grant, Amount: 1000}
	win := with(window(1000, 20_000), func(s *Spec) { s.RolloverPPM = 100_000 })
	rate := Spec{Kind: Rate, Amount: 500, Per: 100, PerMillis: 1000, Lend: DefaultLend}
	fed := with(rate, func(s *Spec) { s.Feedback = answering(1).Feedback })
	soft := func(s *Spec) { s.Ceiling = Soft; s.OverdraftPPM = 200_000 }
	return map[string][]Spec{
		"grant":       times(grant),
		"grant-soft":  times(with(grant, soft)),
		"grant-seen":  times(with(grant, func(s *Spec) { s.Ceiling = Observe })),
		"grant-rots":  times(with(grant, func(s *Spec) { s.HalfLife = 20_000 })),
		"window":      times(win),
		"window-cal":  {win, with(win, func(s *Spec) { s.Calendar.Length = 60_000 }), with(win, func(s *Spec) { s.Calendar.Length = 10_000; s.Amount = 700 })},
		"window-soft": times(with(win, func(s *Spec) { s.Ceiling = Soft; s.OverdraftPPM = 100_000; s.HalfLife = 30_000 })),
		"window-seen": times(with(win, func(s *Spec) { s.Ceiling = Observe })),
		"window-few":  times(window(6, 20_000)),
		"window-one":  times(with(window(3, 20_000), func(s *Spec) { s.RolloverPPM = 1_000_000 })),
		"slots":       times(Spec{Kind: Slots, Amount: 24}),
		"rate":        times(rate),
		"rate-soft":   times(with(rate, soft)),
		"rate-seen":   times(with(rate, func(s *Spec) { s.Ceiling = Observe })),
		"rate-fed":    times(fed),
		"fed-soft":    times(with(fed, soft)),
	}
}

// swarm draws a world of some of the budgets.
func swarm(t *rapid.T, names ...string) *world {
	all := testSpecs()
	if len(names) == 0 {
		names = []string{"grant", "grant-soft", "grant-seen", "grant-rots", "window", "window-cal", "window-soft", "window-seen", "window-few", "window-one", "slots", "rate", "rate-soft", "rate-seen", "rate-fed", "fed-soft"}
		names = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 2, 2, rapid.ID[string]).Draw(t, "budgets")
	}
	specs := map[string][]Spec{}
	for _, n := range names {
		specs[n] = all[n]
	}
	n := rapid.IntRange(2, 4).Draw(t, "nodes")
	w := newWorld(n, rapid.IntRange(1, n).Draw(t, "founders"), 1, specs)
	w.fatalf, w.logf = t.Fatalf, t.Logf
	return w
}

func (w *world) anyUp(t *rapid.T) *wnode {
	n := rapid.SampledFrom(w.nodes).Draw(t, "node")
	if n.r == nil {
		t.Skip("down")
	}
	return n
}

func (w *world) drawReserve(t *rapid.T, n *wnode) {
	ids := []InstanceID{rapid.SampledFrom(w.ids).Draw(t, "id")}
	if len(w.ids) > 1 && rapid.IntRange(0, 3).Draw(t, "both") == 0 {
		ids = w.ids[:2]
	}
	var amounts []Tokens
	for _, id := range ids {
		most := max(1, w.specs[id][0].Amount/2)
		amounts = append(amounts, Tokens(rapid.Int64Range(1, int64(most)).Draw(t, "amount")))
	}
	n.reserve(ids, amounts, rapid.Bool().Draw(t, "overdraw"), true)
}

func (w *world) drawSettle(t *rapid.T, n *wnode) {
	if len(n.open) > 0 {
		n.settle(rapid.IntRange(0, len(n.open)-1).Draw(t, "call"), rapid.SampledFrom([]int64{0, 50, 100, 130}).Draw(t, "used %"))
	}
}

func (w *world) drawBatch(t *rapid.T, n *wnode) {
	o := rapid.SampledFrom([]outcome{commit, commit, commit, commit, commit, commit, abort, crashBefore, crashAfter}).Draw(t, "disk")
	n.batch(o, func() {
		for range rapid.IntRange(0, 2).Draw(t, "meanwhile") {
			if rapid.Bool().Draw(t, "settle") {
				w.drawSettle(t, n)
			} else if a := n.r.Account(w.ids[0]); a != nil {
				n.admitOnly(a, Tokens(rapid.Int64Range(1, max(1, int64(w.specs[w.ids[0]][0].Amount)/4)).Draw(t, "amount")))
			}
		}
	})
}

// admitOnly reserves as another goroutine would, that does not own the replica.
func (n *wnode) admitOnly(a *Account, amount Tokens) {
	takes := []Take{{Account: a, Amount: amount}}
	if why, _ := Reserve(n.clock(), n.clock()+ttl, takes, true); why == Enough {
		n.open = append(n.open, &reservation{takes, n.clock() + ttl})
		n.w.model.admitted(n, takes[0])
	}
}

// actions is all that can happen to a swarm.
func (w *world) actions(steps bool) map[string]func(*rapid.T) {
	acts := map[string]func(*rapid.T){
		"reserve":  func(t *rapid.T) { w.drawReserve(t, w.anyUp(t)) },
		"reserve2": func(t *rapid.T) { w.drawReserve(t, w.anyUp(t)) },
		"settle":   func(t *rapid.T) { w.drawSettle(t, w.anyUp(t)) },
		"batch":    func(t *rapid.T) { w.drawBatch(t, w.anyUp(t)) },
		"batch2":   func(t *rapid.T) { w.anyUp(t).batch(commit, nil) },
		"serve": func(t *rapid.T) {
			n, id := w.anyUp(t), rapid.SampledFrom(w.ids).Draw(t, "id")
			amount := Tokens(rapid.Int64Range(1, max(1, int64(w.specs[id][0].Amount)/3)).Draw(t, "amount"))
			for range 8 {
				if n.r == nil || n.reserve([]InstanceID{id}, []Tokens{amount}, false, true) {
					return
				}
				w.round(20)
			}
			n.r.Waiting(n.clock(), id, Need{})
		},
		"tick": func(t *rapid.T) {
			n := w.anyUp(t)
			n.r.Tick(n.clock())
			w.drawBatch(t, n)
		},
		"round": func(t *rapid.T) { w.round(Millis(rapid.IntRange(1, 400).Draw(t, "ms"))) },
		"rough round": func(t *rapid.T) { // one batch of one node fails, or the node crashes in it and is back at once
			n, k := w.anyUp(t), rapid.IntRange(0, 4).Draw(t, "batch")
			o := rapid.SampledFrom([]outcome{abort, crashBefore, crashAfter}).Draw(t, "disk")
			w.fate = func(x *wnode) outcome {
				if x != n {
					return commit
				}
				if k--; k == -1 {
					return o
				}
				return commit
			}
			w.round(Millis(rapid.IntRange(1, 400).Draw(t, "ms")))
			w.fate = nil
		},
		"deliver": func(t *rapid.T) {
			for range rapid.IntRange(1, 6).Draw(t, "packets") {
				if len(w.net) == 0 {
					return
				}
				k := rapid.IntRange(0, len(w.net)-1).Draw(t, "packet")
				w.deliver(k, rapid.Bool().Draw(t, "again"))
			}
		},
		"lose": func(t *rapid.T) {
			if len(w.net) > 0 {
				k := rapid.IntRange(0, len(w.net)-1).Draw(t, "packet")
				w.net = append(w.net[:k:k], w.net[k+1:]...)
			}
		},
		"replay": func(t *rapid.T) {
			if len(w.old) > 0 {
				w.receive(w.old[rapid.IntRange(0, len(w.old)-1).Draw(t, "packet")])
			}
		},
		"wait": func(t *rapid.T) {
			w.now += Instant(rapid.SampledFrom([]int{10, 200, 1000, 7000, 20_000, 45_000}).Draw(t, "ms"))
		},
		"refused by the provider": func(t *rapid.T) {
			n := w.anyUp(t)
			if a := n.r.Account(rapid.SampledFrom(w.ids).Draw(t, "id")); a != nil {
				ago := Instant(rapid.SampledFrom([]int{0, 800, 3000}).Draw(t, "sent ago"))
				a.Refused(n.clock(), n.clock()-ago, Millis(rapid.SampledFrom([]int{0, 5000, 90_000}).Draw(t, "wait")))
			}
			if len(n.open) > 0 {
				n.forfeit(rapid.IntRange(0, len(n.open)-1).Draw(t, "call"))
			}
		},
		"crash": func(t *rapid.T) { w.anyUp(t).crash() },
		"restart": func(t *rapid.T) {
			n := rapid.SampledFrom(w.nodes).Draw(t, "node")
			if n.r == nil {
				n.start(uint64(w.now))
				w.members()
			}
		},
		"mint": func(t *rapid.T) {
			n := w.anyUp(t)
			id := rapid.SampledFrom(w.ids).Draw(t, "id")
			if k := w.specs[id][0].Kind; k != Grant && k != Windowed {
				t.Skip("takes no top-ups")
			}
			name := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "top-up")
			repeated, err := n.r.Mint(n.clock(), id, 100, name)
			if err != nil {
				t.Fatalf("mint: %v", err)
			}
			known := slices.ContainsFunc(append(n.mints, w.model.mints...), func(m topUp) bool {
				return m.node == n.i && m.name == name && name != ""
			})
			if repeated != known {
				t.Fatalf("top-up %q on node %d: repeated %v, known %v", name, n.i, repeated, known)
			}
			if !repeated {
				n.mints = append(n.mints, topUp{n.i, id, name})
			}
		},
		"burn": func(t *rapid.T) {
			n := w.anyUp(t)
			id := rapid.SampledFrom(w.ids).Draw(t, "id")
			if k := w.specs[id][0].Kind; k != Grant && k != Windowed {
				t.Skip("comes back")
			}
			amount := Tokens(rapid.SampledFrom([]int{1, 30, 200}).Draw(t, "amount"))
			switch _, err := n.r.Burn(n.clock(), id, amount, ""); {
			case err == nil:
				w.model.burned(n, id, amount)
			case !errors.Is(err, ErrTooFew):
				t.Fatalf("burn: %v", err)
			}
		},
		"respec": func(t *rapid.T) {
			n := w.anyUp(t)
			n.version = rapid.IntRange(0, 2).Draw(t, "version")
			n.r.Respec(n.clock())
		},
		"partition": func(t *rapid.T) {
			for _, n := range w.nodes {
				n.side = rapid.IntRange(0, 1).Draw(t, "side")
			}
			w.members()
		},
		"heal": func(t *rapid.T) {
			for _, n := range w.nodes {
				n.side = 0
			}
			w.members()
		},
		"leave": func(t *rapid.T) {
			n, to := w.anyUp(t), w.anyUp(t)
			if n == to || n.side != to.side {
				t.Skip("no heir")
			}
			if err := n.r.Leave(n.clock(), to.self); err != nil {
				t.Fatalf("leave: %v", err)
			}
			n.left = true
		},
		"shares": func(t *rapid.T) { w.drawShares(t) },
		"rights": func(t *rapid.T) {
			n, to := w.anyUp(t), rapid.SampledFrom(w.nodes).Draw(t, "to")
			if n != to {
				ago := Instant(rapid.SampledFrom([]int{0, 500, 6000}).Draw(t, "asked ago"))
				n.r.GiveRights(n.clock(), rapid.SampledFrom(w.ids).Draw(t, "id"), to.self, Tokens(rapid.Int64Range(1, 400).Draw(t, "n")), to.clock()-ago)
			}
		},
		"digest": func(t *rapid.T) {
			n, to := w.anyUp(t), w.anyUp(t)
			n.digest(to)
		},
		"": func(t *rapid.T) { w.check() },
	}
	if steps {
		acts["clock"] = func(t *rapid.T) {
			n := rapid.SampledFrom(w.nodes).Draw(t, "node")
			was := n.off
			n.off = Millis(rapid.SampledFrom([]int{-30_000, -3000, 0, 2000, 25_000}).Draw(t, "off"))
			w.model.jumps += max(0, n.off-was)
		}
	}
	return acts
}

func (w *world) drawShares(t *rapid.T) {
	n, to := w.anyUp(t), rapid.SampledFrom(w.nodes).Draw(t, "to")
	if n != to {
		n.r.GiveShares(n.clock(), rapid.SampledFrom(w.ids).Draw(t, "id"), to.self, TotalShares/Shares(rapid.SampledFrom([]int{1, 2, 3, 10, 1000}).Draw(t, "part")))
	}
}

// TestWindowShareLaws: shares that wander between nodes whose clocks disagree issue at most once in a window.
func TestWindowShareLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := swarm(t, "window", "window-cal", "window-few", "window-one")
		for _, n := range w.nodes {
			n.off = Millis(rapid.SampledFrom([]int{0, -1500, 15_000, -25_000}).Draw(t, "skew"))
			n.reserve(w.ids, []Tokens{1, 1, 1, 1}, false, false)
			n.batch(commit, nil)
		}
		all := w.actions(false)
		acts := map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				w.now += Instant(rapid.SampledFrom([]int{100, 5000, 12_000, 21_000}).Draw(t, "ms"))
			},
			"tick": func(t *rapid.T) { n := w.anyUp(t); n.r.Tick(n.clock()) },
			"tick+": func(t *rapid.T) {
				n := w.anyUp(t)
				n.r.Tick(n.clock())
				n.batch(commit, nil)
			},
			"shares2": all["shares"],
		}
		for _, name := range []string{"", "shares", "rights", "reserve", "batch", "batch2", "deliver", "replay", "round", "restart", "respec"} {
			acts[name] = all[name]
		}
		for range 2 {
			t.Repeat(acts)
		}
		w.heal(0)
		w.issuesWhole()
	})
}

// TestRateLaw: over any time T, at most rate × (T + L) + burst and the refunds of that time are admitted,
// while rights and shares wander, nodes crash, and clocks run apart (but never ahead of time).
func TestRateLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := swarm(t, rapid.SampledFrom([]string{"rate", "rate-fed"}).Draw(t, "budget"))
		for _, n := range w.nodes {
			n.off = Millis(rapid.SampledFrom([]int{0, -1500, 15_000, -25_000}).Draw(t, "skew"))
		}
		acts := w.actions(false)
		for _, name := range []string{"mint", "respec"} {
			delete(acts, name)
		}
		id := w.ids[0]
		acts["drain"] = func(t *rapid.T) { // takes all that is there, everywhere: the worst that callers can do
			for _, n := range w.nodes {
				if n.r == nil {
					continue
				}
				if a := n.r.Account(id); a != nil {
					n.admitOnly(a, a.Rights(n.clock()))
				}
			}
		}
		acts["refund"] = func(t *rapid.T) {
			if n := w.anyUp(t); len(n.open) > 0 {
				n.settle(0, 0)
			}
		}
		acts["mill"] = func(t *rapid.T) { // rights and shares on the move, everybody's mark kept ahead
			for range rapid.IntRange(1, 5).Draw(t, "rounds") {
				acts["rights"](t)
				acts["shares"](t)
				w.round(Millis(rapid.SampledFrom([]int{1, 100, 2000}).Draw(t, "ms")))
				acts["drain"](t)
			}
		}
		for range 2 {
			t.Repeat(acts)
		}
		w.heal(0)
		w.issuesWhole()
	})
}

// TestSwarmLaws: whatever happens, in whatever order, the invariants hold after every step, and when faults
// end the swarm comes to rest with nothing stuck.
func TestSwarmLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := swarm(t)
		for _, n := range w.nodes {
			n.off = Millis(rapid.SampledFrom([]int{0, -1500, 900}).Draw(t, "skew"))
		}
		for range 3 {
			t.Repeat(w.actions(true))
		}
		w.heal(0)
		w.issuesWhole()
	})
}
