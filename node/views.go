package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/topup"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// maxListed bounds the instances of one budget that an answer lists.
const maxListed = 1000

// Budgets lists all budgets of the policy. See api.Node.
func (n *Node) Budgets(v api.View) []api.Budget {
	var bs []api.Budget
	_ = n.look(func(now ledger.Instant) {
		by := n.instances()
		for _, b := range n.policy.Load().policy.Budgets() {
			bs = append(bs, n.budget(now, b, by[b.Name], false, v))
		}
	})
	return bs
}

// Budget tells of one budget, with its holders. See api.Node.
func (n *Node) Budget(name string, view api.View) (api.Budget, error) {
	p := n.policy.Load().policy
	b, ok := p.Budget(name)
	if !ok {
		return api.Budget{}, fmt.Errorf("%w: the policy has none of the name %.64q", api.ErrUnknownBudget, name)
	}
	var v api.Budget
	err := n.look(func(now ledger.Instant) { v = n.budget(now, b, n.instances()[b.Name], true, view) })
	return v, err
}

// instances sorts the known instances of the present policy by budget.
func (n *Node) instances() map[string][]ledger.InstanceID {
	by := map[string][]ledger.InstanceID{}
	p, charter := n.policy.Load().policy, n.replica.Charter().ID
	for _, id := range n.replica.Instances() {
		if b, _, ok := p.Resolve(charter, id); ok && !n.replica.Ended(id) {
			by[b.Name] = append(by[b.Name], id)
		}
	}
	return by
}

func (n *Node) budget(now ledger.Instant, b *policy.Budget, ids []ledger.InstanceID, holders bool, view api.View) api.Budget {
	ids = n.seen(b, ids, view)
	v := api.Budget{
		Name: b.Name, Token: b.Token, Kind: b.Spec.Kind.String(), Supply: api.SupplyText(&b.Spec), Ceiling: api.CeilingText(&b.Spec), Per: b.Per, Price: b.Price,
		Pricing:   b.Pricing.Mode.String(),
		Instances: []api.Instance{}, Withheld: !view.All && tenantAt(b) < 0,
	}
	var shares []admit.Share
	if b.SwarmFairness {
		v.Fairness = "swarm"
		if holders && view.All {
			shares = n.engine.Shares()
		}
	}
	if b.Renews {
		past := n.replica.Lives(b.Name)
		v.Renew = &api.Renew{EveryMS: int64(b.Renew.Length), Ended: past.Over, Forgotten: past.Forgotten}
		if !view.All {
			v.Renew.Ended, v.Renew.Forgotten = 0, 0 // of all tenants
		}
	}
	slices.Sort(ids)
	if len(ids) > maxListed {
		v.Truncated = len(ids) - maxListed
		ids = ids[:maxListed]
	}
	for _, id := range ids {
		i := n.instance(now, id, &b.Spec, holders)
		i.Price = n.price(b, id)
		w, _ := n.frozen.set.Of(freeze.Key{Instance: id.Name()})
		i.Frozen = w.Frozen
		x := n.engine.Pressure(id)
		i.Backpressure = x.Level
		if ms := x.Exhausted * 1000; ms < math.MaxInt32 { // beyond some weeks it says nothing
			i.ExhaustedMS = new(int64(ms))
		}
		for _, s := range shares {
			if s.Instance == id {
				i.Shared = append(i.Shared, api.TenantShare{Class: s.Class, Tenant: s.Tenant, Asked: s.Asked, Share: s.Part, Under: s.Under})
			}
		}
		v.Instances = append(v.Instances, i)
	}
	return v
}

// floorState is what the guarantees of one budget come to at this node.
type floorState struct {
	rate  float64 // tokens per second
	total int64   // tokens admitted within them
}

// floors adds up how guarantees stand here, by the budget that counts them. The loop's.
func (n *Node) floors() map[string]floorState {
	by := map[string]floorState{}
	for _, f := range n.engine.Floors() {
		s := by[f.Budget]
		by[f.Budget] = floorState{s.rate + f.Rate, s.total + int64(f.Total)}
	}
	return by
}

// price is what an instance multiplies costs by here now. The loop's.
func (n *Node) price(b *policy.Budget, id ledger.InstanceID) float64 {
	if p := n.engine.Price(id); p > 0 {
		return p.Float()
	}
	return b.Price
}

func (n *Node) instance(now ledger.Instant, id ledger.InstanceID, spec *ledger.Spec, holders bool) api.Instance {
	rows := n.replica.Rows(now, id)
	v := api.Instance{Instance: id.Name(), Limit: spec.Amount, Used: float64(ledger.UsedPPM(spec, rows)) / 1e6}
	window := ledger.LatestWindow(rows)
	for _, k := range rows {
		a := account(&k.Row)
		if k.Window != window {
			a = api.Account{Shares: a.Shares, Debt: a.Debt, Demand: a.Demand, Unmet: a.Unmet}
		} else {
			v.Limit += k.Minted + k.Inherited
		}
		if k.Holder == n.self() {
			v.Local = a
		} else if k.Alive {
			v.StalenessMS = max(v.StalenessMS, int64(now-k.At))
		} else {
			v.Away += a.Rights
		}
		add(&v.Swarm, &a)
		if holders {
			v.Holders = append(v.Holders, api.Holder{
				Node: k.Holder.Node, Gen: strconv.FormatUint(k.Holder.Gen, 16), Alive: k.Alive, Version: k.Version,
				AgeMS: int64(now - k.At), Account: a,
			})
		}
	}
	slices.SortFunc(v.Holders, func(a, b api.Holder) int {
		return ledger.Holder{Node: a.Node}.Compare(ledger.Holder{Node: b.Node})
	})
	if a := n.replica.Account(id); a != nil {
		s := a.State(now)
		v.Local.Debt, v.Local.Overrun = s.Debt, s.Overrun
		if spec.Feedback.On() {
			ppm, whole := a.Part(now)
			v.Feedback = &api.Feedback{Part: float64(ppm) / ledger.Whole}
			if ppm < ledger.Whole {
				t := time.UnixMilli(int64(whole)).UTC()
				v.Feedback.WholeAt = &t
			}
		}
	}
	v.Overspend = overspend(spec, &v)
	if spec.Kind == ledger.Windowed {
		_, start, end := spec.Calendar.At(now)
		s, e := time.UnixMilli(int64(start)).UTC(), time.UnixMilli(int64(end)).UTC()
		v.WindowStart, v.WindowEnd = &s, &e
	}
	return v
}

// overspend is what was spent and reserved above what the limit, top-ups and rollover allow; for a rate,
// above what was ever minted.
func overspend(spec *ledger.Spec, v *api.Instance) ledger.Tokens {
	used := v.Swarm.Spent + v.Swarm.Reserved
	if spec.Kind == ledger.Rate {
		return max(0, used-v.Swarm.Issued)
	}
	rolled := new(big.Int).Mul(big.NewInt(int64(spec.Amount)), big.NewInt(spec.RolloverPPM))
	rolled.Div(rolled, big.NewInt(1_000_000))
	return max(0, used-v.Limit-ledger.Tokens(rolled.Int64()))
}

func account(r *ledger.Row) api.Account {
	l := r.Lapses()
	return api.Account{
		Shares: r.Shares, Issued: r.Issued, Rights: max(0, r.Balance()), Reserved: r.Reserved, Spent: r.Spent,
		Lapsed: r.Lapsed, Decayed: l.Decayed, Expired: l.Expired, Burned: l.Burned, Debt: r.Debt, Demand: float64(r.Demand), Unmet: float64(r.Unmet),
	}
}

func add(sum, a *api.Account) {
	sum.Shares += a.Shares
	sum.Issued += a.Issued
	sum.Rights += a.Rights
	sum.Reserved += a.Reserved
	sum.Spent += a.Spent
	sum.Lapsed += a.Lapsed
	sum.Decayed += a.Decayed
	sum.Expired += a.Expired
	sum.Burned += a.Burned
	sum.Debt += a.Debt
	sum.Demand += a.Demand
	sum.Unmet += a.Unmet
}

// Decision tells of a recent decision. See api.Node.
func (n *Node) Decision(id string) (api.Decision, error) {
	v, at, excused, err := n.remembered(id)
	if err != nil && !errors.Is(err, admit.ErrUnknownID) {
		return v, err
	}
	p, perr := n.auditor.find(id, at)
	if perr != nil {
		n.log.Error().Err(perr).Msg("the audit log cannot be read")
	}
	if err != nil {
		if p.decision == nil {
			return v, err
		}
		v = fromAudit(n.opts.Name, &p)
	}
	audited(&v, &p)
	v.Shadow = n.shadowOf(id)
	n.served(&v, excused)
	n.drifts(&v)
	return v, nil
}

// served adds how a call counts for its class. excused is nil where that is not known.
func (n *Node) served(v *api.Decision, excused *bool) {
	l, ok := n.metrics.ServiceLevel(v.Class)
	if !ok {
		return
	}
	v.Service = new(viewService(&l))
	admitted := v.Decision == admit.Admit.String() || v.Decision == admit.Degrade.String()
	if admitted || excused != nil {
		v.Service.Result = l.Became(admitted, excused != nil && *excused, time.Duration(v.WaitedMS*float64(time.Millisecond)))
	}
}

func viewService(l *telemetry.ServiceLevel) api.Service {
	v := api.Service{
		LatencyBudgetMS: float64(l.LatencyBudget.Microseconds()) / 1000, Objective: l.Objective, Met: l.Met, Missed: l.Missed, Excused: l.Excused,
	}
	for _, b := range l.Burn {
		v.Burn = append(v.Burn, api.BurnRate(b))
	}
	return v
}

// drifts adds what calls of a decision's rules and model come to.
func (n *Node) drifts(v *api.Decision) {
	model := v.Model
	if v.Advice != nil && v.Advice.Model != "" {
		model = v.Advice.Model
	}
	for _, z := range n.engine.Sizes() {
		if z.Model != model || !slices.Contains(v.Rules, z.Rule) || z.Calls == 0 {
			continue
		}
		d := api.Drift{Rule: z.Rule, Model: z.Model, Calls: z.Calls, Output: z.Mean, OutputUsual: z.Reserved, Above: z.Above, Expected: z.Expected}
		for _, c := range z.Costs {
			d.Costs = append(d.Costs, api.DriftCost(c))
		}
		v.Drift = append(v.Drift, d)
	}
}

// remembered tells of a decision that the engine still has, when it was made, and whether a refusal is the caller's own affair.
func (n *Node) remembered(id string) (_ api.Decision, at ledger.Instant, excused *bool, _ error) {
	i, err := n.engine.Parse(id)
	if err != nil {
		return api.Decision{}, 0, nil, err
	}
	d, err := n.engine.Lookup(i)
	if err != nil {
		return api.Decision{}, 0, nil, err
	}
	v := api.Decision{
		ID: d.ID, Node: d.Node, At: time.UnixMilli(int64(d.At)).UTC(), Decision: d.Verdict.String(), Code: d.Code, Reason: d.Reason,
		Tenant: d.Tenant, Agent: d.Agent, Run: d.Run, Class: d.Class, Model: d.Model, Rules: d.Rules, Revision: d.Revision, Arm: d.Arm,
		WaitedMS: float64(d.Waited.Microseconds()) / 1000, Reserved: charges(d.Reserved), Price: d.Prices(), State: d.State.String(),
		Charged: charges(d.Charged), Outcome: d.Outcome, Overrun: d.Overrun, Score: d.Score,
	}
	v.Backpressure, v.Guaranteed = d.Level, d.Guaranteed
	if d.Counted != admit.Stated {
		v.Counted = d.Counted.String()
	}
	for _, s := range d.Shared {
		v.Shared = append(v.Shared, api.Standing{Instance: s.Instance.Name(), Asked: s.Asked, Share: s.Part, Small: s.Small, Under: s.Under})
	}
	v.Advice, v.Data = api.AdviceOf(&d.Answer), dataOf(d.Data)
	for _, t := range d.Tried {
		v.Tried = append(v.Tried, t.String())
	}
	if d.State == admit.Reserved {
		t := time.UnixMilli(int64(d.Expires)).UTC()
		v.Expires = &t
	}
	return v, d.At, new(d.Excused()), nil
}

func charges(cs []admit.Charge) []api.Charge {
	out := make([]api.Charge, 0, len(cs))
	for _, c := range cs {
		out = append(out, api.Charge{Budget: c.Budget, Instance: c.Instance.Name(), Token: c.Token, Amount: c.Amount})
	}
	return out
}

// keyed returns a budget of the policy in force, of which key is to name an instance.
func (n *Node) keyed(name string, key []string) (*policy.Budget, error) {
	b, ok := n.policy.Load().policy.Budget(name)
	if !ok {
		return nil, fmt.Errorf("%w: the policy has none of the name %.64q", api.ErrUnknownBudget, name)
	}
	if len(key) != len(b.Per) {
		return nil, fmt.Errorf("%w: budget %q is per %v, so key needs %d values, not %d", admit.ErrInvalid, b.Name, b.Per, len(b.Per), len(key))
	}
	return b, nil
}

// Mint tops an instance up here. See api.Node.
func (n *Node) Mint(ctx context.Context, m api.MintRequest) (api.MintReceipt, error) {
	b, err := n.keyed(m.Budget, m.Key)
	if err != nil {
		return api.MintReceipt{}, err
	}
	if err := n.awaitBegun(ctx); err != nil {
		return api.MintReceipt{}, err
	}
	var rc api.MintReceipt
	var with uint64 // the version that it came with
	err = n.wait(ctx, func(now ledger.Instant, done func(error)) {
		id, err := n.present(now, b, m.Key)
		if err != nil {
			done(err)
			return
		}
		signer, err := n.operator(now, m.Signature, func(charter string, at int64) *trust.Statement {
			return trust.OfMint(charter, at, n.opts.Name, n.generation(), m.Budget, m.Key, int64(m.Amount), m.ID, m.Why)
		})
		if err != nil {
			done(err)
			return
		}
		by := signedBy(signer, m.By)
		var act topup.Act
		if signer != "" {
			act = n.topUpOf(&m)
			if err := n.roomForTopUp(now, id, &act); err != nil {
				done(err)
				return
			}
		}
		repeated, err := n.replica.Mint(now, id, m.Amount, m.ID)
		if err != nil {
			done(mintError(err))
			return
		}
		if signer != "" {
			n.addTopUp(act)
		}
		n.after = append(n.after, func(err error) {
			if err == nil {
				with = n.replica.Guarding().Version
				rc = api.MintReceipt{Instance: id.Name(), Minted: m.Amount, Limit: n.instance(n.now(), id, &b.Spec, false).Limit, Repeated: repeated}
				if !repeated {
					n.log.Info().Str("instance", id.Name()).Int64("tokens", int64(m.Amount)).Str("by", by).Str("why", m.Why).Str("id", m.ID).Msg("minted")
					n.auditor.act(audit.Record{Kind: audit.Mint, ID: m.ID, Instance: id.Name(), Tokens: int64(m.Amount), By: by, Why: m.Why})
				}
			}
			done(err)
		})
	})
	if err == nil {
		rc.Unheld = !n.becomesHeld(ctx, with)
	}
	return rc, err
}

const (
	holdTries = 10 * time.Millisecond // between looks at what is held
	holdLasts = 2 * time.Second       // until an answer says that it is not
)

// becomesHeld waits until this node's guardians hold a version of its records, or it has none.
func (n *Node) becomesHeld(ctx context.Context, version uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, holdLasts)
	defer cancel()
	return again(ctx, holdTries, func() (held bool) {
		err := n.look(func(ledger.Instant) {
			g := n.replica.Guarding()
			held = len(g.Guardians) == 0 || g.Held >= version
		})
		return err == nil && held
	})
}

// SetFaults cuts gossip with peers and sets the clock wrong. See api.Node.
func (n *Node) SetFaults(f api.Faults) error {
	if !n.opts.Faults {
		return fmt.Errorf("%w: faults are for demonstrations and tests", api.ErrDisabled)
	}
	g := gossip.Faults{Drop: f.Drop, Delay: map[string]time.Duration{}}
	for peer, s := range f.Delay {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%w: delay.%.64s is %.64q: write it as in \"50ms\"", admit.ErrInvalid, peer, s)
		}
		g.Delay[peer] = d
	}
	var wrong time.Duration
	if f.Clock != "" {
		var err error
		if wrong, err = time.ParseDuration(f.Clock); err != nil {
			return fmt.Errorf("%w: clock is %.64q: write it as in \"-30s\"", admit.ErrInvalid, f.Clock)
		}
	}
	if err := n.pool.SetFaults(g); err != nil {
		return fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	n.wrong.Store(int64(wrong))
	n.log.Warn().Strs("drop", f.Drop).Interface("delay", f.Delay).Dur("clock", wrong).Msg("faults set")
	return nil
}

// Status tells how the node is. See api.Node.
func (n *Node) Status() api.Status {
	s := api.Status{
		Node: n.opts.Name, Version: n.opts.Version, Cluster: n.opts.Cluster, Zone: n.opts.Zone,
		Generation: strconv.FormatUint(n.self().Gen, 16), Durable: n.store.IsDurable(), Started: n.started.UTC(),
		Addresses: map[string]string{"gossip": n.pool.Addr(), "http": n.HTTPAddr()}, Decisions: map[string]int64{},
		Waiting: int(n.waiting.Load()),
	}
	if n.grpcLis != nil {
		s.Addresses["grpc"] = n.GRPCAddr()
	}
	g := n.pool.Stats()
	s.GossipSent, s.GossipReceived = int64(g.Sent.Bytes), int64(g.Received.Bytes)
	counts, active := n.engine.Counts()
	for v := admit.Admit; v <= admit.Deny; v++ {
		s.Decisions[v.String()] = counts[v]
	}
	s.Active = active
	if err := n.look(func(ledger.Instant) {
		if c := n.replica.Charter(); !c.ID.IsZero() {
			s.Charter = c.ID.String()
		}
		s.ConservationError = n.replica.Conservation()
		s.Reasons = n.unready()
	}); err != nil {
		s.Reasons = []string{err.Error()}
	}
	s.Ready = len(s.Reasons) == 0
	return s
}

// life is what an account came to since its generation began, and what it took over as an heir.
func life(s *ledger.State) telemetry.Life {
	l := s.EverLapsed()
	return telemetry.Life{
		Shares:  int64(s.Base + s.Taken.Issued - s.Taken.Minted + s.Past.Issued - s.Past.Rolled - s.Past.Minted - s.Past.Overdrawn),
		TopUps:  int64(s.Minted + s.Taken.Minted + s.Past.Minted),
		Rolled:  int64(s.Rolled + s.Past.Rolled),
		Over:    int64(s.Overdrawn + s.Past.Overdrawn),
		Decayed: int64(l.Decayed),
		Expired: int64(l.Expired),
		Burned:  int64(l.Burned),
	}
}

// unready says why the node is not ready, each with what to do. The loop's.
func (n *Node) unready() (why []string) {
	if n.draining.Load() {
		why = append(why, "shutting down")
	}
	if n.replica.Charter().ID.IsZero() {
		if n.opts.candidate() {
			why = append(why, fmt.Sprintf("no charter yet: %d of %d founders are here; start the others", len(n.founding.seen), n.opts.BootstrapExpect))
		} else {
			why = append(why, "no charter yet: no member of the cluster could be reached; check --join, --cluster and --keyring")
		}
	}
	if n.replica.Fenced() {
		why = append(why, n.whyFenced())
	}
	if s := n.notIn(); s != "" {
		why = append(why, s)
	}
	if !n.starting.over.Load() {
		why = append(why, errStarting.Error())
	}
	if n.failing != nil {
		why = append(why, fmt.Sprintf("%v: free space on its disk, or check its rights", n.failing))
	}
	if now := time.Now(); n.stalled(now) {
		why = append(why, fmt.Sprintf("the data directory has not answered a write for %v: see what its disk does", now.Sub(n.since).Round(time.Second)))
	}
	return why
}

// state feeds the gauges at a scrape.
func (n *Node) state() (telemetry.State, bool) {
	var st telemetry.State
	_, st.ReservationsActive = n.engine.Counts()
	for _, m := range n.pool.Members() {
		switch m.Status {
		case gossip.Alive, gossip.Leaving:
			st.MembersAlive++
		case gossip.Failed:
			st.MembersFailed++
		case gossip.Left:
			st.MembersLeft++
		}
	}
	err := n.look(func(now ledger.Instant) {
		by, floors, shares := n.instances(), n.floors(), n.engine.Shares()
		for _, b := range n.policy.Load().policy.Budgets() {
			bs := telemetry.BudgetState{
				Budget: b.Name, Token: b.Token, Known: n.replica.Count(b.Name), Most: max(1, b.Instances), Price: b.Price, Exhausted: math.Inf(1), Rate: 1,
				Guarantee: b.Meters != nil || len(b.Guarantees) > 0 && b.Guarantees[0].Tenant == "", Floor: floors[b.Name].rate, Guaranteed: floors[b.Name].total,
			}
			bs.Fair = b.SwarmFairness
			for _, s := range shares {
				switch {
				case s.Budget != b.Name:
				case s.Under:
					bs.Under++
				default:
					bs.Over++
				}
			}
			past := n.replica.Lives(b.Name)
			bs.Ended, bs.Forgotten = past.Over, past.Forgotten
			bs.Ever.Add(life(&ledger.State{Past: past.Past}))
			for _, ppm := range b.Alerts {
				bs.Alerts = append(bs.Alerts, telemetry.AlertState{Fraction: float64(ppm) / 1e6})
			}
			for _, id := range by[b.Name] {
				rows := n.replica.Rows(now, id)
				st.RowsKnown += len(rows)
				bs.Limit += int64(b.Spec.Amount)
				at := ledger.UsedPPM(&b.Spec, rows)
				bs.Used = max(bs.Used, float64(at)/1e6)
				for i, ppm := range b.Alerts {
					if at >= ppm {
						bs.Alerts[i].Instances++
					}
				}
				for _, k := range rows {
					bs.Limit += int64(k.Minted + k.Inherited)
					if k.Alive && k.Holder != n.self() {
						st.RowAgeSeconds = max(st.RowAgeSeconds, float64(now-k.At)/1000)
					}
				}
				a := n.replica.Account(id)
				if a == nil {
					continue
				}
				s := a.State(now)
				if p := n.price(b, id); bs.Instances == 0 || p > bs.Price {
					bs.Price = p
				}
				x := n.engine.Pressure(id)
				bs.Level, bs.Exhausted = max(bs.Level, x.Level), min(bs.Exhausted, x.Exhausted)
				bs.Velocity += x.Velocity
				ppm, _ := a.Part(now)
				bs.Rate = min(bs.Rate, float64(ppm)/ledger.Whole)
				bs.Instances++
				bs.Rights += int64(max(0, s.Balance()))
				bs.Reserved += int64(s.Reserved)
				bs.Spent += int64(s.Spent)
				bs.Issued += int64(s.Issued())
				l := s.Lapses()
				bs.Decayed += int64(l.Decayed)
				bs.Expired += int64(l.Expired)
				bs.Burned += int64(l.Burned)
				bs.Ever.Add(life(&s))
				bs.Debt += int64(s.Debt)
				bs.ConservationError += int64(a.Audit())
			}
			st.Budgets = append(st.Budgets, bs)
		}
		st.Guard, st.Frozen = n.guardState(), n.frozenState()
		st.Candidate = n.candidateState()
		for _, z := range n.engine.Sizes() {
			var costs []telemetry.CostState
			for _, c := range z.Costs {
				if _, ok := n.policy.Load().policy.Budget(c.Budget); ok { // others are of earlier policies
					costs = append(costs, telemetry.CostState(c))
				}
			}
			st.Sizes = append(st.Sizes, telemetry.SizeState{
				Costs: costs,
				Rule:  z.Rule, Model: z.Model, Calls: z.Calls, Reserved: z.Reserved, Mean: z.Mean, Above: z.Above, Expected: z.Expected,
			})
		}
		for _, u := range n.engine.Upstreams(now) {
			st.Upstreams = append(st.Upstreams, telemetry.UpstreamState{
				Upstream: u.Name, Calls: u.Chosen, Cost: float64(u.Cost) / 1e6, Latency: u.Latency.Seconds(), Known: u.Measured || u.Latency > 0, Avoided: u.Avoided, Reach: u.Reach,
			})
		}
		for class, q := range n.engine.Queued() {
			st.Queues = append(st.Queues, telemetry.QueueState{Class: class, Calls: q})
		}
	})
	return st, err == nil
}
