package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/seal"
)

// A directory of which a copy is in use must not be spent from twice. So who starts on one that holds anything tells its start in a push/pull, whose other
// side tells it back to whoever is known by that name; until it has come back, this node decides on no call. If it comes to a process on another copy,
// that has the proof, and both are fenced. A node that reaches nobody goes on after a while: while it is cut off, nobody can know.

const (
	// startAlone is how long a start waits where no peer tells it back: none answers, or they are of a version that does not.
	startAlone = 5 * time.Second
	// startDisputed is how long it waits at most while peers know another address for its name, until they have missed its last life, or have found
	// that there are two.
	startDisputed = 30 * time.Second
	// startAsk is how often peers are told meanwhile, and startAskLater how often when it waits no more.
	startAsk      = 500 * time.Millisecond
	startAskLater = 2 * time.Second
	// startPatience is how long a call waits for it.
	startPatience = 5 * time.Second
)

var errStarting = errors.New("no peer has confirmed this start on its data directory yet: try again in some seconds")

// starting is how far a start has come. The loop's, but for what says otherwise.
type starting struct {
	own   *seal.Start   // what this process says of itself. Does not change
	over  atomic.Bool   // what the directory holds is this process's to use. Anybody's to read
	done  chan struct{} // closed when it is. Anybody's to wait for
	again bool          // there was one before on this directory. Does not change
	told  bool          // it came back by this node's name
	asked time.Time
}

// beginRun signs what this process says of its start, which follows the run before on its directory.
func (n *Node) beginRun(before uint64) {
	word := n.rand.Uint64() | 1 // 0 is none
	n.starting.own, n.starting.done, n.starting.again = n.signer.Start(before, word, 0), make(chan struct{}), before > 0
}

// begun is an error while this node must not move what its directory holds. Safe for concurrent use.
func (n *Node) begun() error {
	if n.starting.over.Load() {
		return nil
	}
	return fmt.Errorf("%w: %w", api.ErrNotReady, errStarting)
}

// lets is what of it the ledger may tell peers: nothing at first, since what it gives away, or notes with guardians, may be another process's. All of it is
// told again.
func (s *starting) lets(sends []ledger.Send) []ledger.Send {
	if s.over.Load() {
		return sends
	}
	return nil
}

// awaitBegun waits until it may. The error is of ctx, or says that it takes too long. Safe for concurrent use.
func (n *Node) awaitBegun(ctx context.Context) error {
	if n.starting.over.Load() {
		return nil
	}
	t := time.NewTimer(startPatience)
	defer t.Stop()
	select {
	case <-n.starting.done:
		return nil
	case <-n.stopped:
		return fmt.Errorf("%w: %w", api.ErrNotReady, errStopped)
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return n.begun()
	}
}

// watchStart tells peers of this start, and ends the wait for them. The loop's, at each tick.
func (n *Node) watchStart() {
	s := &n.starting
	begun := s.over.Load()
	if begun && s.told {
		return
	}
	wall := time.Now()
	waited := wall.Sub(n.started)
	alive := n.pool.Alive()
	pause := startAsk
	if begun {
		pause = startAskLater // where it is at another address, they hear of that, too
	}
	if s.again && len(alive) > 0 && waited < startDisputed && wall.Sub(s.asked) >= pause {
		s.asked = wall
		_ = n.pool.Sync(alive[n.rand.IntN(len(alive))]) // full: they are being told
	}
	if begun {
		return
	}
	other := n.pool.Namesake()
	disputed := !other.IsZero() && wall.Sub(other) < startAlone
	switch {
	case s.told && !n.signed.unsure, n.replica.Fenced(), len(alive) == 0 && !n.pool.Seeks():
		s.goOn()
	case disputed && waited < startDisputed, waited < startAlone:
	default:
		n.log.Warn().Bool("name_in_use", disputed).Int("alive", len(alive)).
			Msg("no peer has confirmed this start on its data directory: going on with what it holds. If a copy of the directory is in use elsewhere, stop that")
		s.goOn()
	}
}

// goOn ends the wait.
func (s *starting) goOn() {
	s.over.Store(true)
	close(s.done)
}

// takeStart takes what a node says of its start: in a push/pull, or from a peer that heard of it in one. Safe for concurrent use.
func (n *Node) takeStart(from string, msg []byte, back bool) {
	s, err := n.book.OpenStart(time.Now().UnixMilli(), msg)
	if err != nil {
		n.refuse(from, err)
		return
	}
	if s.Node == n.opts.Name {
		_ = n.submit(n.inputs, func(now ledger.Instant) { n.hearStart(now, from, s, back) })
	} else if !back {
		n.post(s.Node, append([]byte{msgStart}, msg...))
	}
}

// hearStart takes what is said of a start by this node's own key. The loop's.
func (n *Node) hearStart(now ledger.Instant, from string, s *seal.Start, back bool) {
	own := n.starting.own
	switch {
	case s.Dir != n.dir:
	case s.Word == own.Word:
		n.starting.told = n.starting.told || back
	default:
		if proof := n.signer.Outlived(own, s); proof != nil {
			n.convict(now, from, proof)
		}
	}
}
