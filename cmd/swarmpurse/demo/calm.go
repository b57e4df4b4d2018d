package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// agreeWithin is the promise: how soon after a heal all nodes report the same totals.
	agreeWithin = 15 * time.Second
	// calmWithin is how long is waited for agreement and rest before the run counts as failed.
	calmWithin = 60 * time.Second
)

// books is what one node says of all budgets, with holders.
type books []api.Budget

// readBooks asks all nodes at once for everything.
func (s *swarm) readBooks(ctx context.Context) ([]books, error) {
	all := make([]books, len(s.members))
	err := s.each(ctx, func(ctx context.Context, m *member) error {
		list, err := m.client.Budgets(ctx)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i], err = m.client.Budget(ctx, list[i].Name); err != nil {
				return err
			}
		}
		all[m.index] = list
		return nil
	})
	return all, err
}

// holding is one holder's account at one instance.
type holding struct{ instance, node, gen string }

// heard is how new the row is that each node has of each holding.
func heard(b books) map[holding]uint64 {
	m := map[holding]uint64{}
	for _, x := range b {
		for _, i := range x.Instances {
			for _, h := range i.Holders {
				m[holding{i.Instance, h.Node, h.Gen}] = h.Version
			}
		}
	}
	return m
}

// ownRows is what each node says of its own accounts.
func ownRows(s *swarm, all []books) map[holding]uint64 {
	own := map[holding]uint64{}
	for i, b := range all {
		for h, v := range heard(b) {
			if h.node == s.members[i].Name {
				own[h] = v
			}
		}
	}
	return own
}

// behind tells of the first node that has not heard of all that own holds; "" if all have.
func behind(s *swarm, own map[holding]uint64, all []books) string {
	for i, b := range all {
		has := heard(b)
		for h, v := range own {
			if has[h] < v {
				return fmt.Sprintf("node %s has version %d of %s's row at %s, which was at %d", s.members[i].Name, has[h], h.node, h.instance, v)
			}
		}
	}
	return ""
}

// caughtUp measures how long after the heal every node has heard of all that any node had done by
// then, the other half's spending during the cut included. The load goes on meanwhile.
func (s *swarm) caughtUp(ctx context.Context, healed time.Time) (time.Duration, error) {
	all, err := s.readBooks(ctx)
	if err != nil {
		return 0, err
	}
	own := ownRows(s, all)
	var took time.Duration
	err = until(ctx, calmWithin, func() (string, error) {
		all, err := s.readBooks(ctx)
		if err != nil {
			return err.Error(), nil
		}
		took = time.Since(healed)
		return behind(s, own, all), nil
	})
	return took, err
}

// totals is what a node says that the swarm has spent and set aside, by instance.
func totals(b books) map[string]api.Account {
	m := map[string]api.Account{}
	for _, x := range b {
		for _, i := range x.Instances {
			m[i.Instance] = i.Swarm
		}
	}
	return m
}

// differ tells of two nodes that report different totals; "" if all agree.
func differ(s *swarm, all []books) string {
	first := totals(all[0])
	for i, b := range all[1:] {
		other := totals(b)
		for _, name := range sortedKeys(first, other) {
			a, c := first[name], other[name]
			if a.Spent != c.Spent || a.Reserved != c.Reserved || a.Shares != c.Shares {
				return fmt.Sprintf("%s: node %s reports %d spent, %d reserved, %d shares; node %s %d, %d, %d", name,
					s.members[0].Name, a.Spent, a.Reserved, a.Shares, s.members[i+1].Name, c.Spent, c.Reserved, c.Shares)
			}
		}
	}
	return ""
}

func sortedKeys[V any](maps ...map[string]V) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// agreed measures how long after the end of the load all nodes report the same totals.
func (s *swarm) agreed(ctx context.Context, ended time.Time) (took time.Duration, err error) {
	err = until(ctx, calmWithin, func() (string, error) {
		all, err := s.readBooks(ctx)
		if err != nil {
			return err.Error(), nil
		}
		took = time.Since(ended)
		return differ(s, all), nil
	})
	return took, err
}

// rest waits until nothing is open and every budget's books close: no reservation is active, no node
// reports a conservation error, the shares of each instance add up, and what was issued is accounted
// for and within the limit. A conservation error of a node is final at once.
func (s *swarm) rest(ctx context.Context, pol *policy.Policy) ([]books, error) {
	var all []books
	err := until(ctx, calmWithin, func() (string, error) {
		statuses := make([]api.Status, len(s.members))
		if err := s.each(ctx, func(ctx context.Context, m *member) (err error) {
			statuses[m.index], err = m.client.Status(ctx)
			return err
		}); err != nil {
			return err.Error(), nil
		}
		for i, st := range statuses {
			if st.ConservationError != 0 {
				return "", fmt.Errorf("node %s reports a conservation error of %d tokens", s.members[i].Name, st.ConservationError)
			}
			if st.Active != 0 {
				return fmt.Sprintf("node %s still has %d reservations that nobody ended", s.members[i].Name, st.Active), nil
			}
		}
		var err error
		if all, err = s.readBooks(ctx); err != nil {
			return err.Error(), nil
		}
		founders, err := s.founders(ctx)
		if err != nil {
			return err.Error(), nil
		}
		return unclosed(pol, s.names(), founders, all), nil
	})
	return all, err
}

// closing is the sum over all nodes of what each says of its own account.
type closing struct {
	sum    api.Account
	opened map[string]bool // nodes that have an account
	limit  ledger.Tokens
	budget string
}

// add adds one node's own account, if it has one.
func (c *closing) add(node string, i *api.Instance) {
	c.limit = max(c.limit, i.Limit)
	if !slices.ContainsFunc(i.Holders, func(h api.Holder) bool { return h.Node == node }) {
		return // it has only heard of the instance
	}
	c.opened[node] = true
	c.sum.Shares += i.Local.Shares
	c.sum.Issued += i.Local.Issued
	c.sum.Rights += i.Local.Rights
	c.sum.Reserved += i.Local.Reserved
	c.sum.Spent += i.Local.Spent
	c.sum.Lapsed += i.Local.Lapsed
}

// shares are what all shares of an instance add up to. A founder that has not used it has no account
// there; its part of the genesis waits in its seat. Parts are equal, but one has what does not divide.
func (c *closing) shares(founders []string) (least, most ledger.Shares) {
	absent := ledger.Shares(0)
	for _, f := range founders {
		if !c.opened[f] {
			absent++
		}
	}
	n := ledger.Shares(max(1, len(founders)))
	least = c.sum.Shares + absent*(ledger.TotalShares/n)
	if absent == 0 {
		return least, least
	}
	return least, least + ledger.TotalShares%n
}

// unclosed tells of the first instance whose books do not close; "" if all do. Rates accrue while one
// looks, and what they ever issued has no limit; each node's own conservation error covers them.
func unclosed(pol *policy.Policy, nodes, founders []string, all []books) string {
	sums := map[string]*closing{}
	cut := map[string]bool{} // budgets of which a node lists only a part
	for n, b := range all {
		for _, x := range b {
			cut[x.Name] = cut[x.Name] || x.Truncated > 0
			for k := range x.Instances {
				i := &x.Instances[k]
				if sums[i.Instance] == nil {
					sums[i.Instance] = &closing{budget: x.Name, opened: map[string]bool{}}
				}
				sums[i.Instance].add(nodes[n], i)
			}
		}
	}
	for _, name := range sortedKeys(sums) {
		c := sums[name]
		if cut[c.budget] {
			continue
		}
		b, ok := pol.Budget(c.budget)
		if !ok {
			return fmt.Sprintf("%s: the nodes have a budget that the policy has not", name)
		}
		rate, hard := b.Spec.Kind == ledger.Rate, b.Spec.Ceiling == ledger.Hard
		least, most := c.shares(founders)
		known := c.sum.Rights + c.sum.Reserved + c.sum.Spent + c.sum.Lapsed
		switch {
		case most < ledger.TotalShares || least > ledger.TotalShares:
			return fmt.Sprintf("%s: the shares of %d nodes and of founders without an account add up to %d, not %d", name, len(c.opened), most, ledger.TotalShares)
		case !rate && hard && c.sum.Issued > c.limit:
			return fmt.Sprintf("%s: %d tokens were issued, the limit is %d", name, c.sum.Issued, c.limit)
		case !rate && c.sum.Issued != known:
			return fmt.Sprintf("%s: %d tokens were issued, but %d are accounted for (%d rights, %d reserved, %d spent, %d lapsed)", name,
				c.sum.Issued, known, c.sum.Rights, c.sum.Reserved, c.sum.Spent, c.sum.Lapsed)
		}
	}
	return ""
}

// founders names the nodes that hold seats.
func (s *swarm) founders(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	list, err := s.members[0].client.Members(ctx)
	var names []string
	for _, m := range list {
		if m.Founder {
			names = append(names, m.Name)
		}
	}
	return names, err
}

// until asks again and again until nothing stands in the way, which is "", or asking fails for good.
// When the time is up, what stood in the way last is the error.
func until(ctx context.Context, within time.Duration, ask func() (why string, err error)) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		why, err := ask()
		if err != nil || why == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return errors.New(why)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
