package telemetry

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

func newMetrics(t testing.TB) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := New(Options{Registerer: reg, Version: "v1", Revision: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	if err := RegisterAudit(reg, func() AuditState {
		return AuditState{Written: 9, Dropped: 1, Alarms: 2, Refused: 3, Failing: true, Witnessed: 7, Kept: true, Size: 10, Bytes: 2048}
	}); err != nil {
		t.Fatal(err)
	}
	if err := RegisterTrust(reg, func() TrustState { return TrustState{[]RefusedState{{"forged", 2}}, 5, 1} }); err != nil {
		t.Fatal(err)
	}
	return m, reg
}

// feed calls every method, so that every metric has at least one series.
func feed(m *Metrics) {
	m.SetPolicy(PolicyInfo{Revision: 7, Hash: "0123456789abcdef", Classes: []ClassInfo{{"critical", 300 * time.Millisecond, 0.99}, {"batch", time.Minute, 0}}, Budgets: []string{"pool", "tenant-day"}, Flags: []string{"new-route"}})
	m.Decision("admit", "ok", "critical", false, 0, 800*time.Nanosecond)
	m.Flags([]string{"new-route", "gone"})
	m.Decision("defer", "budget_exhausted", "batch", false, 40*time.Millisecond, 41*time.Millisecond)
	m.Settlement(Settled)
	m.Charge("pool", 1432, 32)
	m.Expired(2)
	m.RightsMoved(In, "pool", 500)
	m.RightsMoved(Out, "pool", 70)
	m.SharesMoved(Out)
	m.Lowered("pool", Here)
	m.Lowered("pool", Peer)
	m.Lowered("pool", Peer)
	m.Ask(Granted, 3*time.Millisecond)
	m.Asked(Refused)
	m.RowsSent(5)
	m.RowsReceived(News, 4)
	m.Dropped(Malformed)
	m.PolicyChange(Applied)
	m.Sample(time.Unix(1_700_000_000, 0))
	m.Committed(time.Millisecond, 3, 600, nil)
	m.Committed(time.Millisecond, 3, 600, errors.New("disk full"))
	m.SetSource(func() (State, bool) {
		return State{
			ReservationsActive: 3,
			Budgets:            []BudgetState{{Budget: "pool", Token: "compute", Instances: 1, Known: 10, Most: 11, Limit: 9, Used: 0.875, Rights: 8, Reserved: 7, Spent: 6, Issued: 5, Decayed: 4, Expired: 5, Burned: 6, Ever: Life{10, 11, 12, 13, 14, 15, 16}, Debt: 3, Price: 1.25, Level: 2, Velocity: 120, Exhausted: 14, Rate: 0.75, Guarantee: true, Floor: 300, Guaranteed: 70, Fair: true, Under: 1, Over: 2, Alerts: []AlertState{{0.8, 3}, {0.95, 1}}, ConservationError: 2}},
			Queues:             []QueueState{{Class: "batch", Calls: 2, Tokens: 900}},
			RowsKnown:          11, RowAgeSeconds: 1.5, MembersAlive: 4, MembersFailed: 1, MembersLeft: 2,
			Guard: GuardState{LeaseSeconds: 432.5, LeaseLasts: 540, Answering: 2, Silent: 1, Wards: 3, Notes: 10, Acked: 9, NoteBytes: 1234, Stored: 8, RefusedNotes: 1,
				Begun: 4, Decided: 3, Rejected: 2, Learned: 5, Reclaimed: []TokenAmount{{"compute", 70, 1000}, {"compute", 7, 1}},
				Stuck: []StuckState{{"compute", "lease", 60, 500}, {"compute", "lease", 6, 5}, {"data", "unguarded", 1, 2}}},
			Frozen: FrozenState{1, 2, 3},
			Candidate: CandidateState{Revision: 8, Held: true, Tried: true, Shadow: ShadowState{true, 90, 8, 2, []string{"rules", "amount"}, []int64{5, 4}},
				Experiments: []ExperimentState{{"sizes", "mini", 90, 2, 5, 0.75}, {"sizes", "mini", 1, 1, 1, 1}, {"sizes", "control", 0, 0, 0, 0}}, Stable: ArmState{90, 5}, Candidate: ArmState{9, 4}, Drifts: []DriftState{
					{Model: "new"},
					{Model: "gpt", Known: true, Output: [2]ArmDrift{{90, 4, 200.5}, {9, 6, 400}}, Costs: []CostDrift{
						{Budget: "pool", Known: true, Cost: [2]ArmDrift{{90, 3, 210}, {9, 5, 420}}}, {Budget: "other"}}},
				}},
			Upstreams: []UpstreamState{{Upstream: "eu", Calls: 3, Cost: 0.5, Latency: 0.25, Known: true, Avoided: true, Reach: true}, {Upstream: "us"}},
			Sizes: []SizeState{
				{Rule: "all", Model: "gpt", Calls: 99, Reserved: 250, Mean: 200.5, Above: 0.125, Expected: 0.0625,
					Costs: []CostState{{"pool", 420, 210}, {"pool", 1, 2}}},
				{Rule: "all", Model: "gpt", Calls: 9, Reserved: 7}, // the same by its labels
				{Rule: "all", Model: "new", Calls: 5, Reserved: -1},
			},
		}, true
	})
}

// TestEveryMetricIsListedFedAndWellNamed holds the registry and Names against each other, both ways.
func TestEveryMetricIsListedFedAndWellNamed(t *testing.T) {
	m, reg := newMetrics(t)
	feed(m)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	got := gather(t, reg)
	for _, want := range Names() {
		f := got[want.Name]
		if f == nil {
			t.Errorf("%s is listed, but no method feeds it", want.Name)
			continue
		}
		if typ := Type(strings.ToLower(f.GetType().String())); typ != want.Type {
			t.Errorf("%s is a %s, listed as %s", want.Name, typ, want.Type)
		}
		if f.GetHelp() != want.Help {
			t.Errorf("%s: help %q, listed as %q", want.Name, f.GetHelp(), want.Help)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		listed := slices.Clone(want.Labels)
		slices.Sort(listed)
		if !slices.Equal(labels, listed) {
			t.Errorf("%s has the labels %v, listed as %v", want.Name, labels, listed)
		}
		delete(got, want.Name)
	}
	for name := range got {
		t.Errorf("%s is registered, but not listed", name)
	}
}

func TestWhatIsFedComesOut(t *testing.T) {
	m, reg := newMetrics(t)
	feed(m)
	for name, want := range map[string]float64{
		`swarmpurse_decisions_total{class=critical,code=ok,verdict=admit}`:            1,
		`swarmpurse_decisions_total{class=batch,code=budget_exhausted,verdict=defer}`: 1,
		`swarmpurse_admission_seconds{path=local}`:                                    1,
		`swarmpurse_admission_seconds{path=waited}`:                                   1,
		`swarmpurse_wait_seconds{class=batch}`:                                        1,
		`swarmpurse_class_calls_total{class=critical,result=met}`:                     1,
		`swarmpurse_class_calls_total{class=batch,result=missed}`:                     1,
		`swarmpurse_class_calls_total{class=other,result=excused}`:                    0,
		`swarmpurse_class_latency_budget_seconds{class=critical}`:                     0.3,
		`swarmpurse_class_objective_ratio{class=critical}`:                            0.99,
		`swarmpurse_class_burn_rate{class=critical,window=6h}`:                        0,
		`swarmpurse_budget_alert_instances{budget=pool,fraction=0.8,token=compute}`:   3,
		`swarmpurse_budget_alert_instances{budget=pool,fraction=0.95,token=compute}`:  1,
		`swarmpurse_frozen{kind=instance}`:                                            1,
		`swarmpurse_frozen{kind=tenant}`:                                              2,
		`swarmpurse_frozen{kind=agent}`:                                               3,
		`swarmpurse_candidate_revision{}`:                                             8,
		`swarmpurse_candidate_held{}`:                                                 1,
		`swarmpurse_arm_calls_total{arm=stable,result=admitted}`:                      90,
		`swarmpurse_arm_calls_total{arm=stable,result=refused}`:                       5,
		`swarmpurse_arm_calls_total{arm=candidate,result=admitted}`:                   9,
		`swarmpurse_arm_calls_total{arm=candidate,result=refused}`:                    4,
		`swarmpurse_lease_duration_seconds{}`:                                         540,
		`swarmpurse_settlements_total{result=settled}`:                                1,
		`swarmpurse_settlements_total{result=late}`:                                   0,
		`swarmpurse_charged_tokens_total{budget=pool}`:                                1432,
		`swarmpurse_overrun_tokens_total{budget=pool}`:                                32,
		`swarmpurse_reservations_expired_total{}`:                                     2,
		`swarmpurse_transfers_total{direction=in,kind=rights}`:                        1,
		`swarmpurse_transfers_total{direction=out,kind=rights}`:                       1,
		`swarmpurse_transfers_total{direction=out,kind=shares}`:                       1,
		`swarmpurse_transferred_tokens_total{budget=pool,direction=in}`:               500,
		`swarmpurse_transferred_tokens_total{budget=pool,direction=out}`:              70,
		`swarmpurse_asks_total{result=granted}`:                                       1,
		`swarmpurse_asks_received_total{result=refused}`:                              1,
		`swarmpurse_ask_seconds{}`:                                                    1,
		`swarmpurse_rows_sent_total{}`:                                                5,
		`swarmpurse_rows_received_total{result=news}`:                                 4,
		`swarmpurse_messages_dropped_total{reason=malformed}`:                         1,
		`swarmpurse_policy_revision{}`:                                                7,
		`swarmpurse_policy_info{hash=0123456789ab}`:                                   1,
		`swarmpurse_policy_changes_total{result=applied}`:                             1,
		`swarmpurse_store_commits_total{result=ok}`:                                   1,
		`swarmpurse_store_commits_total{result=error}`:                                1,
		`swarmpurse_store_commit_seconds{}`:                                           2,
		`swarmpurse_store_writes_total{}`:                                             3,
		`swarmpurse_store_written_bytes_total{}`:                                      600,
		`swarmpurse_reservations_active{}`:                                            3,
		`swarmpurse_budget_instances{budget=pool,token=compute}`:                      1,
		`swarmpurse_budget_known_instances{budget=pool,token=compute}`:                10,
		`swarmpurse_budget_most_instances{budget=pool,token=compute}`:                 11,
		`swarmpurse_budget_limit_tokens{budget=pool,token=compute}`:                   9,
		`swarmpurse_budget_rights_tokens{budget=pool,token=compute}`:                  8,
		`swarmpurse_budget_reserved_tokens{budget=pool,token=compute}`:                7,
		`swarmpurse_budget_spent_tokens{budget=pool,token=compute}`:                   6,
		`swarmpurse_budget_issued_tokens{budget=pool,token=compute}`:                  5,
		`swarmpurse_budget_lapsed_tokens{budget=pool,kind=decayed,token=compute}`:     4,
		`swarmpurse_budget_lapsed_tokens{budget=pool,kind=expired,token=compute}`:     5,
		`swarmpurse_budget_lapsed_tokens{budget=pool,kind=burned,token=compute}`:      6,
		`swarmpurse_minted_tokens_total{budget=pool,kind=shares,token=compute}`:       10,
		`swarmpurse_minted_tokens_total{budget=pool,kind=top_up,token=compute}`:       11,
		`swarmpurse_minted_tokens_total{budget=pool,kind=rollover,token=compute}`:     12,
		`swarmpurse_minted_tokens_total{budget=pool,kind=overdraft,token=compute}`:    13,
		`swarmpurse_lapsed_tokens_total{budget=pool,kind=decayed,token=compute}`:      14,
		`swarmpurse_lapsed_tokens_total{budget=pool,kind=expired,token=compute}`:      15,
		`swarmpurse_lapsed_tokens_total{budget=pool,kind=burned,token=compute}`:       16,
		`swarmpurse_budget_debt_tokens{budget=pool,token=compute}`:                    3,
		`swarmpurse_budget_price{budget=pool,token=compute}`:                          1.25,
		`swarmpurse_backpressure_level{budget=pool,token=compute}`:                    2,
		`swarmpurse_budget_velocity_tokens{budget=pool,token=compute}`:                120,
		`swarmpurse_budget_exhaustion_seconds{budget=pool,token=compute}`:             14,
		`swarmpurse_budget_used_ratio{budget=pool,token=compute}`:                     0.875,
		`swarmpurse_budget_rate_ratio{budget=pool,token=compute}`:                     0.75,
		`swarmpurse_budget_lowered_total{budget=pool,by=here}`:                        1,
		`swarmpurse_budget_lowered_total{budget=pool,by=peer}`:                        2,
		`swarmpurse_conservation_error_tokens{budget=pool,token=compute}`:             2,
		`swarmpurse_lease_seconds{}`:                                                  432.5,
		`swarmpurse_guardians{state=answering}`:                                       2,
		`swarmpurse_guardians{state=silent}`:                                          1,
		`swarmpurse_wards{}`:                                                          3,
		`swarmpurse_notes_total{result=sent}`:                                         10,
		`swarmpurse_notes_total{result=acknowledged}`:                                 9,
		`swarmpurse_note_bytes_total{}`:                                               1234,
		`swarmpurse_notes_received_total{result=stored}`:                              8,
		`swarmpurse_notes_received_total{result=refused}`:                             1,
		`swarmpurse_claims_total{result=begun}`:                                       4,
		`swarmpurse_claims_total{result=decided}`:                                     3,
		`swarmpurse_claims_total{result=rejected}`:                                    2,
		`swarmpurse_generations_claimed_total{}`:                                      5,
		`swarmpurse_reclaimed_tokens_total{token=compute}`:                            77,
		`swarmpurse_reclaimed_shares_total{token=compute}`:                            1001,
		`swarmpurse_stuck_tokens{reason=lease,token=compute}`:                         66,
		`swarmpurse_stuck_shares{reason=unguarded,token=data}`:                        2,
		`swarmpurse_output_reserved_tokens{model=gpt,rule=all}`:                       250,
		`swarmpurse_output_mean_tokens{model=gpt,rule=all}`:                           200.5,
		`swarmpurse_output_above_reserved_ratio{model=gpt,rule=all}`:                  0.125,
		`swarmpurse_call_cost_tokens{budget=pool,model=gpt,rule=all}`:                 420,
		`swarmpurse_call_cost_usual_tokens{budget=pool,model=gpt,rule=all}`:           210,
		`swarmpurse_output_above_expected_ratio{model=gpt,rule=all}`:                  0.0625,
		`swarmpurse_arm_outputs_total{arm=stable,model=gpt,result=usual}`:             86,
		`swarmpurse_arm_outputs_total{arm=candidate,model=gpt,result=long}`:           6,
		`swarmpurse_arm_output_mean_tokens{arm=candidate,model=gpt}`:                  400,
		`swarmpurse_arm_costs_total{arm=candidate,budget=pool,model=gpt,result=dear}`: 5,
		`swarmpurse_arm_cost_mean_tokens{arm=stable,budget=pool,model=gpt}`:           210,
		`swarmpurse_queue_calls{class=batch}`:                                         2,
		`swarmpurse_queue_tokens{class=batch}`:                                        900,
		`swarmpurse_rows_known{}`:                                                     11,
		`swarmpurse_row_age_seconds{}`:                                                1.5,
		`swarmpurse_members{state=alive}`:                                             4,
		`swarmpurse_members{state=failed}`:                                            1,
		`swarmpurse_members{state=left}`:                                              2,
		`swarmpurse_scrape_errors_total{}`:                                            0,
	} {
		got, ok := series(t, reg)[name]
		if !ok || got != want {
			t.Errorf("%s = %v (there: %v), want %v", name, got, ok, want)
		}
	}
}

// TestLabelsAreBounded feeds ten thousand names and counts series.
func TestLabelsAreBounded(t *testing.T) {
	m, reg := newMetrics(t)
	for round := range 3 {
		var p PolicyInfo
		for i := range 10_000 {
			p.Classes = append(p.Classes, ClassInfo{Name: fmt.Sprintf("class-%d-%d", round, i), Objective: 0.9})
			p.Budgets = append(p.Budgets, fmt.Sprintf("budget-%d-%d", round, i))
		}
		m.SetPolicy(p)
		st := State{}
		for i := range p.Classes {
			m.Decision("admit", "ok", p.Classes[i].Name, false, 1, 1)
			m.Decision(p.Classes[i].Name, p.Classes[i].Name, p.Classes[i].Name, false, 0, 1)
			m.Charge(p.Budgets[i], 1, 0)
			m.RightsMoved(In, p.Budgets[i], 1)
			st.Budgets = append(st.Budgets, BudgetState{Budget: p.Budgets[i], Token: "compute", Spent: 1})
			st.Queues = append(st.Queues, QueueState{Class: p.Classes[i].Name, Calls: 1})
		}
		m.SetSource(func() (State, bool) { return st, true })
	}
	most := map[string]int{labelClass: MaxClasses + 1, labelBudget: MaxBudgets + 1}
	var spent, charged, queued float64
	for name, v := range series(t, reg) {
		switch {
		case strings.HasPrefix(name, budgetSpent.Name):
			spent += v
		case strings.HasPrefix(name, chargedTokens.Name):
			charged += v
		case strings.HasPrefix(name, queueDepth.Name):
			queued += v
		}
	}
	for _, f := range gather(t, reg) {
		values := map[string]map[string]bool{}
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if values[l.GetName()] == nil {
					values[l.GetName()] = map[string]bool{}
				}
				values[l.GetName()][l.GetValue()] = true
			}
		}
		for label, vs := range values {
			bound, ok := most[label]
			if !ok {
				bound = 12
			}
			if len(vs) > bound {
				t.Errorf("%s has %d values of %s, at most %d are allowed", f.GetName(), len(vs), label, bound)
			}
		}
	}
	if spent != 10_000 || queued != 10_000 {
		t.Errorf("spent %v and queued %v, want 10000 of each: what is beyond the bound must be counted as other", spent, queued)
	}
	// What other gathered goes on over policies; the rest is of the last policy.
	if want := float64(MaxBudgets + 3*(10_000-MaxBudgets)); charged != want {
		t.Errorf("charged %v, want %v", charged, want)
	}
}

func TestSeriesGoOnWhenThePolicyChanges(t *testing.T) {
	m, reg := newMetrics(t)
	m.SetPolicy(PolicyInfo{Revision: 1, Classes: []ClassInfo{{Name: "a"}, {Name: "b"}}, Budgets: []string{"x", "y"}})
	m.Decision("admit", "ok", "a", false, time.Second, time.Second)
	m.Decision("admit", "ok", "b", false, 0, 1)
	m.Charge("x", 10, 0)
	m.Charge("y", 10, 0)
	m.SetPolicy(PolicyInfo{Revision: 2, Classes: []ClassInfo{{Name: "c"}, {Name: "a"}}, Budgets: []string{"y"}})
	m.Decision("admit", "ok", "a", false, time.Second, time.Second)
	m.Decision("admit", "ok", "b", false, 0, 1)
	m.Charge("x", 10, 0)
	m.Charge("y", 10, 0)
	got := series(t, reg)
	for name, want := range map[string]float64{
		`swarmpurse_decisions_total{class=a,code=ok,verdict=admit}`:     2,
		`swarmpurse_decisions_total{class=other,code=ok,verdict=admit}`: 1,
		`swarmpurse_wait_seconds{class=a}`:                              2,
		`swarmpurse_charged_tokens_total{budget=y}`:                     20,
		`swarmpurse_charged_tokens_total{budget=other}`:                 10,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	for _, gone := range []string{`swarmpurse_decisions_total{class=b,code=ok,verdict=admit}`, `swarmpurse_charged_tokens_total{budget=x}`} {
		if _, ok := got[gone]; ok {
			t.Errorf("%s is still there", gone)
		}
	}
}

// TestStrangeNamesDoNotBreakAScrape: one bad or doubled label value would make Prometheus refuse it all.
func TestStrangeNamesDoNotBreakAScrape(t *testing.T) {
	m, reg := newMetrics(t)
	odd := []string{"", "\xff\xfe", other, "a", "a", strings.Repeat("é", 500), "x\ny", `"`}
	m.SetPolicy(PolicyInfo{Hash: "\xff", Classes: infos(odd...), Budgets: odd})
	var st State
	for _, o := range odd {
		m.Decision(o, o, o, false, 1, -5)
		m.Charge(o, -1, -1)
		m.RightsMoved(Out, o, -1)
		st.Budgets = append(st.Budgets, BudgetState{Budget: o, Token: o}, BudgetState{Budget: o, Token: o})
		st.Queues = append(st.Queues, QueueState{Class: o}, QueueState{Class: o})
	}
	m.Expired(-3)
	m.SetSource(func() (State, bool) { return st, true })
	gather(t, reg)
}

func infos(names ...string) (cs []ClassInfo) {
	for _, n := range names {
		cs = append(cs, ClassInfo{Name: n, Objective: 0.9})
	}
	return cs
}

func TestStateThatCannotBeHad(t *testing.T) {
	m, reg := newMetrics(t)
	m.SetSource(func() (State, bool) { return State{}, false })
	series(t, reg)
	got := series(t, reg)
	if n := got["swarmpurse_scrape_errors_total{}"]; n < 1 {
		t.Errorf("scrape errors: %v", n)
	}
	if _, ok := got["swarmpurse_rows_known{}"]; ok {
		t.Error("a gauge of a state that nobody has")
	}
}

func TestNilMetricsAreSilent(t *testing.T) {
	var m *Metrics
	feed(m)
	m.SetSource(nil)
}

func TestASecondNodeOnOneRegistryIsRefused(t *testing.T) {
	_, reg := newMetrics(t)
	if _, err := New(Options{Registerer: reg}); err == nil {
		t.Fatal("two nodes share a registry")
	}
	if _, err := New(Options{}); err == nil {
		t.Fatal("no registry is not an error")
	}
	// A failed New leaves nothing behind.
	clash := prometheus.NewRegistry()
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: policyRevision.Name, Help: policyRevision.Help})
	clash.MustRegister(c)
	if _, err := New(Options{Registerer: clash}); err == nil {
		t.Fatal("a taken name is not an error")
	}
	clash.Unregister(c)
	if _, err := New(Options{Registerer: clash, Runtime: true}); err != nil {
		t.Fatal(err)
	}
	fs := gather(t, clash)
	if fs["go_goroutines"] == nil {
		t.Error("no runtime metrics")
	}
}

// TestCodesAndVerdictsAreThoseOfAdmit reads package admit's source, so that one added there is added here.
func TestCodesAndVerdictsAreThoseOfAdmit(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../admit/types.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared, said []string
	ast.Inspect(f, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Name.Name == "String" {
			ast.Inspect(fn, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && !strings.Contains(l.Value, "%") {
					s, err := strconv.Unquote(l.Value)
					if err != nil {
						t.Fatal(err)
					}
					said = append(said, s)
				}
				return true
			})
			return false
		}
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Code") {
			return true
		}
		s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared = append(declared, s)
		return true
	})
	if !slices.Equal(declared, codes) || len(codes) == 0 || codes[0] != "ok" {
		t.Errorf("admit has the codes %v, telemetry %v", declared, codes)
	}
	if !slices.Equal(said, verdicts) {
		t.Errorf("admit has the verdicts %v, telemetry %v", said, verdicts)
	}
}

func TestDurationsFallIntoTheirBucket(t *testing.T) {
	s := newStripes()
	h := newHistogram(s)
	x := s.get()
	h.observe(x, -time.Second)
	for _, b := range bounds {
		h.observe(x, b)
		h.observe(x, b+1)
	}
	var d dto.Metric
	if err := h.metric(admissionDesc, "local").Write(&d); err != nil {
		t.Fatal(err)
	}
	if got := d.GetHistogram().GetSampleCount(); got != uint64(2*len(bounds)+1) {
		t.Errorf("count %d", got)
	}
	for i, b := range d.GetHistogram().GetBucket() {
		if want := uint64(2*i + 2); b.GetCumulativeCount() != want || math.Abs(b.GetUpperBound()-bounds[i].Seconds()) > 1e-12 {
			t.Errorf("bucket %d: up to %v s %d, want %v and %d", i, b.GetUpperBound(), b.GetCumulativeCount(), bounds[i].Seconds(), want)
		}
	}
	if !slices.IsSorted(bounds[:]) {
		t.Error("bounds are not sorted")
	}
}

// TestNothingIsLostBetweenStripes counts from many goroutines while others scrape and change the policy.
func TestNothingIsLostBetweenStripes(t *testing.T) {
	m, reg := newMetrics(t)
	p := PolicyInfo{Classes: []ClassInfo{{Name: "a"}}, Budgets: []string{"x"}}
	m.SetPolicy(p)
	m.Decision("admit", "ok", "a", false, time.Millisecond, time.Millisecond) // the series is there before the policy changes
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				m.Decision("admit", "ok", "a", false, time.Millisecond, time.Millisecond)
				m.Charge("x", 1, 0)
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			m.SetPolicy(p)
			if _, err := reg.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	got := series(t, reg)
	for name, want := range map[string]float64{
		`swarmpurse_decisions_total{class=a,code=ok,verdict=admit}`: workers*each + 1,
		`swarmpurse_admission_seconds{path=waited}`:                 workers*each + 1,
		`swarmpurse_wait_seconds{class=a}`:                          workers*each + 1,
		`swarmpurse_charged_tokens_total{budget=x}`:                 workers * each,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t)
	feed(m)
	got := testing.AllocsPerRun(1000, func() {
		m.Decision("admit", "ok", "critical", false, 0, 900)
		m.Decision("defer", "budget_exhausted", "batch", false, 1, 900)
		m.Settlement(Settled)
		m.Charge("pool", 100, 0)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func gather(t testing.TB, reg *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]*dto.MetricFamily{}
	for _, f := range fs {
		m[f.GetName()] = f
	}
	return m
}

// series returns values by name and labels; a histogram's value is its count.
func series(t testing.TB, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for name, f := range gather(t, reg) {
		for _, s := range f.GetMetric() {
			var ls []string
			for _, l := range s.GetLabel() {
				ls = append(ls, l.GetName()+"="+l.GetValue())
			}
			v := s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
			out[name+"{"+strings.Join(ls, ",")+"}"] = v
		}
	}
	return out
}

func TestNamesIsACopyInOrder(t *testing.T) {
	a := Names()
	a[0].Labels = append(a[0].Labels, "x")
	seen := map[string]bool{}
	for _, m := range Names() {
		if seen[m.Name] {
			t.Errorf("%s is listed twice", m.Name)
		}
		seen[m.Name] = true
	}
	if !slices.IsSorted(slices.Collect(func(yield func(string) bool) {
		for _, m := range Names() {
			if !yield(m.Name) {
				return
			}
		}
	})) || len(slices.Collect(maps.Keys(seen))) < 30 {
		t.Error("the list is not sorted, or short")
	}
}

func BenchmarkDecision(b *testing.B) {
	m, _ := newMetrics(b)
	feed(m)
	b.Run("local", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Decision("admit", "ok", "critical", false, 0, 900)
			}
		})
	})
	b.Run("waited", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Decision("admit", "ok", "batch", false, 20*time.Millisecond, 20*time.Millisecond)
			}
		})
	})
	b.Run("settle", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Settlement(Settled)
				m.Charge("pool", 100, 0)
			}
		})
	})
	b.Run("scrape", func(b *testing.B) {
		reg := prometheus.NewRegistry()
		m, err := New(Options{Registerer: reg})
		if err != nil {
			b.Fatal(err)
		}
		feed(m)
		for b.Loop() {
			if _, err := reg.Gather(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLibrary is what the striped counters are judged by: the same two additions by client_golang.
func BenchmarkLibrary(b *testing.B) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "c", Help: "c"})
	var buckets []float64
	for _, d := range bounds {
		buckets = append(buckets, d.Seconds())
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: buckets})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Inc()
			h.Observe(9e-7)
		}
	})
}
