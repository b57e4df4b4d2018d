package admit

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const lawful = preamble + `
budgets:
  - {name: a, token: compute, supply: {grant: 1000}}
  - {name: b, token: compute, supply: {grant: 700}}
  - {name: c, token: concurrency, supply: {slots: 2}}
  - {name: d, token: compute, supply: {rate: 200/s, burst: 300}}
rules:
  - {when: 'model.contains("a")', draw: [a]}
  - {when: 'model.contains("b")', draw: [b]}
  - {when: 'model.contains("c")', draw: [c]}
  - {when: 'model.contains("d")', draw: [d]}
default: deny
`

var limits = map[string]ledger.Tokens{"a": 1000, "b": 700, "c": 2, "d": 300}

// judge is the simple model: what was decided, and how each reservation ended.
type judge struct {
	*node
	t        *rapid.T
	calls    []*lawCall
	gen      int                      // generations that have ended
	lost     map[string]ledger.Tokens // with them: what their held marks were ahead of spending
	verdicts [Deny + 1]int64
}

type lawCall struct {
	model, class string
	tokens       int64
	ttl          time.Duration
	arrived      int
	deadline     ledger.Instant
	w            *Waiter // while it waits
	id           ID
	admitted     bool
	gen          int // in which it was admitted
	at           ledger.Instant
	receipt      *Receipt
	settled      map[string]ledger.Tokens // what each budget was charged at settlement
	cancelled    bool
}

func (c *lawCall) needs(budget string) ledger.Tokens {
	for _, m := range c.model {
		if string(m) == budget {
			if budget == "c" {
				return 1
			}
			return ledger.Tokens(c.tokens)
		}
	}
	return 0
}

func (j *judge) request(t *rapid.T) (*Request, *lawCall) {
	c := &lawCall{
		model:   rapid.SampledFrom([]string{"a", "a", "b", "c", "c", "d", "d", "ab", "ad", "cd", "abcd", "bd", "x"}).Draw(t, "model"),
		class:   rapid.SampledFrom([]string{"critical", "standard", "batch"}).Draw(t, "class"),
		tokens:  rapid.SampledFrom([]int64{0, 1, 30, 30, 100, 250, 250, 250, 299, 600}).Draw(t, "tokens"),
		ttl:     rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 2 * time.Minute}).Draw(t, "ttl"),
		arrived: len(j.calls),
	}
	wait := rapid.SampledFrom([]time.Duration{0, 100 * time.Millisecond, time.Second, UseClassDefault, UseClassDefault, UseClassDefault}).Draw(t, "wait")
	budget := map[string]time.Duration{"critical": 300 * time.Millisecond, "standard": 2 * time.Second, "batch": 5 * time.Minute}[c.class]
	if wait < 0 || wait > budget {
		c.deadline = j.w.now + ledger.Instant(budget.Milliseconds())
	} else {
		c.deadline = j.w.now + ledger.Instant(wait.Milliseconds())
	}
	r := &Request{Call: policy.Call{Tenant: "t", Model: c.model, Class: c.class, PromptTokens: c.tokens}, Wait: wait, TTL: c.ttl}
	j.calls = append(j.calls, c)
	return r, c
}

// decided books a decision.
func (j *judge) decidedCall(c *lawCall, id ID) {
	c.id, c.w = id, nil
	a := j.answer(id)
	j.verdicts[a.Verdict]++
	if (a.RetryAfter > 0) != (a.Verdict == Defer) || a.Reason == "" || a.Code == "" {
		j.t.Fatalf("%+v", a)
	}
	if c.model == "x" {
		if a.Verdict != Deny || a.Code != CodeNoRule {
			j.t.Fatalf("%+v", a)
		}
		return
	}
	if c.admitted = a.Verdict == Admit; c.admitted {
		d, err := j.e.Lookup(id)
		if err != nil || d.At > j.w.now || d.Expires != d.At+ledger.Instant(c.ttl.Milliseconds()) {
			j.t.Fatalf("%+v, %v", d, err)
		}
		c.at, c.gen = d.At, j.gen
		for _, r := range a.Reserved {
			if r.Amount != c.needs(r.Budget) {
				j.t.Fatalf("%s reserved %d for %+v", r.Budget, r.Amount, c)
			}
		}
		if len(a.Reserved) != len(c.model) {
			j.t.Fatalf("%+v", a)
		}
		// Nobody that is alike in all waits for longer.
		for _, o := range j.calls {
			if o.w != nil && o.model == c.model && o.class == c.class && o.tokens == c.tokens && o.arrived < c.arrived {
				j.t.Fatalf("%+v is admitted before %+v", c, o)
			}
		}
		return
	}
	if a.Verdict == Deny {
		for b, limit := range limits {
			if c.needs(b) > limit {
				return
			}
			if spent, _ := j.used(b); b != "c" && b != "d" && limit-j.lost[b]-spent < c.needs(b) { // some may be with a generation that has ended
				return
			}
		}
		j.t.Fatalf("waiting could help: %+v, %+v", c, a)
	}
}

// used is what a budget is charged for good, and what it has reserved.
func (j *judge) used(budget string) (spent, reserved ledger.Tokens) {
	for _, c := range j.calls {
		n := c.needs(budget)
		if !c.admitted {
			continue
		}
		if c.settled != nil {
			spent += c.settled[budget]
			continue
		}
		if c.gen < j.gen { // spent with the generation that has ended
			if budget != "c" {
				spent += n
			}
			continue
		}
		switch j.state(c.id) {
		case Reserved:
			reserved += n
		case Expired:
			if budget != "c" {
				reserved += n
			}
		case Booked:
			if budget != "c" {
				spent += n
			}
		}
	}
	return spent, reserved
}

func (j *judge) end(t *rapid.T, c *lawCall, how string) {
	var rc Receipt
	var err error
	state := j.state(c.id)
	var used ledger.Tokens
	switch how {
	case "release":
		rc, err = j.e.Release(j.w.now, c.id)
	default:
		used = rapid.SampledFrom([]ledger.Tokens{0, 10, ledger.Tokens(c.tokens), ledger.Tokens(c.tokens) + 50}).Draw(t, "used")
		rc, err = j.e.Settle(j.w.now, c.id, forTokens(used))
	}
	if err != nil {
		j.t.Fatalf("%s: %v", how, err)
	}
	if c.receipt != nil {
		if !rc.Repeated || fmt.Sprint(rc.Charged) != fmt.Sprint(c.receipt.Charged) {
			j.t.Fatalf("%+v, first %+v", rc, c.receipt)
		}
		return
	}
	if rc.Repeated || rc.Late != (state != Reserved) {
		j.t.Fatalf("%+v from %v", rc, state)
	}
	c.receipt, c.settled = &rc, map[string]ledger.Tokens{}
	for _, ch := range rc.Charged {
		want := used
		if state == Booked {
			want = max(used, c.needs(ch.Budget))
		}
		if c.gen < j.gen {
			want = c.needs(ch.Budget)
		}
		if ch.Budget == "c" {
			want = 0
		}
		if ch.Amount != want {
			j.t.Fatalf("%s is charged %d, want %d: %+v in state %v", ch.Budget, ch.Amount, want, c, state)
		}
		c.settled[ch.Budget] = ch.Amount
	}
}

// collect books what Pump decided.
func (j *judge) collect() {
	for _, w := range j.decided() {
		for _, c := range j.calls {
			if c.w == w {
				j.decidedCall(c, w.ID)
			}
		}
	}
	for _, c := range j.calls {
		if c.w != nil && j.w.now > c.deadline+50 {
			j.t.Fatalf("a call waits %d ms beyond its deadline: %+v", j.w.now-c.deadline, c)
		}
	}
}

// rightsAreConserved compares every budget with the model.
func (j *judge) rightsAreConserved() {
	for _, b := range []string{"a", "b", "c"} {
		id, _ := must1(j.w.policy.Budget(b)).Instance(j.r.Charter().ID, nil)
		if a := j.r.Account(id); a == nil || !a.State(j.w.now).Issues {
			continue // not on disk yet
		}
		spent, reserved := j.used(b)
		got, want := j.account(b).Rights(j.w.now), max(0, limits[b]-j.lost[b]-spent-reserved)
		if b == "c" && j.gen > 0 && got <= want {
			continue // slots that calls of an earlier generation had come back when their time is over
		}
		if got != want {
			j.t.Fatalf("%s has %d rights, want %d: %d spent and %d reserved", b, got, want, spent, reserved)
		}
		if over := spent + reserved - limits[b]; over > 0 {
			overrun := ledger.Tokens(0)
			for _, c := range j.calls {
				if c.settled != nil {
					overrun += max(0, c.settled[b]-c.needs(b))
				}
			}
			if over > overrun {
				j.t.Fatalf("%s is overspent by %d, %d of it by overrun", b, over, overrun)
			}
		}
	}
	if off := j.r.Conservation(); off != 0 {
		j.t.Fatalf("conservation is off by %d", off)
	}
	open := 0
	for _, c := range j.calls {
		if !c.admitted || c.settled != nil {
			continue
		}
		s := j.state(c.id)
		ttl := c.at + ledger.Instant(c.ttl.Milliseconds())
		if s == Booked && c.gen < j.gen && j.w.now >= ttl {
			continue // there is nothing that a late settlement could correct
		}
		if s == Reserved && j.w.now > ttl+1050 || s != Reserved && j.w.now < ttl {
			j.t.Fatalf("%v %d ms after its TTL", s, j.w.now-ttl)
		}
		if s == Reserved || s == Expired {
			open++
		}
	}
	counts, active := j.e.Counts()
	if active != open || counts != j.verdicts {
		j.t.Fatalf("%d open, the engine says %d; decided %v, the engine says %v", open, active, j.verdicts, counts)
	}
	j.check()
	j.checkShards()
}

func must1[T any](v T, ok bool) T {
	if !ok {
		panic("BUG: no such thing in the test")
	}
	return v
}

// Whatever happens in whatever order: no right is lost or made, every reservation ends at most once and as it was
// told, nobody waits beyond his deadline, and nothing is left behind when all is over.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lawAbiding(t, &judge{node: newSwarm(t, 1, lawful, Config{}).nodes[0], t: t}, nil)
	})
}

// The same while one generation of the node follows the other: what calls have reserved is spent with the old one,
// whatever is said of them later, and calls that wait are served by the new one.
func TestLawsOfSuccession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSwarmOf(t, 4, 1, lawful, Config{})
		for _, n := range w.nodes {
			n.r.SetGuards(w.now, succession)
		}
		w.pass(3 * time.Second)
		j := &judge{node: w.nodes[0], t: t, lost: map[string]ledger.Tokens{}}
		lawAbiding(t, j, map[string]func(*rapid.T){"succeed": func(t *rapid.T) {
			before := w.now
			j.retire()
			for _, c := range j.calls { // meanwhile they wait for the disk
				if c.w != nil {
					c.deadline = max(c.deadline, min(w.now, before+diskGrace))
				}
			}
			j.collect()
			j.gen++
			ahead := j.ahead()
			j.succeed()
			w.pass(1100 * time.Millisecond) // until it has what the one before had
			j.collect()
			for _, b := range []string{"a", "b"} {
				if j.r.Account(idOf(j, b)) == nil {
					continue
				}
				spent, reserved := j.used(b)
				if n := limits[b] - spent - reserved - j.account(b).Rights(w.now); n > j.lost[b] && n <= j.lost[b]+ahead[b] {
					j.lost[b] = n // no more than what the mark was ahead; rightsAreConserved finds all else
				}
			}
		}})
	})
}

// ahead is how far the held marks of the generation that has ended were ahead of its spending, by what its guardians have
// stored: that much of its rights may stay behind with it.
func (j *judge) ahead() map[string]ledger.Tokens {
	most := map[string]ledger.Tokens{}
	for _, b := range []string{"a", "b"} {
		key := "account/" + string(idOf(j, b))
		for _, g := range j.w.nodes {
			v := g.disk[ledger.CopyKey(j.self, key)]
			if v == nil {
				continue
			}
			rec, err := ledger.Inspect(ledger.Write{Key: key, Value: v})
			if err != nil {
				j.t.Fatalf("%v", err)
			}
			most[b] = max(most[b], rec.Account.Held-rec.Account.Spent-rec.Account.Reserved)
		}
	}
	return most
}

var succession = ledger.Guards{Guardians: 3, Lease: 600_000, Autonomy: 10_000}

// retire has the node claim itself for its next generation.
func (n *node) retire() {
	w := n.w
	w.t.Helper()
	over := false
	for range 100 {
		if n.r.Guardians() == nil || !n.r.Rest() { // so that nothing unspent stays behind
			w.now += 50
			w.tick()
			continue
		}
		w.sync() // and the guardians know it
		if err := n.r.NextGeneration(); err != nil {
			w.t.Fatalf("%v", err)
		}
		for range 10 {
			if w.sync(); !over {
				_, over = n.r.Retired()
			}
		}
		break
	}
	if !over {
		w.t.Fatalf("%v does not end: guardians %v", n.self, n.r.Guardians())
	}
}

// succeed has the node go on as its next generation.
func (n *node) succeed() {
	w := n.w
	w.t.Helper()
	var records []ledger.Write
	for k, v := range n.disk {
		records = append(records, ledger.Write{Key: k, Value: v})
	}
	n.self.Gen++
	n.write(ledger.Succeed(records, n.self.Gen))
	records = records[:0]
	for k, v := range n.disk {
		records = append(records, ledger.Write{Key: k, Value: v})
	}
	n.cfg.Self, n.cfg.Directory = n.self, 7
	n.r = ledger.NewReplica(n.cfg)
	n.r.SetGuards(w.now, succession)
	if err := n.r.Load(w.now, records); err != nil {
		w.t.Fatalf("%v", err)
	}
	n.e.Succeed(w.now)
	n.check()
	w.members()
}

func lawAbiding(t *rapid.T, j *judge, more map[string]func(*rapid.T)) {
	started := j.w.now
	pick := func(t *rapid.T, ok func(*lawCall) bool) *lawCall {
		var some []*lawCall
		for _, c := range j.calls {
			if ok(c) {
				some = append(some, c)
			}
		}
		if len(some) == 0 {
			t.Skip("none")
		}
		return rapid.SampledFrom(some).Draw(t, "call")
	}
	acts := map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			j.collect()
			j.rightsAreConserved()
		},
		"offer": func(t *rapid.T) {
			r, c := j.request(t)
			id, w, err := j.offer(r)
			if err != nil {
				t.Fatal(err)
			}
			if w != nil {
				c.w = w
			} else {
				j.decidedCall(c, id)
			}
			if rapid.Bool().Draw(t, "disk") {
				j.w.sync()
			}
		},
		"try": func(t *rapid.T) {
			r, c := j.request(t)
			id, ok := j.e.Try(j.w.now, r)
			if !ok {
				j.calls = j.calls[:len(j.calls)-1]
				return
			}
			j.decidedCall(c, id)
			if !c.admitted {
				t.Fatal("Try refuses")
			}
		},
		"settle": func(t *rapid.T) { j.end(t, pick(t, func(c *lawCall) bool { return c.admitted }), "settle") },
		"release": func(t *rapid.T) {
			j.end(t, pick(t, func(c *lawCall) bool { return c.admitted }), "release")
		},
		"cancel": func(t *rapid.T) {
			c := pick(t, func(c *lawCall) bool { return c.w != nil })
			if !j.e.Cancel(c.w) {
				t.Fatal("not cancelled")
			}
			c.w, c.cancelled = nil, true
		},
		"time": func(t *rapid.T) {
			ms := rapid.SampledFrom([]int64{1, 50, 300, 1000, 6000}).Draw(t, "ms")
			j.w.pass(time.Duration(ms) * time.Millisecond)
		},
		"long": func(t *rapid.T) { // nothing is looked at meanwhile
			j.w.now += ledger.Instant(rapid.Int64Range(0, 800_000).Draw(t, "ms"))
			for _, c := range j.calls {
				if c.w != nil {
					c.deadline = max(c.deadline, j.w.now)
				}
			}
			j.w.tick()
		},
		"rebind": func(*rapid.T) { j.e.Rebind() },
	}
	maps.Copy(acts, more)
	t.Repeat(acts)
	// All comes to rest.
	j.w.pass(6 * time.Second)
	j.collect()
	j.w.now += ledger.Instant((6 * time.Minute).Milliseconds())
	j.w.tick()
	j.decided() // the deadlines passed while nobody looked
	for range 2 {
		j.w.now += ledger.Instant((Grace + 3*time.Minute).Milliseconds())
		j.w.tick()
	}
	if _, active := j.e.Counts(); active != 0 || j.e.queue.n != 0 || len(j.e.queue.busy) != 0 {
		t.Fatalf("%d reservations are open, %d calls wait, %d gates are busy", active, j.e.queue.n, len(j.e.queue.busy))
	}
	for _, g := range j.e.gates {
		if g.closed.Load() != open {
			t.Fatalf("gate %s is closed", g.id)
		}
	}
	if got := j.e.gates; len(got) > 0 && j.r.Account(idOf(j, "c")) != nil && j.account("c").Rights(j.w.now) != 2 {
		t.Fatalf("%d slots came back", j.account("c").Rights(j.w.now))
	}
	rate := ledger.Tokens(0)
	for _, c := range j.calls {
		if c.admitted {
			n := c.needs("d")
			if c.settled != nil {
				n = min(n, c.settled["d"])
			}
			rate += n
		}
	}
	if most := 300 + ledger.Tokens(j.w.now-started)*200/1000; rate > most {
		t.Fatalf("a rate admitted %d of at most %d", rate, most)
	}
}

func idOf(j *judge, budget string) ledger.InstanceID {
	id, err := must1(j.w.policy.Budget(budget)).Instance(j.r.Charter().ID, nil)
	if err != nil {
		j.t.Fatalf("%v", err)
	}
	return id
}
