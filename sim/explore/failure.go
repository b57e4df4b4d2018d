package explore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// Failure is a promise broken, with a shortest path to where.
type Failure struct {
	Scope  string
	Test   string // that explores the scope; TestScopes if not set
	Err    error
	Path   []string // what happened, in order
	Before []string // the nodes before the last action, and after
	After  []string
}

// Invariant names the promise, or "" if the code's own checks failed.
func (f *Failure) Invariant() judge.Invariant {
	var v *judge.Violation
	if errors.As(f.Err, &v) {
		return v.Invariant
	}
	return ""
}

func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "scope %s: after %d actions\n%v\n\nwhat happened:\n", f.Scope, len(f.Path), f.Err)
	for i, s := range f.Path {
		fmt.Fprintf(&b, "%3d. %s\n", i+1, s)
	}
	b.WriteString("\nbefore the last of it:\n")
	for _, s := range f.Before {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	b.WriteString("after it:\n")
	for _, s := range f.After {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	fmt.Fprintf(&b, "\nagain: go test ./sim/explore -run '%s/^%s$' -explore.depth %d\n", cmp.Or(f.Test, "TestScopes"), f.Scope, max(1, len(f.Path)))
	return b.String()
}

// path lists the actions that led to a state.
func (x *search) path(w world) []world {
	ws := []world{w}
	for ws[len(ws)-1].parent >= 0 {
		ws = append(ws, x.worlds[ws[len(ws)-1].parent])
	}
	slices.Reverse(ws)
	return ws[1:]
}

// fail tells how a state came about in which a promise is broken.
func (x *search) fail(w world, err error) *Failure {
	f := &Failure{Scope: x.scope.Name, Err: err}
	ns := [nodes]*node{}
	for i := range nodes {
		ns[i], _ = x.newNode(i)
	}
	f.After = describe(ns[:])
	for _, step := range x.path(w) {
		f.Before = f.After
		var lines []string
		for i, n := range ns {
			if int8(i) != step.node && step.node >= 0 {
				continue
			}
			if err := x.run(n, step.act); err != nil {
				n.note = strings.TrimPrefix(n.note+"; this breaks a promise", "; ")
			}
			if step.node >= 0 {
				lines = append(lines, x.say(n, step.act))
			}
		}
		if step.node < 0 {
			lines = append(lines, fmt.Sprintf("all clocks go on by %d ms", step.act.arg))
		}
		f.Path = append(f.Path, strings.Join(lines, "; "))
		f.After = describe(ns[:])
	}
	return f
}

// say tells one action in words.
func (x *search) say(n *node, in input) string {
	name := func(i int8) string { return x.self[i].Node }
	var s string
	switch in.kind {
	case reserve:
		s = fmt.Sprintf("reserves %d", in.arg)
		if in.to >= 0 {
			s += " and asks " + name(in.to) + " for what lacks"
		}
	case settle:
		s = fmt.Sprintf("settles call %d, of which %d %% was used", in.arg>>8, in.arg&0xff)
	case rights:
		s = fmt.Sprintf("gives %s %d rights", name(in.to), in.arg)
	case shares:
		s = fmt.Sprintf("gives %s %d shares", name(in.to), x.scope.Shares[in.arg])
	case receive:
		m := &x.messages[in.arg]
		s = fmt.Sprintf("receives from %s %s", x.self[m.from].Node, tell(m.msg))
	case tick:
		s = "ticks"
	case step:
		s = fmt.Sprintf("has its clock go on by %d ms", in.arg)
	case turn:
		s = fmt.Sprintf("has its clock go on by %d ms and ticks", in.arg)
	case batch:
		s = "ends its batch"
	case write:
		s = "starts to write"
	case crash:
		s = "crashes"
	case restart:
		if s = "restarts"; in.arg > 0 {
			s += fmt.Sprintf(", its clock %d ms behind", in.arg)
		}
	case topUp:
		s = fmt.Sprintf("tops up by %d", x.scope.TopUp)
	case burn:
		s = fmt.Sprintf("burns %d", x.scope.Burn)
	case policy:
		s = fmt.Sprintf("goes over to policy %d", in.arg)
	case leave:
		s = "leaves to " + name(in.to)
	case digest:
		s = "tells what it knows"
	case offer:
		s = "ticks and offers " + name(in.to) + " what it has borrowed"
	}
	if len(x.ids) > 1 && (in.kind == reserve || in.kind == rights || in.kind == shares || in.kind == topUp || in.kind == burn) {
		s += " in " + x.ids[in.budget].Name()
	}
	if n.note != "" {
		s += " (" + n.note + ")"
	}
	switch in.then {
	case commit:
		s += "; its write succeeds"
	case abort:
		s += "; its write fails"
	case crashBefore:
		s += "; it crashes before the write"
	case crashAfter:
		s += "; it crashes after the write"
	}
	for _, e := range n.sent {
		s += fmt.Sprintf("; tells %s %s", name(int8(e.to)), tell(e.msg))
	}
	return x.self[n.i].Node + " " + s
}

// tell says what a message tells.
func tell(msg any) string {
	switch m := msg.(type) {
	case *ledger.Transfer:
		return fmt.Sprintf("transfer{window %d out %d, shares out %d from window %d}", m.Window, m.Out, m.SharesOut, m.First)
	case *ledger.Ack:
		return fmt.Sprintf("ack{window %d in %d, shares in %d}", m.Window, m.In, m.SharesIn)
	case *ledger.Ask:
		return fmt.Sprintf("ask{window %d want %d}", m.Window, m.Want)
	case *ledger.Hold:
		return fmt.Sprintf("hold{for %d ms}", m.For)
	case *ledger.Refuse:
		return "refusal"
	case *ledger.SeatPass:
		return fmt.Sprintf("seat{%d serial %d, used for %d}", m.Seat.Index, m.Seat.Serial, len(m.Used))
	case *ledger.SeatAck:
		return fmt.Sprintf("seat-ack{%d serial %d}", m.Index, m.Serial)
	case *ledger.Digest:
		return fmt.Sprintf("digest of %d holders", len(m.Holders))
	case *ledger.Offer:
		return fmt.Sprintf("offer{%d}", m.Amount)
	case []ledger.Row:
		return fmt.Sprintf("row{%s version %d}", m[0].Holder.Node, m[0].Version)
	}
	return fmt.Sprintf("%T", msg)
}

// describe shows nodes as they are, in memory and on disk.
func describe(ns []*node) []string {
	var out []string
	for _, n := range ns {
		for b, id := range n.sc.ids {
			s := fmt.Sprintf("%s %s at +%d ms", n.sc.self[n.i].Node, id.Name(), n.clock-start)
			switch {
			case n.r == nil:
				s += " is down"
			case n.r.Account(id) == nil:
				s += " has no account"
			default:
				live, _, _, ready := n.r.Account(id).Peek()
				if !ready {
					s += " is not open"
				} else {
					s += ": " + account(&live)
				}
				n.r.EachEntry(id, func(peer ledger.Holder, e ledger.Entry) { s += "; with " + peer.Node + " " + entry(&e) })
			}
			out = append(out, s)
			if d := n.disk.Account(id); d != nil {
				s := "   on disk: " + account(d)
				for _, p := range n.disk.Pairs(id) {
					s += "; with " + p.Peer.Node + " " + entry(&p.Entry)
				}
				out = append(out, s)
			}
			for _, u := range n.books[b].Uses {
				out = append(out, fmt.Sprintf("   callers were told %d of window %d", u.Used, u.Window))
			}
		}
	}
	return out
}

// account shows what of an account is not zero.
func account(s *ledger.State) string {
	out := fmt.Sprintf("window %d shares %d", s.Window, s.Shares())
	for _, f := range []struct {
		name string
		n    ledger.Tokens
	}{
		{"base", s.Base}, {"cut", s.Cut}, {"rolled", s.Rolled}, {"minted", s.Minted}, {"overdrawn", s.Overdrawn}, {"in", s.In},
		{"out", s.Out}, {"spent", s.Spent}, {"reserved", s.Reserved}, {"lapsed", s.Lapsed}, {"decayed", s.Decayed}, {"burned", s.Burned}, {"debt", s.Debt}, {"mark", s.Mark},
		{"balance", s.Balance()}, {"shares arriving", ledger.Tokens(s.Arriving)}, {"counted", ledger.Tokens(s.Counted)}, {"free", ledger.Tokens(s.Free)},
	} {
		if f.n != 0 {
			out += fmt.Sprintf(" %s %d", f.name, f.n)
		}
	}
	return out
}

func entry(e *ledger.Entry) string {
	return fmt.Sprintf("{window %d out %d in %d acked %d; shares out %d in %d acked %d, from %d}",
		e.Window, e.Out, e.In, e.AckedOut, e.SharesOut, e.SharesIn, e.AckedShares, e.First)
}
