package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// TestRefutedLeave: n1 meets a node that has heard n0 announce itself anew, but not yet that it is alive. The state that it gets says that n0 left
// after that. Nothing of what the two tell each other later is newer, and n0 is well; so it is asked, and says that it stays.
func TestRefutedLeave(t *testing.T) {
	nodes := swarm(t, 3)
	n0, n1 := nodes[0], nodes[1]
	state, err := msgpack.Marshal(map[string]any{
		"LTime": uint64(50), "StatusLTimes": map[string]uint64{"n0": 40}, "LeftMembers": []string{"n0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const pushPull = 2 // serf's messagePushPullType
	n1.net.mux.MergeRemoteState(append([]byte{pushPull}, state...), true)
	eventually(t, func() error { return sees(n1, "n0", Leaving) })
	eventually(t, func() error { return sees(n1, "n0", Alive) })
	for _, n := range []*testNode{n1, nodes[2]} {
		if err := sees(n, "n0", Alive); err != nil {
			t.Error(err)
		}
	}
	if err := n0.Leave(t.Context()); err != nil { // which is believed, as ever
		t.Fatal(err)
	}
	eventually(t, func() error { return sees(n1, "n0", Left) })
}

// TestLeavers: members are asked once their leave has taken too long, and again after as long.
func TestLeavers(t *testing.T) {
	l, start := leavers{}, time.Unix(1000, 0)
	members := func(of ...Status) (ms []Member) {
		for i, s := range of {
			ms = append(ms, Member{Name: fmt.Sprintf("n%d", i), Status: s, Self: i == 0})
		}
		return ms
	}
	for _, c := range []struct {
		at      time.Duration
		members []Member
		want    []string
	}{
		{0, members(Leaving, Leaving, Alive, Left, Failed), nil}, // itself is not asked
		{9 * time.Second, members(Leaving, Leaving, Leaving, Left, Failed), nil},
		{10 * time.Second, members(Leaving, Leaving, Leaving, Left, Failed), []string{"n1"}},
		{19 * time.Second, members(Leaving, Leaving, Leaving, Left, Failed), []string{"n2"}},
		{20 * time.Second, members(Leaving, Leaving, Left, Left, Failed), []string{"n1"}},
		{25 * time.Second, members(Alive, Alive, Alive), nil},
		{31 * time.Second, members(Alive, Leaving, Alive), nil}, // another leave
	} {
		if got := l.due(c.members, start.Add(c.at), 10*time.Second); !slices.Equal(got, c.want) {
			t.Errorf("after %v: %v, want %v", c.at, got, c.want)
		}
	}
	if len(l) != 1 {
		t.Errorf("%v is kept", l)
	}
}
