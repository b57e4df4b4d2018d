package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// gate is a node that serves Envoy's rate limit service on a real socket, with a client of Envoy's own protocol.
type gate struct {
	t    *testing.T
	n    *Node
	reg  *prometheus.Registry
	conn *grpc.ClientConn
	pb.RateLimitServiceClient
	stop  context.CancelFunc
	ended chan error
}

func newGate(t *testing.T, source string) *gate {
	t.Helper()
	g := &gate{t: t, reg: prometheus.NewRegistry(), ended: make(chan error, 1)}
	var err error
	g.n, err = Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Drain: time.Second, Registry: g.reg, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.n.Close)
	if _, err := policy.Parse("test.yaml", []byte(source)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(source), By: "test"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	go func() { g.ended <- g.n.Run(ctx) }()
	t.Cleanup(stop)
	if g.conn, err = grpc.NewClient(g.n.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.conn.Close() })
	g.RateLimitServiceClient = pb.NewRateLimitServiceClient(g.conn)
	return g
}

// desc writes a descriptor: "tenant=a model=m" with hits as in "+5" (its own hits_addend), "-5" (is_negative_hits), "" (none).
func desc(entries, hits string) *ratelimit.RateLimitDescriptor {
	d := &ratelimit.RateLimitDescriptor{}
	for f := range strings.FieldsSeq(entries) {
		k, v, _ := strings.Cut(f, "=")
		d.Entries = append(d.Entries, &ratelimit.RateLimitDescriptor_Entry{Key: k, Value: v})
	}
	if hits != "" {
		var n uint64
		if _, err := fmt.Sscan(hits[1:], &n); err != nil {
			panic(err)
		}
		d.HitsAddend, d.IsNegativeHits = wrapperspb.UInt64(n), hits[0] == '-'
	}
	return d
}

func (g *gate) ask(hits uint32, ds ...*ratelimit.RateLimitDescriptor) *pb.RateLimitResponse {
	g.t.Helper()
	out, err := g.ShouldRateLimit(g.t.Context(), &pb.RateLimitRequest{Domain: "llm", Descriptors: ds, HitsAddend: hits})
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// text writes statuses as "OK 90/100, OVER_LIMIT 3/10".
func text(out *pb.RateLimitResponse) string {
	var list []string
	for _, s := range out.Statuses {
		one := s.Code.String()
		if l := s.CurrentLimit; l != nil {
			one += fmt.Sprintf(" %d/%d", s.LimitRemaining, l.RequestsPerUnit)
		}
		list = append(list, one)
	}
	return strings.Join(list, ", ")
}

// spent is what of an instance is spent, reserved and owed.
func (g *gate) spent(instance string) (spent, reserved, debt ledger.Tokens) {
	g.t.Helper()
	name, _, _ := strings.Cut(instance, "/")
	b, err := g.n.Budget(name, api.View{All: true})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, i := range b.Instances {
		if i.Instance == instance {
			return i.Swarm.Spent, i.Swarm.Reserved, i.Swarm.Debt
		}
	}
	return 0, 0, 0
}

func (g *gate) is(instance string, spent, reserved, debt ledger.Tokens) {
	g.t.Helper()
	if s, r, d := g.spent(instance); s != spent || r != reserved || d != debt {
		g.t.Errorf("%s: %d spent, %d reserved, %d owed; want %d, %d, %d", instance, s, r, d, spent, reserved, debt)
	}
}

const gateDoc = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  requests: {unit: request}
classes: [{name: standard, latency_budget: 2s}]
budgets:
  - {name: pot, token: compute, per: [tenant], supply: {grant: 100}}
  - {name: huge, token: compute, per: [tenant], supply: {grant: 10B}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 1000}}
  - {name: pace, token: compute, per: [tenant], supply: {rate: 60/m, burst: 600}}
  - {name: calls, token: requests, per: [tenant], supply: {grant: 100}}
  - {name: priced, token: compute, per: [tenant], supply: {grant: 1000}, price: {base: 2}}
ratelimit:
  - domain: llm
    descriptors:
      - {match: {tenant: "*", phase: used}, hits: tokens.compute, report: true}
      - {match: {tenant: "*", phase: hold}, hits: tokens.compute, hold: 10m}
      - {match: {tenant: "*", model: pair, phase: brief}, hits: tokens.compute, hold: 1s}
      - {match: {tenant: "*", model: priced, phase: spent}, hits: prompt_tokens, report: true}
      - {match: {tenant: "*", model: priced, phase: kept}, hits: prompt_tokens, hold: 10m}
      - {match: {tenant: "*", model: priced}, hits: prompt_tokens}
      - {match: {tenant: "*", model: "*"}, hits: tokens.compute}
  - {domain: strict, unmatched: deny, descriptors: [{match: {tenant: "*", model: "*"}, hits: tokens.compute}]}
rules:
  - {when: model == "pot", draw: [pot]}
  - {when: model == "huge", draw: [huge]}
  - {when: model == "day", draw: [day]}
  - {when: model == "pace", draw: [pace]}
  - {when: model == "pair", draw: [pot, calls]}
  - {when: model == "priced", draw: [priced], cost: {compute: 3 * prompt_tokens}}
`

// TestHits: the forms of hits_addend, of the request and of a descriptor, one after the other on a pot of 100.
func TestHits(t *testing.T) {
	g := newGate(t, gateDoc)
	a := "tenant=a model=pot"
	for _, tt := range []struct {
		name    string
		request uint32
		hits    string
		want    string
		spent   ledger.Tokens
	}{
		{"none is one", 0, "", "OK 99/100", 1},
		{"of the request", 9, "", "OK 90/100", 10},
		{"of the descriptor, over that of the request", 9, "+20", "OK 70/100", 30},
		{"0 looks only", 9, "+0", "OK 70/100", 30},
		{"too many", 71, "", "OVER_LIMIT 70/100", 30},
		{"more than 32 bits", 0, "+5000000000", "OVER_LIMIT 70/100", 30},
		{"more than any budget can have", 0, "+18446744073709551615", "OVER_LIMIT 70/100", 30},
		{"a refund of what is charged already gives nothing", 9, "-20", "OK", 30},
		{"the rest", 70, "", "OK 0/100", 100},
		{"a look at nothing", 0, "+0", "OVER_LIMIT 0/100", 100},
		{"one more", 0, "", "OVER_LIMIT 0/100", 100},
		{"a refund of none", 0, "-0", "OK", 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := g.ask(tt.request, desc(a, tt.hits))
			if got := text(out); got != tt.want || (out.OverallCode == pb.RateLimitResponse_OK) != strings.HasPrefix(tt.want, "OK") {
				t.Errorf("%s, in all %v; want %s", got, out.OverallCode, tt.want)
			}
			g.is("pot/a", tt.spent, 0, 0)
		})
	}
	// Limits and what remains are clamped to what Envoy's 32 bits hold.
	if got := text(g.ask(0, desc("tenant=a model=huge", "+1000"))); got != "OK 4294967295/4294967295" {
		t.Error(got)
	}
	g.is("huge/a", 1000, 0, 0)
}

// TestAllOrNothing: a request whose descriptors do not all pass charges none of them, and statuses stand in their order.
func TestAllOrNothing(t *testing.T) {
	g := newGate(t, gateDoc)
	g.ask(0, desc("tenant=c model=pot", "+0")) // what nobody has used yet is not issued yet
	a, b, c := desc("tenant=a model=pot", "+60"), desc("tenant=b model=pot", "+60"), desc("tenant=c model=pot", "+101")
	for _, tt := range []struct {
		ds      []*ratelimit.RateLimitDescriptor
		want    string
		a, b, c ledger.Tokens
	}{
		{[]*ratelimit.RateLimitDescriptor{c, a, b}, "OVER_LIMIT 100/100, OK 100/100, OK 100/100", 0, 0, 0},
		{[]*ratelimit.RateLimitDescriptor{a, b, c}, "OK 100/100, OK 100/100, OVER_LIMIT 100/100", 0, 0, 0},
		{[]*ratelimit.RateLimitDescriptor{b, a}, "OK 40/100, OK 40/100", 60, 60, 0},
		{[]*ratelimit.RateLimitDescriptor{b, desc("tenant=c model=pot", "+1")}, "OVER_LIMIT 40/100, OK 100/100", 60, 60, 0},
		{[]*ratelimit.RateLimitDescriptor{desc("tenant=c model=pot", "+50"), desc("tenant=c model=pot", "+50")}, "OK 0/100, OK 0/100", 60, 60, 100},
		{[]*ratelimit.RateLimitDescriptor{desc("who=knows", ""), desc("tenant=a model=pot", "+0")}, "OK, OK 40/100", 60, 60, 100},
	} {
		out := g.ask(0, tt.ds...)
		if got := text(out); got != tt.want || (out.OverallCode == pb.RateLimitResponse_OK) == strings.Contains(tt.want, "OVER") {
			t.Errorf("%s, in all %v; want %s", got, out.OverallCode, tt.want)
		}
		g.is("pot/a", tt.a, 0, 0)
		g.is("pot/b", tt.b, 0, 0)
		g.is("pot/c", tt.c, 0, 0)
	}
}

// TestReports: what is told after a call is debt on a hard budget: it is booked though nothing is left, and the next call waits behind it.
func TestReports(t *testing.T) {
	g := newGate(t, gateDoc)
	used := func(hits string) *ratelimit.RateLimitDescriptor { return desc("tenant=a model=pair phase=used", hits) }
	g.ask(0, desc("tenant=a model=pair", "+40"))
	for _, tt := range []struct {
		hits        string
		want        string
		spent, debt ledger.Tokens
	}{
		{"+30", "OK 30/100", 70, 0},
		{"+50", "OK 0/100", 100, 20},
		{"+7", "OK 0/100", 100, 27},
		{"+0", "OK 0/100", 100, 27},
	} {
		if got := text(g.ask(0, used(tt.hits))); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.hits, got, tt.want)
		}
		waitFor(t, func() bool { s, _, _ := g.spent("pot/a"); return s == tt.spent }) // the mark goes ahead within a tick
		g.is("pot/a", tt.spent, 0, tt.debt)
	}
	g.is("calls/a", 1, 0, 0) // a report is no second call
	if got := text(g.ask(0, desc("tenant=a model=pair", "+1"))); got != "OVER_LIMIT 0/100" {
		t.Errorf("after a debt: %s", got)
	}
	// In one request with something that does not pass, it is booked all the same: it has happened.
	if out := g.ask(0, desc("tenant=b model=pot", "+101"), used("+3")); out.OverallCode != pb.RateLimitResponse_OVER_LIMIT {
		t.Errorf("%v", out)
	}
	g.is("pot/a", 100, 0, 30)
	// What cannot be booked says so.
	if got := text(g.ask(0, desc("tenant=a model=none phase=used", "+3"))); got != "OVER_LIMIT" {
		t.Error(got)
	}
	// Counts of which rules compute costs: 3 each, times the price of 2.
	g.ask(0, desc("tenant=a model=priced phase=spent", "+10"))
	waitFor(t, func() bool { s, _, d := g.spent("priced/a"); return s == 60 && d == 0 })
}

// TestRefunds: what was asked for up front comes back where it was not used, exactly once, and is charged when its time is over.
func TestRefunds(t *testing.T) {
	g := newGate(t, gateDoc)
	hold := func(model, hits string) *ratelimit.RateLimitDescriptor {
		return desc("tenant=a model="+model+" phase=hold", hits)
	}
	if got := text(g.ask(0, hold("pot", "+80"))); got != "OK 20/100" {
		t.Error(got)
	}
	g.is("pot/a", 0, 80, 0)
	if got := text(g.ask(0, hold("pot", "+80"))); got != "OVER_LIMIT 20/100" {
		t.Errorf("what is reserved can be had twice: %s", got)
	}
	if got := text(g.ask(0, hold("pot", "-50"))); got != "OK" {
		t.Error(got)
	}
	g.is("pot/a", 30, 0, 0)
	g.ask(0, hold("pot", "-50"))
	g.is("pot/a", 30, 0, 0) // nothing is held any more

	// Two calls at once: what the short one gives back is not taken from the long one's.
	g.ask(0, hold("pot", "+40"))
	g.ask(0, hold("pot", "+10"))
	g.ask(0, hold("pot", "-8"))
	g.is("pot/a", 32, 40, 0)
	g.ask(0, hold("pot", "-35"))
	g.is("pot/a", 37, 0, 0)

	// More than any held: of several, the largest first.
	g.ask(0, hold("pot", "+5"))
	g.ask(0, hold("pot", "+20"))
	g.ask(0, hold("pot", "-22"))
	g.is("pot/a", 40, 0, 0)

	// A refund and what was used really, in the one request that Envoy sends when a stream is done, in either order.
	for i, ds := range [][]*ratelimit.RateLimitDescriptor{
		{hold("pot", "-60"), desc("tenant=a model=pot phase=used", "+10")},
		{desc("tenant=a model=pot phase=used", "+10"), hold("pot", "-50")},
	} {
		if got := text(g.ask(0, hold("pot", []string{"+60", "+50"}[i]))); !strings.HasPrefix(got, "OK") {
			t.Fatal(got)
		}
		if out := g.ask(0, ds...); out.OverallCode != pb.RateLimitResponse_OK {
			t.Fatal(out)
		}
		waitFor(t, func() bool { s, r, d := g.spent("pot/a"); return s == ledger.Tokens(50+10*i) && r == 0 && d == 0 })
	}

	// Other callers' is theirs.
	g.ask(0, desc("tenant=b model=pot phase=hold", "+10"))
	g.ask(0, hold("pot", "-10"))
	g.is("pot/b", 0, 10, 0)

	// Counts with costs and prices.
	g.ask(0, desc("tenant=a model=priced phase=kept", "+10"))
	g.is("priced/a", 0, 60, 0)
	g.ask(0, desc("tenant=a model=priced phase=kept", "-4"))
	g.is("priced/a", 36, 0, 0)
	g.ask(0, desc("tenant=a model=priced", "+10"))
	g.is("priced/a", 96, 0, 0)

	// A hold that is over is charged in full.
	g.ask(0, desc("tenant=c model=pair phase=brief", "+10"))
	g.is("pot/c", 0, 10, 0)
	waitFor(t, func() bool { s, r, _ := g.spent("pot/c"); return s == 10 && r == 0 })
	g.ask(0, desc("tenant=c model=pair phase=brief", "-10"))
	g.is("pot/c", 10, 0, 0)

	got := gauges(t, g.reg, "swarmpurse_ratelimit_")
	if ok, lost := got["swarmpurse_ratelimit_refund_hits_total{result=returned}"], got["swarmpurse_ratelimit_refund_hits_total{result=lost}"]; ok != 50+8+35+22+60+50+4 || lost != 50+10+10 {
		t.Errorf("%v hits came back, %v were lost", ok, lost)
	}
	if held := got["swarmpurse_ratelimit_held_reservations{}"]; held != 1 {
		t.Errorf("%v are held, want the one of tenant b", held)
	}
}

// TestAnswers: limits with their unit, the time until they are whole again, headers, and why a request is over its limit.
func TestAnswers(t *testing.T) {
	g := newGate(t, gateDoc)
	out := g.ask(0, desc("tenant=a model=day", "+100"), desc("tenant=a model=pace", "+300"), desc("tenant=a model=pot", "+10"))
	day, pace, pot := out.Statuses[0], out.Statuses[1], out.Statuses[2]
	if l := day.CurrentLimit; l.Name != "day" || l.Unit != pb.RateLimitResponse_RateLimit_DAY || l.RequestsPerUnit != 1000 || l.UnitMultiplier != nil {
		t.Errorf("%v", l)
	}
	if d := day.DurationUntilReset.AsDuration(); d <= 0 || d > 24*time.Hour {
		t.Errorf("%v", d)
	}
	if l := pace.CurrentLimit; l.Name != "pace" || l.Unit != pb.RateLimitResponse_RateLimit_MINUTE || l.RequestsPerUnit != 600 || l.UnitMultiplier.GetValue() != 10 {
		t.Errorf("%v", l)
	}
	if d := pace.DurationUntilReset.AsDuration(); d < 295*time.Second || d > 300*time.Second {
		t.Errorf("half of ten minutes' burst comes back in %v", d)
	}
	if l := pot.CurrentLimit; l.Unit != pb.RateLimitResponse_RateLimit_UNKNOWN || pot.DurationUntilReset != nil {
		t.Errorf("%v", pot)
	}
	if h := header(out, "x-ratelimit-limit"); h != "100" || header(out, "x-ratelimit-remaining") != "90" || header(out, "x-ratelimit-reset") != "" || header(out, "retry-after") != "" {
		t.Errorf("%v", out.ResponseHeadersToAdd)
	}
	if out.DynamicMetadata != nil {
		t.Errorf("%v", out.DynamicMetadata)
	}
	out = g.ask(0, desc("tenant=a model=pot", "+1"), desc("tenant=a model=pace", "+400"))
	if text(out) != "OK 90/100, OVER_LIMIT 300/600" && !strings.HasPrefix(text(out), "OK 90/100, OVER_LIMIT 30") {
		t.Error(text(out))
	}
	if h := header(out, "x-ratelimit-limit"); h != "600, 600;w=600" || header(out, "x-ratelimit-reset") == "" || header(out, "retry-after") == "" {
		t.Errorf("%v", out.ResponseHeadersToAdd)
	}
	id := header(out, "x-swarmpurse-decision")
	d, err := g.n.Decision(id)
	if err != nil || d.Decision != "defer" || d.Tenant != "a" || d.Model != "pace" {
		t.Errorf("%q: %+v, %v", id, d, err)
	}
	f := out.DynamicMetadata.GetFields()
	if f["decision"].GetStringValue() != id || f["code"].GetStringValue() != "budget_exhausted" || !strings.Contains(f["reason"].GetStringValue(), "pace") {
		t.Errorf("%v", f)
	}
}

func header(out *pb.RateLimitResponse, key string) string {
	for _, h := range out.ResponseHeadersToAdd {
		if h.Key == key {
			return h.Value
		}
	}
	return ""
}

// TestUnlimited: what the policy does not know is not limited, as with Envoy's own service, unless the domain says deny; what clients can get
// wrong is over its limit, since Envoy lets calls by whose check fails; what only Envoy's configuration can get wrong is an error.
func TestUnlimited(t *testing.T) {
	g := newGate(t, gateDoc)
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name, domain string
		ds           []*ratelimit.RateLimitDescriptor
		want         string
		code         codes.Code
	}{
		{"an unknown domain", "other", []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot", "+1000"), desc("x=y", "")}, "OK, OK", codes.OK},
		{"an unknown descriptor", "llm", []*ratelimit.RateLimitDescriptor{desc("x=y", "+1000"), desc("", "")}, "OK, OK", codes.OK},
		{"where that is denied", "strict", []*ratelimit.RateLimitDescriptor{desc("x=y", ""), desc("tenant=a model=pot", "+1")}, "OVER_LIMIT, OK 100/100", codes.OK},
		{"no rule for it", "llm", []*ratelimit.RateLimitDescriptor{desc("tenant=a model=none", "")}, "OVER_LIMIT", codes.OK},
		{"a value that no call may have", "llm", []*ratelimit.RateLimitDescriptor{desc("tenant="+long+" model=pot", "")}, "OVER_LIMIT", codes.OK},
		{"an empty tenant", "llm", []*ratelimit.RateLimitDescriptor{desc("tenant= model=pot", "")}, "OVER_LIMIT", codes.OK},
		{"an unknown class", "llm", []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot class=royal", "")}, "OVER_LIMIT", codes.OK},
		{"no domain", "", []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot", "")}, "", codes.InvalidArgument},
		{"a long domain", long, []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot", "")}, "", codes.InvalidArgument},
		{"no descriptors", "llm", nil, "", codes.InvalidArgument},
		{"too many descriptors", "llm", repeat(desc("tenant=a model=pot", ""), 65), "", codes.InvalidArgument},
		{"too many entries", "llm", []*ratelimit.RateLimitDescriptor{desc(strings.Repeat("a=b ", 65), "")}, "", codes.InvalidArgument},
		{"too long a message", "llm", []*ratelimit.RateLimitDescriptor{desc("a="+strings.Repeat("x", 1<<20), "")}, "", codes.ResourceExhausted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := g.ShouldRateLimit(t.Context(), &pb.RateLimitRequest{Domain: tt.domain, Descriptors: tt.ds})
			if status.Code(err) != tt.code || err == nil && text(out) != tt.want {
				t.Errorf("%s, %v; want %s, %v", text(out), err, tt.want, tt.code)
			}
		})
	}
	g.is("pot/a", 0, 0, 0)
	got := gauges(t, g.reg, "swarmpurse_ratelimit_")
	for name, want := range map[string]float64{
		"swarmpurse_ratelimit_descriptors_total{domain=other,result=unmatched}":  2,
		"swarmpurse_ratelimit_descriptors_total{domain=llm,result=unmatched}":    2,
		"swarmpurse_ratelimit_descriptors_total{domain=llm,result=invalid}":      3,
		"swarmpurse_ratelimit_descriptors_total{domain=llm,result=over_limit}":   1,
		"swarmpurse_ratelimit_descriptors_total{domain=strict,result=unmatched}": 1,
		"swarmpurse_ratelimit_descriptors_total{domain=strict,result=ok}":        1,
		"swarmpurse_ratelimit_requests_total{code=invalidargument}":              5,
		"swarmpurse_ratelimit_requests_total{code=ok}":                           2,
		"swarmpurse_ratelimit_requests_total{code=over_limit}":                   5,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func repeat(d *ratelimit.RateLimitDescriptor, n int) (list []*ratelimit.RateLimitDescriptor) {
	for range n {
		list = append(list, d)
	}
	return list
}

// TestNeverOverTheLimit: 32 clients ask for what there is for half of them, singly, in pairs and with refunds; more is never charged.
func TestNeverOverTheLimit(t *testing.T) {
	g := newGate(t, strings.ReplaceAll(gateDoc, "{grant: 100}", "{grant: 1000}"))
	var wg sync.WaitGroup
	var a, b atomic.Int64
	for client := range 32 {
		wg.Go(func() {
			for i := range 25 {
				x, y := desc("tenant=a model=pot", "+3"), desc("tenant=b model=pot", "+2")
				ds := []*ratelimit.RateLimitDescriptor{x, y}
				switch (client + i) % 4 {
				case 0:
					ds = []*ratelimit.RateLimitDescriptor{y, x}
				case 1:
					ds = []*ratelimit.RateLimitDescriptor{x}
				case 2:
					ds = []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot phase=hold", "+3")}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				out, err := g.ShouldRateLimit(ctx, &pb.RateLimitRequest{Domain: "llm", Descriptors: ds})
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				if out.OverallCode != pb.RateLimitResponse_OK {
					continue
				}
				a.Add(3)
				if len(ds) == 2 {
					b.Add(2)
				}
				if (client+i)%4 == 2 {
					if _, err := g.ShouldRateLimit(t.Context(), &pb.RateLimitRequest{Domain: "llm", Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot phase=hold", "-1")}}); err != nil {
						t.Error(err)
						return
					}
					a.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	if a.Load() > 1000 || a.Load() < 990 || b.Load() > 1000 || b.Load() == 0 {
		t.Errorf("%d and %d of 1000 were told to run", a.Load(), b.Load())
	}
	g.is("pot/a", ledger.Tokens(a.Load()), 0, 0)
	g.is("pot/b", ledger.Tokens(b.Load()), 0, 0)
}

// TestDeadline: a request that would wait for its budget is answered before its deadline, and leaves nothing behind.
func TestDeadline(t *testing.T) {
	g := newGate(t, gateDoc)
	g.ask(0, desc("tenant=a model=pace", "+600")) // one comes back each second
	for _, limit := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begin := time.Now()
		out, err := g.ShouldRateLimit(ctx, &pb.RateLimitRequest{Domain: "llm", Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pace", "+1000"), desc("tenant=b model=pot", "+1")}})
		cancel()
		if took := time.Since(begin); err != nil && status.Code(err) != codes.DeadlineExceeded || err == nil && out.OverallCode != pb.RateLimitResponse_OVER_LIMIT || took > limit+5*time.Second {
			t.Errorf("%v, %v after %v", out, err, took)
		}
	}
	waitFor(t, func() bool { s, r, _ := g.spent("pot/b"); return s == 0 && r == 0 })
	// It waits where that helps: within the class's latency budget of 2 s the one token comes.
	if got := text(g.ask(0, desc("tenant=a model=pace", "+1"))); !strings.HasPrefix(got, "OK") {
		t.Error(got)
	}
}

// TestHealthAndReflection: health says whether the node decides, reflection says what it serves, and a node that ends refuses what is new
// and still takes what was used and what comes back.
func TestHealthAndReflection(t *testing.T) {
	g := newGate(t, gateDoc)
	hc := healthpb.NewHealthClient(g.conn)
	is := func(service string, want healthpb.HealthCheckResponse_ServingStatus) bool {
		r, err := hc.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		return err == nil && r.Status == want
	}
	for _, service := range []string{"", "envoy.service.ratelimit.v3.RateLimitService"} {
		waitFor(t, func() bool { return is(service, healthpb.HealthCheckResponse_SERVING) })
	}
	stream, err := reflectpb.NewServerReflectionClient(g.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.GetListServicesResponse().GetService()); !strings.Contains(got, "envoy.service.ratelimit.v3.RateLimitService") || !strings.Contains(got, "grpc.health.v1.Health") {
		t.Error(got)
	}

	trace := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	hold := &pb.RateLimitRequest{Domain: "llm", Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot phase=hold", "+50")}}
	if _, err := g.ShouldRateLimit(trace, hold); err != nil {
		t.Fatal(err)
	}
	g.stop() // as SIGTERM does
	waitFor(t, func() bool { return is("", healthpb.HealthCheckResponse_NOT_SERVING) })
	_, err = g.ShouldRateLimit(t.Context(), &pb.RateLimitRequest{Domain: "llm", Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant=a model=pot", "+1")}})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a new call while the node ends: %v", err)
	}
	out, err := g.ShouldRateLimit(t.Context(), &pb.RateLimitRequest{Domain: "llm", Descriptors: []*ratelimit.RateLimitDescriptor{
		desc("tenant=a model=pot phase=used", "+10"), desc("tenant=a model=pot phase=hold", "-50")}})
	if err != nil || out.OverallCode != pb.RateLimitResponse_OK {
		t.Errorf("what comes back while the node ends: %v, %v", out, err)
	}
	select {
	case err := <-g.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the node does not end")
	}
}

// TestGRPCListensHere: callers show no keys, so other than loopback is refused, with what to do.
func TestGRPCListensHere(t *testing.T) {
	for _, tt := range []struct{ addr, want, hint string }{
		{"0.0.0.0:0", "--grpc: 0.0.0.0:0: refusing to listen on every interface", "loopback"},
		{"nowhere", "--grpc: nowhere:", "127.0.0.1:7071"},
	} {
		_, err := Open(t.Context(), Options{Name: "n1", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: tt.addr, Logger: zerolog.Nop()})
		var o *OptionError
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !errors.As(err, &o) || strings.Contains(o.Hint(), "--http") || tt.hint == "127.0.0.1:7071" && !strings.Contains(o.Hint(), tt.hint) {
			t.Errorf("%s: %v", tt.addr, err)
		}
	}
	n, err := Open(t.Context(), Options{Name: "n1", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: "off", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if at := n.GRPCAddr(); at != "" {
		t.Errorf("off listens at %s", at)
	}
}
