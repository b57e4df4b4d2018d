package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// op is work for the loop.
type op func(now ledger.Instant)

const (
	// meetEvery is how often, in ms, the ledger hears of round-trip times.
	meetEvery = 5_000
	// opsPerBatch bounds what one write waits for.
	opsPerBatch = 512
	// maxOps bounds the operations that wait for the loop, of either kind.
	maxOps = 8192
	// slowDisk is how long a write may take until the node complains, and is not ready.
	slowDisk = 5 * time.Second
)

var (
	errBusy    = errors.New("the node is busy: its queue of operations is full")
	errStopped = errors.New("the node has stopped")
)

// submit hands work to the loop without waiting for it: to inputs if it changes the replica, and so must wait while a
// batch is written; to looks if it decides on a call or only reads, which need not.
func (n *Node) submit(ch chan<- op, f op) error {
	select {
	case <-n.stop:
		return errStopped
	default:
	}
	select {
	case ch <- f:
		return nil
	default:
		n.metrics.Dropped(telemetry.Overflow)
		return errBusy
	}
}

// ask runs f, which may change the replica, in the loop and waits for it. After an error f may yet run.
func (n *Node) ask(ctx context.Context, f op) error { return n.run(ctx, n.inputs, f) }

// look runs f, which gives the replica no input, in the loop and waits for it. It does not wait for the disk.
func (n *Node) look(f op) error { return n.run(context.Background(), n.looks, f) }

// Alive says whether the loop that owns the replica still takes work, by giving it some: nil once that is done. It waits while there is no room for more. An
// error is of ctx, or says that the node is stopped.
func (n *Node) Alive(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case n.looks <- func(ledger.Instant) { close(done) }:
	case <-n.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	return n.await(ctx, done)
}

// await waits until what the loop was given is done.
func (n *Node) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-n.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) run(ctx context.Context, ch chan<- op, f op) error {
	done := make(chan struct{})
	if err := n.submit(ch, func(now ledger.Instant) { f(now); close(done) }); err != nil {
		return err
	}
	return n.await(ctx, done)
}

// loop owns the replica: nobody else touches it. It takes what has come in, makes durable in one write what
// that changed, and only then tells anybody. While the write is under way it goes on with what is no input: calls are
// decided, and questions answered, from what is durable already.
func (n *Node) loop() {
	defer close(n.stopped)
	tick := time.NewTicker(time.Duration(core.TickEvery) * time.Millisecond)
	defer tick.Stop()
	last, due := time.Now(), false
	n.looked, n.booted = last, n.boot()
	for {
		select {
		case <-n.stop:
			return
		case f := <-n.looks:
			n.wake()
			f(n.now())
		case f := <-n.taken():
			n.wake()
			f(n.now())
		case <-n.poke:
		case err := <-n.written:
			n.finish(n.now(), true, err)
		case err := <-n.following:
			n.succeed(n.now(), err)
		case t := <-tick.C:
			due = true
			wall := time.Now()
			n.watchClock(wall, ledger.Millis(t.Sub(last).Milliseconds()))
			last = t
			n.metrics.Expired(n.core.Expire(n.now()))
			n.watchDisk(wall)
			n.metrics.Sample(wall)
		}
		n.takeIn()
		now := n.now()
		n.follow(now)
		if due && !n.held() {
			due = false
			n.tick(now)
		}
		n.flush(now)
	}
}

// wake has the clock follow before anything is decided, if the machine has slept.
func (n *Node) wake() {
	if now := time.Now(); n.jumped(now) {
		n.watchClock(now, 0)
	}
}

// watchClock has the clock follow the wall clock, and tells a step of it from a machine that was suspended.
func (n *Node) watchClock(wall time.Time, interval ledger.Millis) {
	up := n.boot()
	suspended := up - n.booted - wall.Sub(n.looked)
	n.looked, n.booted = wall, up
	told := wall.Add(time.Duration(n.wrong.Load()))
	step := n.clock.Follow(ledger.Instant(told.UnixMilli()), n.elapsed(wall), interval)
	if step == 0 {
		return
	}
	why := "the clock stepped forward"
	if suspended.Milliseconds() > int64(step)/2 {
		why = "the machine was suspended"
	}
	n.log.Warn().Dur("step", time.Duration(step)*time.Millisecond).Msg(why)
	if by := step - ledger.Millis(suspended.Milliseconds()); by > 0 {
		n.core.Stepped(n.now(), by) // the calls that run have not got older by it
	}
}

// held reports that the replica takes no input: a batch is written, or the generation that follows a claimed one.
func (n *Node) held() bool { return n.core.Writing() || n.next != nil }

// taken is where inputs come from; nil, which gives none, while the replica takes none.
func (n *Node) taken() <-chan op {
	if n.held() {
		return nil
	}
	return n.inputs
}

// takeIn takes what else has come in.
func (n *Node) takeIn() {
	for range opsPerBatch {
		select {
		case f := <-n.looks:
			n.wake()
			f(n.now())
		case f := <-n.taken():
			n.wake()
			f(n.now())
		default:
			return
		}
	}
}

func (n *Node) tick(now ledger.Instant) {
	n.replica.Elapsed(n.boot())
	n.core.Tick(now)
	n.found(now)
	n.watchGuards(now)
	n.compare(now)
	n.watchRollout(now)
	n.judgeEnrolment(now)
	n.watchTopUps(now)
	n.watchOutcomes(now)
	n.sure(now)
	n.watchStart()
	if now >= n.met+meetEvery {
		n.meet(now) // round-trip times change without notice
	}
}

// flush lets waiting calls try and begins a batch if there is anything to tell or to write. What needs no write is done
// at once, and may let more calls run, which ask for more.
func (n *Node) flush(now ledger.Instant) {
	for range core.Rounds {
		decided, pending := n.core.Advance(now)
		n.answer(decided)
		if n.held() || !n.core.Ready() || !pending && len(n.extra) == 0 && len(n.after) == 0 && n.frozen.changes == n.frozen.durable && n.enrolled.changes == n.enrolled.durable && n.topups.changes == n.topups.durable && n.roll.changes == n.roll.durable {
			return
		}
		all := n.begin(now)
		if len(all) > 0 && n.store.IsDurable() {
			n.since, n.saidSlow = time.Now(), false
			write := n.write
			go func() { n.written <- write(all) }()
			return
		}
		n.finish(now, len(all) > 0, n.write(all))
		now = n.now()
	}
}

// begin starts a batch and returns what it must make durable.
func (n *Node) begin(now ledger.Instant) []store.Write {
	ws := n.core.Writes(now)
	n.writeFrozen()
	n.writeEnrolled()
	n.writeTopUps()
	n.writeRevisions()
	all := make([]store.Write, 0, len(ws)+len(n.extra))
	all = append(inBuckets(all, ws), n.extra...)
	n.ending = n.after
	n.after, n.extra = nil, nil
	return all
}

// finish acts on a batch that is durable; wrote is whether that took a write. If the disk failed, what the batch would
// have told is dropped; peers and callers will say it again.
func (n *Node) finish(now ledger.Instant, wrote bool, err error) {
	ending := n.ending
	n.ending = nil
	if err != nil {
		n.core.Abort(now)
		n.diskFailed(err)
		for _, f := range ending {
			f(fmt.Errorf("%w: %w", api.ErrNotReady, n.failing))
		}
		return
	}
	n.diskWorks(wrote)
	n.replica.Elapsed(n.boot())
	fx := n.core.Commit(now)
	for _, f := range ending {
		f(nil)
	}
	n.do(fx)
}

// diskFailed takes note of a write that failed.
func (n *Node) diskFailed(err error) {
	if n.failing == nil {
		n.log.Error().Err(err).Msg("the data directory cannot be written: nothing new is admitted beyond what is durable")
	}
	n.failing = fmt.Errorf("the data directory cannot be written: %w", err)
	n.engine.SetDisk(root(err))
	if errors.Is(err, store.ErrFailed) {
		n.broken(err)
	}
}

// diskWorks takes note of a batch that is durable; wrote is whether that took a write.
func (n *Node) diskWorks(wrote bool) {
	if wrote && n.failing != nil {
		n.log.Info().Msg("the data directory can be written again")
		n.failing = nil
		n.engine.SetDisk("")
	}
	if n.saidSlow {
		n.saidSlow = false
		n.log.Info().Dur("took", time.Since(n.since)).Msg("the data directory answers again")
	}
}

// root gives the words of the system in an error, without the paths, which are no caller's business.
func root(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no.Error()
	}
	return "see its log"
}

// watchDisk says once of a write that it takes long.
func (n *Node) watchDisk(wall time.Time) {
	if n.stalled(wall) && !n.saidSlow {
		n.saidSlow = true
		n.log.Warn().Dur("since", wall.Sub(n.since)).Msg("the data directory does not answer a write: nothing new is admitted beyond what is durable")
	}
}

// stalled reports that a write takes long.
func (n *Node) stalled(wall time.Time) bool { return n.held() && wall.Sub(n.since) >= slowDisk }

// inBuckets appends the ledger's writes to those of a batch.
func inBuckets(all []store.Write, ws []ledger.Write) []store.Write {
	for _, w := range ws {
		all = append(all, store.Write{Bucket: bucketOf(w.Key), Key: w.Key, Value: w.Value})
	}
	return all
}

// bucketOf sorts the ledger's records by the first part of their keys: what this node owns, what it keeps for others, and
// what holds for the cluster.
func bucketOf(key string) store.Bucket {
	kind, _, _ := strings.Cut(key, "/")
	switch kind {
	case "account", "entry", "due", "overdrew":
		return store.Accounts
	case "guardians", "ward", "copy", "round", "generation", "shut", "gone":
		return store.Guards
	}
	return store.Seats
}

// answer tells the callers of calls that were decided.
func (n *Node) answer(ws []*admit.Waiter) {
	for _, w := range ws {
		w.Notify.(*pending).decided(w.ID, w.Err)
	}
}

// broken ends Run: nobody knows any more what is on disk, so only a restart, which reads it, can go on.
func (n *Node) broken(err error) {
	select {
	case n.fatal <- fmt.Errorf("the data directory is in an unknown state; start the node again: %w", err):
	default:
	}
}
