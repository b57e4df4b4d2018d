package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// TestNoPast: models are named of which calls of the candidate ended that nothing is known to compare with, not those that only the
// stable arm used, nor those that have a past by now; a bounded number.
func TestNoPast(t *testing.T) {
	list := []admit.Drifts{
		{Model: "new", Usual: -1, Free: [2]int64{0, 3}}, {Model: "stable's", Usual: -1, Free: [2]int64{5, 0}},
		{Model: "known since", Usual: 90, Free: [2]int64{32, 1}}, {Model: "another", Usual: -1, Free: [2]int64{1, 1}},
	}
	if got := noPast(list); !slices.Equal(got, []api.NoPast{{Model: "another", Calls: 1}, {Model: "new", Calls: 3}}) {
		t.Errorf("%+v", got)
	}
	for i := range 2 * api.MaxNoPast {
		list = append(list, admit.Drifts{Model: fmt.Sprint(i), Usual: -1, Free: [2]int64{0, 1}})
	}
	if got := noPast(list); len(got) != api.MaxNoPast {
		t.Errorf("%d models", len(got))
	}
}
