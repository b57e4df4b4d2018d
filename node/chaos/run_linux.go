package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/node/child"
)

// agreeWithin is how soon after the last call all nodes must agree: slots that callers gave up come back when their
// time is up.
const agreeWithin = ttl + 15*time.Second

// Run runs inside a Sandbox. It writes what happens to out, and the report there and into o.Out. It fails if it
// could not be done; a run that showed what must not be is a Report that is not OK.
func Run(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	if err := enterSandbox(o.Dir); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(o.Out, "report.txt"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := &run{o: o, out: io.MultiWriter(out, file)}
	rep, err := r.run(ctx)
	if err != nil {
		return nil, err
	}
	rep.Print(r.out)
	b, err := json.MarshalIndent(rep, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(o.Out, "report.json"), append(b, '\n'), 0o600)
	}
	if err == nil && !rep.OK {
		err = r.keepLogs()
	}
	return rep, err
}

type run struct {
	o    Options
	mu   sync.Mutex
	out  io.Writer // guarded by mu
	zero time.Time // of what is said; guarded by mu
}

// say writes a line with its time.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := 0.0
	if !r.zero.IsZero() {
		at = time.Since(r.zero).Seconds()
	}
	fmt.Fprintf(r.out, "%6.1f  %s\n", at, fmt.Sprintf(format, args...))
}

func (r *run) run(ctx context.Context) (*Report, error) {
	o := &r.o
	without, why := missing()
	sched := Draw(o.Seed, o.Nodes, o.Duration, without...)
	fmt.Fprintf(r.out, "chaos: %d nodes, %v, seed %d; again: %s\n", o.Nodes, o.Duration, o.Seed, o.rerun())
	if len(without) > 0 {
		fmt.Fprintf(r.out, "left out: %v, since %s\n", without, why)
	}
	fmt.Fprintf(r.out, "\n%s\n", sched)

	l := limitsFor(o)
	s, err := newSwarm(o, l.policy(), r.say)
	if err != nil {
		return nil, err
	}
	closed := sync.OnceFunc(s.close)
	defer closed()
	for _, m := range s.members {
		if err := s.start(m); err != nil {
			return nil, err
		}
	}
	ready, cancel := context.WithTimeout(ctx, startWithin)
	_, lacks, _ := s.agree(ready, disagreement)
	cancel()
	if lacks != "" {
		return nil, fmt.Errorf("the swarm was not ready within %v: %s", startWithin, lacks)
	}

	g := newMischief(s, o.Newer)
	r.mu.Lock()
	r.zero = g.start
	r.mu.Unlock()
	r.say("all nodes are ready; the load begins")
	before := s.traffic()
	load := &Load{Book: NewBook(), Limits: &l, Seed: o.Seed, Start: g.start}
	var doors []*Door
	for _, m := range s.members {
		doors = append(doors, m.door())
	}
	loading, stop := context.WithDeadline(ctx, g.start.Add(o.Duration))
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { load.Run(loading, doors) })
	g.run(loading, sched)
	if ctx.Err() == nil {
		r.say("nothing is broken any more")
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	span := time.Since(g.start).Seconds()
	after := s.traffic()
	r.say("the load is over")

	rep := &Report{Seed: o.Seed, Rerun: o.rerun(), Seconds: span, Nodes: o.Nodes, Agreed: -1}
	for i := range sched.Events {
		rep.Faults = append(rep.Faults, sched.Events[i].String())
	}
	last := time.Now()
	resting, cancel := context.WithTimeout(ctx, agreeWithin+o.Slack)
	views, lacks, late := s.agree(resting, disagreement)
	cancel()
	if lacks == "" {
		took := time.Since(last)
		rep.Agreed, rep.Late = took.Seconds(), late
		r.say("all nodes are at rest and agree")
		if took > agreeWithin {
			rep.Notes = append(rep.Notes, fmt.Sprintf("they agreed %v later than is promised", (took-agreeWithin).Round(time.Millisecond)))
		}
	} else {
		rep.fail("%v after the last call the nodes did not agree: %s", agreeWithin+o.Slack, lacks)
		if b, err := json.MarshalIndent(views, "", " "); err == nil {
			if err := os.WriteFile(filepath.Join(o.Out, "views.json"), b, 0o600); err != nil {
				return nil, err
			}
		}
	}
	// What a dead generation had is back by then, whether or not they agree before.
	back := g.start.Add(sched.Calm)
	for _, x := range s.losses {
		back = latest(back, x.At)
	}
	if wait := time.Until(back.Add(l.backWithin())); lacks == "" && wait > 0 {
		r.say("in %v all that the dead had must be back", wait.Round(time.Second))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		began := time.Now()
		looking, cancel := context.WithTimeout(ctx, lookWithin+o.Slack)
		views, lacks, _ = s.agree(looking, unclaimed)
		cancel()
		if took := time.Since(began); lacks != "" {
			rep.fail("%v after the last death it was not so: %s", l.backWithin()+took.Round(time.Second), lacks)
		} else if took > lookWithin {
			rep.Notes = append(rep.Notes, fmt.Sprintf("what the dead had was back %v later than is promised", took.Round(time.Millisecond)))
		}
	}
	closed()
	ended, givenUp, err := s.ended()
	if err != nil {
		return nil, err
	}
	if slices.Contains(sched.Kinds(), Roll) && ended == 0 {
		rep.fail("nodes ended in order and came back, and no log tells of a generation that followed: the judge does not know how many there were")
	}
	rep.Versions = map[string][]string{}
	for _, v := range views {
		rep.Versions[v.Status.Version] = append(rep.Versions[v.Status.Version], v.Node)
	}

	e := &Evidence{
		Nodes: o.Nodes, Start: g.start, Whole: back.Add(l.backWithin()), Over: last, Limits: l, Accounts: load.Book.Accounts(), Losses: s.losses, Ended: ended + len(s.losses), GivenUp: givenUp, Crashes: s.crashes, Jumps: s.jumps, Views: views,
	}
	findings, problems := Judge(e)
	rep.Findings = findings
	rep.Problems = append(append(rep.Problems, problems...), s.problems...)
	for what, n := range load.Book.Errors() {
		rep.fail("%d answers that no fault excuses: %s", n, what)
	}
	for _, m := range s.members {
		if first, n := child.Complaints(m.log, "gossip"); n > 0 { // which complains of the network, and rightly
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s logged %d errors; the first: %s", m.name, n, strings.Join(first, "; ")))
		}
	}
	rep.Notes = append(rep.Notes, s.notes...)
	rep.Heals, rep.Crashes, rep.Ended = g.heals, s.crashes, e.Ended
	for _, x := range s.losses {
		rep.Losses = append(rep.Losses, LossShown{nodeName(x.Life.Node), x.At.Sub(g.start).Seconds()})
	}
	for i, m := range s.members {
		rep.Traffic = append(rep.Traffic, Traffic{m.name, float64(after[i].sent-before[i].sent) / span, float64(after[i].received-before[i].received) / span})
	}
	rep.Network = s.network()
	rep.OK = len(rep.Problems) == 0
	return rep, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// bytesOf is what a node sent and what arrived at it.
type bytesOf struct{ sent, received uint64 }

// traffic is what every node sent that arrived, and what arrived at it.
func (s *swarm) traffic() []bytesOf {
	list := make([]bytesOf, len(s.members))
	for i := range list {
		for j := range list {
			n := s.relay.Count(i, j)
			list[i].sent += n.Bytes
			list[j].received += n.Bytes
		}
	}
	return list
}

// network is the sum over all links.
func (s *swarm) network() (sum PathCount) {
	for i := range s.members {
		for j := range s.members {
			n := s.relay.Count(i, j)
			sum.Packets += n.Packets
			sum.Bytes += n.Bytes
			sum.Lost += n.Lost
			sum.Cut += n.Cut
			sum.Crowded += n.Crowded
		}
	}
	return sum
}

// keepLogs copies the nodes' logs out of the sandbox.
func (r *run) keepLogs() error {
	for i := range r.o.Nodes {
		name := nodeName(i) + ".log"
		b, err := os.ReadFile(filepath.Join(r.o.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(r.o.Out, name), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
