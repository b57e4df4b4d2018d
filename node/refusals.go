package node

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// What is refused of peers is counted by reason, kept by peer for `members`, and said in the log and the audit log: of each peer and
// reason the first, and then at most once a minute with how many there were since.

const (
	maxRefusers  = 1024
	refusalPause = time.Minute
)

// refusals counts. Safe for concurrent use.
type refusals struct {
	total [32]atomic.Int64 // by reason

	mu sync.Mutex // guards by
	by *lru.Cache[string, *refusedOf]
}

type refusedOf struct {
	count int64
	last  seal.Reason
	said  map[seal.Reason]*saidRefusal
}

type saidRefusal struct {
	at    time.Time
	since int64
}

func newRefusals() *refusals {
	by, err := lru.New[string, *refusedOf](maxRefusers)
	if err != nil {
		panic("BUG: " + err.Error()) // only for a size below one
	}
	return &refusals{by: by}
}

// note counts a refusal, and reports whether it should be said, and for how many since the last that was.
func (r *refusals) note(now time.Time, from string, why seal.Reason) (say bool, since int64) {
	r.total[why].Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.by.Get(from)
	if !ok {
		o = &refusedOf{said: map[seal.Reason]*saidRefusal{}}
		r.by.Add(from, o)
	}
	o.count++
	o.last = why
	s := o.said[why]
	if s == nil {
		o.said[why] = &saidRefusal{at: now}
		return true, 1
	}
	s.since++
	if now.Sub(s.at) < refusalPause {
		return false, 0
	}
	since, s.since, s.at = s.since, 0, now
	return true, since
}

// of is what was refused of a peer, and why last.
func (r *refusals) of(name string) (count int64, last string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.by.Peek(name); ok {
		return o.count, o.last.String()
	}
	return 0, ""
}

// counts are all refusals by reason.
func (r *refusals) counts() []telemetry.RefusedState {
	var list []telemetry.RefusedState
	for _, why := range seal.Reasons() {
		list = append(list, telemetry.RefusedState{Reason: why.String(), Count: r.total[why].Load()})
	}
	return list
}

// loud are the reasons that somebody must look into: the others come of restarts, of the network, or of members that have just come.
func loud(why seal.Reason) bool {
	switch why {
	case seal.UnknownKey, seal.Replayed, seal.Unsigned, seal.Malformed, seal.Unproved, seal.NoSigner:
		return false
	}
	return true
}

// refuse takes note of what was refused of a peer. Safe for concurrent use.
func (n *Node) refuse(from string, err error) {
	why := seal.Malformed
	if r := (*seal.Refusal)(nil); errors.As(err, &r) {
		why = r.Reason
	}
	say, since := n.refused.note(time.Now(), from, why)
	if !say {
		return
	}
	ev := n.log.Warn()
	if why == seal.UnknownKey || why == seal.Replayed {
		ev = n.log.Debug()
	}
	if loud(why) {
		ev = n.log.Error().Str("event", "audit")
		n.auditor.act(audit.Record{Kind: audit.Alarm, What: "refused: " + why.String(), Node: from, Count: since, Why: err.Error()})
	}
	ev.Str("from", from).Stringer("reason", why).Int64("count", since).AnErr("why", err).Msg("refused: " + advice(why))
}

// advice says what it may be, and what to do.
func advice(why seal.Reason) string {
	switch why {
	case seal.Unsigned:
		return "a node that signs what it says has said something without a signature: somebody else speaks in its name, or it went back to an older version, for which it needs an empty data directory"
	case seal.UnknownKey:
		return "its key is not known here yet; it is told again"
	case seal.WrongKey:
		return "another key than this node knows of that data directory: somebody else speaks in its name; if its identity was really made anew, start it with an empty data directory"
	case seal.Forged:
		return "the signature is not that of the node that it names: somebody speaks in its name"
	case seal.NotTheirs:
		return "it is another node's to say"
	case seal.Replayed:
		return "it came before; one now and then is the network's doing, many are somebody who repeats what he has heard"
	case seal.Flood:
		return "more than any node sends: stop that node, or rotate the gossip key"
	case seal.Convicted:
		return "that node is fenced: " + afterProof
	case seal.TwoLives:
		return "two processes run with one data directory or copies of it: stop one of them"
	case seal.NotSigned:
		return "it tells a change that no operator has signed: it has a policy file of its own, is of a version that knows no signatures, or somebody tries to change the policy"
	case seal.NoSigner:
		return "it tells a change that nobody has signed who is known to sign here; one now and then is told again when that is known"
	case seal.FalseWord:
		return "it tells a change under a signature that is not of what it tells: somebody tries to change the policy"
	case seal.NotEnrolled:
		return "no operator has signed that it belongs to this swarm: swarmpurse keys enrol NAME --sign-with FILE at any member if it does; if not, stop it, and rotate the gossip key, which it has"
	case seal.UnsignedMint:
		return "it shows more top-ups than operators signed for it, so nothing of it is taken: it mints for itself, or it has a top-up that was signed before this version and is signed again with its --id; if it lies, swarmpurse keys expel puts it out, and its rights come back as from a dead node"
	case seal.Unproved:
		return "a peer says that it knows later rows of this node than it has written, and does not show them"
	}
	return "it cannot be read"
}

// trustState tells metrics.
func (n *Node) trustState() telemetry.TrustState {
	keys, fenced := n.book.Sizes()
	return telemetry.TrustState{Refused: n.refused.counts(), Keys: keys, Fenced: fenced}
}
