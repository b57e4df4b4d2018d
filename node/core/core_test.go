package core

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

const document = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, weight: 1, latency_budget: 5s}
budgets:
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 1000}}
rules:
  - {draw: [day]}
default: deny
`

// pair is two nodes whose messages arrive at once. The disk of the first is the test's, that of the other never lets
// anybody wait.
type pair struct {
	t     *testing.T
	now   ledger.Instant
	nodes [2]*Core
}

func newPair(t *testing.T) *pair {
	p, err := policy.Parse("test.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	founders := []ledger.Holder{{Node: "n1", Gen: 1}, {Node: "n2", Gen: 1}}
	charter, err := ledger.NewCharter("test", founders, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	w := &pair{t: t, now: 1_700_000_000_000}
	for i, self := range founders {
		dice := rand.New(rand.NewPCG(1, uint64(i)))
		c := &Core{
			Engine: admit.New(w.now, admit.Config{Node: self.Node, Gen: 1, Rand: dice}, p),
			Replica: ledger.NewReplica(ledger.Config{
				Self: self, Strategy: placement.Strategy{}, Rand: dice,
				Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
					b, _, ok := p.Resolve(charter.ID, id)
					if !ok {
						return ledger.Spec{}, false
					}
					return b.Spec, true
				},
			}),
		}
		if err := c.Replica.Found(charter); err != nil {
			t.Fatal(err)
		}
		c.Replica.SetPeers([]ledger.Peer{{Holder: founders[1-i], Alive: true, Distance: 1}})
		w.nodes[i] = c
	}
	return w
}

// deliver does what a batch of the i-th node has to tell.
func (w *pair) deliver(i int, fx ledger.Effects) {
	to := w.nodes[1-i].Replica
	for _, s := range fx.Sends {
		_ = to.Receive(w.now, s.Message)
	}
	for _, s := range fx.Spreads {
		_ = to.Receive(w.now, []ledger.Row{*s.Row})
	}
}

// batch completes one batch of the i-th node.
func (w *pair) batch(i int) {
	c := w.nodes[i]
	if _, pending := c.Advance(w.now); pending && c.Ready() {
		c.Writes(w.now)
		w.deliver(i, c.Commit(w.now))
	}
}

// settle lets time go by until both have told all.
func (w *pair) settle() {
	for range 100 {
		w.now += ledger.Instant(TickEvery)
		for i, c := range w.nodes {
			c.Expire(w.now)
			c.Tick(w.now)
			for range Rounds {
				w.batch(i)
			}
		}
	}
}

func call(tenant string, tokens ledger.Tokens, wait time.Duration) *admit.Request {
	return &admit.Request{Call: policy.Call{Tenant: tenant, Tokens: []policy.Amount{{Token: "compute", Amount: tokens}}}, Wait: wait}
}

func (w *pair) offer(i int, r *admit.Request) (admit.Answer, *admit.Waiter) {
	w.t.Helper()
	id, waiter, err := w.nodes[i].Offer(w.now, r)
	if err != nil {
		w.t.Fatal(err)
	}
	if waiter != nil {
		return admit.Answer{}, waiter
	}
	a, err := w.nodes[i].Engine.Answer(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return a, nil
}

// jam begins a write at the first node: that of an account of another tenant.
func (w *pair) jam() {
	w.t.Helper()
	c := w.nodes[0]
	if _, waits := w.offer(0, call("other", 1, 0)); waits == nil {
		w.t.Fatal("a new instance needs no write")
	}
	if _, pending := c.Advance(w.now); !pending || !c.Ready() || len(c.Writes(w.now)) == 0 {
		w.t.Fatal("there is nothing to write")
	}
	if !c.Writing() || c.Ready() {
		w.t.Fatal("a batch is written and nobody knows")
	}
}

// What calls want while a batch is written is told to the replica after it, and asked for then.
func TestNeedsAreToldAfterTheBatch(t *testing.T) {
	for _, c := range []struct {
		name string
		wait time.Duration
		fail bool
	}{
		{"a call that waits", 5 * time.Second, false},
		{"a call that comes back", 0, false},
		{"a batch that fails", 5 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPair(t)
			n := w.nodes[0]
			w.offer(0, call("a", 1, 0))
			w.offer(1, call("a", 1, 0))
			w.settle() // both know that each has 499 of tenant a
			w.jam()
			a, waiter := w.offer(0, call("a", 700, c.wait))
			if c.wait == 0 && a.Code != admit.CodeNoRights {
				t.Fatalf("%+v", a)
			}
			n.Expire(w.now)
			if decided, pending := n.Advance(w.now); len(decided) > 0 || pending {
				t.Fatalf("%d calls decided, pending %v", len(decided), pending)
			}
			if c.fail {
				n.Abort(w.now)
				if n.Ready() {
					t.Error("a batch may begin at once after one that failed")
				}
			} else {
				fx := n.Commit(w.now)
				for _, s := range fx.Sends {
					if _, asks := s.Message.(*ledger.Ask); asks {
						t.Error("an ask left with a batch that was on its way before")
					}
				}
				w.deliver(0, fx)
			}
			w.settle()
			if waiter == nil {
				if a, waiter = w.offer(0, call("a", 700, 0)); waiter == nil { // rights at hand need a mark, which waits
					t.Fatalf("the rights did not come: %+v", a)
				}
				w.settle()
			}
			if a, err := n.Engine.Answer(waiter.ID); err != nil || a.Verdict != admit.Admit {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// The engine stops asking when the last call that waited has gone, also while a batch is written.
func TestNeedsEndWhileABatchIsWritten(t *testing.T) {
	w := newPair(t)
	n := w.nodes[0]
	w.offer(0, call("a", 1, 0))
	w.settle()
	// 700 is more than is here, and what the peer has is not known to be lost.
	_, waiter := w.offer(0, call("a", 700, 5*time.Second))
	if waiter == nil {
		t.Fatal("it does not wait")
	}
	w.jam()
	if !n.Engine.Cancel(waiter) {
		t.Fatal("it does not wait any more")
	}
	n.Advance(w.now)
	w.deliver(0, n.Commit(w.now))
	rows := n.Replica.Rows(w.now, instance(w, "a"))
	if len(rows) == 0 || rows[0].Wanted != 0 {
		t.Errorf("the replica still wants %+v", rows)
	}
}

func instance(w *pair, tenant string) ledger.InstanceID {
	for _, id := range w.nodes[0].Replica.Instances() {
		if id.Name() == "day/"+tenant {
			return id
		}
	}
	w.t.Fatalf("no instance of tenant %s", tenant)
	return ""
}

func TestOneBatchAtATime(t *testing.T) {
	w := newPair(t)
	w.jam()
	defer func() {
		if recover() == nil {
			t.Error("a second batch began while the first was written")
		}
	}()
	w.nodes[0].Writes(w.now)
}
