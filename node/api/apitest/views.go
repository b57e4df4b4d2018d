package apitest

import (
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// Overview has one class of which no calls came.
func (n *Node) Overview(int) api.Overview {
	return api.Overview{
		Status: n.Status(), Budgets: n.Budgets(api.View{All: true}), Members: n.Members(), Frozen: n.Frozen(api.View{All: true}), Policy: api.PolicyInForce{Revision: 1},
		Classes: []api.Class{{Name: "standard", Service: api.Service{LatencyBudgetMS: 500}, Decisions: []api.Outcome{}, Waits: []api.Wait{}}},
	}
}

// Instance knows all instances of tenant-day.
func (*Node) Instance(name string, _ api.View) (api.Budget, error) {
	if !strings.HasPrefix(name, "tenant-day/") {
		return api.Budget{}, fmt.Errorf("%w: %q", api.ErrUnknownBudget, name)
	}
	return api.Budget{Name: "tenant-day", Instances: []api.Instance{{Instance: name}}}, nil
}
