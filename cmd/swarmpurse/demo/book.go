package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
	"github.com/swarmpurse/swarmpurse/policy"
)

// book knows, from the policy alone, what each call of the workload draws on. It gives every kind of
// call a key, which goes with the call to the model server, and turns the server's count of each key
// into what each budget should have been charged. It asks no node.
type book struct {
	pol   *policy.Policy
	keys  []keyInfo
	byKey map[string]int // what tells kinds apart, to the index in keys
	kind  []int          // of each call of the workload: index in keys

	accounts []*account
	byName   map[string]int
	denied   int // calls that no rule of the policy admits
}

type keyInfo struct {
	name  string
	draws []charge
}

// account is one instance of a budget, as the audit sees it.
type account struct {
	name    string // "tenant-day/search"
	budget  *policy.Budget
	skipped string // why its use cannot be told from token counts; "" if it can
	inUse   *gauge // slots only
}

// charge is what calls of one key cost at one account.
type charge struct {
	account int
	draw    policy.Draw
	exact   *linear // nil: draw.Settle of the sums is a lower bound
}

// linear is a cost of whole numbers: perCall + perPrompt·prompt + perOutput·output.
type linear struct{ perCall, perPrompt, perOutput int64 }

func newBook(pol *policy.Policy, w *Workload) (*book, error) {
	b := &book{pol: pol, byKey: map[string]int{}, byName: map[string]int{}, kind: make([]int, len(w.Calls))}
	for i, c := range w.Calls {
		k, err := b.add(w.Agents[c.Agent], c)
		if err != nil {
			return nil, err
		}
		b.kind[i] = k
	}
	b.sort()
	return b, nil
}

// sort puts accounts in the order of the policy's budgets, then of their names.
func (b *book) sort() {
	order := make([]int, len(b.accounts)) // what stands where, by the index before
	for i := range order {
		order[i] = i
	}
	rank := map[string]int{}
	for i, x := range b.pol.Budgets() {
		rank[x.Name] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		x, y := b.accounts[i], b.accounts[j]
		return cmp.Or(cmp.Compare(rank[x.budget.Name], rank[y.budget.Name]), strings.Compare(x.name, y.name))
	})
	accounts, now := make([]*account, len(order)), make([]int, len(order))
	for i, was := range order {
		accounts[i], now[was] = b.accounts[was], i
		b.byName[accounts[i].name] = i
	}
	b.accounts = accounts
	for _, k := range b.keys {
		for i := range k.draws {
			k.draws[i].account = now[k.draws[i].account]
		}
	}
}

// add finds the key of a call, or makes it.
func (b *book) add(a Agent, c Call) (int, error) {
	call := policy.Call{Tenant: a.Tenant, Agent: a.Name, Class: a.Class, Model: modelName, PromptTokens: c.Prompt, MaxOutputTokens: c.Limit}
	plan, err := b.pol.Match(&call)
	if err != nil {
		return 0, fmt.Errorf("the policy fails on a call of agent %s (tenant %s, class %s): %w", a.Name, a.Tenant, classText(call.Class), err)
	}
	if !plan.Admit {
		b.denied++
	}
	var id strings.Builder
	for _, d := range plan.Draws {
		fmt.Fprintf(&id, "%s/%q %s;", d.Budget.Name, d.Values, d.Cost)
		if !d.Cost.Linear() { // it may look at anything of the call
			fmt.Fprintf(&id, "%q %q %q;", a.Tenant, a.Name, call.Class)
		}
	}
	if k, ok := b.byKey[id.String()]; ok {
		return k, nil
	}
	if len(b.keys) == maxKeys {
		return 0, fmt.Errorf("this policy tells more than %d kinds of calls apart, which is the most that the audit can count: choose fewer agents", maxKeys)
	}
	k := keyInfo{name: "k" + strconv.Itoa(len(b.keys))}
	for _, d := range plan.Draws {
		k.draws = append(k.draws, charge{account: b.account(d), draw: d})
	}
	for i := range k.draws {
		d := &k.draws[i]
		acc := b.accounts[d.account]
		d.exact = probe(&d.draw)
		if acc.inUse == nil && d.exact == nil && !(d.draw.Cost.Linear() && fixedPart(&d.draw) == 0) {
			acc.skipped = fmt.Sprintf("what a call costs (%s) cannot be told from sums of tokens", d.draw.Cost)
		}
	}
	b.byKey[id.String()] = len(b.keys)
	b.keys = append(b.keys, k)
	return len(b.keys) - 1, nil
}

func classText(class string) string {
	if class == "" {
		return "of the policy's default"
	}
	return class
}

func (b *book) account(d policy.Draw) int {
	id, err := d.Instance(ledger.CharterID{})
	if err != nil {
		panic("BUG: the plan named a wrong instance: " + err.Error())
	}
	name := id.Name()
	if i, ok := b.byName[name]; ok {
		return i
	}
	a := &account{name: name, budget: d.Budget}
	if d.Budget.Spec.Kind == ledger.Slots {
		a.inUse = &gauge{}
	}
	b.byName[name] = len(b.accounts)
	b.accounts = append(b.accounts, a)
	return len(b.accounts) - 1
}

// key finds a kind of call by its name.
func (b *book) key(name string) (*keyInfo, bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "k"))
	if err != nil || n < 0 || n >= len(b.keys) || b.keys[n].name != name {
		return nil, false
	}
	return &b.keys[n], true
}

// gauges finds the slots that calls of a key hold; the model server asks it.
func (b *book) gauges(name string) []*gauge {
	k, ok := b.key(name)
	if !ok {
		return nil
	}
	var list []*gauge
	for _, d := range k.draws {
		if g := b.accounts[d.account].inUse; g != nil {
			list = append(list, g)
		}
	}
	return list
}

// probe finds out whether a cost is linear in whole numbers, so that the cost of a sum of calls is
// exactly that of its parts.
func probe(d *policy.Draw) *linear {
	if !d.Cost.Linear() {
		return nil
	}
	at := func(p, o int64) int64 {
		n, err := d.Settle(p, o)
		if err != nil {
			return -1
		}
		return int64(n)
	}
	l := linear{perCall: at(0, 0)}
	l.perPrompt, l.perOutput = at(1, 0)-l.perCall, at(0, 1)-l.perCall
	for _, x := range [][2]int64{{0, 0}, {2, 0}, {0, 3}, {5, 7}, {11, 1}, {1009, 997}, {100_003, 99_991}} {
		if n := at(x[0], x[1]); n < 0 || n != l.of(1, x[0], x[1]) {
			return nil
		}
	}
	return &l
}

func fixedPart(d *policy.Draw) ledger.Tokens {
	n, err := d.Settle(0, 0)
	if err != nil {
		return -1
	}
	return n
}

func (l *linear) of(calls, prompt, output int64) int64 {
	return l.perCall*calls + l.perPrompt*prompt + l.perOutput*output
}

// cost is what the model server's count of some calls is worth at a budget.
func (c *charge) cost(s standin.Sums) int64 {
	if c.exact != nil {
		return c.exact.of(s.Calls-s.Errors, s.PromptTokens, s.CompletionTokens)
	}
	n, err := c.draw.Settle(s.PromptTokens, s.CompletionTokens)
	if err != nil {
		return 0 // account.skipped says why it is not judged
	}
	return int64(n)
}

// use turns the model server's count into what each account used in each slot.
func (b *book) use(counts []SlotCount) [][]int64 {
	used := make([][]int64, len(b.accounts))
	for a := range used {
		used[a] = make([]int64, len(counts))
	}
	for i, c := range counts {
		for name, s := range c.ByKey {
			k, ok := b.key(name)
			if !ok {
				continue // not a call of ours
			}
			for j := range k.draws {
				used[k.draws[j].account][i] += k.draws[j].cost(s)
			}
		}
	}
	return used
}
