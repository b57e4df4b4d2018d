package scenario

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// TestBadDocuments holds the mistakes found in testdata/*.yaml to the golden files beside them.
func TestBadDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".txt"
		s, err := Parse(file, src)
		var all *document.Errors
		if s != nil || !errors.As(err, &all) {
			t.Errorf("%s: error %v", file, err)
			continue
		}
		got := filepath.ToSlash(err.Error()) + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want, _ := os.ReadFile(golden); got != string(want) {
			t.Errorf("%s: mistakes found are\n%s, want\n%s", file, got, want)
		}
	}
}

const goodPolicy = `
policy:
  apiVersion: swarmpurse/v1
  revision: 3
  tokens:
    compute: {unit: token}
  classes: [{name: fast}, {name: slow, default: true}]
  budgets:
    - name: pool
      token: compute
      supply: {rate: 1k/s, burst: 5k}
  rules:
    - draw: [pool]
`

const goodHead = "apiVersion: swarmpurse/v1\nname: good\nnodes: 5\nduration: 1m\n"
const goodLoad = "workload: [{kind: poisson, rate: 5/s, prompt: 10, output: 10}]\n"

func good(t testing.TB, src string) *Scenario {
	t.Helper()
	s, err := Parse("x.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	s := good(t, goodHead+goodPolicy+goodLoad)
	if s.Seed != 1 || s.Founders != 3 || s.Rest != 30*time.Second || s.Warmup != 0 || s.Network.Loss != 0 ||
		s.Network.SameZone != (Delay{Median: 300 * time.Microsecond, P99: 2 * time.Millisecond}) || s.Disk.Sync.Median != 2*time.Millisecond ||
		s.ZoneOf(3) != "" || len(s.ZoneList()) != 5 || s.Workload[0].Name != "poisson-1" {
		t.Errorf("got %+v", s)
	}
}

func TestEveryField(t *testing.T) {
	s := good(t, `apiVersion: swarmpurse/v1
name: all
description: >
  Everything that
  can be said.
seed: 9
nodes: 6
founders: 2
zones: [{name: a, weight: 2}, {name: b}]
warmup: 10s
duration: 2m
rest: 40s
retries: 3
network:
  same_zone: 1ms
  other_zone: {median: 10ms, p99: 1s}
  loss: 5%
  duplicate: 0.1%
  reorder: 2%
  reorder_by: 100ms
  bandwidth: 1.5MB/s
disk: {sync: {median: 1ms, p99: 10ms}}
gossip: {bytes: 25kB/s}
`+goodPolicy+`
revisions:
  - {budgets.pool.price.base: 3}
  - {budgets.0.price.base: 2, classes.fast.weight: 5}
workload:
  - {name: p, kind: poisson, rate: 2.5k/s, from: 1s, until: 1m, class: fast, model: gpt-4o, prompt: {median: 1k, p99: 5k}, output: 100, max: 200,
     runs: {median: 1s, p99: 4s}, tenant: t, tenants: 5, skew: 1.1, agents: 3, nodes: 50%, zone: a}
  - {name: b, kind: bursty, rate: 30/m, prompt: 1, output: 1, burst: {high: 3, on: 1s, off: 10s}}
  - {name: d, kind: diurnal, rate: 3600/h, prompt: 1, output: 1, period: 1m, swing: 80%}
  - {name: f, kind: flash_crowd, rate: 1/s, prompt: 1, output: 1, start: 30s, peak: 10, ramp: 5s, hold: 20s}
  - {name: h, kind: hot_spot, rate: 1/s, prompt: 1, output: 1, hot: 2, part: 70%, period: 20s}
  - {name: c, kind: chain, rate: 1/s, prompt: 1, output: 1, depth: 4, think: 2s}
  - {name: t, kind: trace, trace: azure-sample, speed: 2, scale: 1.5, repeats: true}
faults:
  - {kind: partition, at: 10s, for: 5s, zone: b, one_way: true, every: 20s, until: 1m}
  - {kind: crash, at: 10s, for: 5s, fraction: 25%, lose_disk: true, stagger: 1s}
  - {kind: pause, at: 10s, for: 5s, count: 2}
  - {kind: clock, at: 10s, nodes: [0, 3], by: -2s}
  - {kind: link, at: 10s, loss: 20%, delay: 300us}
  - {kind: disk_slow, at: 10s, delay: 100ms}
  - {kind: disk_fail, at: 10s, for: 1s}
  - {kind: join, at: 10s, count: 3}
  - {kind: leave, at: 10s, count: 1, for: 10s}
  - {kind: revise, at: 10s, revision: 2}
bounds:
  - goodput >= 98%
  - wait_p99[fast] <= 250ms
  - goodput[split-known] >= 95%
  - bytes <= 25kB/s
  - price_amplitude <= 2.5
  - offered_tokens >= 1.5M
  - overspend <= 0
`)
	p := s.Policies
	if len(p) != 3 || p[0].Revision() != 3 || p[1].Revision() != 4 || p[2].Revision() != 5 {
		t.Fatalf("policies: %v", p)
	}
	if b, _ := p[1].Budget("pool"); b.Price != 3 {
		t.Errorf("the first revision has a price of %v, want 3", b.Price)
	}
	if b, _ := p[2].Budget("pool"); b.Price != 2 {
		t.Errorf("the second revision has a price of %v, want 2", b.Price)
	}
	if c, _ := p[2].Class("fast"); c.Weight != 5 {
		t.Errorf("the second revision has a weight of %d, want 5", c.Weight)
	}
	want := &Scenario{
		Name: "all", Description: "Everything that can be said.", Seed: 9, Nodes: 6, Founders: 2, Zones: []Zone{{"a", 2}, {"b", 1}},
		Warmup: 10 * sec, Duration: 120 * sec, Rest: 40 * sec, Retries: 3, Policies: s.Policies, Traces: s.Traces,
		Network: Network{
			SameZone: Delay{Median: time.Millisecond, P99: time.Millisecond}, OtherZone: Delay{Median: 10 * time.Millisecond, P99: sec}, Loss: 0.05, Duplicate: 0.001,
			Reorder: 0.02, ReorderBy: 100 * time.Millisecond, Bandwidth: 1_500_000,
		},
		Disk: Disk{Delay{Median: time.Millisecond, P99: 10 * time.Millisecond}}, Gossip: Gossip{25_000},
		Workload: []Stream{
			{Name: "p", Kind: Poisson, Rate: 2500, From: sec, Until: time.Minute, Class: "fast", Model: "gpt-4o", Prompt: Size{Median: 1000, P99: 5000},
				Output: Size{Median: 100, P99: 100}, Max: 200, Runs: Delay{Median: sec, P99: 4 * sec}, Tenant: "t", Tenants: 5, Skew: 1.1, Agents: 3, Nodes: 0.5, Zone: "a"},
			{Name: "b", Kind: Bursty, Rate: 0.5, Burst: Burst{High: 3, On: sec, Off: 10 * sec}},
			{Name: "d", Kind: Diurnal, Rate: 1, Period: time.Minute, Swing: 0.8},
			{Name: "f", Kind: FlashCrowd, Rate: 1, Start: 30 * sec, Peak: 10, Ramp: 5 * sec, Hold: 20 * sec},
			{Name: "h", Kind: HotSpot, Rate: 1, Hot: 2, Part: 0.7, Period: 20 * sec},
			{Name: "c", Kind: Chain, Rate: 1, Depth: 4, Think: Delay{Median: 2 * sec, P99: 2 * sec}},
			{Name: "t", Kind: Trace, Trace: workload.AzureSample, Speed: 2, Scale: 1.5, Repeats: true},
		},
		Faults: []Fault{
			{Kind: Partition, At: 10 * sec, For: 5 * sec, Zone: "b", OneWay: true, Every: 20 * sec, Until: time.Minute},
			{Kind: Crash, At: 10 * sec, For: 5 * sec, Fraction: 0.25, LoseDisk: true, Stagger: sec},
			{Kind: Pause, At: 10 * sec, For: 5 * sec, Count: 2},
			{Kind: Clock, At: 10 * sec, Nodes: []int{0, 3}, By: -2 * sec},
			{Kind: Link, At: 10 * sec, Loss: 0.2, Delay: 300 * time.Microsecond},
			{Kind: DiskSlow, At: 10 * sec, Delay: 100 * time.Millisecond},
			{Kind: DiskFail, At: 10 * sec, For: sec},
			{Kind: Join, At: 10 * sec, Count: 3},
			{Kind: Leave, At: 10 * sec, Count: 1, For: 10 * sec},
			{Kind: Revise, At: 10 * sec, Policy: 2},
		},
		Bounds: []Bound{
			{Text: "goodput >= 98%", Figure: "goodput", Op: ">=", Value: 0.98},
			{Text: "wait_p99[fast] <= 250ms", Figure: "wait_p99", Class: "fast", Op: "<=", Value: 0.25},
			{Text: "goodput[split-known] >= 95%", Figure: "goodput", Beside: result.SplitKnown, Op: ">=", Value: 0.95},
			{Text: "bytes <= 25kB/s", Figure: "bytes", Op: "<=", Value: 25_000},
			{Text: "price_amplitude <= 2.5", Figure: "price_amplitude", Op: "<=", Value: 2.5},
			{Text: "offered_tokens >= 1.5M", Figure: "offered_tokens", Op: ">=", Value: 1.5e6},
			{Text: "overspend <= 0", Figure: "overspend", Op: "<="},
		},
	}
	for i := range want.Workload[1:6] {
		want.Workload[i+1].Prompt, want.Workload[i+1].Output = Size{Median: 1, P99: 1}, Size{Median: 1, P99: 1}
	}
	got, expect := reflect.ValueOf(*s), reflect.ValueOf(*want)
	for i := range got.NumField() {
		if a, b := got.Field(i).Interface(), expect.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			t.Errorf("%s is\n%+v, want\n%+v", got.Type().Field(i).Name, a, b)
		}
	}
}

func TestPolicyStandsWhereItMay(t *testing.T) {
	indented := strings.ReplaceAll(goodPolicy, "\n  ", "\n      ")
	tail := strings.Replace(goodPolicy, "  revision: 3", "  revision: 3\n\n# a comment further left\n", 1) + "\n# the end\n"
	plain := good(t, goodHead+goodPolicy+goodLoad).Policies[0]
	for name, src := range map[string]string{
		"deeper":  goodHead + indented + goodLoad,
		"last":    goodHead + goodLoad + goodPolicy,
		"Windows": strings.ReplaceAll(goodHead+goodPolicy+goodLoad, "\n", "\r\n"),
	} {
		if p := good(t, src).Policies[0]; string(p.Source()) != string(plain.Source()) {
			t.Errorf("%s: the policy is\n%s", name, p.Source())
		}
	}
	good(t, goodHead+goodLoad+tail)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), plain.Source(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(filepath.Join(dir, "s.yaml"), []byte(goodHead+"policy_file: p.yaml\n"+goodLoad))
	if err != nil || s.Policies[0].Hash() != plain.Hash() {
		t.Errorf("with policy_file: %v", err)
	}
	for src, want := range map[string]string{
		"policy: {apiVersion: swarmpurse/v1}\n": "s.yaml:5:9: policy must be the fields of a policy, each on a line of its own, indented below",
		"policy_file: q.yaml\n":                 "s.yaml:5:14: policy_file: stat ",
		"policy_file: .\n":                      "is not a file",
		"":                                      "s.yaml:1:1: the scenario lacks a policy; add policy: with the fields of a policy below, or policy_file",
		"policy_file: p.yaml" + goodPolicy:      "there is a policy and a policy_file",
		strings.Replace(goodPolicy, "unit: token", "unit: [token]", 1):  "s.yaml:10:21: unit must be text, not a list",
		strings.Replace(goodPolicy, "draw: [pool]", "draw: [poool]", 1): `s.yaml:17:14: unknown budget "poool"; did you mean "pool"?`,
	} {
		_, err := Parse(filepath.Join(dir, "s.yaml"), []byte(goodHead+src+goodLoad))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", src, err, want)
		}
	}
}

// TestParseWith: another policy takes the place of the scenario's, which need not even be valid, and what the scenario
// says of its policy is held to the new one.
func TestParseWith(t *testing.T) {
	other, err := policy.Parse("mine.yaml", good(t, goodHead+strings.NewReplacer("revision: 3", "revision: 7", "{name: fast}", "{name: quick}", "1k/s", "2k/s").Replace(goodPolicy)+goodLoad).Policies[0].Source())
	if err != nil {
		t.Fatal(err)
	}
	revised := "revisions: [{budgets.pool.supply.rate: 500/s}]\n"
	for name, own := range map[string]string{"inline": goodPolicy, "broken": "policy: 5\n", "in a file": "policy_file: none.yaml\n", "none": ""} {
		s, err := ParseWith("x.yaml", []byte(goodHead+own+revised+goodLoad), other)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Policies) != 2 || s.Policies[0].Hash() != other.Hash() || s.Policies[1].Revision() != 8 || s.Policies[1].Budgets()[0].Name != "pool" {
			t.Errorf("%s: %d policies", name, len(s.Policies))
		}
	}
	bound := "bounds: ['wait_p99[fast] <= 1s']\n"
	if _, err := ParseWith("x.yaml", []byte(goodHead+goodPolicy+bound+goodLoad), other); err == nil || !strings.Contains(err.Error(), `"fast" is neither a class, a stream nor a system`) {
		t.Errorf("a class that the new policy lacks: %v", err)
	}
}

// What operators top up and burn is of an instance that there is.
func TestAmountFaults(t *testing.T) {
	head := "faults:\n  - {kind: %s}\n"
	for fault, want := range map[string]string{
		"burn, at: 1s, budget: day, tokens: 5k":                           "",
		"mint, at: 1s, budget: own, key: [search], tokens: 5, nodes: [1]": "",
		"mint, at: 1s, budget: dai, tokens: 5k":                           `there is no budget "dai"; did you mean "day"?`,
		"mint, at: 1s, budget: pool, tokens: 5k":                          `budget "pool" is a rate; only grants and windows`,
		"burn, at: 1s, budget: own, tokens: 5k":                           "key needs 1 values, not 0",
		"burn, at: 1s, budget: day":                                       `a fault of kind burn needs the field "tokens"`,
		"burn, at: 1s, tokens: 5":                                         `a fault of kind burn needs the field "budget"`,
		"crash, at: 1s, tokens: 5":                                        "tokens does not go with kind crash",
		"mint, at: 1s, for: 2s, budget: day, tokens: 5":                   "for does not go with kind mint",
	} {
		own := strings.Replace(goodPolicy, "  rules:", "    - {name: day, token: compute, supply: {window: 24h, amount: 1M}}\n    - {name: own, token: compute, per: [tenant], supply: {grant: 1M}}\n  rules:", 1)
		s, err := Parse("x.yaml", []byte(goodHead+own+fmt.Sprintf(head, fault)+goodLoad))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", fault, err, want)
		}
		if err == nil {
			if e := Timeline(s); len(e) != 1 || len(e[0].Nodes) != 1 || e[0].Until != Never || len(Disturbances(s, e)) != 0 {
				t.Errorf("%s: %+v", fault, e)
			}
		}
	}
}

// Figures of budgets are told of one that some revision has, and of nothing else.
func TestBoundsOfBudgets(t *testing.T) {
	for bound, want := range map[string]string{
		"spent[pool] <= 5k": "",
		"spent[pol] <= 5k":  `there is no budget "pol"; did you mean "pool"?`,
		"spent[fast] <= 5k": `there is no budget "fast"`,
		"spent <= 5k":       "spent is told of one budget; write its name in brackets, as in spent[gpu-pool]",
	} {
		_, err := Parse("x.yaml", []byte(goodHead+goodPolicy+"bounds: ['"+bound+"']\n"+goodLoad))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bound, err, want)
		}
	}
}

// A run beside has the same calls, but for what it leaves out, and bounds divide by it.
func TestRunsBeside(t *testing.T) {
	src := goodHead + goodPolicy + goodLoad + "beside:\n  - {name: alone, skip: [x]}\n  - {name: early, retry: 2s}\n" +
		"bounds: ['wait_p99[fast, alone] <= 120%', 'returns[early] <= 50%', 'wait_p99[x] <= 2s']\n"
	src = strings.Replace(src, "kind:", "name: x, kind:", 1)
	s, err := Parse("x.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if v := s.With(s.Beside[0]); !v.Workload[0].Skip || s.Workload[0].Skip || v.RetryAfter != 0 || len(v.Bounds) > 0 {
		t.Errorf("%+v", v)
	}
	if v := s.With(s.Beside[1]); v.Workload[0].Skip || v.RetryAfter != 2*time.Second {
		t.Errorf("%+v", v)
	}
	r := &result.Result{Systems: []result.System{
		{Name: result.Swarm, Returns: 5, Classes: []result.Class{{Name: "fast", Admitted: 1, WaitP99: 3 * sec}}, Streams: []result.Class{{Name: "x", Admitted: 1, WaitP99: sec}}},
		{Name: "alone", Classes: []result.Class{{Name: "fast", Admitted: 1, WaitP99: 2 * sec}}},
		{Name: "early", Returns: 20},
	}}
	for i, want := range []result.Bound{{Got: "150.0%"}, {Got: "25.0%", OK: true}, {Got: "1.00 s", OK: true}} {
		want.Text = s.Bounds[i].Text
		if got := Check(s.Bounds, r)[i]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestSystemWords(t *testing.T) {
	for _, word := range SystemWords() {
		if _, ok := SystemNamed(word); !ok {
			t.Errorf("no system %q", word)
		}
	}
	for word, want := range map[string]string{"split-known": result.SplitKnown, "swarmpurse": result.Swarm, "local only": ""} {
		if got, _ := SystemNamed(word); got != want {
			t.Errorf("%q is %q, want %q", word, got, want)
		}
	}
}

func TestTracesAreRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte("time,class,prompt,output\n0,fast,1,2\n1,slow,3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(filepath.Join(dir, "s.yaml"), []byte(goodHead+goodPolicy+"workload: [{kind: trace, trace: t.csv}, {kind: trace, trace: t.csv, from: 30s}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Source()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for c, ok := src.Next(); ok; c, ok = src.Next() {
		got = append(got, fmt.Sprint(c.At, " ", c.Class, " ", c.Prompt))
	}
	if want := "0 fast 1,1000 slow 3,30000 fast 1,31000 slow 3"; strings.Join(got, ",") != want {
		t.Errorf("calls %v", got)
	}
}

func TestZonesAreDealtOut(t *testing.T) {
	s := &Scenario{Nodes: 8, Zones: []Zone{{"a", 3}, {"b", 1}}}
	if got := strings.Join(s.ZoneList(), ""); got != "aabaaaba" {
		t.Errorf("nodes are in %s", got)
	}
	if s.ZoneOf(9) != "a" || s.ZoneOf(10) != "b" {
		t.Error("nodes that join are not dealt out like the others")
	}
}

func TestCheck(t *testing.T) {
	r := &result.Result{Systems: []result.System{
		{Name: result.Swarm, Goodput: 0.96, GoodputTokens: 960, Converge: -1, BytesPerNodeSecond: 20_000, Queue: 12, Recover: 2.5, Classes: []result.Class{{Name: "fast", Admitted: 1, WaitP99: 3 * sec, Price: 1.25}},
			Budgets: []result.Budget{{Name: "pool", Spent: 4000, Decayed: 70}}},
		{Name: result.SplitKnown, Goodput: 0.99, GoodputTokens: 990, Queue: 10, Recover: math.NaN()},
		{Name: result.Counters, GoodputTokens: 990, Recover: math.Inf(1)},
		{Name: result.Omniscient},
	}}
	for _, c := range []struct {
		bound, got string
		ok         bool
	}{
		{"goodput >= 96%", "96.0%", true},
		{"goodput >= 97%", "96.0%", false},
		{"goodput[split-known] >= 96.9%", "97.0%", true},
		{"goodput[split-known] >= 98%", "97.0%", false},
		{"wait_p99[fast] <= 3s", "3.00 s", true},
		{"wait_p99[slow] <= 3s", "-", false}, // none was admitted
		{"paid[fast] <= 1.2", "1.25", false},
		{"paid[slow] <= 1.2", "-", false},
		{"overrun[fast] <= 1%", "-", false}, // nothing was charged
		{"spent[pool] <= 4k", "4,000", true},
		{"decayed[pool] >= 100", "70", false},
		{"spent[fast] <= 4k", "-", false}, // no budget
		{"met[fast] >= 1%", "-", false},   // no objective
		{"converge <= 7d", "never", false},
		{"bytes <= 25kB/s", "20 kB/s", true},
		{"overspend <= 0", "0.0%", true},
		{"queue <= 12", "12", true},
		{"queue <= 11", "12", false},
		{"queue[split-known] <= 110%", "120.0%", false},
		{"recover <= 2500ms", "2.50 s", true},
		{"recover <= 2s", "2.50 s", false},
		{"recover[counters] <= 1%", "0.0%", true},    // which never did
		{"recover[split-known] <= 100%", "-", false}, // nothing disturbed it
	} {
		b, _, err := parseBound(c.bound, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := Check([]Bound{b}, r)[0]; got != (result.Bound{Text: c.bound, Got: c.got, OK: c.ok}) {
			t.Errorf("%+v, want %+v", got, c)
		}
	}
}

// TestCheckWithoutSystems: a bound that needs a system which was not run is not judged, and so does not fail.
func TestCheckWithoutSystems(t *testing.T) {
	r := &result.Result{Systems: []result.System{{Name: result.Swarm, Goodput: math.NaN(), Queue: 5}, {Name: result.SplitKnown, Goodput: math.NaN(), Queue: 10}}}
	for bound, lacks := range map[string]string{
		"goodput >= 96%":              result.Omniscient,
		"goodput[split-known] >= 96%": result.Omniscient, // both are beside the omniscient one's
		"queue[counters] <= 100%":     result.Counters,
		"queue[split-known] <= 100%":  "",
		"queue <= 5":                  "",
	} {
		b, _, err := parseBound(bound, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Bounds = Check([]Bound{b}, r)
		if got := r.Bounds[0]; got.Lacks != lacks || got.OK == (lacks != "") || !r.Passed() {
			t.Errorf("%+v, passed %v, want to lack %q", got, r.Passed(), lacks)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range Shipped() {
		f.Add(string(s.Source))
	}
	f.Add(goodHead + goodPolicy + goodLoad + "revisions: [{budgets.0.price.base: 3}]\n")
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		src, _ := os.ReadFile(file)
		f.Add(string(src))
	}
	nothing := func(string, int) ([]byte, error) { return nil, errors.New("no files here") }
	f.Fuzz(func(t *testing.T, src string) {
		s, err := parse("x.yaml", []byte(src), nil, nothing)
		var all *document.Errors
		if err != nil {
			if !errors.As(err, &all) || len(all.List) == 0 {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		source, err := s.Source()
		if err != nil && !strings.Contains(err.Error(), "there is no node in zone") {
			t.Fatal(err)
		}
		for range 100 {
			if err != nil {
				break
			}
			if _, ok := source.Next(); !ok {
				break
			}
		}
		Timeline(s)
	})
}
