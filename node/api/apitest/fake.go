// Package apitest holds a small Node for tests of the HTTP API and of the CLI, and the benchmark that
// compares the API with a bare handler. Nothing that ships imports it.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Node is an api.Node with one purse of compute tokens, the budget "pot". A call costs what it states
// as compute, else prompt and output together. It knows no class "royal" and refuses the tenant
// "stranger". Everything is in memory, nothing expires. The zero
// value is a node with an empty pot. Safe for concurrent use.
type Node struct {
	Now      func() time.Time // nil: a fixed instant, so that output can be compared
	NotReady []string         // reasons; none: the node is ready
	Check    func(src []byte) (revision int64, warnings []string, err error)

	mu        sync.Mutex
	limit     ledger.Tokens
	spent     ledger.Tokens
	reserved  ledger.Tokens
	next      int
	open      map[string]*call
	keys      map[string]string // tenant + "\x00" + idempotency key → id
	mints     map[string]api.MintReceipt
	burns     map[string]api.BurnReceipt
	pol       api.Policy
	lastFault api.Faults
	forgetful bool
	told      []admit.Upstream
	scores    map[string]float64
	acts      []api.Act
	frozen    []api.Frozen
}

type call struct {
	answer   admit.Answer
	req      admit.Request
	state    string
	receipt  admit.Receipt
	outcome  string
	reserved ledger.Tokens
}

// Instance is the one instance of the fake's budget.
const Instance ledger.InstanceID = "pot@0123456789ab"

// Epoch is the instant that a Node without Now lives in.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// New makes a node with limit tokens in its pot.
func New(limit ledger.Tokens) *Node {
	return &Node{
		limit: limit,
		open:  map[string]*call{},
		keys:  map[string]string{},
		mints: map[string]api.MintReceipt{}, burns: map[string]api.BurnReceipt{},
		pol: api.Policy{
			Revision: 1, Hash: "5f1a", Since: Epoch, By: "start",
			Source: "apiVersion: swarmpurse/v1\nrevision: 1\n",
		},
	}
}

// NewForgetful makes a node that keeps nothing of a settled call, so that a benchmark may run as long
// as it likes.
func NewForgetful(limit ledger.Tokens) *Node {
	n := New(limit)
	n.forgetful = true
	return n
}

func (n *Node) now() time.Time {
	if n.Now == nil {
		return Epoch
	}
	return n.Now()
}

// Admit implements admit.Admitter.
func (n *Node) Admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	if err := ctx.Err(); err != nil {
		return admit.Answer{}, err
	}
	if r.Class == "royal" {
		return admit.Answer{}, fmt.Errorf("%w: %w", admit.ErrInvalid, &policy.CallError{Field: "class", Message: "the policy has no class \"royal\""})
	}
	cost := ledger.Tokens(r.PromptTokens + r.MaxOutputTokens)
	for _, a := range r.Tokens {
		if a.Token == "compute" {
			cost = a.Amount
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := ""
	if r.IdempotencyKey != "" {
		key = r.Tenant + "\x00" + r.IdempotencyKey
		if id, ok := n.keys[key]; ok {
			return n.open[id].answer, nil
		}
	}
	n.next++
	a := admit.Answer{ID: "fake-" + strconv.Itoa(n.next), Node: "fake", Revision: n.pol.Revision}
	switch left := n.limit - n.spent - n.reserved; {
	case r.Tenant == "stranger":
		a.Verdict, a.Code, a.Reason = admit.Deny, admit.CodeNoRule, "no rule matches, and the policy denies what no rule matches"
	case cost > n.limit:
		a.Verdict, a.Code = admit.Deny, admit.CodeTooLarge
		a.Reason = fmt.Sprintf("budget %q: asked for %d tokens, it can never hold more than %d", "pot", cost, n.limit)
	case cost > left:
		a.Verdict, a.Code, a.RetryAfter = admit.Defer, admit.CodeExhausted, 3200*time.Millisecond
		a.Reason = fmt.Sprintf("budget %q: asked for %d tokens, %d left", "pot", cost, left)
	default:
		a.Verdict, a.Code, a.Reason = admit.Admit, admit.CodeOK, "rights at hand"
		a.Reserved = []admit.Charge{{Budget: "pot", Instance: Instance, Token: "compute", Amount: cost}}
		n.reserved += cost
	}
	c := &call{answer: a, req: *r, state: "refused"}
	if a.Verdict.Admitted() {
		c.state, c.reserved = "reserved", cost
	}
	n.open[a.ID] = c
	if key != "" {
		n.keys[key] = a.ID
	}
	return a, nil
}

// Settle implements admit.Admitter.
// Score keeps the first score of a call that it admitted.
func (n *Node) Score(id string, v float64) (float64, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open[id] == nil {
		return 0, false, fmt.Errorf("%w %q", admit.ErrUnknownID, id)
	}
	if n.scores == nil {
		n.scores = map[string]float64{}
	}
	if kept, ok := n.scores[id]; ok {
		return kept, true, nil
	}
	n.scores[id] = v
	return v, false, nil
}

func (n *Node) Settle(id string, s admit.Settlement) (admit.Receipt, error) {
	return n.end(id, "settled", s.Outcome, func(reserved ledger.Tokens) ledger.Tokens {
		for _, a := range s.Used {
			if a.Token == "compute" {
				return a.Amount
			}
		}
		if s.Usage != nil {
			return ledger.Tokens(s.Usage.PromptTokens + s.Usage.CompletionTokens)
		}
		return reserved
	})
}

// Release implements admit.Admitter.
func (n *Node) Release(id string) (admit.Receipt, error) {
	return n.end(id, "released", "", func(ledger.Tokens) ledger.Tokens { return 0 })
}

// Pace implements admit.Admitter.
func (n *Node) Pace(context.Context, string, int64) bool { return false }

// Retry implements admit.Admitter: calls are tried once.
func (n *Node) Retry(string, admit.Failed) (admit.Next, bool, error) {
	return admit.Next{}, false, nil
}

// Glance implements admit.Admitter: the pot is never ample.
func (n *Node) Glance(*admit.Request) admit.Glance { return admit.Glance{Placed: true} }

// Feedback implements admit.Admitter.
func (n *Node) Feedback(id string, u admit.Upstream) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open[id] == nil {
		return fmt.Errorf("%w %q", admit.ErrUnknownID, id)
	}
	n.told = append(n.told, u)
	return nil
}

// Told is what Feedback was given, in order.
func (n *Node) Told() []admit.Upstream {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

func (n *Node) end(id, state, outcome string, charge func(ledger.Tokens) ledger.Tokens) (admit.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.open[id]
	if c == nil || c.state == "refused" {
		return admit.Receipt{}, fmt.Errorf("%w %q: it was never made here, or is too old to be remembered", admit.ErrUnknownID, id)
	}
	if c.state != "reserved" {
		r := c.receipt
		r.Repeated = true
		return r, nil
	}
	cost := charge(c.reserved)
	c.state, c.outcome = state, outcome
	c.receipt = admit.Receipt{
		ID:      id,
		Charged: []admit.Charge{{Budget: "pot", Instance: Instance, Token: "compute", Amount: cost}},
		Overrun: max(0, cost-c.reserved),
	}
	n.reserved -= c.reserved
	n.spent += cost
	if n.forgetful {
		n.spent -= cost
		delete(n.open, id)
	}
	return c.receipt, nil
}

// Decision implements api.Node.
func (n *Node) Decision(id string) (api.Decision, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.open[id]
	if c == nil {
		return api.Decision{}, fmt.Errorf("%w: decision %q", admit.ErrUnknownID, id)
	}
	d := api.Decision{
		ID: id, Node: "fake", At: n.now(), Decision: c.answer.Verdict.String(), Code: c.answer.Code, Reason: c.answer.Reason,
		Tenant: c.req.Tenant, Agent: c.req.Agent, Run: c.req.Run, Class: "standard", Model: c.req.Model,
		Rules: []string{"rule 1: everything"}, Revision: c.answer.Revision,
		Reserved: charges(c.answer.Reserved), Price: map[string]float64{"pot": 1}, State: c.state, Charged: charges(c.receipt.Charged), Outcome: c.outcome, Overrun: c.receipt.Overrun,
	}
	return d, nil
}

func charges(in []admit.Charge) []api.Charge {
	out := make([]api.Charge, len(in))
	for i, c := range in {
		out[i] = api.Charge{Budget: c.Budget, Instance: c.Instance.Name(), Token: c.Token, Amount: c.Amount}
	}
	return out
}

// TenantOf implements api.Node.
func (n *Node) TenantOf(id string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.open[id]
	if c == nil {
		return "", fmt.Errorf("%w %q: it was never made here", admit.ErrUnknownID, id)
	}
	return c.req.Tenant, nil
}

// Lineage implements api.Node.
func (n *Node) Lineage(data string, limit int, v api.View) api.Lineage {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := api.Lineage{Data: data, Node: "fake", Since: Epoch, Decisions: []api.Touch{}}
	for i := n.next; i > 0; i-- {
		c := n.open["fake-"+strconv.Itoa(i)]
		if c == nil || !slices.Contains(c.req.Data, data) || !v.Sees(c.req.Tenant) {
			continue
		}
		if l.Total++; l.Total > limit {
			continue
		}
		t := api.Touch{ID: c.answer.ID, At: n.now(), Decision: c.answer.Verdict.String(), Code: c.answer.Code, Tenant: c.req.Tenant, Class: "standard", Revision: 1}
		for i, name := range c.req.Data {
			d := admit.Datum{Name: name}
			if c.req.Digests != nil {
				d.Digest = c.req.Digests[i]
			}
			t.Data = append(t.Data, d.String())
		}
		l.Decisions = append(l.Decisions, t)
	}
	return l
}

// Budgets implements api.Node.
func (n *Node) Budgets(v api.View) []api.Budget {
	b, _ := n.Budget("pot", v)
	for i := range b.Instances {
		b.Instances[i].Holders = nil
	}
	return []api.Budget{b}
}

// Budget implements api.Node: the pot is all tenants'.
func (n *Node) Budget(name string, v api.View) (api.Budget, error) {
	if name != "pot" {
		return api.Budget{}, fmt.Errorf("%w %q: the policy has: pot", api.ErrUnknownBudget, name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	acc := api.Account{
		Shares: ledger.TotalShares, Issued: n.limit, Rights: n.limit - n.spent - n.reserved,
		Reserved: n.reserved, Spent: n.spent, Demand: 12.5,
	}
	b := api.Budget{
		Name: "pot", Token: "compute", Kind: "grant", Supply: fmt.Sprintf("grant of %d", n.limit), Ceiling: "hard", Price: 1, Pricing: "fixed",
		Instances: []api.Instance{{
			Price:        1,
			Backpressure: 2, ExhaustedMS: new(int64(14_000)),
			Feedback: n.feedback(),
			Frozen:   slices.ContainsFunc(n.frozen, func(f api.Frozen) bool { return f.Instance == "pot" }),
			Instance: Instance.Name(), Limit: n.limit, Used: float64(n.spent+n.reserved) / float64(n.limit), Local: acc, Swarm: acc,
			Holders: []api.Holder{{Node: "fake", Gen: "1", Alive: true, Version: 7, Account: acc}},
		}},
	}
	if !v.All {
		b.Withheld, b.Instances = true, []api.Instance{}
	}
	return b, nil
}

// feedback is nil until a provider has refused a call; n.mu is held.
func (n *Node) feedback() *api.Feedback {
	if !slices.ContainsFunc(n.told, func(u admit.Upstream) bool { return u.Refused }) {
		return nil
	}
	return &api.Feedback{Part: 0.7, WholeAt: new(Epoch.Add(36 * time.Second))}
}

// Members implements api.Node.
func (n *Node) Members() []api.Member {
	return []api.Member{
		{Name: "fake", Status: "alive", Gossip: "127.0.0.1:7946", HTTP: "127.0.0.1:7070", Generation: "1", Version: "test", Revision: 1, Founder: true, Self: true,
			Guarding: &api.Guarding{Guardians: []api.Guardian{{Name: "a", Answers: true, UpToDate: true}, {Name: "b"}, {Name: "c", Answers: true, UpToDate: true}}, LeaseHeld: true, LeaseLeftMS: 432_000, Noted: true, Wards: []string{"a", "other"}}},
		{Name: "other", Status: "failed", Gossip: "127.0.0.1:7947", Zone: "eu-west", RTTMS: 1.25, Ward: true, LeaseLeftMS: 61_000,
			Stuck: []api.Stuck{{Instance: "pot", Generation: "2", Tokens: 120, Shares: 333_333_333, Why: "lease", LeftMS: 61_000}}},
	}
}

// RemoveMember implements api.Node: "fake" is alive, "other" is not.
func (n *Node) RemoveMember(_ context.Context, q api.RemoveRequest) (api.RemoveReceipt, error) {
	switch q.Name {
	case "fake":
		return api.RemoveReceipt{}, fmt.Errorf("%w: %q is alive: stop it, or have it leave", api.ErrNotRemoved, q.Name)
	case "other":
	default:
		return api.RemoveReceipt{}, fmt.Errorf("%w: no member %q", api.ErrUnknownMember, q.Name)
	}
	rc := api.RemoveReceipt{Removed: append([]string{q.Name}, q.Also...)}
	if q.Dead {
		rc.Heir = "fake"
		back := api.Back{Instance: "pot", Shares: 333_333_333}
		for _, s := range q.Stock {
			back.Tokens += s.Amount
		}
		rc.Back = []api.Back{back}
	}
	return rc, nil
}

// Freeze implements api.Node. Nothing is denied by it.
func (n *Node) Freeze(_ context.Context, q api.FreezeRequest, on bool) (api.FreezeReceipt, error) {
	if q.Instance != "" && q.Instance != "pot" {
		return api.FreezeReceipt{}, fmt.Errorf("%w: the policy has none of the name %q", api.ErrUnknownBudget, q.Instance)
	}
	f := api.Frozen{Instance: q.Instance, Tenant: q.Tenant, Agent: q.Agent, At: n.now(), Node: "fake", By: q.By, Why: q.Why}
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.frozen, func(o api.Frozen) bool { return o.Instance == f.Instance && o.Tenant == f.Tenant && o.Agent == f.Agent })
	if i >= 0 {
		n.frozen = slices.Delete(n.frozen, i, i+1)
	}
	if on {
		n.frozen = append(n.frozen, f)
	}
	return api.FreezeReceipt{Frozen: f, On: on, Changed: on != (i >= 0)}, nil
}

// Frozen implements api.Node.
func (n *Node) Frozen(v api.View) []api.Frozen {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.frozen)
}

// Policy implements api.Node.
func (n *Node) Policy() api.Policy {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pol
}

// ApplyPolicy implements api.Node. Without Check every document is taken as the next revision. With Rollout it becomes the
// candidate.
func (n *Node) ApplyPolicy(_ context.Context, r api.ApplyRequest) (api.Policy, error) {
	revision, warnings := n.Policy().Revision+1, []string(nil)
	if n.Check != nil {
		var err error
		if revision, warnings, err = n.Check(r.Source); err != nil {
			return api.Policy{}, fmt.Errorf("%w: %w", admit.ErrInvalid, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if revision <= n.pol.Revision {
		return api.Policy{}, fmt.Errorf("%w: revision %d is not newer than the present %d: raise it", api.ErrConflict, revision, n.pol.Revision)
	}
	if r.Rollout != nil {
		n.pol.Trial = &api.Trial{Revision: revision, Hash: "c0de", On: fmt.Sprint(r.Rollout), Since: n.now(), By: r.By, Why: r.Why}
		return n.pol, nil
	}
	n.pol = api.Policy{Revision: revision, Hash: "c0de", Since: n.now(), By: r.By, Source: string(r.Source), Warnings: warnings}
	return n.pol, nil
}

// ActOnPolicy implements api.Node.
func (n *Node) ActOnPolicy(_ context.Context, what string, q api.PolicyAct) (api.Policy, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.pol.Trial
	switch {
	case t == nil:
		return api.Policy{}, fmt.Errorf("%w: there is no candidate", api.ErrConflict)
	case q.Revision != 0 && q.Revision != t.Revision:
		return api.Policy{}, fmt.Errorf("%w: revision %d is the candidate, not %d", api.ErrConflict, t.Revision, q.Revision)
	}
	n.acts = append(n.acts, api.Act{What: what, At: n.now(), By: q.By, Why: q.Why})
	c := *t
	switch n.pol.Trial = &c; what {
	case api.Promote:
		n.pol.Revision, n.pol.Trial = t.Revision, nil
	case api.RollBack:
		n.pol.Trial = nil
	case api.Pause:
		c.Paused = &n.acts[len(n.acts)-1]
	case api.Resume:
		c.Paused = nil
	}
	return n.pol, nil
}

// PolicyHistory implements api.Node.
func (n *Node) PolicyHistory() api.History {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.History{Revisions: []api.Revision{{Revision: n.pol.Revision, Hash: "c0de", State: "stable", Acts: slices.Clone(n.acts)}}}
}

// Trust implements api.Node: nobody need sign.
func (n *Node) Trust() api.Trust {
	return api.Trust{Charter: "c0de", Node: "fake", Generation: "1", Now: n.now().UnixMilli(), Stable: api.TrustRevision{Revision: n.Policy().Revision, Hash: "c0de"}}
}

// Enrolment implements api.Node: nobody need be.
func (n *Node) Enrolment() api.Enrolment { return api.Enrolment{} }

// Enrol implements api.Node: nobody signs.
func (n *Node) Enrol(context.Context, api.EnrolRequest) (api.EnrolReceipt, error) {
	return api.EnrolReceipt{}, fmt.Errorf("%w: the policy in force lists no trust.signers, so nobody can enrol nodes", api.ErrEnrolment)
}

// Mint implements api.Node.
func (n *Node) Mint(_ context.Context, m api.MintRequest) (api.MintReceipt, error) {
	if m.Budget != "pot" {
		return api.MintReceipt{}, fmt.Errorf("%w %q: the policy has: pot", api.ErrUnknownBudget, m.Budget)
	}
	if len(m.Key) != 0 {
		return api.MintReceipt{}, fmt.Errorf("%w: budget %q has no per: give no key", admit.ErrInvalid, m.Budget)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.mints[m.ID]; ok {
		r.Repeated = true
		return r, nil
	}
	n.limit += m.Amount
	r := api.MintReceipt{Instance: Instance.Name(), Minted: m.Amount, Limit: n.limit}
	n.mints[m.ID] = r
	return r, nil
}

// Burn implements api.Node.
func (n *Node) Burn(_ context.Context, m api.BurnRequest) (api.BurnReceipt, error) {
	if m.Budget != "pot" {
		return api.BurnReceipt{}, fmt.Errorf("%w %q: the policy has: pot", api.ErrUnknownBudget, m.Budget)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.burns[m.ID]; ok {
		r.Repeated = true
		return r, nil
	}
	if m.Amount > n.limit {
		return api.BurnReceipt{}, fmt.Errorf("%w: %q has %d rights; %d were to be burned, none was", api.ErrTooFew, m.Budget, n.limit, m.Amount)
	}
	n.limit -= m.Amount
	r := api.BurnReceipt{Instance: Instance.Name(), Burned: m.Amount, Rights: n.limit}
	n.burns[m.ID] = r
	return r, nil
}

// Status implements api.Node.
func (n *Node) Status() api.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.Status{
		Node: "fake", Version: "test", Cluster: "swarmpurse", Generation: "1", Ready: len(n.NotReady) == 0, Reasons: n.NotReady,
		Started: Epoch, Addresses: map[string]string{"gossip": "127.0.0.1:7946", "http": "127.0.0.1:7070"},
		Decisions: map[string]int64{"admit": int64(n.next)}, Active: len(n.open),
	}
}

// SetFaults implements api.Node.
func (n *Node) SetFaults(f api.Faults) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastFault = f
	return nil
}

// LastFaults is what SetFaults was given last.
func (n *Node) LastFaults() api.Faults {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lastFault
}

// Totals tells what the pot holds, for tests that nothing changed.
func (n *Node) Totals() (limit, spent, reserved ledger.Tokens) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.limit, n.spent, n.reserved
}

var _ api.Node = (*Node)(nil)
