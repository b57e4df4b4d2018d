package node

import (
	"errors"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
)

// stored is what of operators' words is on disk.
func (n *Node) stored(t *testing.T) []freeze.Word {
	t.Helper()
	b, err := n.store.Get(store.Policy, keyFrozen)
	if err != nil || b == nil {
		return nil
	}
	ws, err := wire.DecodeWords(b)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// A freeze waits for no disk: it is in force while a write hangs, its answer says that it is not durable, and a write that fails is
// made again. So is what a peer tells.
func TestFreezeWhileTheDiskHangs(t *testing.T) {
	n, disk := onDisk(t)
	if a, err := n.onGoodDisk(t.Context(), ask("a", 10)); err != nil || a.Verdict != admit.Admit {
		t.Fatalf("%+v, %v", a, err)
	}
	n.runsAhead(t)
	minted := disk.jam(n)
	rc, err := n.Freeze(t.Context(), api.FreezeRequest{Tenant: "a"}, true)
	if err != nil || !rc.Undurable || !rc.Changed {
		t.Fatalf("%+v, %v", rc, err)
	}
	told := freeze.Word{Key: freeze.Key{Tenant: "b"}, Frozen: true, At: 1, Node: "n2"}
	n.take("", ledger.CharterID{}, append([]byte{msgFrozen}, wire.EncodeWords([]freeze.Word{told})...))
	waitFor(t, func() bool { return len(n.Frozen(api.View{All: true})) == 2 })
	for _, tenant := range []string{"a", "b"} {
		if a, err := n.Admit(t.Context(), ask(tenant, 10)); err != nil || a.Code != admit.CodeFrozen {
			t.Fatalf("%s: %+v, %v", tenant, a, err)
		}
	}
	if got := n.stored(t); got != nil {
		t.Fatalf("on disk is %v", got)
	}
	disk.end <- nil
	if err := <-minted; err != nil {
		t.Fatal(err)
	}
	<-disk.begun // the words' turn
	disk.end <- errors.New("no space left on device")
	<-disk.begun
	disk.stuck.Store(false)
	disk.end <- nil
	waitFor(t, func() bool { return len(n.stored(t)) == 2 })
	if rc, err := n.Freeze(t.Context(), api.FreezeRequest{Tenant: "a"}, false); err != nil || rc.Undurable || rc.On {
		t.Fatalf("%+v, %v", rc, err)
	}
	if got := n.stored(t); len(got) != 2 || got[0].Frozen || !got[1].Frozen {
		t.Fatalf("on disk is %+v", got)
	}
}

// A peer that knows something else is told all, and asked; one that knows the same is not.
func TestFrozenAreCompared(t *testing.T) {
	n, _ := onDisk(t)
	have := n.haveFrozen()
	if _, err := n.decode("n2", 0, have); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Freeze(t.Context(), api.FreezeRequest{Agent: "x"}, true); err != nil {
		t.Fatal(err)
	}
	if string(n.haveFrozen()) == string(have) {
		t.Error("what is known has changed, and its hash has not")
	}
	for name, b := range map[string][]byte{
		"words cut short": append([]byte{msgFrozen}, wire.EncodeWords([]freeze.Word{{Key: freeze.Key{Tenant: "a"}, Node: "n1"}})[:9]...),
		"no hash":         {msgHaveFrozen, 1},
	} {
		if f, err := n.decode("n2", 0, b); err == nil || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInstanceNames(t *testing.T) {
	n, _ := onDisk(t)
	p := n.policy.Load().policy
	for name, want := range map[string]string{
		"day": "day", "tenant-day/a": "tenant-day/a", "tenant-day/a%2Fb": "tenant-day/a%2Fb", "tenant-day/a@b": "tenant-day/a%40b",
		"tenant-day": "", "tenant-day/": "", "tenant-day/a/b": "", "day/a": "", "night": "", "tenant-day/%zz": "",
	} {
		got, err := instanceName(p, name)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}
