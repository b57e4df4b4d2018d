package chaos

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// mischief does to a swarm what a schedule says.
type mischief struct {
	s     *swarm
	newer string
	start time.Time // of the load

	mu      sync.Mutex
	active  []*Event      // guarded by mu
	changed chan struct{} // guarded by mu; closed and renewed when something begins that keeps nodes from hearing
	mute    []mute        // guarded by mu; by beginning
	heals   []Heal        // guarded by mu
}

func newMischief(s *swarm, newer string) *mischief {
	return &mischief{s: s, newer: newer, start: time.Now(), changed: make(chan struct{})}
}

// missing are the kinds of faults that this machine has no tools for, and why.
func missing() (kinds []Kind, why string) {
	if _, err := exec.LookPath("ip"); err != nil {
		return []Kind{NoRoute}, "there is no program `ip` to set routes with"
	}
	return nil, ""
}

// run goes through a timeline. Each track is one goroutine, whose faults wait for each other.
func (g *mischief) run(ctx context.Context, sched *Schedule) {
	var wg sync.WaitGroup
	for n := range tracks {
		wg.Go(func() {
			for i := range sched.Events {
				if e := &sched.Events[i]; e.Kind.track() == n && g.sleep(ctx, e.From) {
					g.strike(ctx, e)
				}
			}
		})
	}
	wg.Wait()
}

// sleep waits until that time after the start; false if ctx ended before.
func (g *mischief) sleep(ctx context.Context, until time.Duration) bool {
	select {
	case <-time.After(time.Until(g.start.Add(until))):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// strike does one fault and undoes it.
func (g *mischief) strike(ctx context.Context, e *Event) {
	g.s.say("%-9s begins: %s", e.Kind, e.what())
	g.set(e, true)
	err := g.begin(ctx, e)
	if err == nil {
		g.sleep(ctx, e.To)
		err = g.end(ctx, e)
	}
	g.set(e, false)
	if err != nil {
		g.s.problem("%s: %v", e.Kind, err)
	}
	g.s.say("%-9s is over", e.Kind)
	if e.Kind.track() == 0 {
		g.s.watchers.Go(func() { g.converge(ctx, e) })
	}
}

// set says that an event is in force, or not any more, and has the network follow.
func (g *mischief) set(e *Event, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on {
		g.active = append(g.active, e)
	} else {
		g.active = slices.DeleteFunc(g.active, func(x *Event) bool { return x == e })
	}
	for i := range g.s.members {
		if on && e.mutes(i, len(g.s.members)) {
			g.mute = append(g.mute, mute{i, time.Now(), time.Time{}, e})
		}
		for j := range g.s.members {
			if i != j {
				g.s.relay.Set(i, j, linkUnder(g.active, i, j))
			}
		}
	}
	for i := range g.mute {
		if !on && g.mute[i].by == e {
			g.mute[i].to = time.Now()
		}
	}
	if on && e.Kind != Step {
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

// mutes are the times until now in which nodes could not tell their peers what they did.
func (g *mischief) mutes() []mute {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.mute)
}

// begin does what the relay does not.
func (g *mischief) begin(ctx context.Context, e *Event) error {
	s := g.s
	if e.Kind == NoRoute {
		return g.routes(e, true)
	}
	if e.Kind == Roll {
		return g.roll(ctx, e)
	}
	for _, i := range e.Nodes {
		m := s.members[i]
		switch e.Kind {
		case Kill:
			s.kill(m)
		case Wipe:
			since := heard(time.Now(), g.mutes(), i, e)
			s.kill(m)
			if err := s.wipe(m, since); err != nil {
				return err
			}
		case Pause:
			s.signal(m, syscall.SIGSTOP)
		case Step:
			g.clock(ctx, m, e.Ahead, e.Ahead)
		case Full:
			if err := m.fill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// end undoes what begin did.
func (g *mischief) end(ctx context.Context, e *Event) error {
	s := g.s
	if e.Kind == NoRoute {
		return g.routes(e, false)
	}
	for _, i := range e.Nodes {
		m := s.members[i]
		switch e.Kind {
		case Kill, Wipe:
			if err := s.start(m); err != nil {
				return err
			}
			if err := s.comesUp(ctx, m); err != nil {
				return err
			}
		case Pause:
			s.signal(m, syscall.SIGCONT)
		case Step:
			g.clock(ctx, m, 0, m.lag())
		case Full:
			if err := m.free(); err != nil {
				return err
			}
			m.excused()
			if m.runs() {
				if err := s.comesUp(ctx, m); err != nil {
					return fmt.Errorf("there is room on the disk again, but %w", err)
				}
			}
		}
	}
	return nil
}

// clock sets a node's clock off, which takes it forward by so much at most.
func (g *mischief) clock(ctx context.Context, m *member, off, forward time.Duration) {
	m.setOff(off)
	before := time.Now()
	err := g.s.setClock(ctx, m)
	if forward > 0 {
		// The node follows with its next tick; one that is stopped, when it goes on.
		g.s.jumped(m, before, time.Now().Add(upWithin), forward)
	}
	if err != nil && m.runs() {
		g.s.note("%s did not hear that its clock is off by %v: %v", m.name, off, err)
	}
}

// routes lets systems refuse to send, or send again.
func (g *mischief) routes(e *Event, refuse bool) error {
	for _, i := range e.Sides[0] {
		for _, j := range e.Sides[1] {
			if err := g.s.members[i].space.route(refuse, addressOf(j)); err != nil {
				return err
			}
		}
	}
	return nil
}

// roll restarts one node after the other, in order and with the newer binary.
func (g *mischief) roll(ctx context.Context, e *Event) error {
	for _, i := range e.Nodes {
		if ctx.Err() != nil {
			return nil
		}
		m := g.s.members[i]
		g.s.terminate(m)
		m.renew(g.newer)
		if err := g.s.start(m); err != nil {
			return err
		}
		if err := g.s.comesUp(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// converge measures how long it takes until every node has heard of all that any had done when a fault of the
// network ended. Nodes that another fault has struck are left out.
func (g *mischief) converge(ctx context.Context, e *Event) {
	var nodes []*member
	h := Heal{After: e.Kind.String() + " " + e.what(), Heard: -1}
	g.mu.Lock()
	for i, m := range g.s.members {
		if !slices.ContainsFunc(g.active, func(x *Event) bool { return x.Kind != Step && (len(x.Nodes) == 0 || slices.Contains(x.Nodes, i)) }) {
			nodes = append(nodes, m)
		}
	}
	changed := g.changed
	g.mu.Unlock()
	if h.Nodes = len(nodes); h.Nodes > 1 {
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			cancel()
		}()
		began := time.Now()
		if hear(ctx, nodes) {
			h.Heard = time.Since(began).Seconds()
		}
		cancel()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heals = append(g.heals, h)
}

// hear waits until each of some nodes knows of all that all of them have spent by now; false if ctx ended before.
func hear(ctx context.Context, nodes []*member) bool {
	type holder struct{ instance, node string }
	first, err := looks(ctx, nodes)
	if err != nil {
		return false
	}
	own := map[holder]ledger.Tokens{}
	for _, v := range first {
		for _, b := range []string{Jobs, Pace} {
			for _, in := range v.Budgets[b].Instances {
				own[holder{in.Instance, v.Node}] = in.Local.Spent
			}
		}
	}
	for {
		views, err := looks(ctx, nodes)
		lacks := err != nil
		for _, v := range views {
			known := map[holder]ledger.Tokens{}
			for _, b := range []string{Jobs, Pace} {
				for _, in := range v.Budgets[b].Instances {
					for _, h := range in.Holders {
						known[holder{in.Instance, h.Node}] += h.Spent
					}
				}
			}
			for h, spent := range own {
				lacks = lacks || known[h] < spent
			}
		}
		if !lacks {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollEvery):
		}
	}
}
