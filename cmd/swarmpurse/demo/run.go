package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/child"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// The names of a run's parts.
const (
	phaseBefore = "before the cut"
	phaseCut    = "while cut in two"
	phaseAfter  = "after the heal"
	phaseOnly   = "whole run"
)

// The stand-in's speed: that of a fast hosted model with short answers.
const (
	firstToken      = 30 * time.Millisecond
	tokensPerSecond = 400
)

// Run runs a demo and reports. An error means that it could not be run, or was interrupted; whether a
// run that came to its end showed what it should is for Report.Err. When Run returns, no process that
// it started is left, and no file but with Keep or after a failure.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	w, err := newWorkload(&o)
	if err != nil {
		return nil, err
	}
	pol, err := loadPolicy(&o, w)
	if err != nil {
		return nil, err
	}
	fitClasses(w, pol)
	bk, err := newBook(pol, w)
	if err != nil {
		return nil, err
	}
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("the path of this program is not known: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "swarmpurse-demo-")
	if err != nil {
		return nil, err
	}
	r := &run{o: &o, w: w, book: bk, dir: dir, view: newView(&o)}
	rep, err := r.all(ctx)
	r.view.close()
	interrupted := ctx.Err() != nil
	if interrupted {
		rep, err = nil, context.Cause(ctx)
	}
	if o.Keep || !interrupted && (err != nil || !rep.OK) {
		if rep != nil {
			rep.Logs = dir
		}
		if err != nil {
			err = fmt.Errorf("%w\nthe nodes' logs and data are in %s", err, dir)
		}
		return rep, err
	}
	if e := os.RemoveAll(dir); e != nil && err == nil && rep != nil {
		rep.Notes = append(rep.Notes, "the data directory could not be removed: "+e.Error())
	}
	return rep, err
}

// run is one run.
type run struct {
	o     *Options
	w     *Workload
	book  *book
	dir   string
	view  view
	meter *Meter
	swarm *swarm
	load  *load

	mu  sync.Mutex
	now string // what happens, in words
}

func (r *run) all(ctx context.Context) (rep *Report, err error) {
	policyFile := filepath.Join(r.dir, "policy.yaml")
	if err := os.WriteFile(policyFile, r.book.pol.Source(), 0o600); err != nil {
		return nil, err
	}
	r.meter, err = newMeter(standin.Options{FirstToken: firstToken, TokensPerSecond: tokensPerSecond}, r.book.gauges)
	if err != nil {
		return nil, err
	}
	upstream, closeServer, err := serve(r.meter)
	if err != nil {
		return nil, err
	}
	defer closeServer()

	r.view.say("Starting %d nodes, each a process of its own, and a stand-in model server on this machine …", r.o.Nodes)
	began := time.Now()
	if r.swarm, err = startSwarm(ctx, r.o, r.dir, policyFile, upstream); err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			r.swarm.stop(abortWithin)
		}
	}()
	r.view.say("They found each other and share the budgets after %.1f s. No server is in the middle.", time.Since(began).Seconds())
	r.view.say("Watch them at http://%s/ui/", r.swarm.members[0].http)

	// A node that ends spoils the run: everything is called off.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch, endWatch := context.WithCancel(ctx)
	defer endWatch()
	go func() {
		select {
		case <-r.swarm.anyEnded(watch):
			cancel(errNodeEnded)
		case <-watch.Done():
		}
	}()

	rep, err = r.measure(ctx)
	if crash := r.swarm.failure(); crash != nil {
		return nil, crash
	}
	if err != nil {
		return nil, err
	}
	endWatch()
	for _, m := range r.swarm.members {
		if first, n := child.Complaints(m.Log); n > 0 {
			rep.Notes = append(rep.Notes, fmt.Sprintf("node %s logged %d errors; the first: %s", m.Name, n, first[0]))
		}
	}
	r.view.say("Stopping the nodes …")
	problems := r.swarm.stop(stopWithin)
	stopped = true
	for _, p := range problems {
		rep.fail(p)
	}
	rep.OK = len(rep.Failures) == 0
	return rep, nil
}

var errNodeEnded = errors.New("a node ended")

// serve serves the model server on loopback.
func serve(h http.Handler) (base string, closeIt func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // it ends by Close; if it cannot serve, calls fail and are counted
	}()
	return "http://" + l.Addr().String() + "/v1", func() { srv.Close(); <-done }, nil
}

func (r *run) phase(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = name
}

// measure runs the load, cuts and heals, waits for rest, and writes the report.
func (r *run) measure(ctx context.Context) (*Report, error) {
	keys := make([]string, len(r.w.Calls))
	for i, k := range r.book.kind {
		keys[i] = r.book.keys[k].name
	}
	base := make([]string, len(r.swarm.members))
	for i, m := range r.swarm.members {
		base[i] = "http://" + m.http + "/openai/v1"
	}
	r.load = newLoad(r.w, keys, base)

	marks := make([]mark, 0, 4)
	look := func() error {
		m, err := r.swarm.takeMark(ctx)
		marks = append(marks, m)
		return err
	}
	if err := look(); err != nil {
		return nil, err
	}
	r.view.say("%d agents of %d tenants call the model through their nodes for %.0f s (%s).", len(r.w.Agents), r.tenants(), r.o.Duration.Seconds(), r.w.Source)
	r.phase(phaseBefore)
	if r.o.Cut == 0 {
		r.phase(phaseOnly)
	}
	start := time.Now()
	shown, endShow := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.watch(shown, start) })
	defer helpers.Wait()
	defer endShow()

	loaded := make(chan time.Time, 1)
	helpers.Go(func() {
		r.load.run(ctx)
		loaded <- time.Now()
	})

	rep := &Report{
		Nodes: r.o.Nodes, Agents: len(r.w.Agents), Workload: r.w.Source, Calls: len(r.w.Calls), LeftOut: r.w.LeftOut,
		Policy: r.book.pol.File(),
	}
	caught := make(chan error, 1)
	if r.o.Cut > 0 {
		from := r.o.Duration/2 - r.o.Cut/2
		if !sleepUntil(ctx, start.Add(from)) {
			return nil, context.Cause(ctx)
		}
		if err := look(); err != nil {
			return nil, err
		}
		rep.Cut = &CutReport{Converged: -1}
		for _, m := range r.swarm.members {
			if m.zone == "a" {
				rep.Cut.HalfA++
			} else {
				rep.Cut.HalfB++
			}
		}
		if err := r.swarm.cut(ctx); err != nil {
			return nil, fmt.Errorf("the swarm could not be cut: %w", err)
		}
		cutAt := time.Now()
		r.phase(phaseCut)
		r.view.say("CUT: %d and %d nodes can no longer reach each other. Each half goes on with the rights that it holds.", rep.Cut.HalfA, rep.Cut.HalfB)
		if !sleepUntil(ctx, cutAt.Add(r.o.Cut)) {
			return nil, context.Cause(ctx)
		}
		if err := look(); err != nil {
			return nil, err
		}
		if err := r.swarm.heal(ctx); err != nil {
			return nil, fmt.Errorf("the swarm could not be healed: %w", err)
		}
		healed := time.Now()
		rep.Cut.Seconds = seconds(healed.Sub(cutAt))
		r.phase(phaseAfter)
		r.view.say("HEALED.")
		helpers.Go(func() {
			took, err := r.swarm.caughtUp(ctx, healed)
			if err == nil {
				rep.Cut.Converged = seconds(took)
				r.view.say("%.1f s after the heal every node knows all that any node had spent until then.", took.Seconds())
			}
			caught <- err
		})
	} else {
		caught <- nil
	}

	var ended time.Time
	select {
	case ended = <-loaded:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	endShow()
	if err := look(); err != nil {
		return nil, err
	}
	rep.Seconds = seconds(ended.Sub(start))
	r.view.say("The load has ended. Waiting until the swarm is at rest …")
	r.settle(ctx, rep, ended)
	select {
	case err := <-caught:
		if err != nil {
			rep.fail(fmt.Sprintf("%v after the heal the nodes had not heard of all: %v", calmWithin, err))
		}
	case <-ctx.Done():
	}
	if err := look(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.load.mu.Lock()
	calls := slices.Clone(r.load.calls)
	r.load.mu.Unlock()
	waits, forgotten, step, err := r.swarm.waits(ctx, calls)
	if err != nil {
		return nil, fmt.Errorf("the nodes do not tell how long calls waited: %w", err)
	}
	if forgotten > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("the nodes have forgotten %d decisions, which the waiting times lack", forgotten))
	}
	if step > 1 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("waiting times are of one in %d calls", step))
	}
	r.fill(rep, marks, waits)
	return rep, nil
}

func (r *run) tenants() int {
	seen := map[string]bool{}
	for _, a := range r.w.Agents {
		seen[a.Tenant] = true
	}
	return len(seen)
}

// sleepUntil waits for a time of the script; false if ctx ended before.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// watch looks at all nodes and shows what it sees until ctx ends.
func (r *run) watch(ctx context.Context, start time.Time) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p := picture{length: r.o.Duration, tally: r.load.progress(), open: r.load.open.Load(), nodes: make([]nodeState, len(r.swarm.members))}
		_ = r.swarm.each(ctx, func(ctx context.Context, m *member) error { // errors stand in the table
			n := &p.nodes[m.index]
			n.name, n.zone = m.Name, m.zone
			if n.status, n.err = m.client.Status(ctx); n.err != nil {
				return nil
			}
			n.budgets, n.err = m.client.Budgets(ctx)
			return nil
		})
		p.audit = r.book.audit(r.meter.Counts())
		p.at = time.Since(start)
		r.mu.Lock()
		p.now = r.now
		r.mu.Unlock()
		if ctx.Err() == nil {
			r.view.show(p)
		}
	}
}

// settle waits for agreement and rest, and compares the books.
func (r *run) settle(ctx context.Context, rep *Report, ended time.Time) {
	rep.Settling.Agreed = -1
	if took, err := r.swarm.agreed(ctx, ended); err == nil {
		rep.Settling.Agreed = seconds(took)
	} else {
		rep.fail(fmt.Sprintf("%v after the load the nodes did not report the same totals: %v", calmWithin, err))
	}
	all, err := r.swarm.rest(ctx, r.book.pol)
	if err != nil {
		rep.fail(fmt.Sprintf("conservation: %v", err))
	} else {
		rep.Settling.Closed = true
	}
	if len(all) > 0 && all[0] != nil {
		r.compare(rep, all)
	}
}

// compare holds the nodes' books against the model server's count, for instances that had one window
// from before the first call until now.
func (r *run) compare(rep *Report, all []books) {
	spent := map[string]int64{}
	for _, b := range all {
		for _, x := range b {
			for _, i := range x.Instances {
				spent[i.Instance] += int64(i.Local.Spent)
			}
		}
	}
	counts := r.meter.Counts()
	used := r.book.use(counts)
	for i, a := range r.book.accounts {
		spec := a.budget.Spec
		if a.skipped != "" || len(counts) == 0 || spec.Kind == ledger.Slots {
			continue
		}
		if spec.Kind == ledger.Windowed {
			first, _, _ := spec.Calendar.At(ledger.Instant(counts[0].Start.Add(-onTheWay).UnixMilli()))
			if last, _, _ := spec.Calendar.At(ledger.Instant(time.Now().UnixMilli())); first != last {
				continue
			}
		}
		x := Agreement{Instance: a.name, Nodes: spent[a.name]}
		for _, n := range used[i] {
			x.Server += n
		}
		rep.Agree = append(rep.Agree, x)
		if x.Nodes < x.Server {
			rep.fail(fmt.Sprintf("%s: the model server counted %d tokens, the nodes' books have %d", a.name, x.Server, x.Nodes))
		}
	}
}

// fill writes what the marks, the tally and the model server's count say into the report.
func (r *run) fill(rep *Report, marks []mark, waits []waited) {
	groups := map[[2]string][]float64{}
	var every []float64
	for _, w := range waits {
		if w.admitted {
			groups[w.group] = append(groups[w.group], w.ms)
			every = append(every, w.ms)
		}
	}
	rep.Wait = exactly(every)
	rep.Total = r.load.progress()
	r.load.mu.Lock()
	for k, t := range r.load.tally {
		class := k[1]
		if class == "" {
			class = "(default)"
		}
		rep.Groups = append(rep.Groups, GroupTally{k[0], class, *t, exactly(groups[k])})
	}
	callErrors := slices.Clone(r.load.errors)
	r.load.mu.Unlock()
	slices.SortFunc(rep.Groups, func(a, b GroupTally) int {
		return slices.Compare([]string{a.Tenant, a.Class}, []string{b.Tenant, b.Class})
	})

	end := marks[len(marks)-2] // when the load ended; the last is at rest
	names := []string{phaseOnly}
	if rep.Cut != nil {
		names = []string{phaseBefore, phaseCut, phaseAfter}
	}
	for i, name := range names {
		from, to := marks[i], marks[i+1]
		h := local(from, to)
		p := Phase{Name: name, Seconds: seconds(to.at.Sub(from.at)), Admitted: map[string]int64{}}
		p.Admission = Latencies{h.latency(), queued(waits, from.at, to.at)}
		for _, m := range r.swarm.members {
			a, b := from.status[m.index].decisions, to.status[m.index].decisions
			p.Admitted[m.zone] += b["admit"] + b["degrade"] - a["admit"] - a["degrade"]
		}
		rep.Phases = append(rep.Phases, p)
	}
	h := local(marks[0], end)
	rep.All = Latencies{h.latency(), queued(waits, marks[0].at, end.at)}
	span := end.at.Sub(marks[0].at).Seconds()
	for _, m := range r.swarm.members {
		a, b := marks[0].status[m.index], end.status[m.index]
		rep.Gossip = append(rep.Gossip, Gossip{m.Name, float64(b.sent-a.sent) / span, float64(b.received-a.received) / span})
		rep.Settling.Settled += int64(marks[len(marks)-1].metrics[m.index].settled)
	}

	counts := r.meter.Counts()
	rep.Audit = r.book.audit(counts)
	total := Total(counts)
	rep.Server = ServerCount{total.Calls, total.Completed, total.Aborted, total.Errors, total.PromptTokens, total.CompletionTokens}
	r.judge(rep, callErrors)
}

// judge says what failed.
func (r *run) judge(rep *Report, callErrors []string) {
	for _, a := range rep.Audit {
		switch {
		case a.Skipped != "" && a.hard:
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s could not be judged: %s", a.Instance, a.Skipped))
		case a.hard && a.Overspend > 0:
			rep.fail(fmt.Sprintf("the hard budget %s was overspent by %s tokens", a.Instance, comma(a.Overspend)))
		}
	}
	if rep.Total.Failed > 0 || rep.Total.Admitted != rep.Total.Settled {
		what := fmt.Sprintf("%d calls failed and %d answers broke off", rep.Total.Failed, rep.Total.Admitted-rep.Total.Settled)
		for _, e := range callErrors {
			what += "\n  " + e
		}
		rep.fail(what)
	}
	if n := int64(len(r.w.Calls)); rep.Total.Offered < n {
		rep.fail(fmt.Sprintf("only %d of %d calls were made", rep.Total.Offered, n))
	}
	if r.o.Duration >= time.Minute && len(r.w.Calls) < promised {
		rep.Notes = append(rep.Notes, fmt.Sprintf("these options make %d calls in a minute or more; the demo's own make %d at least", len(r.w.Calls), promised))
	}
	if n := r.load.late.Load(); n > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("%d calls came late, because %d were open", n, maxOpen))
	}
	if rep.Settling.Settled < rep.Total.Settled {
		rep.fail(fmt.Sprintf("agents got %d whole answers, the nodes settled %d calls", rep.Total.Settled, rep.Settling.Settled))
	}
	if r.book.denied > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("no rule of the policy admits %d of the calls", r.book.denied))
	}
	if rep.Cut != nil && rep.Cut.Converged > agreeWithin.Seconds() {
		rep.Notes = append(rep.Notes, fmt.Sprintf("the nodes took longer than %v to catch up after the heal", agreeWithin))
	}
}
