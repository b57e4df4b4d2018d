package sim

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// tired is production's strategy up to a moment; then it gives nothing away any more.
type tired struct {
	placement.Strategy
	at ledger.Instant
}

func (s tired) Give(v *ledger.View, ask *ledger.Ask) ledger.Tokens {
	if v.Now >= s.at {
		return 0
	}
	return s.Strategy.Give(v, ask)
}

func (s tired) Hold(v *ledger.View, ask *ledger.Ask) bool {
	return v.Now < s.at && s.Strategy.Hold(v, ask)
}

func (s tired) Drift(v *ledger.View) (int, ledger.Shares) {
	if v.Now >= s.at {
		return -1, 0
	}
	return s.Strategy.Drift(v)
}

// lazy asks only when a call has waited long, and lets shares lie where they are.
type lazy struct{ placement.Strategy }

func (lazy) Ahead(*ledger.View) ledger.Tokens                   { return 0 }
func (lazy) Along(*ledger.View, int, *ledger.Ask) ledger.Shares { return 0 }
func (lazy) Drift(*ledger.View) (int, ledger.Shares)            { return -1, 0 }

func (s lazy) Donors(v *ledger.View, need ledger.Tokens, n int) ([]int, ledger.Tokens) {
	if v.Patience > 300 {
		return nil, 0
	}
	return s.Strategy.Donors(v, need, n)
}

var allBounds = flag.Bool("all-bounds", false, "show of all scenarios that ship that their bounds can fail, for a minute or two")

// TestShippedBoundsCanFail: a bound that a bad strategy keeps as well says nothing. Bounds on bytes hold the outbox and
// the allowance, those on convergence the gossip, those on overspending the ledger, and in_budget is of the order of
// classes: none of them is a strategy's.
func TestShippedBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, f := range scenario.Shipped() {
		if f.Name == "fragmentation" || !*allBounds && !slices.Contains([]string{"flash-crowd", "hot-spot", "partition", "trace-replay"}, f.Name) {
			continue // a thousand nodes, or long runs
		}
		sc, err := f.Parse()
		if err != nil {
			t.Fatal(err)
		}
		begins := sc.Warmup
		if list := scenario.Disturbances(sc, scenario.Timeline(sc)); len(list) > 0 {
			begins = sc.Duration
			for _, d := range list {
				if d.From >= sc.Warmup+result.RecoverWindow {
					begins = min(begins, d.From)
				}
			}
		}
		var kept []string
		for _, b := range sc.Bounds {
			switch b.Figure {
			case "goodput", "local", "wait_p99", "queue", "recover":
				kept = append(kept, b.Text)
			}
		}
		for _, s := range []ledger.Strategy{
			tired{at: scenario.Epoch + ledger.Instant(begins/time.Millisecond)}, lazy{},
		} {
			if len(kept) == 0 {
				break
			}
			r, err := Run(t.Context(), sc, Options{Systems: []string{result.Omniscient, result.SplitKnown}, strategy: s})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range r.Bounds {
				if !b.OK {
					kept = slices.DeleteFunc(kept, func(text string) bool { return text == b.Text })
				}
			}
			t.Logf("%s, %T: %+v", f.Name, s, r.Bounds)
		}
		if len(kept) > 0 {
			t.Errorf("%s: bad strategies keep %s", f.Name, strings.Join(kept, ", "))
		}
	}
}

// TestObjectiveBoundsCanFail: where nothing keeps critical calls apart they miss, too; without the crowd nobody does; and without objectives and alerts nobody knows.
func TestObjectiveBoundsCanFail(t *testing.T) {
	for _, c := range []struct {
		path, value string
		broken      []string
	}{
		{"policy.classes.1", "{name: batch, weight: 64, latency_budget: 1s, objective: 98%, default: true}", []string{"met[critical] >= 99%", "burn_rate[critical] <= 1"}},
		{"policy.classes.1", "{name: batch, weight: 1, latency_budget: 1s, headroom: 30%, default: true}", []string{"met[batch] <= 80%", "burn_rate[batch] >= 14.4"}},
		{"workload.crowd.skip", "true", []string{"met[batch] <= 80%", "burn_rate[batch] >= 14.4", "alerts[quota] >= 2"}},
		{"policy.budgets.1.alerts", "[95%]", []string{"alerts[quota] >= 2", "alerted[quota] <= 5s"}},
		{"policy.budgets.1.alerts", "[40%, 50%, 65%]", []string{"alerts[quota] <= 2"}},
		{"gossip.bytes", "150B/s", []string{"alerted[quota] <= 5s"}}, // rows get staler
	} {
		broken(t, "objectives", [][2]string{{c.path, c.value}}, 0, c.broken...)
	}
	holds(t, "objectives")
}

// TestLifecycleBoundsCanFail: without the half-life, with another rollover, or where nobody tops up or burns, tokens go another way.
func TestLifecycleBoundsCanFail(t *testing.T) {
	for _, c := range []struct {
		path, value string
		broken      []string
	}{
		{"policy.tokens.data", "{unit: read}", []string{"decayed[docs] >= 70k", "in_budget[saver] <= 40%"}},
		{"policy.tokens.data.decay.half_life", "2s", []string{"decayed[docs] <= 90k", "in_budget[reader] >= 99%"}},
		{"policy.budgets.1.supply.rollover", "100%", []string{"expired[shift] >= 700k", "rolled[shift] <= 200k"}},
		{"policy.budgets.1.supply.rollover", "0%", []string{"rolled[shift] >= 150k"}},
		{"policy.budgets.1.supply.window", "10s", []string{"expired[shift] <= 1100k"}},
		{"faults.0.skip", "true", []string{"minted[vouchers] >= 500", "burned[vouchers] >= 600", "admitted[acme] <= 900"}}, // 600 are not there any more
		{"faults.1.skip", "true", []string{"admitted[acme] <= 900"}},
		{"faults.1.tokens", "601", []string{"admitted[acme] >= 900"}},
	} {
		broken(t, "lifecycles", [][2]string{{c.path, c.value}}, 0, c.broken...)
	}
	holds(t, "lifecycles")
}

// TestAmountsAreHeldToTheEquation: what is said of a grant from outside, and what its accounts say, must fit.
func TestAmountsAreHeldToTheEquation(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, id ledger.InstanceID)
		want  string
	}{
		{"as it is", func(*world, ledger.InstanceID) {}, ""},
		{"a caller was charged what the ledger has not spent", func(w *world, id ledger.InstanceID) { w.judge.of(id, ledger.Grant).window(0, w.now).used++ }, "the equation closes"},
		{"an operator was told of a top-up that is not there", func(w *world, id ledger.InstanceID) { w.judge.of(id, ledger.Grant).window(0, w.now).minted++ }, "the equation closes"},
		{"more was burned than an operator said", func(w *world, id ledger.InstanceID) { w.judge.of(id, ledger.Grant).window(0, w.now).burned-- }, "the equation closes"},
		{"an overrun is nobody's", func(w *world, id ledger.InstanceID) { w.judge.of(id, ledger.Grant).overrun++ }, "the equation closes"},
	} {
		w, err := newWorld(t.Context(), shipped(t, "lifecycles", [2]string{"nodes", "3"}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.until(w.end, Options{})
		for _, id := range w.pool.ids {
			if id.Name() == "vouchers/acme" {
				c.spoil(w, id)
			}
		}
		w.closes()
		got := ""
		if w.violation != nil {
			got = w.violation.Invariant
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %q", c.name, w.violation, c.want)
		}
	}
}

// TestDriftBoundsCanFail: a model that stays as it is does not drift; where a node reserves what calls state it sets far more aside, and where it learns
// nothing from its calls it goes on overrunning.
func TestDriftBoundsCanFail(t *testing.T) {
	const output = "{median: 200, p99: 400}"
	broken(t, "model-drift", [][2]string{{"workload.longer.output", output}, {"workload.between.output", output}, {"workload.followed.output", output}}, 0,
		"drift >= 35%", "overrun[longer] >= 10%")
	broken(t, "model-drift", [][2]string{{"policy.budgets.0.ceiling.size", "100%"}}, 0, "set_aside[before] <= 150%", "set_aside[followed] <= 150%")
	broken(t, "model-drift", [][2]string{{"policy.budgets.0.ceiling.size", "50%"}}, 0, "overrun[before] <= 2%")
	broken(t, "model-drift", [][2]string{{"workload.longer.rate", "4/s"}, {"workload.between.rate", "4/s"}, {"workload.followed.rate", "4/s"}}, 0, "drift_lasts <= 60s")
	brokenBy(t, shipped(t, "model-drift"), "nothing learned", Options{bug: bugUncounted}, "drift >= 35%", "overrun[followed] <= 2%")
	broken(t, "model-drift", [][2]string{{"policy.budgets.0.supply.amount", "300k"}}, 0, "in_budget >= 99%")
	holds(t, "model-drift")
}

// TestBytesAndOverspendingOfTheEconomyCanFail: with more nodes, or where a pool has more to tell than it may, they say more than is bound; and where accounts take
// hard ceilings for none more is given than there is.
func TestBytesAndOverspendingOfTheEconomyCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, c := range []struct {
		scenario string
		sets     [][2]string
		broken   string
	}{
		{"lifecycles", [][2]string{{"nodes", "16"}}, "bytes_max <= 14kB/s"},
		{"money", [][2]string{{"nodes", "18"}}, "bytes_max <= 8kB/s"},
		{"hybrid-price", [][2]string{{"gossip.bytes", "100kB/s"}, {"nodes", "40"}}, "bytes_max <= 25kB/s"},
		{"overdraft", [][2]string{{"nodes", "36"}}, "bytes_max <= 13kB/s"},
		{"model-drift", [][2]string{{"nodes", "8"}}, "bytes_max <= 3kB/s"},
		{"objectives", [][2]string{{"nodes", "12"}}, "bytes_max <= 10kB/s"},
		{"drift-canary", [][2]string{{"nodes", "16"}}, "bytes_max <= 10kB/s"},
	} {
		brokenBy(t, shipped(t, c.scenario, c.sets...), fmt.Sprint(c.sets), Options{Systems: []string{result.Swarm}}, c.broken)
	}
	for name, sets := range map[string][][2]string{
		"lifecycles": {{"workload.acme.rate", "20/s"}}, // more than were topped up, too
		"money":      nil, "hybrid-price": nil, "objectives": nil,
	} {
		brokenBy(t, shipped(t, name, sets...), "no hard ceiling", Options{Systems: []string{result.Swarm}, bug: bugBoundless}, "overspend <= 0")
	}
}

// broken runs a shipped scenario with changes to its document, and demands that these bounds of it do not hold. With retry, all
// callers come back after that time.
func broken(t *testing.T, name string, sets [][2]string, retry time.Duration, bounds ...string) {
	t.Helper()
	sc := shipped(t, name, sets...)
	sc.RetryAfter = retry
	brokenBy(t, sc, fmt.Sprint(sets), Options{Systems: []string{result.Omniscient}}, bounds...)
}

// brokenBy demands that a run with these options does not keep these bounds of the scenario. what says how it differs from the one that ships.
func brokenBy(t *testing.T, sc *scenario.Scenario, what string, o Options, bounds ...string) {
	t.Helper()
	r, err := Run(t.Context(), sc, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range bounds {
		switch i := slices.IndexFunc(r.Bounds, func(b result.Bound) bool { return b.Text == text }); {
		case i < 0:
			t.Errorf("%s has no bound %s", sc.Name, text)
		case !r.Bounds[i].Failed():
			t.Errorf("%s with %s still keeps %s: %+v", sc.Name, what, text, r.Bounds[i])
		}
	}
}

// holds runs shipped scenarios as they are, and demands that all their bounds hold.
func holds(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		r, err := Run(t.Context(), shipped(t, name), Options{Systems: []string{result.Omniscient}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Passed() {
			t.Errorf("%s: %+v, %+v", name, r.Bounds, r.Violation)
		}
	}
}

// TestEconomyBoundsCanFail: a price that responds too soon swings, one that hardly responds does not bring use down, and
// where batch work is not shed critical calls wait; calls that do not run cheaper are refused; and so are calls that find the
// budget set aside for the worst case of others; a tenant without a guarantee shares the shortage.
func TestEconomyBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, c := range []struct{ scenario, path, value, broken string }{
		{"price-shock", "policy.budgets.0.price.response", "4s", "price_amplitude <= 0.3"},
		{"price-shock", "policy.budgets.0.price.response", "10m", "price_amplitude >= 0.2"},
		{"price-shock", "policy.classes.2", "{name: batch, weight: 64, latency_budget: 2s}", "in_budget[critical] >= 99%"},
		{"price-shock", "policy.classes.2", "{name: batch, weight: 64, latency_budget: 2s}", "in_budget[batch] <= 30%"},
		{"price-shock", "policy.budgets.0.price.target", "20%", "goodput >= 80%"},
		{"degrade", "policy.rules.0.degrade.below", "1%", "in_budget >= 97%"},
		{"worst-case", "policy.budgets.0.ceiling.size", "100%", "in_budget >= 95%"},
		{"max-min", "policy.budgets.0.fairness", "node", "unfair <= 10%"},
		{"guarantee", "policy.budgets.0.guarantee.search", "0.1%", "in_budget[back] >= 90%"},
		{"guarantee", "policy.budgets.0.guarantee.search", "0.1%", "in_budget[back, omniscient] >= 150%"},
	} {
		broken(t, c.scenario, [][2]string{{"nodes", "20"}, {c.path, c.value}}, 0, c.broken)
	}
}

// TestPriceBoundsCanFail: where the price is not hybrid, an overdraft costs no more or is not bounded, or money is not by the table, it shows.
func TestPriceBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, c := range []struct {
		scenario, path, value string
		broken                []string
	}{
		{"hybrid-price", "policy.budgets.0.price.mode", "dynamic", []string{"paid[search] <= 1.05"}},
		{"hybrid-price", "policy.budgets.0.price", "{base: 1}", []string{"paid[others] >= 1.25"}},
		{"hybrid-price", "policy.budgets.0.guarantee.search", "1%", []string{"in_budget[search] >= 97%"}},
		{"overdraft", "policy.budgets.0.ceiling.price", "1", []string{"paid[crowd] >= 1.05"}},
		{"overdraft", "policy.budgets.0.ceiling", "hard", []string{"paid[crowd] >= 1.05", "overdrawn[team] >= 40k"}},
		{"overdraft", "policy.budgets.0.ceiling", "observe", []string{"overdrawn[team] <= 80k"}},
		{"overdraft", "policy.budgets.0.supply.amount", "120k", []string{"in_budget[calm] >= 99%", "paid[calm] <= 1"}},
		{"money", "policy.rules.0.cost.money", "0.15 * prompt_tokens + 0.6 * max_output_tokens", []string{"admitted[large] <= 222", "spent[wallet] >= 1120k"}},
		{"money", "policy.rules.1.cost.money", "2.5 * prompt_tokens + 10.0 * max_output_tokens", []string{"in_budget[small] >= 99%", "spent[wallet] <= 1220k"}},
		{"money", "policy.rules.0.cost.money", "2.6 * prompt_tokens + 10.0 * max_output_tokens", []string{"admitted[large] >= 222"}},
		{"money", "policy.default", "admit", []string{"admitted[unknown] <= 0"}},
	} {
		broken(t, c.scenario, [][2]string{{"nodes", "6"}, {c.path, c.value}}, 0, c.broken...)
	}
	holds(t, "hybrid-price", "overdraft", "money")
}

// TestRenewBoundsCanFail: where instances live longer, agents find no room, or fill the nodes.
func TestRenewBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	broken(t, "many-agents", [][2]string{{"policy.budgets.1.renew", "6m"}}, 0, "denied <= 0", "goodput >= 97%")
	broken(t, "many-agents", [][2]string{{"policy.budgets.1.renew", "6m"}, {"policy.budgets.1.instances", "1000"}}, 0, "instances <= 100")
}

// TestGuardianBoundsCanFail: without guardians, with a longer lease, or where nobody dies, what is bound of the dead does not
// hold.
func TestGuardianBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	broken(t, "founders-replaced", [][2]string{{"policy.guardians", "0"}}, 0, "stuck <= 0", "back <= 30s", "in_budget[late] >= 95%")
	broken(t, "founders-replaced", [][2]string{{"policy.lease", "60s"}}, 0, "back <= 30s")
	broken(t, "founders-replaced", [][2]string{{"faults.0.skip", "true"}, {"faults.1.skip", "true"}, {"faults.2.skip", "true"}}, 0, "dead >= 10%")
	broken(t, "dead-tenth", [][2]string{{"policy.guardians", "0"}}, 0, "stuck <= 25%", "back <= 52s")
	// With a tenth it depends on who dies: without guardians 93.2, 86.9 and 96.0 % with seeds 1 to 3, with them 98.0, 92.4 and 95.0 %.
	broken(t, "dead-tenth", [][2]string{{"policy.guardians", "0"}, {"faults.0.fraction", "20%"}}, 0, "in_budget[after] >= 92%")
	broken(t, "dead-tenth", [][2]string{{"policy.lease", "50s"}}, 0, "back <= 52s")
	broken(t, "dead-tenth", [][2]string{{"faults.0.skip", "true"}}, 0, "dead >= 5%")
}

// TestBesideBoundsCanFail: bounds beside another run of the swarm are not kept without what they show.
func TestBesideBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	broken(t, "noisy-neighbour", [][2]string{{"policy.rules.0.draw", "[gpu-pool]"}}, 0, "wait_p99[good, alone] <= 120%") // no tenant has a rate of its own
	broken(t, "backpressure", [][2]string{{"policy.budgets.0.levels", "[3ms, 2ms, 1ms]"}}, 0, "denied >= 3000", "queue <= 45")
	broken(t, "provider-limit", [][2]string{{"policy.budgets.0.feedback.least", "99%"}}, 0, "refused[blind] <= 1%", "in_budget[critical] >= 97%")
	broken(t, "provider-limit", [][2]string{{"policy.budgets.0.feedback.recover", "24h"}}, 0, "goodput[blind] >= 97%")
	broken(t, "locality", [][2]string{{"policy.rules.0.route", "latency"}}, 0, "saved >= 25%")
	broken(t, "locality", [][2]string{{"policy.upstreams.0.zones", "[eu, us]"}}, 0, "goodput >= 95%") // no upstream may take documents
	broken(t, "locality", [][2]string{{"workload.1.zone", "eu"}}, 0, "redirected >= 900")
	broken(t, "priority-points", [][2]string{{"policy.budgets.1.supply.grant", "1"}}, 0, "in_budget[lifted] >= 90%")
	broken(t, "thundering-retry", nil, 2*time.Second, "returns[impatient] <= 33%")
}
