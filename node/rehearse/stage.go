package rehearse

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Begin is when every rehearsal begins: noon of a Wednesday, UTC, in the middle of hours and days.
const Begin = ledger.Instant(1_767_787_200_000)

// Stage is one node that is a whole swarm. It has one owner.
type Stage struct {
	policy  *policy.Policy
	charter ledger.CharterID
	core    core.Core
	now     ledger.Instant
	begin   ledger.Instant
	decided map[*admit.Waiter]bool
}

// New is a stage at which nothing was spent yet. zone is the node's, "" for none; reach says to which upstreams of the policy it
// can send calls.
func New(p *policy.Policy, zone string, reach []string) *Stage { return newAt(Begin, p, zone, reach) }

func newAt(begin ledger.Instant, p *policy.Policy, zone string, reach []string) *Stage {
	const name = "rehearsal"
	self := ledger.Holder{Node: name, Gen: 1}
	charter, err := ledger.NewCharter(name, []ledger.Holder{self}, [16]byte{1})
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	s := &Stage{policy: p, charter: charter.ID, now: begin, begin: begin, decided: map[*admit.Waiter]bool{}}
	s.core.Replica = ledger.NewReplica(ledger.Config{
		Self: self, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, 1)), Zone: zone,
		Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
			b, _, ok := p.Resolve(charter.ID, id)
			if !ok {
				return ledger.Spec{}, false
			}
			return b.Spec, true
		},
	})
	s.core.Engine = admit.New(s.now, admit.Config{Node: name, Gen: 1, Rand: rand.New(rand.NewPCG(2, 2)), Zone: zone, Shards: 1}, p)
	s.core.Engine.SetReach(reach)
	if err := s.core.Replica.Found(charter); err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	s.settleDown()
	return s
}

// settleDown completes batches until there is none, with a disk that is always there.
func (s *Stage) settleDown() {
	for range 1000 {
		done, pending := s.core.Advance(s.now)
		for _, w := range done {
			s.decided[w] = true
		}
		if !pending {
			return
		}
		s.core.Writes(s.now)
		s.core.Commit(s.now)
	}
	panic("BUG: a node that is alone does not come to rest")
}

// Until lets time go by.
func (s *Stage) Until(at ledger.Instant) {
	for s.now < at {
		s.step(min(at-s.now, ledger.Instant(core.TickEvery)))
	}
}

// skip is how far time goes in one step where nothing waits.
const skip = 60_000 // ms

// Leap is Until in large steps, for times in which nothing waits.
func (s *Stage) Leap(at ledger.Instant) {
	for s.now < at {
		s.step(min(at-s.now, skip))
	}
}

func (s *Stage) step(by ledger.Instant) {
	s.now += by
	s.core.Replica.Elapsed(time.Duration(s.now-s.begin) * time.Millisecond)
	s.core.Expire(s.now)
	s.core.Tick(s.now)
	s.settleDown()
}

// Now is the time.
func (s *Stage) Now() ledger.Instant { return s.now }

// Decide decides on a call as a node does, and lets time go by while it waits. The error is the caller's mistake, or a rule's.
func (s *Stage) Decide(r *admit.Request) (admit.Details, error) {
	e := s.core.Engine
	id, ok := e.Try(s.now, r)
	if !ok {
		i, w, err := s.core.Offer(s.now, r)
		if err != nil {
			return admit.Details{}, err
		}
		if id = i; w != nil {
			for s.settleDown(); !s.decided[w]; {
				s.step(ledger.Instant(core.TickEvery))
			}
			delete(s.decided, w)
			if w.Err != nil {
				return admit.Details{}, w.Err
			}
			id = w.ID
		}
	}
	return e.Lookup(id)
}

// settle ends a call, and returns what it was charged.
func (s *Stage) settle(id string, st admit.Settlement) ([]admit.Charge, error) {
	i, err := s.core.Engine.Parse(id)
	if err != nil {
		return nil, err
	}
	rc, err := s.core.Engine.Settle(s.now, i, st)
	return rc.Charged, err
}

// Instance finds an instance by its name, as in "tenant-day/search", and its limit.
func (s *Stage) Instance(name string) (ledger.InstanceID, ledger.Spec, error) {
	parts := strings.Split(name, "/")
	b, ok := s.policy.Budget(parts[0])
	if !ok {
		return "", ledger.Spec{}, fmt.Errorf("the policy has no budget %.64q", parts[0])
	}
	values := parts[1:]
	for i, v := range values {
		plain, err := url.PathUnescape(v)
		if err != nil {
			return "", ledger.Spec{}, fmt.Errorf("instance %.64q: %w", name, err)
		}
		values[i] = plain
	}
	id, err := b.Instance(s.charter, values)
	if err == nil {
		id, err = b.Present(s.now, id)
	}
	return id, b.Spec, err
}

// Spend has an amount of an instance spent already.
func (s *Stage) Spend(name string, n ledger.Tokens) error {
	id, _, err := s.Instance(name)
	if err != nil {
		return err
	}
	for range 100 {
		a, err := s.core.Replica.Open(s.now, id)
		if err != nil {
			return err
		}
		takes := []ledger.Take{{Account: a, Amount: n, Cost: n}}
		switch why, _ := ledger.Reserve(s.now, s.now+1, takes, false); why {
		case ledger.Enough:
			if a.Spec().Kind != ledger.Slots { // a slot that is settled is free again
				a.Settle(s.now, n, n, takes[0].Window)
			}
			s.settleDown()
			return nil
		case ledger.NoRights:
			if a.Rights(s.now) < n && s.core.Replica.Account(id) != nil && a.Rights(s.now) > 0 || s.now > s.begin+1000 {
				return fmt.Errorf("instance %q has %d tokens, of which %d cannot be used", name, a.Rights(s.now), n)
			}
		}
		s.step(ledger.Instant(core.TickEvery))
	}
	return fmt.Errorf("instance %q gives no tokens", name)
}
