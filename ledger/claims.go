package ledger

import (
	"cmp"
	"slices"
)

// Claim is what one tenant's calls of one class ask for of an instance, at one node or in the swarm. By claims nodes work out
// what is whose part: see package admit.
type Claim struct {
	Who   uint64 // as package admit names a class and a tenant
	Asked Tokens // tokens per second, smoothed
}

// MaxClaims is how many of them a row tells, the largest first: some 14 bytes each.
const MaxClaims = 4

// SetClaims says who asks for how much here, the largest first. Safe for concurrent use.
func (a *Account) SetClaims(c [MaxClaims]Claim) {
	a.mu.Lock()
	a.claims = c
	a.mu.Unlock()
}

// spareBeside is how many mean calls what an account's shares hold must have room for beside what is spared.
const spareBeside = 1.25

// SetSparing says whether tenants of the swarm ask for less than their parts while others ask for more. Safe for concurrent use.
func (a *Account) SetSparing(on bool) {
	a.mu.Lock()
	a.spares = on
	a.mu.Unlock()
}

// Spare is what calls of those that ask for their part or more leave here, so that a call of one that asks for less finds some
// wherever it comes: a mean call of a rate, as far as shares hold more than another one. Safe for concurrent use.
func (a *Account) Spare() Tokens {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spare()
}

func (a *Account) spare() Tokens {
	if !a.spares || a.spec.Kind != Rate {
		return 0
	}
	return max(0, min(Tokens(a.meanCall), a.accrual.cap-Tokens(spareBeside*float64(a.meanCall))))
}

// Claims adds up what live holders tell, by who. rest is what is asked for beyond what they tell, of whom nobody knows, and
// least what the smallest of them asks for that are told at a node which has more: each of the rest asks for no more.
func (r *Replica) Claims(id InstanceID) (list []Claim, rest, least Tokens) {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return nil, 0, 0
	}
	sum := map[uint64]Tokens{}
	add := func(c *[MaxClaims]Claim, demand Tokens) {
		for _, x := range c {
			if x.Asked > 0 {
				sum[x.Who] = min(sum[x.Who]+x.Asked, MaxTokens)
				demand -= x.Asked
			}
		}
		if last := c[MaxClaims-1].Asked; last > 0 && demand > 0 {
			rest, least = min(rest+demand, MaxTokens), max(least, last)
		}
	}
	a := in.account
	a.mu.Lock()
	add(&a.claims, Tokens(a.demand))
	a.mu.Unlock()
	peers := r.peers // sorted by holder, as rows are
	for i := range in.rows {
		row := in.rows[i].Row
		if row.Claims[0].Asked == 0 {
			continue
		}
		for len(peers) > 0 && peers[0].Holder.Compare(row.Holder) < 0 {
			peers = peers[1:]
		}
		if len(peers) > 0 && peers[0].Alive && peers[0].Holder == row.Holder {
			add(&row.Claims, row.Demand)
		}
	}
	for who, n := range sum {
		list = append(list, Claim{who, n})
	}
	slices.SortFunc(list, func(a, b Claim) int { return cmp.Compare(a.Who, b.Who) })
	return list, rest, least
}
