package admit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const placed = preamble + `
data:
  "eu/*": {zones: [eu]}
  asia: {zones: [tokyo]}
upstreams:
  - {name: gpu, zones: [eu], price: {input: 3, output: 3}, latency: 20ms}
  - {name: cloud, zones: [us], models: [big, small], price: {input: 1, output: 1}, latency: 90ms}
budgets:
  - {name: pool, token: compute, supply: {grant: 100k}}
  - {name: eu-pool, token: compute, supply: {grant: 100k}, locality: {zones: [eu]}}
rules:
  - {when: agent == "local", draw: [eu-pool], stop: true}
  - {when: agent == "fast", route: latency}
  - {when: agent == "own", route: locality}
  - {draw: [pool], route: price}
`

func in(t fataler, zone, doc string) *node { return newSwarm(t, 1, doc, Config{Zone: zone}).nodes[0] }

func reads(agent string, data ...string) *Request {
	return &Request{Call: policy.Call{Agent: agent, PromptTokens: 10, Data: data}}
}

func (r *Request) forward() *Request { r.Forward = true; return r }

// TestPlaces: who may decide on what, and where it goes.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		zone    string
		r       *Request
		verdict Verdict
		code    string
		says    string // the upstream, or a part of the reason
	}{
		{"us", reads(""), Admit, CodeOK, "cloud"},
		{"us", reads("fast"), Admit, CodeOK, "gpu"},
		{"us", reads("own"), Admit, CodeOK, "cloud"},
		{"eu", reads("own"), Admit, CodeOK, "gpu"},
		{"", reads("own"), Admit, CodeOK, "gpu"}, // no zone of its own: the faster
		{"eu", reads("", "eu/docs"), Admit, CodeOK, "gpu"},
		{"eu", reads("", "us/docs"), Admit, CodeOK, "cloud"},
		{"eu", reads("local"), Admit, CodeOK, "gpu"},
		{"us", reads("", "eu/docs"), Deny, CodeLocality, `this node is in zone us, and the call is bound by data set "eu/docs" (zone eu): ask n5 in zone eu, 3ms away, at http://n5`},
		{"", reads("", "eu/docs"), Deny, CodeLocality, `this node is in no zone (it is started with --zone), and the call is bound by data set "eu/docs" (zone eu): ask n5`},
		{"us", reads("local"), Deny, CodeLocality, `bound by budget "eu-pool" (zone eu): ask n5`},
		{"eu", reads("local", "asia"), Deny, CodeLocality, `bound by budget "eu-pool" (zone eu) and data set "asia" (zone tokyo), which have no zone in common`},
		{"eu", reads("", "asia"), Deny, CodeLocality, `bound by data set "asia" (zone tokyo): no node there is known`},
		{"tokyo", reads("", "asia"), Deny, CodeNoUpstream, `bound by data set "asia" (zone tokyo), and gpu, cloud may run it elsewhere`},
	} {
		n := in(t, tt.zone, placed)
		n.e.SetNeighbors([]Neighbor{
			{Name: "n2", Zone: "eu"}, {Name: "n9", Zone: "eu", RTT: 3 * time.Millisecond}, {Name: "n5", Zone: "eu", HTTP: "http://n5", RTT: 3 * time.Millisecond},
			{Name: "n4", Zone: "eu", RTT: 4 * time.Millisecond}, {Name: "n3", Zone: "us", RTT: time.Millisecond},
		})
		id := n.must(tt.r, tt.verdict, tt.code)
		a := n.answer(id)
		if tt.verdict == Admit {
			if a.Upstream == nil || a.Upstream.Name != tt.says {
				t.Errorf("in %q %v: goes to %v, want %s", tt.zone, tt.r.Call, a.Upstream, tt.says)
			}
			continue
		}
		if !strings.Contains(a.Reason, tt.says) {
			t.Errorf("in %q %v: %s\nwant %s", tt.zone, tt.r.Call, a.Reason, tt.says)
		}
		if want := strings.Contains(tt.says, "ask n5"); want != (a.Nearest != nil) || want && a.Nearest.Name != "n5" {
			t.Errorf("in %q %v: nearest is %v", tt.zone, tt.r.Call, a.Nearest)
		}
		if len(n.r.Instances()) != 0 && tt.code == CodeLocality {
			t.Errorf("in %q %v: a call that is refused for its place opened an instance", tt.zone, tt.r.Call)
		}
	}
}

// TestForwarded: a node sends calls only to upstreams that it knows, and says how it would know others.
func TestForwarded(t *testing.T) {
	n := in(t, "eu", placed)
	if a := n.answer(n.must(reads("", "eu/docs").forward(), Deny, CodeNoUpstream)); !strings.Contains(a.Reason, "start it with --upstream gpu=URL") {
		t.Error(a.Reason)
	}
	n.e.SetReach([]string{"gpu"})
	if a := n.answer(n.must(reads("").forward(), Admit, CodeOK)); a.Upstream.Name != "gpu" {
		t.Errorf("went to %s, which the node does not know", a.Upstream.Name)
	}
	if a := n.answer(n.must(reads(""), Admit, CodeOK)); a.Upstream.Name != "cloud" {
		t.Errorf("a caller that sends the call itself is told %s", a.Upstream.Name)
	}
	n.e.SetReach([]string{"cloud"})
	n.must(reads("", "eu/docs").forward(), Deny, CodeNoUpstream) // though its plan is known
	if a := n.answer(n.must(reads("fast").forward(), Admit, CodeOK)); a.Upstream.Name != "cloud" {
		t.Errorf("went to %s", a.Upstream.Name)
	}
	bare := in(t, "eu", preamble+`
data: {"eu/*": {zones: [eu]}}
budgets: [{name: pool, token: compute, supply: {grant: 100k}}]
rules: [{draw: [pool]}]
`)
	bare.must(reads("", "eu/docs"), Admit, CodeOK)
	if a := bare.answer(bare.must(reads("", "eu/docs").forward(), Deny, CodeNoUpstream)); !strings.Contains(a.Reason, "the policy has no upstreams: declare one") {
		t.Error(a.Reason)
	}
	if a := bare.answer(bare.must(reads("").forward(), Admit, CodeOK)); a.Upstream != nil {
		t.Errorf("a call that is not routed goes to %v", a.Upstream)
	}
}

// TestCheaperElsewhere: what a call may become must be allowed where it is decided, too.
func TestCheaperElsewhere(t *testing.T) {
	n := in(t, "us", preamble+`
upstreams:
  - {name: gpu, zones: [eu], models: [small]}
  - {name: cloud, zones: [us], models: [big]}
budgets:
  - {name: pool, token: compute, supply: {grant: 100}}
  - {name: eu-pool, token: compute, supply: {grant: 100k}, locality: {zones: [eu]}}
rules:
  - {when: model == "small", draw: [eu-pool]}
  - {when: model == "big", draw: [pool], degrade: {model: small}}
`)
	big := func() *Request { return &Request{Call: policy.Call{Model: "big", PromptTokens: 80}} }
	n.must(big(), Admit, CodeOK)
	n.must(big(), Defer, CodeExhausted)
}

// TestLawsOfPlaces: whatever is drawn, no admitted call goes to an upstream that might run it outside of a zone that its data allows, none is
// admitted at a node elsewhere, and Try and Offer agree.
func TestLawsOfPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"", "eu", "us", "tokyo"}).Draw(t, "zone")
		n := in(t, zone, placed)
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				n.e.SetReach(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"gpu", "cloud"}), rapid.ID[string]).Draw(t, "reach"))
			case 1:
				n.w.pass(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second)
			}
			r := reads(rapid.SampledFrom([]string{"", "fast", "own", "local"}).Draw(t, "agent"), rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"eu/a", "eu/b", "asia", "x"}), 0, 3, rapid.ID[string]).Draw(t, "data")...)
			r.Forward = rapid.Bool().Draw(t, "forward")
			id, w := n.admit(r)
			if w != nil {
				t.Fatal("it waits")
			}
			d, err := n.e.Lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Data) != len(r.Data) {
				t.Fatalf("data %v of %v", d.Data, r.Data)
			}
			bound := r.Agent == "local"
			for _, name := range r.Data {
				bound = bound || strings.HasPrefix(name, "eu/") || name == "asia"
			}
			if !d.Verdict.Admitted() {
				continue
			}
			if d.Upstream == nil || bound && (zone != "eu" || d.Upstream.Name != "gpu") {
				t.Fatalf("in %q %v goes to %v", zone, r.Call, d.Upstream)
			}
			if rapid.Bool().Draw(t, "answer") {
				i, _ := n.e.Parse(d.ID)
				if _, err := n.e.Feedback(n.w.now, i, Upstream{
					Refused: rapid.Bool().Draw(t, "refused"), Unreachable: rapid.Bool().Draw(t, "unreachable"), Latency: time.Duration(rapid.IntRange(0, 300).Draw(t, "latency")) * time.Millisecond,
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestMeasured: calls that are routed by latency follow what is measured, come back to an upstream that was slow once that is old, and pass over
// one that refuses calls or is not there for as long as it said.
func TestMeasured(t *testing.T) {
	n := in(t, "", placed)
	send := func(u Upstream) string {
		id := n.must(reads("fast"), Admit, CodeOK)
		if _, err := n.e.Feedback(n.w.now, id, u); err != nil {
			t.Fatal(err)
		}
		return n.answer(id).Upstream.Name
	}
	want := func(name, why string) {
		t.Helper()
		if got := send(Upstream{}); got != name {
			t.Errorf("%s: went to %s, want %s", why, got, name)
		}
	}
	want("gpu", "as stated")
	send(Upstream{Latency: time.Second})
	want("cloud", "the first sample counts whole")
	send(Upstream{Latency: 80 * time.Millisecond})
	n.w.pass(29 * time.Second)
	want("cloud", "it is not old yet")
	n.w.pass(4 * 30 * time.Second) // 20 ms + 980/16 or less are below 90
	want("gpu", "it is old")
	send(Upstream{Refused: true, RetryAfter: 10 * time.Second})
	want("cloud", "gpu refuses")
	n.w.pass(9900 * time.Millisecond)
	want("cloud", "it said ten seconds")
	n.w.pass(100 * time.Millisecond)
	want("gpu", "they are over")
	send(Upstream{Unreachable: true})
	want("cloud", "gpu is not there")
	send(Upstream{Refused: true, RetryAfter: time.Hour})
	want("gpu", "both are passed over, so none is")
	n.w.pass(5 * time.Second)
	want("gpu", "it is tried again after five seconds")
	n.w.pass(55 * time.Second)
	for _, u := range n.e.Upstreams(n.w.now) {
		if u.Avoided {
			t.Errorf("%s is passed over for longer than a minute", u.Name)
		}
	}
	if u := n.e.Upstreams(n.w.now); u[0].Chosen+u[1].Chosen != 15 || u[0].Name != "gpu" {
		t.Errorf("%+v", u)
	}
}

// TestUpstreamCosts: what calls take in money is counted once, when their usage is told.
func TestUpstreamCosts(t *testing.T) {
	n := in(t, "", placed)
	id := n.must(reads(""), Admit, CodeOK)
	for range 2 {
		if _, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 1_000_000, CompletionTokens: 500_000}}); err != nil {
			t.Fatal(err)
		}
	}
	if u := n.e.Upstreams(n.w.now)[1]; u.Cost != 1_500_000 {
		t.Errorf("%+v", u)
	}
}

// TestRoutedTryAllocatesNothing: a call that names no data, also where it is routed.
func TestRoutedTryAllocatesNothing(t *testing.T) {
	for _, agent := range []string{"", "fast", "own"} {
		n := in(t, "eu", placed)
		r := reads(agent)
		r.PromptTokens = 1
		for range 3 {
			n.must(r, Admit, CodeOK)
			n.w.pass(time.Second)
		}
		if allocs := testing.AllocsPerRun(10, func() {
			id, ok := n.e.Try(n.w.now, r)
			if !ok {
				t.Fatal("not decided")
			}
			_ = id
		}); allocs >= 1 {
			t.Errorf("agent %q: %v allocations", agent, allocs)
		}
	}
}

// TestLineage: what touched a data set, the newest first, within its bounds.
func TestLineage(t *testing.T) {
	n := in(t, "eu", placed)
	r := reads("", "eu/docs", "x")
	r.Digests = []string{"sha256:00", ""}
	n.must(r, Admit, CodeOK)
	n.w.pass(time.Second)
	n.must(reads("", "asia", "eu/docs"), Deny, CodeLocality)
	n.must(reads(""), Admit, CodeOK)
	list, all, since := n.e.Touched("eu/docs", 10, nil)
	if all != 2 || since != 0 || list[0].Code != CodeLocality || list[1].Upstream != "gpu" || fmt.Sprint(list[1].Data) != "[eu/docs@sha256:00 x]" || list[0].At-list[1].At != 1000 {
		t.Errorf("%d of %+v since %d", all, list, since)
	}
	if list, all, _ := n.e.Touched("eu/docs", 1, nil); len(list) != 1 || all != 2 || list[0].Code != CodeLocality {
		t.Errorf("%d of %+v", all, list)
	}
	if _, all, _ := n.e.Touched("eu", 10, nil); all != 0 {
		t.Error("a part of a name is taken for it")
	}

	var l lineage
	for i := range MaxTouches + 10 {
		l.add(Touch{ID: ID(i), At: ledger.Instant(i), Data: []Datum{{Name: "x"}}})
	}
	if l.n != MaxTouches || len(l.ring) != MaxTouches || l.lost != 9 || l.of(10) == nil || l.of(9) != nil {
		t.Errorf("%d of %d, lost to %d", l.n, len(l.ring), l.lost)
	}
	long := strings.Repeat("x", 256)
	var wide []Datum
	for range policy.MaxData {
		wide = append(wide, Datum{long, long})
	}
	for i := range 1000 {
		l.add(Touch{ID: ID(i), At: MaxTouches + 10, Data: wide})
	}
	if l.size > maxTouchedSize || l.n > maxTouchedSize/(256*512) || l.n < 200 {
		t.Errorf("%d decisions of %d bytes", l.n, l.size)
	}
}
