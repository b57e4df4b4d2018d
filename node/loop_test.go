package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/needs"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/policy"
)

// stuckDisk is a data directory whose writes take until the test lets them end.
type stuckDisk struct {
	stuck  atomic.Bool
	writes atomic.Int64
	begun  chan struct{} // a write has come
	end    chan error    // how it ends
	write  func([]store.Write) error
}

func (d *stuckDisk) commit(ws []store.Write) error {
	if len(ws) > 0 {
		d.writes.Add(1)
	}
	if !d.stuck.Load() {
		return d.write(ws)
	}
	d.begun <- struct{}{}
	if err := <-d.end; err != nil {
		return err
	}
	return d.write(ws)
}

// onDisk starts a node of its own, with a budget of 1,000 a day for everybody and 1,000 for each tenant.
func onDisk(t *testing.T) (*Node, *stuckDisk) {
	t.Helper()
	p, err := policy.Parse("test.yaml", []byte("timezone: "+needs.Zone()+`
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, weight: 1, latency_budget: 0s}
budgets:
  - {name: day, token: compute, supply: {window: 24h, amount: 1000}}
  - {name: tenant-day, token: compute, per: [tenant], supply: {window: 24h, amount: 1000}}
rules:
  - {when: 'tenant != "none"', draw: [day, tenant-day]}
default: deny
`))
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Data: t.TempDir(), Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &stuckDisk{begun: make(chan struct{}, 1), end: make(chan error), write: n.write}
	t.Cleanup(func() {
		if d.stuck.Swap(false) {
			select {
			case d.end <- nil:
			default:
			}
		}
		n.Close()
	})
	if err := n.look(func(ledger.Instant) { n.write = d.commit }); err != nil {
		t.Fatal(err)
	}
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: p.Source(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	return n, d
}

func ask(tenant string, tokens ledger.Tokens) *admit.Request {
	return &admit.Request{Call: policy.Call{Tenant: tenant, Tokens: []policy.Amount{{Token: "compute", Amount: tokens}}}}
}

// jam has the disk begin a write that does not end: a top-up, whose outcome comes over the channel.
func (d *stuckDisk) jam(n *Node) <-chan error {
	d.stuck.Store(true)
	minted := make(chan error, 1)
	go func() {
		_, err := n.Mint(context.Background(), api.MintRequest{Budget: "day", Amount: 500})
		minted <- err
	}()
	<-d.begun
	return minted
}

// While a write takes its time, calls are decided by what is durable: refusals, which have nothing durable about
// them, and admissions from rights at hand. What rests on the write waits for it, and questions are answered.
func TestCallsAreDecidedWhileTheDiskWrites(t *testing.T) {
	n, disk := onDisk(t)
	first, err := n.onGoodDisk(t.Context(), ask("a", 600))
	if err != nil || first.Verdict != admit.Admit {
		t.Fatalf("%+v, %v", first, err)
	}
	n.runsAhead(t)
	minted := disk.jam(n)

	for _, c := range []struct {
		tenant string
		tokens ledger.Tokens
		v      admit.Verdict
		code   string
	}{
		{"a", 5000, admit.Deny, admit.CodeTooLarge},
		{"a", 450, admit.Defer, admit.CodeExhausted}, // the top-up is not durable, so nobody may spend it
		{"none", 1, admit.Deny, admit.CodeNoRule},
		{"a", 5, admit.Admit, admit.CodeOK},
		{"new", 5000, admit.Deny, admit.CodeTooLarge}, // its own account cannot be opened now
	} {
		a, err := n.Admit(t.Context(), ask(c.tenant, c.tokens))
		if err != nil || a.Verdict != c.v || a.Code != c.code {
			t.Errorf("%s asks for %d: got %v %s %q (%v), want %v %s", c.tenant, c.tokens, a.Verdict, a.Code, a.Reason, err, c.v, c.code)
		}
	}
	if _, err := n.Admit(t.Context(), ask("a", -1)); !errors.Is(err, admit.ErrInvalid) {
		t.Errorf("a negative amount: %v", err)
	}
	if _, err := n.Settle(first.ID, admit.Settlement{Used: []policy.Amount{{Token: "compute", Amount: 600}}}); err != nil {
		t.Error(err)
	}
	if st := n.Status(); !st.Ready || st.ConservationError != 0 {
		t.Errorf("%+v", st)
	}
	if b, err := n.Budget("day", api.View{All: true}); err != nil || b.Instances[0].Limit != 1000 || b.Instances[0].Local.Spent != 600 {
		t.Errorf("%+v, %v", b, err)
	}
	if d := (*delegate)(n).LocalState(false); len(d) == 0 {
		t.Error("a peer that syncs gets nothing")
	}
	select {
	case err := <-minted:
		t.Fatalf("the top-up was confirmed before it was durable: %v", err)
	default:
	}

	// A tenant that is new needs accounts that are durable, so its calls wait; one of a caller that goes away is taken out.
	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		a   admit.Answer
		err error
	}
	came := make(chan outcome, 2)
	go func() {
		a, err := n.Admit(ctx, ask("gone", 1))
		came <- outcome{a, err}
	}()
	n.wants(t, 1)
	cancel()
	if o := <-came; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%+v", o)
	}
	n.wants(t, 0)
	go func() {
		a, err := n.onGoodDisk(t.Context(), ask("b", 7))
		came <- outcome{a, err}
	}()
	n.wants(t, 1)
	disk.stuck.Store(false)
	disk.end <- nil
	if err := <-minted; err != nil {
		t.Error(err)
	}
	if o := <-came; o.err != nil || o.a.Verdict != admit.Admit {
		t.Errorf("%+v", o)
	}
	if a, err := n.onGoodDisk(t.Context(), ask("b", 850)); err != nil || a.Verdict != admit.Admit {
		t.Errorf("the top-up cannot be spent: %+v, %v", a, err)
	}
}

// onGoodDisk decides on a call whatever the disk of the machine that tests run on does: it asks again if that was slow.
func (n *Node) onGoodDisk(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	for {
		if a, err := n.Admit(ctx, r); err != nil || a.Code != admit.CodeDisk {
			return a, err
		}
	}
}

// runsAhead waits until the marks of all accounts are ahead of what is used.
func (n *Node) runsAhead(t *testing.T) {
	t.Helper()
	for ahead := false; !ahead; time.Sleep(time.Millisecond) {
		if err := n.look(func(now ledger.Instant) {
			ahead = true
			for _, id := range n.replica.Instances() {
				s := n.replica.Account(id).State(now)
				ahead = ahead && s.Mark >= s.Spent+s.Reserved+10
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// wants waits until so many calls wait.
func (n *Node) wants(t *testing.T, calls int64) {
	t.Helper()
	for n.waiting.Load() != calls {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(time.Millisecond)
	}
}

// What a node holds that is not there counts as the swarm's, and is told apart.
func TestRightsThatAreAway(t *testing.T) {
	n, _ := onDisk(t)
	if _, err := n.onGoodDisk(t.Context(), ask("a", 100)); err != nil {
		t.Fatal(err)
	}
	id := n.instanceNamed(t, "day")
	away := ledger.Holder{Node: "n2", Gen: 1}
	if err := n.ask(t.Context(), func(now ledger.Instant) {
		row := ledger.Row{Holder: away, Instance: id, Version: 1, Window: n.replica.Account(id).State(now).Window, In: 70, Spent: 20}
		if err := n.replica.Receive(now, []ledger.Row{row}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	b, err := n.Budget("day", api.View{All: true})
	if in := b.Instances[0]; err != nil || in.Away != 50 || in.Swarm.Rights != 950 || in.Local.Rights != 900 || in.Swarm.Spent != 20 {
		t.Errorf("%+v, %v", b, err)
	}
}

func (n *Node) instanceNamed(t *testing.T, name string) (id ledger.InstanceID) {
	t.Helper()
	if err := n.look(func(ledger.Instant) {
		for _, i := range n.replica.Instances() {
			if i.Name() == name {
				id = i
			}
		}
	}); err != nil || id == "" {
		t.Fatalf("no instance %q: %v", name, err)
	}
	return id
}

// A write that fails leaves nothing behind of what rested on it, the node says so, and tries again.
func TestFailedWriteIsTriedAgain(t *testing.T) {
	n, disk := onDisk(t)
	if a, err := n.onGoodDisk(t.Context(), ask("a", 600)); err != nil || a.Verdict != admit.Admit {
		t.Fatalf("%+v, %v", a, err)
	}
	minted := disk.jam(n)
	disk.end <- errors.New("no space left on device")
	if err := <-minted; err == nil {
		t.Error("a top-up that is not durable was confirmed")
	}
	<-disk.begun // it is tried again, with what must not be forgotten
	if st := n.Status(); st.Ready || len(st.Reasons) != 1 {
		t.Errorf("%+v", st)
	}
	if a, err := n.Admit(t.Context(), ask("a", 450)); err != nil || a.Verdict != admit.Defer {
		t.Errorf("%+v, %v", a, err)
	}
	disk.stuck.Store(false)
	disk.end <- nil
	for !n.Status().Ready {
		time.Sleep(time.Millisecond)
	}
	if b, err := n.Budget("day", api.View{All: true}); err != nil || b.Instances[0].Limit != 1000 {
		t.Errorf("%+v, %v", b, err)
	}
}

// A batch that writes nothing says nothing of a disk that has failed.
func TestEmptyBatchMendsNoDisk(t *testing.T) {
	n, disk := onDisk(t)
	for tried := false; !tried; {
		writes := disk.writes.Load()
		ended := make(chan error, 1)
		if err := n.ask(t.Context(), func(ledger.Instant) {
			n.failing = errors.New("no space left on device")
			n.after = append(n.after, func(err error) { ended <- err })
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		ready := n.Status().Ready
		if tried = disk.writes.Load() == writes; tried && ready {
			t.Error("nothing was written, and the node takes its disk for sound")
		}
	}
}

// A disk that does not answer is told: by the readiness, and once in the log.
func TestDiskThatDoesNotAnswer(t *testing.T) {
	n, disk := onDisk(t)
	disk.jam(n)
	if st := n.Status(); !st.Ready {
		t.Errorf("a write that has just begun makes the node unready: %v", st.Reasons)
	}
	if err := n.look(func(ledger.Instant) { n.since = n.since.Add(-slowDisk) }); err != nil {
		t.Fatal(err)
	}
	if st := n.Status(); st.Ready || !slices.ContainsFunc(st.Reasons, func(s string) bool { return strings.HasPrefix(s, "the data directory has not answered a write for 5") }) {
		t.Errorf("%+v", st)
	}
	disk.stuck.Store(false)
	disk.end <- nil
	for !n.Status().Ready {
		time.Sleep(time.Millisecond)
	}
}
