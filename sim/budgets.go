package sim

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// budgets is what became of the tokens of each budget of all policies, by the accounts of the nodes that run. Heirs count what the dead did.
func (w *world) budgets() []result.Budget {
	var list []result.Budget
	at := map[string]int{}
	for _, p := range w.sc.Policies {
		for _, b := range p.Budgets() {
			if _, ok := at[b.Name]; !ok {
				at[b.Name] = len(list)
				list = append(list, result.Budget{Name: b.Name, Token: b.Token})
			}
		}
	}
	for _, n := range w.nodes {
		if !n.up || n.core.Replica == nil { // nil: it could not load its disk, and the run has failed
			continue
		}
		for i := range list {
			past := n.core.Replica.Lives(list[i].Name) // of instances that are forgotten
			addBudget(&list[i], &ledger.State{Past: past.Past})
		}
		n.core.Replica.EachAccount(func(acc *ledger.Account) {
			s, _, _, ready := acc.Peek()
			b, _, ok := w.sc.Policies[n.policy].Resolve(w.charter.ID, acc.ID())
			if !ready || !ok {
				return
			}
			if i, ok := at[b.Name]; ok {
				addBudget(&list[i], &s)
			}
		})
	}
	return list
}

func addBudget(b *result.Budget, s *ledger.State) {
	l := s.EverLapsed()
	b.Issued += int64(s.Issued() + s.Taken.Issued + s.Past.Issued)
	b.Minted += int64(s.Minted + s.Taken.Minted + s.Past.Minted)
	b.Rolled += int64(s.Rolled + s.Past.Rolled)
	b.Overdrawn += int64(s.Overdrawn + s.Past.Overdrawn)
	b.Spent += int64(s.Spent + s.Reserved + s.Taken.Spent + s.Past.Spent)
	b.Decayed += int64(l.Decayed)
	b.Expired += int64(l.Expired)
	b.Burned += int64(l.Burned)
	b.Left += int64(s.Balance())
}
