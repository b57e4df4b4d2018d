package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

type eventKind uint8

const (
	evArrival eventKind = iota // world: the next call of the source
	evCall                     // a call arrives, or comes back
	evSettle                   // a call has ended
	evGone                     // a caller goes away
	evTick
	evRows     // a packet of rows arrives
	evMessage  // a message of the ledger or the node arrives
	evDisk     // a write is done
	evSpread   // the outbox may send
	evView     // a node hears of a change in the membership
	evStatus   // world: the failure detector has come to know something
	evSync     // a node's periodic push/pull
	evBack     // world: a node that left comes back
	evFault    // world: a fault begins
	evMend     // world: it ends
	evSample   // world: panels
	evLook     // world: has the swarm converged?
	evFlow     // bytes of a call's answer are there
	evLack     // what bytes wait for is asked for
	evFrozen   // words of operators arrive
	evRevision // what is told of revisions of the policy arrives
	evWave     // the node passes on once more what is no row
	evOrder    // an operator tops a budget up, or burns tokens of it
)

// world is one run.
type world struct {
	sc       *scenario.Scenario
	ctx      context.Context
	now      micros
	seq      uint64
	queue    calendar
	events   uint64
	hash     uint64
	charter  ledger.Charter
	nodes    []*node
	idle     []idle            // by node
	helper   Helper            // nil if there is none
	beside   ledger.SharedRows // rows, for the helper
	linkEnds []*end            // of nodes
	byName   map[string]*node
	zones    map[string]int
	links    links
	pool     pool
	faults   []scenario.Event
	dice     *rand.Rand // of the world: links, disks, membership
	scratch  ledger.Scratch
	waves    []*wave           // to be used again
	rows     ledger.SharedRows // of the packet at hand

	source  workload.Source
	next    workload.Call // of the source, already planned
	calls   int           // that wait or run
	lastEnd micros        // when the last of those that run ends, that is
	stirred stir          // the last sign that the swarm was not at rest
	// unsettled is what was not at rest yet when the scenario gave it no more time.
	unsettled string
	tally     *result.Tally
	provider  scenario.Bucket

	upstreams []*upstream
	placed    bool // some policy says where calls may run
	strategy  ledger.Strategy
	audit     audit
	judge     judge
	measure   measure
	keys      []rollout.Key // of the scenario's policies
	indexOf   map[rollout.Key]int
	atFirst   kept     // what nodes of the start have
	policyAt  []micros // when a policy was last in force anywhere
	everyTick bool     // see Options
	ticks     uint64   // that came to nodes
	passed    uint64   // of those, in vain: see idle.go
	later     uint64   // packets of rows that were heard later: see hear.go

	arrivalsEnd, end micros
	violation        *result.Violation
	cut              bool  // after as many events as it may take
	broken           error // off, by its context
}

// Options of a run.
type Options struct {
	// Progress, if set, hears now and then how far the run is.
	Progress func(at time.Duration, events uint64)
	// Systems are those, by their names in package result, that Run compares the swarm with; nil for all.
	Systems []string
	// most ends the run after so many events; 0 is no limit.
	most uint64
	// Helper, if set, makes what does work of nodes beside the run, on a second goroutine: package beside. What comes of a run is the same.
	Helper func() Helper
	// helped has small runs use it, too.
	helped bool
	// everyTick has nodes tick when they have nothing to do, too.
	everyTick bool
	// strategy is used in the place of production's, for the test that shows that bounds can fail.
	strategy ledger.Strategy
	// bug plants a known bug, for the tests that show that the checks find it.
	bug bug
}

// bug is a mistake that tests plant.
type bug uint8

const (
	bugNone        bug = iota
	bugLoseWrites      // the disk confirms writes that it then loses in a crash
	bugSettleTwice     // callers' settlements are booked twice
	bugTellEarly       // a batch takes effect before its write is done
	bugLoseMarks       // the disk keeps the older of two marks
	bugForgetSteps     // reservations do not hear of a step of the clock
	bugDeaf            // some nodes do not hear what is frozen
	bugThaw            // what is frozen is known, and not put in force
	bugOtherSplit      // some nodes choose other calls for the candidate
	bugForgive         // some nodes do not hear that a revision was rolled back
	bugUncounted       // from a third of the run on nodes charge calls, and learn nothing from them
	bugBoundless       // accounts take hard ceilings for none
)

// Swarm runs the scenario with the swarm only. The error says why the run could not be made; what went wrong in it
// is in the result.
func Swarm(ctx context.Context, sc *scenario.Scenario, o Options) (*result.Result, error) {
	w, err := newWorld(ctx, sc, o)
	if err != nil {
		return nil, err
	}
	return w.run(o)
}

// prime is the FNV prime, for the trace hash.
const prime = 1099511628211

func (w *world) mix(x uint64) { w.hash = (w.hash ^ x) * prime }

func newWorld(ctx context.Context, sc *scenario.Scenario, o Options) (*world, error) {
	w := &world{
		sc: sc, ctx: ctx, hash: 14695981039346656037,
		byName: map[string]*node{}, zones: map[string]int{},
		dice:        rand.New(rand.NewPCG(sc.Seed, 0x776f726c64)),
		faults:      scenario.Timeline(sc),
		provider:    sc.Provider.Bucket(),
		tally:       result.NewTally(result.Swarm, sc.Policies, sc.Warmup),
		policyAt:    make([]micros, len(sc.Policies)),
		arrivalsEnd: span(sc.Duration),
		end:         span(sc.Duration + sc.Rest),
	}
	w.tally.Streams(sc.Workload)
	w.initRevisions()
	var err error
	if w.source, err = sc.Source(); err != nil {
		return nil, fmt.Errorf("scenario %q: %w", sc.Name, err)
	}
	for i, z := range sc.Zones {
		w.zones[z.Name] = i
	}
	var founders []ledger.Holder
	for i := range sc.Nodes {
		n := w.addNode(i)
		n.kept = w.atFirst
		if i < sc.Founders {
			founders = append(founders, n.self)
		}
	}
	if w.charter, err = ledger.NewCharter("sim", founders, [16]byte{1}); err != nil {
		return nil, fmt.Errorf("scenario %q: %w", sc.Name, err)
	}
	w.initUpstreams()
	w.links.init(w)
	w.pool.init(w)
	w.audit.init(w, o.bug)
	if w.strategy = o.strategy; w.strategy == nil {
		w.strategy = placement.Strategy{}
	}
	w.everyTick = o.everyTick
	w.judge.init(w)
	w.measure.init(w)
	for _, n := range w.nodes {
		n.counted = n.dir
		n.start()
	}
	for _, f := range w.faults {
		w.plan(span(f.At), evFault, nil, &f)
		if f.Until != scenario.Never {
			w.plan(span(f.Until), evMend, nil, &f)
		}
	}
	w.arrive()
	return w, nil
}

// zoneName names a zone; a scenario without any has one without a name.
func (w *world) zoneName(i int) string {
	if i >= len(w.sc.Zones) {
		return ""
	}
	return w.sc.Zones[i].Name
}

func span(d time.Duration) micros { return micros(d.Microseconds()) }

// plan has something happen to a node, or to the world if n is nil.
func (w *world) plan(at micros, kind eventKind, n *node, p any) {
	e := event{at: max(at, w.now), seq: w.seq, kind: kind, node: -1, p: p}
	if n != nil {
		e.node, e.life = int32(n.i), n.life
	}
	w.seq++
	w.queue.push(e)
}

// deliver has a packet or a message come to a node, in whatever life it is then.
func (w *world) deliver(at micros, kind eventKind, to *end, p any) {
	w.queue.push(event{at: at, seq: w.seq, kind: kind, node: to.node, p: p})
	w.seq++
}

// run takes events until the end, or the first violation.
func (w *world) run(o Options) (*result.Result, error) {
	defer w.help(o)()
	w.until(w.end, o)
	if w.goesOn() {
		w.atRest()
		w.untilStill(o)
	}
	if w.broken != nil {
		return nil, w.broken
	}
	for _, n := range w.nodes {
		n.listen()
	}
	return w.result(), nil
}

// goesOn reports whether nothing has ended the run before its time.
func (w *world) goesOn() bool { return w.violation == nil && w.broken == nil && !w.cut }

// until takes events until a moment, unless the run ends before.
func (w *world) until(at micros, o Options) {
	for w.goesOn() {
		if o.most > 0 && w.events >= o.most {
			w.cut = true
			return
		}
		e, ok := w.queue.pop(at)
		if !ok {
			w.now = at
			return
		}
		w.now = e.at
		w.events++
		w.mix(uint64(e.at))
		w.mix(uint64(e.kind)<<32 | uint64(uint32(e.node)))
		w.happen(&e)
		if w.events%(1<<14) == 0 {
			if w.broken = w.ctx.Err(); o.Progress != nil {
				o.Progress(time.Duration(w.now)*time.Microsecond, w.events)
			}
		}
	}
}

func (w *world) happen(e *event) {
	switch e.kind {
	case evTick:
		if !w.passes(e) {
			w.nodes[e.node].tickAt(e)
		}
	case evRows, evMessage:
		if !w.hearsLater(e) {
			w.at(e)
		}
	case evArrival:
		c := w.next
		w.arrive()
		w.enter(&call{Call: c})
	case evStatus:
		w.pool.learn(e.p.(*status))
	case evBack:
		w.wake()
		w.back(e.p.(*node))
	case evFault:
		w.wake()
		w.fault(e.p.(*scenario.Event), true)
	case evMend:
		w.wake()
		w.fault(e.p.(*scenario.Event), false)
	case evSample:
		w.catchUp()
		w.measure.sample()
	case evLook:
		w.catchUp()
		w.measure.look()
	case evCall:
		w.enter(e.p.(*call))
	case evSettle:
		w.ends(e.p.(*call))
	case evFlow:
		w.flows(e.p.(*call))
	default:
		w.at(e)
	}
}

// at is an event of a node.
func (w *world) at(e *event) {
	n := w.nodes[e.node]
	packet := e.kind == evRows || e.kind == evMessage || e.kind == evFrozen || e.kind == evRevision
	if !n.up || !packet && e.life != n.life {
		return // it was for a process that is no more
	}
	n.happen(e)
}

// fail records the first invariant that does not hold.
func (w *world) fail(invariant, format string, args ...any) {
	w.failed(&result.Violation{
		Invariant: invariant, Detail: fmt.Sprintf(format, args...),
		At: time.Duration(w.now) * time.Microsecond, Event: w.events,
	})
}

func (w *world) failed(v *result.Violation) {
	if w.violation == nil {
		w.violation = v
	}
}

// millis is virtual time as workloads count it.
func (w *world) millis() ledger.Millis { return ledger.Millis(w.now / milli) }

// inForce notes that policy i is in force at some node now.
func (w *world) inForce(i int) {
	w.policyAt[i] = w.now
	w.judge.ruled()
}

// policies calls f with every policy that was in force anywhere at or after a moment.
func (w *world) policies(since micros, f func(*policy.Policy)) {
	for i, at := range w.policyAt {
		if i == 0 || at > 0 {
			if at >= since || w.measure.adopted[i] > 0 {
				f(w.sc.Policies[i])
			}
		}
	}
}
