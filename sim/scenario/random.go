package scenario

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random is a small scenario drawn by chance: at most 30 nodes, a minute of calls, at most some 3,000 of them, and
// faults of all kinds that overlap. Supplies, ceilings, prices, workloads and the network differ too. It has no
// bounds: what must hold in it are the invariants. The same seed makes the same scenario.
func Random(seed uint64) *Scenario {
	s, err := Parse(fmt.Sprintf("random-%d.yaml", seed), RandomSource(seed))
	if err != nil {
		panic(fmt.Sprintf("BUG: the random scenario %d: %v", seed, err))
	}
	return s
}

// RandomSource is the document of Random, to be looked at and changed.
func RandomSource(seed uint64) []byte {
	r := &random{Rand: rand.New(rand.NewPCG(seed, 0x72616e646f6d))} // apart from the dice of the run
	rolls := rand.New(rand.NewPCG(seed, 0x726f6c6c6f7574))          // of its own, so that all else stays what it was
	if rolls.IntN(4) == 0 {
		r.rolls = rolls
	}
	r.swarm(seed)
	r.policy(seed >= MarketSeeds)
	r.workload()
	r.faults()
	r.rollouts()
	r.freezes(rand.New(rand.NewPCG(seed, 0x667265657a65))) // of its own, so that all else stays what it was
	r.orders(rand.New(rand.NewPCG(seed, 0x6f7264657273)))
	return []byte(r.String())
}

// MarketSeeds is the first seed whose scenario may have more of a market than limits and prices: decay, headroom, guarantees, lives, prices that
// move. Seeds below it stay what they were when they were tried.
const MarketSeeds = 10_000

// Sizes of random scenarios.
const (
	randomNodes   = 30
	randomSeconds = 60
	randomCalls   = 2400 // on average, follow-ups included
)

type random struct {
	*rand.Rand
	strings.Builder
	nodes     int
	zones     int
	tenants   int
	classes   []string
	calls     float64 // per second, follow-ups included
	tokens    float64 // that one reserves, about
	revisions int
	rolls     *rand.Rand // of revisions that are tried; nil: none is
	budgets   []string   // supplies
	amounts   []stock    // budgets that can be topped up
	feeds     *rand.Rand // of providers and what follows them
	market    *rand.Rand // of what else a policy can say of budgets and classes; nil: nothing
}

func (r *random) linef(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

// between is a whole number, both ends included.
func (r *random) between(low, high int) int { return low + r.IntN(high-low+1) }

func (r *random) chance(p float64) bool { return r.Float64() < p }

func (r *random) one(of ...string) string { return of[r.IntN(len(of))] }

func (r *random) swarm(seed uint64) {
	r.nodes = r.between(3, randomNodes)
	r.zones = r.between(1, 3)
	r.linef("apiVersion: swarmpurse/v1\nname: random-%d\nseed: %d", seed, seed)
	r.linef("nodes: %d\nfounders: %d", r.nodes, r.between(1, min(r.nodes, 9)))
	list := make([]string, r.zones)
	for i := range list {
		list[i] = fmt.Sprintf("{name: %c, weight: %d}", 'a'+i, r.between(1, 3))
	}
	list[0] = "{name: a, weight: 3}" // so that the first node is there
	r.linef("zones: [%s]", strings.Join(list, ", "))
	r.linef("duration: %ds\nrest: 60s\nretries: %d", randomSeconds, r.between(0, 2))
	r.linef("network:\n  same_zone: {median: %dus, p99: %dms}", r.between(200, 2000), r.between(2, 40))
	r.linef("  other_zone: {median: %dms, p99: %dms}", r.between(1, 60), r.between(60, 400))
	r.linef("  loss: %.1f%%\n  duplicate: %.1f%%\n  reorder: %.1f%%\n  reorder_by: %dms",
		r.Float64()*r.Float64()*15, r.Float64()*5, r.Float64()*10, r.between(10, 500))
	r.linef("disk: {sync: {median: %dms, p99: %dms}}", r.between(1, 5), r.between(5, 60))
	r.tenants = r.between(1, 4)
	r.classes = []string{"fast", "standard", "batch"}[:r.between(1, 3)]
	r.calls = randomCalls / randomSeconds * (0.3 + 0.7*r.Float64())
	r.tokens = 100 * float64(r.between(2, 30))
}

func (r *random) policy(trades bool) {
	own := r.Uint64()
	guards := rand.New(rand.NewPCG(own, 1)) // of their own, so that a change here changes nothing else
	r.feeds = rand.New(rand.NewPCG(own, 2)) // likewise
	if market := rand.New(rand.NewPCG(own, 4)); market.IntN(2) == 0 && trades {
		r.market = market
	}
	if r.feeds.IntN(3) == 0 {
		gives := int(r.calls * r.tokens * (0.2 + r.feeds.Float64()))
		r.linef("provider: {rate: %d/s, burst: %d}", gives, 2*gives)
	}
	r.linef("policy:\n  apiVersion: swarmpurse/v1\n  revision: 1")
	r.linef("  guardians: %d\n  lease: %s\n  autonomy: %s", []int{0, 3, 3, 5}[guards.IntN(4)],
		[]string{"10s", "12s", "20s", "40s", "3m"}[guards.IntN(5)], []string{"1s", "5s", "1m", "5m"}[guards.IntN(4)])
	decay := ""
	if r.trades(3) {
		decay = fmt.Sprintf(", decay: {half_life: %ds}", 3+r.market.IntN(60))
	}
	r.linef("  tokens: {compute: {unit: token%s}, requests: {unit: request}, concurrency: {unit: slot}}\n  classes:", decay)
	for i, name := range r.classes {
		headroom := ""
		if i > 0 && r.trades(2) {
			headroom = fmt.Sprintf(", headroom: %d%%", 1+r.market.IntN(50))
		}
		r.linef("    - {name: %s, weight: %d, latency_budget: %dms%s}", name, 9-4*i, r.between(0, 6000), headroom)
	}
	r.linef("  budgets:")
	n := r.between(1, 4)
	for i := range n {
		r.budget(i)
	}
	r.linef("  rules:")
	for i := range n {
		when := ""
		switch {
		case i > 0 && r.chance(0.2):
			when = `when: 'model == "big"', `
		case i > 0 && r.chance(0.1):
			when = `when: prompt_tokens > 100, `
		}
		degrade := ""
		if r.trades(4) {
			degrade = fmt.Sprintf(", degrade: {below: %d%%, max_output_tokens: %d}", 1+r.market.IntN(60), 1+int(r.tokens*0.2))
		}
		r.linef("    - {name: rule-%d, %sdraw: [budget-%d]%s}", i, when, i, degrade)
	}
	r.linef("  default: %s", r.one("admit", "deny"))
	if r.revisions = r.between(0, 2); r.revisions > 0 {
		r.linef("revisions:")
		for range r.revisions {
			r.linef("  - {%s}", r.revision())
		}
	}
	if r.rolls != nil {
		if r.revisions == 0 {
			r.linef("revisions:")
		}
		for range randomTried {
			r.linef("  - {default: %s, rollout.canary: %d%%, rollout.by: tenant, rollout.bake: %ds}", []string{"admit", "deny"}[r.rolls.IntN(2)], 1+r.rolls.IntN(100), 5+r.rolls.IntN(30))
		}
	}
}

// randomTried is how many revisions of a random scenario are tried, if any is.
const randomTried = 3

// budget writes a budget whose supply is from a third to twice of what is asked for.
func (r *random) budget(i int) {
	token, unit := "compute", r.tokens
	if r.chance(0.2) {
		token, unit = "requests", 1
	}
	demand := r.calls * unit // per second
	per := ""
	if r.chance(0.35) {
		per, demand = "per: [tenant], ", demand/float64(r.tenants)
	} else if r.chance(0.1) {
		per = "per: [class], "
	}
	// At least some calls fit at once.
	amount := func(seconds float64) int {
		return max(int(demand*seconds*(0.3+1.7*r.Float64())), int(3*unit))
	}
	supply, n := "", 0
	kind := r.one("rate", "rate", "window", "window", "grant", "slots")
	switch kind {
	case "rate":
		supply = fmt.Sprintf("{rate: %d/s, burst: %d, lend: %s}", max(1, amount(1)), max(amount(float64(r.between(1, 10))), int(8*unit)), r.one("1s", "3s", "10s"))
	case "window":
		seconds := []int{5, 10, 20, 30, 60}[r.IntN(5)]
		rollover := ""
		if r.chance(0.3) {
			rollover = fmt.Sprintf(", rollover: %d%%", r.between(1, 50))
		}
		n = amount(float64(seconds))
		supply = fmt.Sprintf("{window: %ds, amount: %d%s}", seconds, n, rollover)
	case "grant":
		n = amount(randomSeconds)
		supply = fmt.Sprintf("{grant: %d}", n)
	case "slots":
		token = "concurrency"
		supply = fmt.Sprintf("{slots: %d}", r.between(2, 60))
	}
	ceiling := r.one("hard", "hard", "hard", fmt.Sprintf("{soft: %d%%}", r.between(1, 30)), "observe")
	price := "1"
	if token == "compute" && r.chance(0.2) {
		price = r.one("0.5", "1.5", "2")
	}
	feedback := ""
	if strings.HasPrefix(supply, "{rate") && ceiling != "observe" && r.feeds.IntN(2) == 0 {
		feedback = fmt.Sprintf(", feedback: {cut: %d%%, least: %d%%, recover: %ds, retry_after: %ds}",
			10+r.feeds.IntN(60), 1+r.feeds.IntN(60), 10+r.feeds.IntN(50), r.feeds.IntN(20))
	}
	promises := r.promises(kind, per, supply, ceiling)
	r.linef("    - {name: budget-%d, token: %s, %ssupply: %s, ceiling: %s, price: {base: %s%s}%s%s}",
		i, token, per, supply, r.dearer(ceiling), price, r.moves(kind, promises), feedback, promises)
	r.budgets = append(r.budgets, supply)
	if key := strings.TrimSuffix(strings.TrimPrefix(per, "per: ["), "], "); kind == "grant" || kind == "window" {
		r.amounts = append(r.amounts, stock{i, key, n})
	}
}

// trades is true once in n, where the policy says more of its market than limits and prices.
func (r *random) trades(n int) bool { return r.market != nil && r.market.IntN(n) == 0 }

// dearer has some overdrafts cost more, and what may overdraw be reserved by a quantile.
func (r *random) dearer(ceiling string) string {
	if !strings.HasPrefix(ceiling, "{soft") || !r.trades(2) {
		return ceiling
	}
	return strings.TrimSuffix(ceiling, "}") + fmt.Sprintf(", price: %d, size: %d%%}", 1+r.market.IntN(4), 50+r.market.IntN(51))
}

// promises are what some budgets hold for tenants, or how long they last.
func (r *random) promises(kind, per, supply, ceiling string) string {
	byTime := kind == "rate" || kind == "window"
	switch {
	case per != "" && kind == "window" && !strings.Contains(supply, "rollover") && r.trades(2):
		return ", renew: 60s"
	case per == "" && byTime && r.tenants > 1 && ceiling != "observe" && r.trades(3):
		return fmt.Sprintf(", guarantee: {t-%d: %d%%}", 1+r.market.IntN(r.tenants), 1+r.market.IntN(60))
	case per == "" && byTime && ceiling != "observe" && r.trades(3):
		return ", fairness: swarm"
	}
	return ""
}

// moves has the price of some budgets follow their use.
func (r *random) moves(kind, promises string) string {
	if kind != "rate" && kind != "window" || strings.Contains(promises, "renew") || !r.trades(3) {
		return ""
	}
	mode := "dynamic"
	if strings.Contains(promises, "guarantee") {
		mode = "hybrid"
	}
	return fmt.Sprintf(", mode: %s, target: %d%%, max: %d, response: %ds", mode, 40+r.market.IntN(60), 4+r.market.IntN(8), 4+r.market.IntN(30))
}

// stock is a budget that can be topped up, and what it is per.
type stock struct {
	budget int
	per    string
	amount int
}

// revision changes a budget: its price, or what it supplies.
func (r *random) revision() string {
	i := r.IntN(len(r.budgets))
	path := fmt.Sprintf("budgets.%d", i)
	word, _, _ := strings.Cut(strings.TrimPrefix(r.budgets[i], "{"), ":")
	if word != "slots" && r.chance(0.3) {
		return fmt.Sprintf("%s.price.base: %s", path, r.one("0.5", "3", "1.25"))
	}
	amount := r.between(1, 20) * int(3*r.tokens)
	switch word {
	case "rate":
		return fmt.Sprintf("%s.supply.rate: %d/s, %s.supply.burst: %d", path, amount/3, path, amount)
	case "window":
		return fmt.Sprintf("%s.supply.amount: %d", path, amount*5)
	case "grant":
		return fmt.Sprintf("%s.supply.grant: %d", path, amount*20)
	}
	return fmt.Sprintf("%s.supply.slots: %d", path, r.between(1, 80))
}

func (r *random) workload() {
	r.linef("workload:")
	n := r.between(1, 4)
	for i := range n {
		rate := r.calls / float64(n)
		prompt, output := int(r.tokens*(0.2+0.5*r.Float64())), int(r.tokens*0.3)
		more := ""
		kind := r.one("poisson", "bursty", "diurnal", "flash_crowd", "hot_spot", "chain", "trace")
		switch kind {
		case "bursty":
			more = fmt.Sprintf("burst: {high: %d, on: %ds, off: %ds}", r.between(2, 5), r.between(1, 3), r.between(12, 20))
		case "diurnal":
			more = fmt.Sprintf("period: %ds, swing: %d%%", r.between(10, 60), r.between(20, 100))
		case "flash_crowd": // with the peak the mean is about the rate
			rate /= 2
			more = fmt.Sprintf("start: %ds, peak: %d, ramp: %ds, hold: %ds", r.between(5, 40), r.between(3, 8), r.between(0, 3), r.between(3, 6))
		case "hot_spot":
			more = fmt.Sprintf("hot: %d, part: %d%%, period: %ds", r.between(1, 3), r.between(50, 100), r.between(5, 30))
		case "chain":
			depth := r.between(1, 5)
			rate /= float64(depth + 1)
			more = fmt.Sprintf("depth: %d, think: {median: %dms, p99: 3s}", depth, r.between(10, 1000))
		case "trace": // 3 calls a second
			more = fmt.Sprintf("trace: azure-sample, speed: %d, scale: %.2f, repeats: true", r.between(1, 5), min(rate/15, 2))
		}
		fmt.Fprintf(r, "  - {name: stream-%d, kind: %s, class: %s, tenant: t, tenants: %d, skew: %.1f", i, kind, r.one(r.classes...), r.tenants, 2*r.Float64())
		if kind != "trace" {
			fmt.Fprintf(r, ", rate: %.3f/s, prompt: {median: %d, p99: %d}, output: {median: %d, p99: %d}", rate, prompt, 3*prompt, output, 3*output)
		}
		if r.chance(0.7) {
			fmt.Fprintf(r, ", max: %d", 2*output)
		}
		if r.chance(0.8) {
			median := r.between(20, 4000)
			fmt.Fprintf(r, ", runs: {median: %dms, p99: %dms}", median, median*r.between(1, 8))
		}
		if r.chance(0.3) {
			fmt.Fprintf(r, ", agents: %d", r.between(1, 3))
		}
		if r.chance(0.3) {
			fmt.Fprintf(r, ", model: %s", r.one("big", "small"))
		}
		if r.chance(0.2) {
			fmt.Fprintf(r, ", nodes: %d%%", r.between(10, 90))
		}
		if r.chance(0.2) {
			fmt.Fprint(r, ", zone: a")
		}
		if more != "" {
			fmt.Fprintf(r, ", %s", more)
		}
		r.linef("}")
	}
}

// lastFault is when the last of them begins, in seconds. All are over at the end of duration.
const lastFault = 50

func (r *random) faults() {
	r.linef("faults:")
	for range r.between(2, 8) {
		at := fmt.Sprintf("at: %dms", r.between(500, lastFault*1000))
		span := fmt.Sprintf("for: %dms", r.between(200, 15_000))
		kind := r.one("partition", "partition", "crash", "crash", "pause", "clock", "link", "disk_slow", "disk_fail", "join", "leave", "revise")
		more := ""
		switch kind {
		case "partition":
			more = fmt.Sprintf("%s, one_way: %t, %s", span, r.chance(0.3), r.where(0.6))
			if r.chance(0.2) {
				more += fmt.Sprintf(", every: %ds", r.between(5, 20))
			}
		case "crash":
			if r.chance(0.25) { // for good
				more = fmt.Sprintf("lose_disk: %t, count: %d", r.chance(0.5), r.between(1, max(1, r.nodes/8)))
				break
			}
			more = fmt.Sprintf("%s, lose_disk: %t, stagger: %dms, %s", span, r.chance(0.2), r.between(0, 1)*r.between(0, 2000), r.where(0.4))
		case "pause":
			if r.chance(0.3) { // beyond short leases
				span = fmt.Sprintf("for: %ds", r.between(15, 40))
			}
			more = fmt.Sprintf("%s, %s", span, r.where(0.4))
		case "clock":
			more = fmt.Sprintf("%s, by: %s%dms, %s", span, r.one("", "-"), r.between(1, 20_000), r.where(0.5))
		case "link":
			more = fmt.Sprintf("%s, loss: %d%%, delay: %dms, %s", span, r.between(0, 60), r.between(0, 800), r.where(0.5))
		case "disk_slow":
			more = fmt.Sprintf("%s, delay: %dms, %s", span, r.between(20, 3000), r.where(0.5))
		case "disk_fail":
			more = fmt.Sprintf("%s, %s", span, r.where(0.2))
		case "join":
			more = fmt.Sprintf("count: %d, stagger: %dms", r.between(1, 3), r.between(0, 3000))
		case "leave":
			more = fmt.Sprintf("count: %d", r.between(1, max(1, r.nodes/8)))
			if r.chance(0.7) {
				more = span + ", " + more
			}
		case "revise":
			if r.revisions == 0 {
				kind, more = "pause", span+", count: 1"
				break
			}
			more = fmt.Sprintf("revision: %d", r.between(1, r.revisions))
		}
		r.linef("  - {kind: %s, %s, %s}", kind, at, more)
	}
}

// where says at which nodes a fault happens: at most that part of them.
func (r *random) where(most float64) string {
	switch r.IntN(4) {
	case 0:
		if r.zones > 1 {
			return fmt.Sprintf("zone: %c", 'a'+r.IntN(r.zones))
		}
	case 1:
		return fmt.Sprintf("nodes: [%d]", r.IntN(r.nodes))
	case 2:
		return fmt.Sprintf("count: %d", r.between(1, max(1, int(most*float64(r.nodes)))))
	}
	return fmt.Sprintf("fraction: %d%%", r.between(1, int(most*100)))
}

// rollouts has operators, each at a node by chance, try revisions and say what they like of them.
func (r *random) rollouts() {
	if r.rolls == nil {
		return
	}
	for range 3 + r.rolls.IntN(8) {
		what := fmt.Sprintf("revision: %d", r.revisions+1+r.rolls.IntN(randomTried))
		if r.rolls.IntN(2) == 0 {
			what = "act: " + []string{"promote", "promote", "pause", "resume", "rollback", "rollback"}[r.rolls.IntN(6)]
		}
		r.linef("  - {kind: revise, at: %dms, %s}", 500+r.rolls.IntN(lastFault*1000), what)
	}
}

// orders has operators top up and burn in some scenarios where there is anything to top up.
func (r *random) orders(dice *rand.Rand) {
	if len(r.amounts) == 0 || dice.IntN(4) > 0 {
		return
	}
	for range 1 + dice.IntN(3) {
		b, kind := r.amounts[dice.IntN(len(r.amounts))], []string{"mint", "burn"}[dice.IntN(2)]
		key := ""
		switch b.per {
		case "tenant":
			key = ", key: [t]"
			if r.tenants > 1 {
				key = fmt.Sprintf(", key: [t-%d]", 1+dice.IntN(r.tenants))
			}
		case "class":
			key = fmt.Sprintf(", key: [%s]", r.classes[dice.IntN(len(r.classes))])
		}
		r.linef("  - {kind: %s, at: %dms, budget: budget-%d%s, tokens: %d}", kind, 500+dice.IntN(lastFault*1000), b.budget, key, 1+dice.IntN(b.amount))
	}
}

// freezes has operators freeze something in some scenarios, for a while or for good.
func (r *random) freezes(dice *rand.Rand) {
	if dice.IntN(4) > 0 {
		return
	}
	for range 1 + dice.IntN(2) {
		what := "tenant: " + "t"
		if r.tenants > 1 {
			what = fmt.Sprintf("tenant: t-%d", 1+dice.IntN(r.tenants))
		}
		if dice.IntN(3) == 0 {
			what = fmt.Sprintf("instance: budget-%d", dice.IntN(len(r.budgets)))
		}
		span := ""
		if dice.IntN(4) > 0 {
			span = fmt.Sprintf(", for: %dms", 200+dice.IntN(15_000))
		}
		r.linef("  - {kind: freeze, at: %dms, %s%s}", 500+dice.IntN(lastFault*1000), what, span)
	}
}
