//go:build unix

package node_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// guardedPolicy is computePolicy with the shortest lease there is, and little autonomy.
func guardedPolicy(revision int, supply string) string {
	return strings.Replace(computePolicy(revision, supply), "\ntokens:", "\nlease: 10s\nautonomy: 1s\ntokens:", 1)
}

// guarded waits until every node has said so often that it has guardians.
func (s *swarm) guarded(times int) {
	s.t.Helper()
	eventually(s.t, func() error {
		for _, p := range s.nodes {
			if n := strings.Count(p.log.String(), "guardians keep copies of what this node holds"); n < times {
				return fmt.Errorf("%s has named guardians %d times, want %d", p.set.Name, n, times)
			}
		}
		return nil
	})
}

func (p *proc) generation() string {
	p.t.Helper()
	st, err := p.Status(p.t.Context())
	if err != nil {
		p.t.Fatalf("%s: %v", p.set.Name, err)
	}
	return st.Generation
}

// use has some nodes spend what there is until a time, or until callers have got so much. Its calls are large, so that a
// machine on which few calls a second are made uses up what there is all the same.
func (s *swarm) use(b *bank, want int64, until time.Time, nodes ...int) {
	s.t.Helper()
	h := hammer{budget: "pot", token: "compute", workers: 3, wait: "500ms", sizes: large, pause: 5 * time.Millisecond, nodes: nodes}
	for b.admitted.Load() < want && time.Now().Before(until) {
		h.span = min(time.Second, time.Until(until))
		h.run(s, b)
	}
}

// A node dies with its directory, and the others use what it had.
func TestRightsOfADeadNodeComeBack(t *testing.T) {
	t.Parallel()
	limit := scale(1_200_000)
	s := newSwarm(t, 5, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)))
	s.guarded(1)
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 1, offer: limit / 20, wait: "1s", sizes: mixed, pause: 20 * time.Millisecond}
	h.run(s, &b)
	dead := s.nodes[4]
	had, err := dead.instanceOf("pot", "pot")
	if err != nil || int64(had.Local.Rights) < limit/10 {
		t.Fatalf("it has %+v, %v", had.Local, err)
	}
	dead.kill()
	died := time.Now()
	if err := os.RemoveAll(dead.set.Data); err != nil {
		t.Fatal(err)
	}
	want := limit - limit/50 // but for what it may have spent that nobody knows of
	s.use(&b, want, time.Now().Add(2*patience), 0, 1, 2, 3)
	t.Logf("%d of %d tokens used %v after its death, when it had %d", b.admitted.Load(), limit, time.Since(died).Round(time.Millisecond), had.Local.Rights)
	if got := b.admitted.Load(); got < want || got > limit {
		t.Errorf("callers got %d tokens after the death, want %d to %d", got, want, limit)
	}
}

// A node is stopped for so long that its guardians give it up, and goes on as if nothing had been. It hears of it, becomes
// its next generation in the same process, answers truly for calls of the one before, and nothing is admitted twice.
func TestPausedNodeWasGivenUp(t *testing.T) {
	t.Parallel()
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("in memory %v", memory), func(t *testing.T) {
			t.Parallel()
			limit := scale(1_200_000)
			s := newSwarm(t, 5, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)), func(set *settings) {
				if memory {
					set.Data = ""
				}
			})
			s.guarded(1)
			var b bank
			h := hammer{budget: "pot", token: "compute", workers: 1, offer: limit / 20, wait: "1s", sizes: mixed, pause: 20 * time.Millisecond}
			h.run(s, &b)
			p := s.nodes[4]
			open := p.admit(1000)
			b.admitted.Add(1000)
			gen := p.generation()
			time.Sleep(time.Second) // so that its guardians hold what was reserved
			p.signal(syscall.SIGSTOP)
			stopped := time.Now()
			waits := make(chan error, 1)
			go func() { // a call that comes while it is stopped is answered by what it is then
				a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 10}, Wait: "10s"})
				if err == nil && a.Admitted() {
					b.admitted.Add(10)
				}
				waits <- err
			}()
			s.use(&b, limit-limit/50, time.Now().Add(2*patience), 0, 1, 2, 3)
			got := b.admitted.Load()
			t.Logf("%d of %d tokens used %v after it was stopped", got, limit, time.Since(stopped).Round(time.Millisecond))
			if got < limit-limit/50 {
				t.Errorf("callers got %d tokens of %d while it was stopped", got, limit)
			}
			p.signal(syscall.SIGCONT)
			took := eventually(t, func() error {
				if p.generation() == gen {
					return fmt.Errorf("%s is still generation %s", p.set.Name, gen)
				}
				return nil
			})
			t.Logf("it knows after %v", took.Round(time.Millisecond))
			if err := <-waits; err != nil {
				t.Errorf("a call that came while it was stopped: %v", err)
			}
			// What it had reserved is spent, whatever the call used.
			rc, err := p.Settle(t.Context(), api.SettleRequest{ID: open.ID, Used: map[string]ledger.Tokens{"compute": 400}})
			if err != nil || rc.Charged["pot"] != 1000 {
				t.Errorf("%+v, %v", rc, err)
			}
			if d, err := p.Decision(t.Context(), open.ID); err != nil || d.State != "settled" {
				t.Errorf("%+v, %v", d, err)
			}
			s.ready()
			s.use(&b, limit+1, time.Now().Add(3*time.Second), 4, 0)
			if got := b.admitted.Load(); got > limit {
				t.Errorf("OVERSPENT: callers got %d tokens of %d", got, limit)
			}
			if !strings.Contains(p.log.String(), "was given up by its guardians") {
				t.Errorf("the log does not say it:\n%s", p.log.last(10))
			}
		})
	}
}

// Two of three guardians are cut off. What is held goes on; then hard stock waits, with the reason, and goes on when one
// of them is back.
func TestTwoGuardiansCutOff(t *testing.T) {
	t.Parallel()
	limit := scale(1_200_000)
	s := newSwarm(t, 4, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit))) // each is guarded by all others
	s.guarded(1)
	n1 := s.nodes[0]
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 1, span: 2 * time.Second, sizes: func(*rand.Rand) int64 { return 500 }, pause: 20 * time.Millisecond, nodes: []int{0}}
	h.run(s, &b)
	cut := func(from ...string) {
		for _, p := range s.nodes {
			f := api.Faults{}
			for _, name := range from {
				switch p.set.Name {
				case "n1":
					f.Drop = append(f.Drop, name)
				case name:
					f.Drop = append(f.Drop, "n1")
				}
			}
			if err := p.Faults(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut("n2", "n3")
	var got ledger.Tokens
	var no api.AdmitAnswer
	eventually(t, func() error {
		a, err := n1.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 500}})
		switch {
		case err != nil:
			t.Fatal(err)
		case a.Admitted():
			got += 500
			n1.settle(a.ID)
		default:
			no = a
		}
		if no.Code != admit.CodeGuardians {
			return fmt.Errorf("%d tokens admitted, the last answer is %+v", got, a)
		}
		return nil
	})
	if int64(got) > limit/8 || no.Decision != "defer" || no.RetryAfterMS <= 0 || !strings.Contains(no.Reason, "fewer than 2 of this node's 3 guardians answer") {
		t.Errorf("%d tokens admitted, then %+v", got, no)
	}
	t.Logf("%d tokens admitted without a majority of guardians", got)
	mint := func(id string) api.MintReceipt {
		rc, err := n1.Mint(t.Context(), api.MintRequest{Budget: "pot", Amount: 1000, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return rc
	}
	if rc := mint("cut off"); !rc.Unheld {
		t.Errorf("a top-up that no guardian has: %+v", rc)
	}
	cut("n3")
	took := eventually(t, func() error {
		a, err := n1.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": ledger.Tokens(limit / 6)}, Wait: "1s"})
		if err != nil || !a.Admitted() {
			return fmt.Errorf("%+v, %v", a, err)
		}
		return nil
	})
	t.Logf("it goes on %v after one is back", took.Round(time.Millisecond))
	if rc := mint("back"); rc.Unheld {
		t.Errorf("a top-up that two guardians have: %+v", rc)
	}
}

// A cluster of three guards nobody, and is what it was; the fourth member brings guardians to all, under load.
func TestFourthMemberBringsGuardians(t *testing.T) {
	t.Parallel()
	limit := scale(1_200_000)
	s := newSwarm(t, 3, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)))
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 2, offer: limit / 4, wait: "1s", sizes: mixed, used: twoThirds}
	h.run(s, &b)
	s.totals("pot", "pot")
	for _, p := range s.nodes {
		if strings.Contains(p.log.String(), "guardians keep copies") {
			t.Fatalf("%s has guardians among three members", p.set.Name)
		}
	}
	s.add(s.settings("n4"))
	h.offer, h.nodes = b.offered.Load()+limit/4, []int{0, 1, 2}
	h.run(s, &b)
	s.ready()
	s.guarded(1)
	h.offer, h.nodes, h.used = b.offered.Load()+2*limit, nil, nil
	h.run(s, &b)
	in, _ := s.totals("pot", "pot")
	if int64(in.Swarm.Spent) != b.admitted.Load() {
		t.Errorf("the swarm reports %d tokens spent, callers were charged %d", in.Swarm.Spent, b.admitted.Load())
	}
	within(t, &b, limit, 0)
}

// All nodes end at once, in order or not, and come back: in the generations that they were, with all that they had, and with the
// same guardians.
func TestAllNodesRestart(t *testing.T) {
	for _, how := range []string{"killed", "terminated"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			limit := scale(1_200_000)
			s := newSwarm(t, 5, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)))
			s.guarded(1)
			var b bank
			h := hammer{budget: "pot", token: "compute", workers: 2, offer: limit / 4, wait: "1s", sizes: mixed}
			h.run(s, &b)
			gens := map[string]string{}
			for _, p := range s.nodes {
				gens[p.set.Name] = p.generation()
			}
			for _, p := range s.nodes {
				if how == "killed" {
					p.signal(syscall.SIGKILL)
				} else {
					p.signal(syscall.SIGTERM)
				}
			}
			for _, p := range s.nodes {
				<-p.done
			}
			for _, p := range s.nodes {
				p.restart()
			}
			s.ready()
			if how == "killed" {
				for _, p := range s.nodes {
					if got := p.generation(); got != gens[p.set.Name] {
						t.Errorf("%s was generation %s, and is %s", p.set.Name, gens[p.set.Name], got)
					}
				}
			}
			// What the marks of killed nodes covered is spent, some 16 calls of each, whatever the limit; who ends in order loses nothing.
			const marks = 5 * 16 * 1200
			in, _ := s.totals("pot", "pot")
			lost := int64(in.Swarm.Spent) - b.admitted.Load()
			if lost < 0 || how == "terminated" && lost != 0 || lost > max(limit/10, marks) {
				t.Errorf("callers got %d tokens before the restart, the swarm knows of %d", b.admitted.Load(), in.Swarm.Spent)
			}
			least := limit - lost - limit/20
			s.use(&b, least, time.Now().Add(2*patience), 0, 1, 2, 3, 4)
			if got := b.admitted.Load(); got > limit-lost || got < least {
				t.Errorf("callers got %d tokens of %d, of which %d were lost", got, limit, lost)
			}
		})
	}
}

// A node that leaves in order hands on what it has, and gives up its lease; started again it is the next generation, at once.
func TestLeaverComesBackAsItsNextGeneration(t *testing.T) {
	t.Parallel()
	limit := scale(1_200_000)
	s := newSwarm(t, 5, guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)))
	s.guarded(1)
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 1, offer: limit / 20, wait: "1s", sizes: mixed}
	h.run(s, &b)
	p := s.nodes[4]
	for range 2 {
		gen := p.generation()
		eventually(t, func() error { // one without guardians gives up to nobody, and goes on
			for line := range strings.Lines(p.log.String()) {
				if strings.Contains(line, "guardians keep copies of what this node holds") && strings.Contains(line, "#"+gen+`"`) {
					return nil
				}
			}
			return fmt.Errorf("generation %s has no guardians", gen)
		})
		p.terminate()
		p.restart()
		s.ready()
		eventually(t, func() error {
			if p.generation() == gen {
				return fmt.Errorf("it is still generation %s", gen)
			}
			return nil
		})
	}
	s.use(&b, limit-limit/50, time.Now().Add(2*patience), 0, 1, 2, 3, 4)
	if got := b.admitted.Load(); got > limit || got < limit-limit/50 {
		t.Errorf("callers got %d tokens of %d", got, limit)
	}
}

// With `guardians: 0` nothing is held: a node that is cut off from all others spends all that it has, and what a dead one
// had stays with it.
func TestNoGuardians(t *testing.T) {
	t.Parallel()
	limit := scale(1_200_000)
	doc := strings.Replace(guardedPolicy(1, fmt.Sprintf("{grant: %d}", limit)), "\nlease:", "\nguardians: 0\nlease:", 1)
	s := newSwarm(t, 4, doc)
	s.cut(1)
	n1 := s.nodes[0]
	n1.settle(n1.admit(ledger.Tokens(limit / 5)).ID)
	for _, p := range s.nodes {
		if strings.Contains(p.log.String(), "guardians keep copies") {
			t.Errorf("%s has guardians", p.set.Name)
		}
	}
}

// A node is expelled while it runs and calls go on at it. Nothing that it says is taken from then on, its guardians claim it when its lease is over, as if it were dead,
// the others use what it had, and with what it goes on to spend by itself no more is admitted than there is.
func TestExpelledNodeIsClaimed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts five processes")
	}
	t.Parallel()
	limit := scale(1_200_000)
	alice := operatorNamed(t, "alice")
	doc := func(revision int, enrols string) string {
		return guardedPolicy(revision, fmt.Sprintf("{grant: %d}", limit)) + fmt.Sprintf("trust:\n  %ssigners:\n    - {name: alice, key: %s}\n", enrols, alice.Public())
	}
	s := newSwarm(t, 5, doc(1, ""))
	s.guarded(1)
	for _, p := range s.nodes {
		eventually(t, func() error { return alice.enrols(s.nodes[0], p.set.Name, "", false) })
	}
	enrolled(t, s.nodes, "n1", "n2", "n3", "n4", "n5")
	if err := alice.applies(s.nodes[1], []byte(doc(2, "enrol: true\n  "))); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 2, 0)
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 1, offer: limit / 20, wait: "1s", sizes: mixed, pause: 20 * time.Millisecond}
	h.run(s, &b)
	out := s.nodes[4]
	had, err := out.instanceOf("pot", "pot")
	if err != nil || int64(had.Local.Rights) < limit/10 {
		t.Fatalf("it has %+v, %v", had.Local, err)
	}
	for _, p := range s.nodes {
		p.attacked = true // they refuse each other, and rightly so
	}
	if err := alice.enrols(s.nodes[0], "n5", "", true); err != nil {
		t.Fatal(err)
	}
	enrolled(t, s.nodes[:4], "n1", "n2", "n3", "n4")
	expelled := time.Now()
	refused := s.nodes[0].refused("not_enrolled")
	want := limit - limit/50 // but for what it may spend by itself
	s.use(&b, want, time.Now().Add(2*patience), 0, 1, 2, 3, 4)
	t.Logf("%d of %d tokens used %v after it was expelled, when it had %d", b.admitted.Load(), limit, time.Since(expelled).Round(time.Millisecond), had.Local.Rights)
	if got := b.admitted.Load(); got < want {
		t.Errorf("callers got %d tokens after it was expelled, want %d", got, want)
	}
	s.use(&b, limit+1, time.Now().Add(2*time.Second), 0, 4)
	if got := b.admitted.Load(); got > limit {
		t.Errorf("OVERSPENT: callers got %d tokens of %d", got, limit)
	}
	if now := s.nodes[0].refused("not_enrolled"); now <= refused {
		t.Errorf("nothing of it was refused: %v", now)
	}
}
