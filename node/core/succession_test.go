package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// guarded is five nodes with disks, guardians and leases of ten seconds. Messages arrive at once.
type guarded struct {
	t       *testing.T
	now     ledger.Instant
	policy  *policy.Policy
	charter ledger.Charter
	nodes   []*machine
}

type machine struct {
	w    *guarded
	i    int
	self ledger.Holder // as peers see it
	cfg  ledger.Config
	disk map[string][]byte
	core *Core // nil while down
	cut  bool
	full bool // its disk takes no writes
	over int  // generations that have ended
}

var testGuards = ledger.Guards{Guardians: 3, Lease: 10_000, Autonomy: 1_000}

const guardedStart = ledger.Instant(1_700_000_000_000)

func newGuarded(t *testing.T) *guarded {
	p, err := policy.Parse("test.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	w := &guarded{t: t, now: guardedStart, policy: p}
	var all []ledger.Holder
	for i := range 5 {
		all = append(all, ledger.Holder{Node: fmt.Sprintf("n%d", i), Gen: 1})
	}
	if w.charter, err = ledger.NewCharter("test", all[:1], [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	for i, self := range all {
		dice := rand.New(rand.NewPCG(1, uint64(i)))
		m := &machine{w: w, i: i, self: self, disk: map[string][]byte{}, cfg: ledger.Config{
			Self: self, Strategy: placement.Strategy{}, Rand: dice,
			Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
				b, _, ok := p.Resolve(w.charter.ID, id)
				if !ok {
					return ledger.Spec{}, false
				}
				return b.Spec, true
			},
		}}
		w.nodes = append(w.nodes, m)
		m.start()
	}
	w.members()
	return w
}

func (w *guarded) elapsed() time.Duration {
	return time.Duration(w.now-guardedStart) * time.Millisecond
}

// start runs the process on its disk.
func (m *machine) start() {
	w := m.w
	r, ws, err := Start(w.now, w.elapsed(), m.cfg, testGuards, m.records(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	m.write(ws)
	if r.Charter().ID.IsZero() {
		if err := r.Found(w.charter); err != nil {
			w.t.Fatal(err)
		}
	}
	m.self = r.Self()
	m.core = &Core{Replica: r, Engine: admit.New(w.now, admit.Config{Node: m.self.Node, Gen: m.self.Gen, Rand: m.cfg.Rand}, w.policy)}
}

func (m *machine) records() (rs []ledger.Write) {
	for _, k := range slices.Sorted(maps.Keys(m.disk)) {
		rs = append(rs, ledger.Write{Key: k, Value: m.disk[k]})
	}
	return rs
}

func (m *machine) write(ws []ledger.Write) {
	for _, x := range ws {
		if x.Value == nil {
			delete(m.disk, x.Key)
		} else {
			m.disk[x.Key] = x.Value
		}
	}
}

func (w *guarded) members() {
	for _, m := range w.nodes {
		if m.core == nil {
			continue
		}
		var ps []ledger.Peer
		for _, p := range w.nodes {
			if p != m {
				ps = append(ps, ledger.Peer{Holder: p.self, Directory: p.cfg.Self.Gen, Alive: p.core != nil && !p.cut && !m.cut})
			}
		}
		m.core.Replica.SetPeers(ps)
	}
}

// batch completes one batch of a node, as a driver does.
func (m *machine) batch() (did bool) {
	w, c := m.w, m.core
	if _, pending := c.Advance(w.now); pending && c.Ready() {
		if ws := c.Writes(w.now); m.full && len(ws) > 0 {
			c.Abort(w.now)
		} else {
			m.write(ws)
			m.tell(c.Commit(w.now))
			did = true
		}
	}
	if c.Over() && !m.full {
		r, ws, err := Start(w.now, w.elapsed(), m.cfg, testGuards, m.records(), c.Replica)
		if err != nil {
			w.t.Fatal(err)
		}
		m.write(ws)
		c.Succeed(w.now, r)
		m.self = r.Self()
		m.over++
		w.members()
		did = true
	}
	return did
}

func (m *machine) tell(fx ledger.Effects) {
	if m.cut {
		return
	}
	for _, p := range m.w.nodes {
		if p == m || p.core == nil || p.cut {
			continue
		}
		for _, s := range fx.Sends {
			if s.To == p.self.Node {
				_ = p.core.Replica.Receive(m.w.now, s.Message)
			}
		}
		for _, s := range fx.Spreads {
			_ = p.core.Replica.Receive(m.w.now, []ledger.Row{*s.Row})
		}
	}
}

// pass lets time go by.
func (w *guarded) pass(d time.Duration) {
	for end := w.now + ledger.Instant(d.Milliseconds()); w.now < end; {
		w.now += ledger.Instant(TickEvery)
		for _, m := range w.nodes {
			if m.core != nil {
				m.core.Replica.Elapsed(w.elapsed())
				m.core.Expire(w.now)
				m.core.Tick(w.now)
			}
		}
		for busy := true; busy; {
			busy = false
			for _, m := range w.nodes {
				busy = m.core != nil && m.batch() || busy
			}
		}
		if w.now%1000 == 0 {
			for _, m := range w.nodes {
				for _, p := range w.nodes {
					if m != p && m.core != nil && p.core != nil && !m.cut && !p.cut {
						_ = p.core.Replica.Receive(w.now, m.core.Replica.Digest())
					}
				}
			}
		}
	}
}

func (m *machine) offer(r *admit.Request) (admit.ID, *admit.Waiter) {
	m.w.t.Helper()
	id, waiter, err := m.core.Offer(m.w.now, r)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return id, waiter
}

// admit has a call admitted, soon.
func (m *machine) admit(tokens ledger.Tokens) admit.ID {
	m.w.t.Helper()
	id, waiter := m.offer(call("a", tokens, 5*time.Second))
	for range 40 {
		if waiter == nil || waiter.ID != 0 {
			break
		}
		m.w.pass(50 * time.Millisecond)
	}
	if waiter != nil {
		id = waiter.ID
	}
	if a, err := m.core.Engine.Answer(id); err != nil || a.Verdict != admit.Admit {
		m.w.t.Fatalf("%+v, %v", a, err)
	}
	return id
}

func (m *machine) state() ledger.State {
	m.w.t.Helper()
	for _, id := range m.core.Replica.Instances() {
		if id.Name() == "day/a" {
			if a := m.core.Replica.Account(id); a != nil {
				return a.State(m.w.now)
			}
		}
	}
	return ledger.State{}
}

// A node moves on to its next generation with all that it owns, what calls had reserved is spent and charged as reserved
// however they end, calls that wait are served by the new generation, and its number is found on disk again.
func TestSuccession(t *testing.T) {
	w := newGuarded(t)
	m := w.nodes[0]
	settled, released, overran, expired := m.admit(50), m.admit(60), m.admit(70), m.admit(80)
	w.pass(5 * time.Second) // all is held
	for _, p := range w.nodes[1:] {
		if len(p.core.Replica.Guardians()) != 3 {
			t.Fatalf("%v has the guardians %v", p.self, p.core.Replica.Guardians())
		}
	}
	if err := m.core.Replica.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	_, waiter := m.offer(call("a", 600, 5*time.Second)) // beyond its mark
	if waiter == nil {
		t.Fatal("it does not wait")
	}
	w.pass(4 * time.Second)
	if m.over != 1 || m.self != (ledger.Holder{Node: "n0", Gen: 2}) {
		t.Fatalf("%d generations ended, it is %v", m.over, m.self)
	}
	if a, err := m.core.Engine.Answer(waiter.ID); err != nil || a.Verdict != admit.Admit {
		t.Fatalf("the call that waited: %+v, %v", a, err)
	}
	before := m.state()
	receipt := func(id admit.ID, want ledger.Tokens, end func(admit.ID) (admit.Receipt, error)) {
		t.Helper()
		for _, repeated := range []bool{false, true} {
			rc, err := end(id)
			if err != nil || len(rc.Charged) != 1 || rc.Charged[0].Amount != want || rc.Overrun != 0 || rc.Repeated != repeated {
				t.Errorf("%+v, %v, want %d charged", rc, err, want)
			}
		}
	}
	settle := func(used ledger.Tokens) func(admit.ID) (admit.Receipt, error) {
		return func(id admit.ID) (admit.Receipt, error) {
			return m.core.Engine.Settle(w.now, id, admit.Settlement{Used: []policy.Amount{{Token: "compute", Amount: used}}})
		}
	}
	receipt(settled, 50, settle(10))
	receipt(released, 60, func(id admit.ID) (admit.Receipt, error) { return m.core.Engine.Release(w.now, id) })
	receipt(overran, 70, settle(90))
	if after := m.state(); after.Spent != before.Spent || after.Reserved != 600 || after.Debt != 0 || after.Balance() != before.Balance() {
		t.Errorf("settlements of the old generation's calls changed the new account from %+v to %+v", before, after)
	}
	if b := before.Balance(); b > 1000-260-600 || b < 1000-260-600-500 { // what was not spent of the held mark is lost
		t.Errorf("%d are left", b)
	}
	w.pass(2*time.Minute + admit.Grace)
	if d, err := m.core.Engine.Lookup(expired); err != nil || d.State != admit.Booked || d.Charged[0].Amount != 80 {
		t.Errorf("%+v, %v", d, err)
	}
	m.core = nil
	w.pass(time.Second)
	m.start()
	w.members()
	if m.self.Gen < 2 || m.core.Replica.Account("") != nil {
		t.Errorf("it comes back as %v", m.self)
	}
	if s := m.state(); s.Shares() != ledger.TotalShares {
		t.Errorf("it comes back with %d shares", s.Shares())
	}
}

// A node that was claimed while it could not be reached, and did not know, goes on as the next generation, with nothing:
// all is its heir's. The calls that it let wait are served with rights that it asks for.
func TestSuccessionOfAClaimedNode(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk full: %v", full), func(t *testing.T) {
			w := newGuarded(t)
			m := w.nodes[0]
			id := m.admit(10)
			w.pass(5 * time.Second)
			m.cut = true
			w.members()
			w.pass(20 * time.Second)
			m.cut = false
			w.members()
			m.full = full
			w.pass(3 * time.Second)
			if full {
				if m.self.Gen != 1 || m.core.Ready() && m.over > 0 {
					t.Fatalf("it is %v though its disk took nothing", m.self)
				}
				m.full = false
				w.pass(3 * time.Second)
			}
			if m.over != 1 || m.self.Gen != 2 {
				t.Fatalf("%d generations ended, it is %v", m.over, m.self)
			}
			if s := m.state(); s.Genesis != 0 {
				t.Errorf("it has founded once more: %+v", s)
			}
			if rc, err := m.core.Engine.Settle(w.now, id, admit.Settlement{}); err != nil || rc.Charged[0].Amount != 10 {
				t.Errorf("%+v, %v", rc, err)
			}
			m.admit(100)
			var shares ledger.Shares
			for _, p := range w.nodes {
				s := p.state()
				shares += s.Shares()
			}
			if shares != ledger.TotalShares {
				t.Errorf("%d shares are owned", shares)
			}
		})
	}
}

// A process that ended between the decision and the next generation's first write finds out when it starts.
func TestStartOfAGenerationThatIsOver(t *testing.T) {
	w := newGuarded(t)
	m := w.nodes[0]
	m.admit(10)
	w.pass(5 * time.Second)
	if err := m.core.Replica.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // its own batches only: it ends before it follows itself
		w.now += ledger.Instant(TickEvery)
		for _, p := range w.nodes {
			p.core.Replica.Elapsed(w.elapsed())
			p.core.Tick(w.now)
			if p != m {
				p.batch()
			} else if _, pending := m.core.Advance(w.now); pending && m.core.Ready() {
				m.write(m.core.Writes(w.now))
				m.tell(m.core.Commit(w.now))
			}
		}
	}
	if !m.core.Over() {
		t.Fatal("nothing is decided")
	}
	if _, _, err := m.core.Offer(w.now, call("b", 1, 0)); err == nil {
		t.Error("a generation that is over opens an account")
	}
	m.start()
	w.members()
	if m.self.Gen != 2 {
		t.Fatalf("it starts as %v", m.self)
	}
	w.pass(5 * time.Second)
	if s := m.state(); s.Shares() != ledger.TotalShares {
		t.Errorf("it has %d shares", s.Shares())
	}
	again, ws, err := Start(w.now, w.elapsed(), m.cfg, testGuards, m.records(), nil)
	if err != nil || len(ws) > 0 || again.Self() != m.self {
		t.Errorf("%v, %d writes, %v", again, len(ws), err)
	}
	for _, r := range []ledger.Write{{Key: "generation", Value: []byte{1}}, ledger.Succeed(nil, 0)[0]} {
		if _, _, err := Start(w.now, w.elapsed(), m.cfg, testGuards, []ledger.Write{r}, nil); err == nil {
			t.Errorf("%q starts", r.Value)
		}
	}
}
