package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// Members lists the pool, and those who have left it with rights that are stuck. See api.Node.
func (n *Node) Members() []api.Member {
	var seats []ledger.Seat
	var charter string
	var g ledger.Guarding
	stuck := map[ledger.Holder][]api.Stuck{}
	_ = n.look(func(ledger.Instant) {
		seats, charter, g = n.replica.Seats(), n.charterTag(), n.replica.Guarding()
		n.replica.EachStuck(func(s ledger.StuckRights) { stuck[s.Holder] = append(stuck[s.Holder], stuckView(s)) })
	})
	alarmed := n.auditor.alarmed()
	twoRows := map[string]bool{}
	for _, p := range n.book.Proofs() {
		twoRows[p.Holder.Node] = true
	}
	var ms []api.Member
	for _, m := range n.pool.Members() {
		h := holderOf(m)
		v := api.Member{
			Name: m.Name, Status: m.Status.String(), Gossip: m.Addr, HTTP: m.Tags[tagHTTP], Zone: m.Zone,
			Generation: m.Tags[tagGen], Version: m.Tags[tagVersion], Self: m.Self,
			RTTMS:   float64(m.RTT.Microseconds()) / 1000,
			Founder: slices.ContainsFunc(seats, func(s ledger.Seat) bool { return s.Holder == h }),
			Foreign: stranger(&m, charter), AuditAlarm: alarmed[m.Name],
		}
		v.Refused, v.RefusedWhy = n.refused.of(m.Name)
		v.TwoRows = twoRows[m.Name]
		v.NotEnrolled = !n.isPeer(&m) || m.Self && n.notIn() != ""
		v.Revision, _ = strconv.ParseInt(m.Tags[tagRevision], 10, 64)
		if m.Self {
			v.Guarding = guardingView(&g)
		} else if i := slices.IndexFunc(g.Wards, func(w ledger.WardState) bool { return w.Of == h && w.Heir.IsZero() }); i >= 0 {
			v.Ward, v.LeaseLeftMS = true, left(g.Wards[i].Left)
		}
		for _, of := range sorted(stuck) {
			if of.Node == m.Name {
				v.Stuck = append(v.Stuck, stuck[of]...)
				delete(stuck, of)
			}
		}
		ms = append(ms, v)
	}
	for _, of := range sorted(stuck) { // who is not in the pool any more
		if k := len(ms) - 1; ms[k].Status != api.Unlisted || ms[k].Name != of.Node {
			ms = append(ms, api.Member{Name: of.Node, Status: api.Unlisted, Generation: strconv.FormatUint(of.Gen, 16)})
		}
		last := &ms[len(ms)-1]
		last.Stuck = append(last.Stuck, stuck[of]...)
	}
	return ms
}

func sorted(m map[ledger.Holder][]api.Stuck) (hs []ledger.Holder) {
	for h := range m {
		hs = append(hs, h)
	}
	slices.SortFunc(hs, ledger.Holder.Compare)
	return hs
}

func stuckView(s ledger.StuckRights) api.Stuck {
	return api.Stuck{Instance: s.Instance.Name(), Generation: strconv.FormatUint(s.Holder.Gen, 16), Tokens: s.Tokens, Shares: s.Shares, Why: s.Why.String(), LeftMS: left(s.Left)}
}

func left(d time.Duration) int64 { return max(0, d.Milliseconds()) }

// guardingView is how this node is guarded, and whom it guards.
func guardingView(g *ledger.Guarding) *api.Guarding {
	v := &api.Guarding{Guardians: []api.Guardian{}, Wards: []string{}, LeaseHeld: g.Lease.Held && g.Lease.Left > 0, Noted: g.Held >= g.Version, Moving: g.Moving}
	if v.LeaseHeld {
		v.LeaseLeftMS = left(g.Lease.Left)
	}
	for _, s := range g.Guardians {
		v.Guardians = append(v.Guardians, api.Guardian{Name: s.Guardian.Node, Answers: s.Answers(), UpToDate: s.Acked >= g.Version, Refuses: s.Refuses})
	}
	for _, w := range g.Wards {
		if w.Heir.IsZero() {
			v.Wards = append(v.Wards, w.Of.Node)
		}
	}
	return v
}

const (
	removeTries = 50 * time.Millisecond // between looks at how a word stands
	removeLasts = 8 * time.Second       // until one that is not given is given up, within the client's patience
)

// RemoveMember takes a member off the list, or takes an operator's word that it is dead. See api.Node.
func (n *Node) RemoveMember(ctx context.Context, q api.RemoveRequest) (api.RemoveReceipt, error) {
	members := n.pool.Members()
	i := slices.IndexFunc(members, func(m gossip.Member) bool { return m.Name == q.Name })
	if !q.Dead {
		switch {
		case i < 0:
			return api.RemoveReceipt{}, fmt.Errorf("%w: no member %.64q", api.ErrUnknownMember, q.Name)
		case members[i].Status == gossip.Alive || members[i].Status == gossip.Leaving:
			return api.RemoveReceipt{}, fmt.Errorf("%w: %q is %s: stop it, or have it leave", api.ErrNotRemoved, q.Name, members[i].Status)
		}
		err := n.pool.Remove(q.Name)
		if err == nil {
			n.audit(q).Msg("a member was taken off the list; rights that it holds come back with it, or by its guardians")
		}
		return api.RemoveReceipt{Removed: []string{q.Name}}, err
	}
	by, err := n.vouchedBy(ctx, q)
	if err != nil {
		return api.RemoveReceipt{}, err
	}
	q.By = by
	w := ledger.Word{Nodes: append([]string{q.Name}, q.Also...), Unseen: q.Unseen, By: q.By, Why: q.Why}
	ctx, cancel := context.WithTimeout(ctx, removeLasts)
	defer cancel()
	v, err := n.vouch(ctx, &w, q)
	if err != nil {
		return api.RemoveReceipt{}, err
	}
	rc := api.RemoveReceipt{Removed: w.Nodes, Heir: n.opts.Name, Back: []api.Back{}}
	for _, b := range v.Back {
		rc.Back = append(rc.Back, api.Back{Instance: b.Instance.Name(), Shares: b.Shares, Tokens: b.Tokens})
	}
	n.audit(q).Strs("dead", w.Nodes).Interface("stock", q.Stock).Interface("limits", q.Limits).Bool("unseen_unused", q.Unseen).Interface("back", rc.Back).
		Msg("an operator vouches for the death of members: what they owned is this node's")
	for _, name := range w.Nodes {
		if k := slices.IndexFunc(members, func(m gossip.Member) bool { return m.Name == name && m.Status != gossip.Alive }); k >= 0 {
			if err := n.pool.Remove(name); err != nil {
				n.log.Warn().Err(err).Str("member", name).Msg("not taken off the list of members; that changes nothing of its rights")
			}
		}
	}
	return rc, nil
}

// vouch gives the word, again while others only need a moment.
func (n *Node) vouch(ctx context.Context, w *ledger.Word, q api.RemoveRequest) (v ledger.Vouching, err error) {
	begun, fails := false, error(nil)
	if again(ctx, removeTries, func() bool {
		err = n.wait(ctx, func(now ledger.Instant, done func(error)) {
			n.tellDeath(now)
			if !begun {
				if err := n.states(w, q); err != nil {
					done(err)
					return
				}
				if err := n.replica.Vouch(now, *w); err != nil {
					done(err)
					return
				}
				begun = true
			}
			v, _ = n.replica.Vouching()
			done(v.Err)
		})
		switch {
		case err == nil && v.Given:
			return true
		case errors.Is(err, ledger.ErrNotNow) && ctx.Err() == nil:
			begun = false // it knows more by now
		case err != nil && ctx.Err() == nil:
			fails = wordError(err)
			return true
		}
		return false
	}) {
		return v, fails
	}
	if !begun {
		return v, wordError(err)
	}
	return v, n.giveUp(w)
}

// giveUp gives up a word that is not given in time, unless it is by now.
func (n *Node) giveUp(w *ledger.Word) error {
	var v ledger.Vouching
	if err := n.wait(context.Background(), func(_ ledger.Instant, done func(error)) {
		n.replica.Unvouch(errors.New("it was given up: not all have answered in time"))
		v, _ = n.replica.Vouching()
		done(nil)
	}); err != nil {
		return err
	}
	if v.Given {
		return fmt.Errorf("%w: the word about %v was given just now: see members", api.ErrNotReady, w.Nodes)
	}
	var names []string
	for _, h := range v.Waiting {
		names = append(names, h.Node)
	}
	return fmt.Errorf("%w: the word is not given: %v did not answer in time; it takes all members that are alive", api.ErrNotReady, names)
}

// states reads what the operator states by instance. The loop's.
func (n *Node) states(w *ledger.Word, q api.RemoveRequest) (err error) {
	if w.Stock, err = n.stated("stock", q.Stock); err == nil {
		w.Limits, err = n.stated("limits", q.Limits)
	}
	return err
}

func (n *Node) stated(field string, in []api.Stated) (out []ledger.Stated, err error) {
	for _, s := range in {
		budget, values, _, err := ledger.InstanceID(s.Instance + "@000000000000").Split()
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %.64q is no name of an instance: write the budget, and a value for each of its per, as in tenant-day/search", admit.ErrInvalid, field, s.Instance)
		}
		b, ok := n.policy.Load().policy.Budget(budget)
		if !ok {
			return nil, fmt.Errorf("%w: the policy has none of the name %.64q", api.ErrUnknownBudget, budget)
		}
		if len(values) != len(b.Per) {
			return nil, fmt.Errorf("%w: %s: budget %q is per %v, so it needs %d values, not %d", admit.ErrInvalid, field, b.Name, b.Per, len(b.Per), len(values))
		}
		id, err := n.present(n.now(), b, values)
		if err != nil {
			return nil, err
		}
		out = append(out, ledger.Stated{Instance: id, Tokens: s.Amount})
	}
	return out, nil
}

// wordError says what a refusal of the ledger is to a caller.
func wordError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrAbsent):
		return fmt.Errorf("%w: %w", api.ErrUnknownMember, err)
	case errors.Is(err, ledger.ErrTooMuch), errors.Is(err, ledger.ErrUnknown):
		return fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	case errors.Is(err, ledger.ErrAlive), errors.Is(err, ledger.ErrOthers), errors.Is(err, ledger.ErrClaimed), errors.Is(err, ledger.ErrBusyWord):
		return fmt.Errorf("%w: %w", api.ErrNotRemoved, err)
	case errors.Is(err, ledger.ErrNotNow), errors.Is(err, ledger.ErrNoCharter), errors.Is(err, ledger.ErrRetired), errors.Is(err, ledger.ErrFenced):
		return fmt.Errorf("%w: %w", api.ErrNotReady, err)
	}
	return err
}

// audit begins a line of the log about what an operator did: who, what and why. What was decided is on disk, too.
func (n *Node) audit(q api.RemoveRequest) *zerolog.Event {
	what := "taken off the list"
	if q.Dead {
		what = "vouched dead"
	}
	n.auditor.act(audit.Record{Kind: audit.Member, What: what, Node: q.Name, By: q.By, Why: q.Why})
	return n.log.Warn().Str("event", "audit").Str("what", "members remove").Str("member", q.Name).Str("by", q.By).Str("why", q.Why)
}

// guardState feeds the metrics about guarding. The loop's.
func (n *Node) guardState() telemetry.GuardState {
	g := n.replica.Guarding()
	c := &g.Counts
	st := telemetry.GuardState{
		Notes: c.Notes, Acked: c.Acked, NoteBytes: c.NoteBytes, Stored: c.Stored, RefusedNotes: c.Refused,
		Begun: c.Begun, Decided: c.Decided, Rejected: c.Rejections, Learned: c.Learned,
	}
	if g.Lease.Held {
		st.LeaseSeconds = max(0, g.Lease.Left.Seconds())
	}
	if p := n.policy.Load().policy.Guards(); p.Guardians > 0 {
		st.LeaseLasts = float64(p.Lease-p.Lease/10) / 1000 // the margin is the guardians'
	}
	for _, s := range g.Guardians {
		if s.Answers() {
			st.Answering++
		} else {
			st.Silent++
		}
	}
	for _, w := range g.Wards {
		if w.Heir.IsZero() {
			st.Wards++
		}
	}
	p, charter := n.policy.Load().policy, n.replica.Charter().ID
	for t, a := range n.reclaimed {
		a.Token = t
		st.Reclaimed = append(st.Reclaimed, a)
	}
	n.replica.EachStuck(func(s ledger.StuckRights) {
		if b, _, ok := p.Resolve(charter, s.Instance); ok {
			st.Stuck = append(st.Stuck, telemetry.StuckState{Token: b.Token, Reason: s.Why.String(), Tokens: int64(s.Tokens), Shares: int64(s.Shares)})
		}
	})
	return st
}

// cameBack counts what came back to this node of a dead generation. The loop's.
func (n *Node) cameBack(e *ledger.Event) {
	b, _, ok := n.policy.Load().policy.Resolve(n.replica.Charter().ID, e.Instance)
	if !ok {
		return
	}
	if n.reclaimed == nil {
		n.reclaimed = map[string]telemetry.TokenAmount{}
	}
	a := n.reclaimed[b.Token]
	a.Tokens += int64(e.Tokens)
	a.Shares += int64(e.Shares)
	n.reclaimed[b.Token] = a
	n.log.Debug().Stringer("of", e.Peer).Str("instance", e.Instance.Name()).Int64("tokens", int64(e.Tokens)).Int64("shares", int64(e.Shares)).Msg("rights of a dead node came back to this one")
}
