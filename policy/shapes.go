package policy

import "github.com/swarmpurse/swarmpurse/policy/document"

const perForm = `^(tenant|agent|run|class|model|attributes\.[A-Za-z_][A-Za-z0-9_.-]*)$`

// apiVersion is the only one that this version reads.
const apiVersion = "swarmpurse/v1"

var documentShape = &document.Shape{Name: "the document", Fields: []document.Field{
	{Name: "apiVersion", Required: true, Is: document.Schema{Kind: "string", Words: []string{apiVersion}},
		Doc: "The form of this document."},
	{Name: "revision", Required: true, Is: document.Schema{Kind: "integer", Min: 1, Max: int(maxConst)},
		Doc: "Grows with every change: the highest revision wins in the whole swarm."},
	{Name: "requires", Is: document.Schema{Names: true, Form: requiresForm},
		Doc: "Fields, as in rollout or budgets.fairness, that a node must know to adopt this document: one that does not keeps the policy it has, and says so. Others that it does not know it passes over."},
	{Name: "timezone", Is: document.Text,
		Doc: "Windows are aligned to this IANA time zone, as in Europe/Berlin. Default: UTC."},
	{Name: "tokens", Is: document.Schema{Each: &document.Schema{One: tokenShape}},
		Doc: "Token types: what is counted, by name."},
	{Name: "classes", Is: document.Schema{List: classShape},
		Doc: "Priority classes. Default: one, named standard."},
	{Name: "tenants", Is: document.Schema{Each: &document.Schema{One: tenantShape}},
		Doc: "Weights of tenants, by name. Within a class calls that wait are served by least attained tokens over weight. Default: all have 1."},
	{Name: "budgets", Is: document.Schema{List: budgetShape},
		Doc: "Caps on token types."},
	{Name: "rules", Is: document.Schema{List: ruleShape},
		Doc: "Which calls draw on which budgets. All rules that match apply, in order, until one says stop."},
	{Name: "backpressure", Is: document.Schema{List: backpressureShape},
		Doc: "What happens to newcomers by the level of the budgets that they draw on, the highest of them. Default: sheddable classes are shed at level 3."},
	{Name: "default", Is: document.Schema{Kind: "string", Words: []string{"admit", "deny"}},
		Doc: "What a call gets that no rule matches. Default: deny."},
	{Name: "guardians", Is: document.Schema{Kind: "integer", Min: 0, Max: 5},
		Doc: "Peers that keep standby copies of each node's accounts, so that a dead node's rights come back: 3, 5, or 0 for none. Default: 3."},
	{Name: "lease", Is: document.Duration,
		Doc: "How long a node mints by time without word from its guardians, and so how long a dead node's rights take to come back; 10s to 24h. Default: 10m."},
	{Name: "autonomy", Is: document.Duration,
		Doc: "How long a node that is cut off from its guardians goes on spending grants, windows and slots, at its present pace; 1s to 24h. Default: 5m."},
	{Name: "audit", Is: document.Schema{One: auditShape},
		Doc: "What of calls goes into each node's audit log. Policies, members, mints, freezes and transfers always do."},
	{Name: "flags", Is: document.Schema{Each: &document.Schema{One: flagShape}},
		Doc: "Named switches that are on for a part of the callers. Rules see them as flags.NAME, callers in their decisions."},
	{Name: "experiments", Is: document.Schema{List: experimentShape},
		Doc: "Comparisons of several ways to run calls: models, parameters. A call takes part in the first that it fits."},
	{Name: "rollout", Is: document.Schema{One: rolloutShape},
		Doc: "How this revision is tried, as a candidate, on some calls before it decides on all. Absent: it decides on all at once."},
	{Name: "data", Is: document.Schema{Keys: document.PatternForm, Each: &document.Schema{One: dataShape}},
		Doc: "Data sets that are bound to zones, by name, or by how names begin, as in \"eu/*\"; the longest that fits counts."},
	{Name: "upstreams", Is: document.Schema{List: upstreamShape},
		Doc: "Where calls may run: providers and local models, as nodes know them by --upstream NAME=URL. With it, calls run at these only, and only where their zones, class and data allow. Default: calls are not routed."},
	{Name: "callers", Is: document.Schema{List: callerShape},
		Doc: "Who may call from elsewhere, by keys that swarmpurse keys caller makes. On loopback and on a Unix socket no key is needed."},
	{Name: "trust", Is: document.Schema{One: trustShape},
		Doc: "Whose signature changes of the policy, mints and words on dead members need, and whether nodes do. Default: nobody's."},
	{Name: "ratelimit", Is: document.Schema{List: rateDomainShape},
		Doc: "Domains of Envoy's rate limit service (--grpc): what call each descriptor stands for, which the rules then decide on. Default: none, so that Envoy is told that nothing is limited."},
}}

var callerShape = &document.Shape{Name: "a caller", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What logs, metrics and audit records call the key."},
	{Name: "key", Required: true, Is: document.Schema{Kind: "string", Form: `^sha256:[0-9a-fA-F]{64}$`}, Doc: "The SHA-256 of the key, never the key."},
	{Name: "tenant", Is: document.Text, Doc: "The only tenant that it calls for, and whose budgets, decisions and metrics it sees. All but operators need one."},
	{Name: "agent", Is: document.Text, Doc: "Its calls are this agent's. Absent: they name their agent."},
	{Name: "classes", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The classes that its calls may have, its default first; also for points it gets no other. Absent: all."},
	{Name: "operator", Is: document.Schema{Kind: "boolean"}, Doc: "true: it sees all, and may change policies, mint, burn, freeze, remove members and rotate keys. Default: false."},
	{Name: "expires", Is: document.Text, Doc: "From then on it is refused: a day as in 2027-01-31, or a time as in 2027-01-31T12:00:00Z. Absent: never."},
	{Name: "rate", Is: document.Schema{Kind: "string", Form: document.RateForm}, Doc: "How many requests it may make at one node: 50/s. Absent: as many as come."},
	{Name: "burst", Is: document.Schema{Kind: "integer", Min: 1, Max: MaxCallerRate}, Doc: "How many of them at once. Default: what the rate brings in a second."},
	{Name: "concurrency", Is: document.Schema{Kind: "integer", Min: 1, Max: MaxCallerRate}, Doc: "How many of its requests one node answers at a time, streams included. Absent: as many as come."},
}}

var trustShape = &document.Shape{Name: "trust", Fields: []document.Field{
	{Name: "signers", Is: document.Schema{List: signerShape},
		Doc: "Operators, one of whom must sign once this document is in force, at every node. The order counts: of two who change the policy without knowing of each other, the one who stands before the other has his will, so a stolen key can be taken off by those before it. Absent: nobody need sign."},
	{Name: "enrol", Is: document.Schema{Kind: "boolean"},
		Doc: "true: nodes listen only to nodes that one of the signers has enrolled (swarmpurse keys enrol): all others, who may have the gossip key, are told the policy and no more. It needs signers. Default: false, so that whoever has the gossip key belongs to the swarm."},
}}

var signerShape = &document.Shape{Name: "a signer", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What the history, logs and audit records call the key."},
	{Name: "key", Required: true, Is: document.Schema{Kind: "string", Form: `^ed25519:[0-9a-fA-F]{64}$`}, Doc: "The operator's public key, as swarmpurse keys operator prints it."},
}}

var rateDomainShape = &document.Shape{Name: "a domain", Fields: []document.Field{
	{Name: "domain", Required: true, Is: document.Schema{Kind: "string", Form: document.TextForm}, Doc: "As the rate limit filter of Envoy names it."},
	{Name: "unmatched", Is: document.Schema{Kind: "string", Words: []string{"admit", "deny"}},
		Doc: "What a descriptor gets that none below fits: admit, not counted, as of Envoy's own service, or deny. Default: admit."},
	{Name: "descriptors", Required: true, Is: document.Schema{List: rateDescriptorShape}, Doc: "The first that fits a descriptor counts."},
}}

var rateDescriptorShape = &document.Shape{Name: "a descriptor", Fields: []document.Field{
	{Name: "match", Required: true, Is: document.Schema{Keys: rateKeyForm, Each: &document.Schema{Kind: "string", Form: rateValueForm}},
		Doc: "The entries that a descriptor must have, by key: a value, how it begins, as in gpt-4*, or * for any. It may have others, too."},
	{Name: "hits", Required: true, Is: document.Schema{Kind: "string", Form: hitsForm},
		Doc: "What hits_addend counts: tokens.NAME, an amount of that token type at no cost and price of rules, or prompt_tokens or max_output_tokens, of which rules compute costs."},
	{Name: "call", Is: document.Schema{Keys: callKeyForm, Each: &document.Schema{Kind: "string", Form: document.TextForm}},
		Doc: "Fields of the call by name (tenant, agent, run, class, model, attributes.NAME): a value, or $KEY for that of an entry. Default: entries of those names; other entries are attributes."},
	{Name: "hold", Is: document.Duration,
		Doc: "How long hits stay reserved, 1s to 30m: so long a refund (is_negative_hits) of the same call gives back what was not used. Then they are charged. Default: they are charged at once, and refunds give nothing."},
	{Name: "report", Is: document.Schema{Kind: "boolean"},
		Doc: "true: hits tell what was used already, as Envoy does when a stream is done. They are booked whatever is left: what is not there is debt, paid before the next call. Default: false."},
}}

var dataShape = &document.Shape{Name: "a data set", Fields: []document.Field{
	{Name: "zones", Required: true, Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Calls that name the data set are decided at nodes of these zones, and run at upstreams that lie in them; nowhere else."},
}}

var upstreamShape = &document.Shape{Name: "an upstream", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What nodes call it: --upstream NAME=URL."},
	{Name: "zones", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The zones in which it may run a call. Data that is bound to zones goes there only if all of these are among them. Absent: anywhere, so no bound data goes there."},
	{Name: "models", Is: document.Schema{Names: true, Form: document.PatternForm}, Doc: "Models that it has, by name, or by how names begin, as in gpt-4*. Absent: all."},
	{Name: "classes", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The classes whose calls may go there. Absent: all."},
	{Name: "data", Is: document.Schema{Names: true, Form: document.PatternForm}, Doc: "The data sets that may go there, by name, or by how names begin. Absent: all that its zones allow."},
	{Name: "price", Is: document.Schema{One: upstreamPriceShape}, Doc: "What it takes, in money per million tokens."},
	{Name: "draw", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The budgets that calls draw on which go there, beside those of their rules: its own quota or pool. A call whose upstream has no room in them is tried at the next that may take it before it is refused; when it fails over, what it holds moves along."},
	{Name: "cost", Is: document.Schema{Each: &document.Schema{Kind: "any"}}, Doc: "CEL by token type: what a call costs in those budgets, as in a rule. Default: by the token type's unit."},
	{Name: "latency", Is: document.Duration, Doc: "How long it takes to begin its answer, as stated; nodes go by what they measure, and come back to this when that is old. Absent: it is tried and measured."},
}}

var upstreamPriceShape = &document.Shape{Name: "price", Fields: []document.Field{
	{Name: "input", Required: true, Is: document.Schema{Kind: "number"}, Doc: "Money per million tokens of the prompt, 0 to 1000000, at most 6 digits after the point."},
	{Name: "output", Required: true, Is: document.Schema{Kind: "number"}, Doc: "Money per million tokens of output."},
}}

var rolloutShape = &document.Shape{Name: "rollout", Fields: []document.Field{
	{Name: "canary", Is: document.Percent, Doc: "The part of the values of by for which the candidate decides, chosen by a stable hash."},
	{Name: "by", Is: document.Schema{Kind: "string", Form: byForm}, Doc: "What calls are split by: tenant, agent, run, model, attributes.NAME. Calls that do not say it stay with the stable revision. Default: agent."},
	{Name: "zones", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Instead of canary: the candidate decides on all calls of the nodes in these zones."},
	{Name: "shadow", Is: document.Schema{Kind: "boolean"}, Doc: "true: instead of canary and zones it decides on no calls. It is evaluated beside the stable revision, and what it would have decided otherwise is told. Then bake is for how long."},
	{Name: "bake", Is: document.Duration, Doc: "It is promoted by itself when it was tried for so long and the guard had nothing against it. Default: it waits for an operator."},
	{Name: "guard", Is: document.Schema{One: guardShape}, Doc: "What it may do worse than the stable revision: when it surely does, it is rolled back by itself."},
}}

var flagShape = &document.Shape{Name: "a flag", Fields: []document.Field{
	{Name: "on", Is: document.Percent, Doc: "The part of the values of by for which it is on, chosen by a stable hash: the same at every node and under every revision. Raising it takes nobody out. Default: 0%."},
	{Name: "by", Is: document.Schema{Kind: "string", Form: byForm}, Doc: "Whose values: tenant, agent, run, model, attributes.NAME. It is off for calls that do not say it, unless it is on for 100%. Default: agent."},
	{Name: "targets", Is: document.Schema{Names: true}, Doc: "Values of by for which it is on, whatever on says."},
}}

var experimentShape = &document.Shape{Name: "an experiment", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What decisions, metrics and commands call it."},
	{Name: "when", Is: document.Text, Doc: "CEL: does the call take part? It sees the call as it came. Absent: all do that say by."},
	{Name: "by", Is: document.Schema{Kind: "string", Form: byForm}, Doc: "What arms are chosen by, by a stable hash: tenant, agent, run, model, attributes.NAME. Calls that do not say it take no part. Default: agent."},
	{Name: "cost", Is: document.Name, Doc: "The token type whose charges are compared. Default: the first of tokens."},
	{Name: "arms", Required: true, Is: document.Schema{List: armShape}, Doc: "The ways, 2 to 8. The first is what the others are compared with."},
}}

var armShape = &document.Shape{Name: "an arm", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What decisions, metrics and commands call it."},
	{Name: "weight", Is: document.Schema{Kind: "integer", Min: 1, Max: maxArmWeight}, Doc: "Its part of the values of by, beside the other arms' weights. Default: 1."},
	{Name: "model", Is: document.Text, Doc: "The model that calls use. Rules, costs and routes see it in place of the one that was asked for."},
	{Name: "max_output_tokens", Is: document.Amount, Doc: "The most tokens that a call may generate, over all its choices."},
	{Name: "temperature", Is: document.Schema{Kind: "number"}, Doc: "0 to 2."},
	{Name: "top_p", Is: document.Schema{Kind: "number"}, Doc: "0 to 1."},
}}

var guardShape = &document.Shape{Name: "guard", Fields: []document.Field{
	{Name: "deny_rate", Is: document.Schema{Kind: "string", Form: guardForm}, Doc: "Of a hundred calls so many more may be refused; none: it is not looked at. Default: +5%."},
	{Name: "p99_wait", Is: document.Schema{Kind: "string", Form: guardForm}, Doc: "So much more of its class's latency budget may be the wait that 99 of a hundred admitted calls do not pass, in steps of 5%; none: it is not looked at. Default: +20%."},
	{Name: "output_length", Is: document.Schema{Kind: "string", Form: guardForm}, Doc: "Of a hundred calls so many more may put out more tokens than 95 of a hundred calls of their model used to; none: it is not looked at. Default: +20%."},
	{Name: "cost", Is: document.Schema{Kind: "string", Form: guardForm}, Doc: "Of a hundred calls so many more may cost more tokens of a budget than 95 of a hundred calls of their model used to. Default: none, as a revision often changes costs on purpose."},
}}

const (
	rateKeyForm   = `^[!-~]+$`
	rateValueForm = document.TextForm
	hitsForm      = `^(prompt_tokens|max_output_tokens|tokens\.[A-Za-z0-9][A-Za-z0-9._-]*)$`
	callKeyForm   = perForm

	requiresForm = `^[A-Za-z_]+(\.[A-Za-z_]+)*$`

	byForm    = `^(tenant|agent|run|model|attributes\.[A-Za-z_][A-Za-z0-9_.-]*)$`
	guardForm = `^(none|\+?[0-9_]+(\.[0-9_]+)?%)$`
)

var localityShape = &document.Shape{Name: "locality", Fields: []document.Field{
	{Name: "zones", Required: true, Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The zones in whose nodes, and at upstreams in which, calls may run that draw on the budget."},
}}

var auditShape = &document.Shape{Name: "audit", Fields: []document.Field{
	{Name: "decisions", Is: document.Text,
		Doc: "all, refusals, none, or a part of all calls as in 5%: chosen by the call's id, so that a decision and its end are both there or neither. Default: all."},
	{Name: "on_full", Is: document.Schema{Kind: "string", Words: []string{"drop", "refuse"}},
		Doc: "When the log cannot be written, as on a full disk: drop records, which is counted and noted in the log, or refuse calls. Default: drop."},
}}

var tokenShape = &document.Shape{Name: "a token type", Fields: []document.Field{
	{Name: "unit", Required: true, Is: document.Text,
		Doc: "What one is: token, input_token, output_token, request, call or slot have a default cost, bytes are charged as they flow through the proxy; any other (read, microdollar) needs a cost in the rule."},
	{Name: "decay", Is: document.Schema{One: decayShape}, Doc: "Unspent rights fade away."},
}}

var decayShape = &document.Shape{Name: "decay", Fields: []document.Field{
	{Name: "half_life", Required: true, Is: document.Duration, Doc: "After this time half of the unspent rights are gone."},
}}

var classShape = &document.Shape{Name: "a class", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What calls say in their class field."},
	{Name: "weight", Is: document.Schema{Kind: "integer", Min: 1, Max: MaxWeight}, Doc: "Share of what is free when classes compete, 1 to 1000. Default: 1."},
	{Name: "latency_budget", Is: document.Duration, Doc: "The longest that a call of this class waits for tokens. Default: 2s."},
	{Name: "default", Is: document.Schema{Kind: "boolean"}, Doc: "The class of calls that name none. Default: the first class."},
	{Name: "headroom", Is: document.Percent, Doc: "The last part of a budget, which calls of this class leave to better ones: they wait, or are refused, while no more is left. Default: none."},
	{Name: "objective", Is: document.Percent, Doc: "The part of its calls that should run within latency_budget, as in 99%: what burn rates and alerts are about. Default: none."},
	{Name: "queue", Is: document.Schema{Kind: "integer", Min: 1, Max: MaxClassQueue}, Doc: "How many calls of this class may wait at one node. Default: as many as the node's queue holds."},
	{Name: "sheddable", Is: document.Schema{Kind: "boolean"}, Doc: "true: its calls may be shed, that is refused at once, when a budget that they draw on is nearly used up: from level 3 on, unless backpressure says otherwise. Default: false."},
}}

var backpressureShape = &document.Shape{Name: "a level", Fields: []document.Field{
	{Name: "level", Required: true, Is: document.Schema{Kind: "integer", Min: 1, Max: MaxLevel}, Doc: "From this level on: 1, 2 or 3."},
	{Name: "defer", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Classes whose calls are told to come back later, instead of waiting."},
	{Name: "shed", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Classes whose calls are denied. They must be sheddable."},
}}

var tenantShape = &document.Shape{Name: "a tenant", Fields: []document.Field{
	{Name: "weight", Required: true, Is: document.Schema{Kind: "integer", Min: 1, Max: MaxWeight}, Doc: "Its share of what a class gets when tenants of that class compete, 1 to 1000. Others have 1."},
}}

var budgetShape = &document.Shape{Name: "a budget", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What rules, commands and metrics call it."},
	{Name: "token", Required: true, Is: document.Name, Doc: "The token type that it caps."},
	{Name: "per", Is: document.Schema{Names: true, Form: perForm},
		Doc: "One instance for each value of these: tenant, agent, run, class, model, attributes.NAME."},
	{Name: "instances", Is: document.Schema{Kind: "integer", Min: 1, Max: MaxInstances},
		Doc: "How many instances calls may make, with per: calls that would make another one are denied. Default: 16384."},
	{Name: "renew", Is: document.Duration,
		Doc: "With per, for windows and rates: instances live for so long, cut as windows are, and those that nobody uses are then forgotten. A multiple of the window, so that nothing begins twice. Default: they stay for ever."},
	{Name: "supply", Required: true, Is: document.Schema{One: supplyShape}, Doc: "How an instance gets tokens: grant, window, rate or slots."},
	{Name: "fairness", Is: document.Schema{Kind: "string", Words: []string{"swarm", "node"}},
		Doc: "How tenants that share the budget get their parts while they ask for more than it brings. swarm: max-min over all nodes, by what everybody asks for. node: each node for itself. Default: node."},
	{Name: "ceiling", Is: document.Schema{Kind: "string", Words: []string{"hard", "observe"}, Other: &document.Schema{One: ceilingShape}},
		Doc: "hard: never exceeded. observe: metered only. {soft: 10%}: may be overdrawn by that. Default: hard."},
	{Name: "levels", Is: document.Schema{Names: true, Form: document.DurationForm},
		Doc: "Three times, each shorter than the one before: at present demand the budget is used up within that time at level 1, 2 and 3. Default: [1m, 15s, 3s]."},
	{Name: "alerts", Is: document.Schema{Names: true, Form: document.PercentForm},
		Doc: "Fractions of the limit: how many instances have used them is a metric, and an alert. Not for rates, which are never used up. Default: none."},
	{Name: "price", Is: document.Schema{One: priceShape}, Doc: "Multiplies the cost."},
	{Name: "feedback", Is: document.Schema{One: feedbackShape},
		Doc: "For a rate: calls that the provider refuses lower it in the whole swarm, and it comes back by itself. {} for the defaults. Absent: refusals change nothing."},
	{Name: "guarantee", Is: document.Schema{Kind: "string", Form: document.PercentForm, Other: &document.Schema{Each: &document.Percent}},
		Doc: "Floors of tenants, as parts of a rate or of a window's amount by time: {search: 20%}. Others use what the tenant does not; when it comes back its calls go first until they have that much. One part, as in 20%, for a budget that is per tenant: so far a hybrid price is the base price."},
	{Name: "locality", Is: document.Schema{One: localityShape},
		Doc: "Binds calls that draw on the budget to zones, as data sets do."},
}}

var supplyShape = &document.Shape{Name: "supply", Fields: []document.Field{
	{Name: "grant", Is: document.Amount, Doc: "This many tokens, once."},
	{Name: "window", Is: document.Schema{Kind: "string", Form: `^month$|` + document.DurationForm},
		Doc: "A calendar window: 1h, 24h, 7d (from Monday), month."},
	{Name: "amount", Is: document.Amount, Doc: "Tokens per window."},
	{Name: "rollover", Is: document.Percent, Doc: "What a window carries into the next, at most, as a fraction of amount. Default: nothing."},
	{Name: "rate", Is: document.Schema{Kind: "string", Form: document.RateForm}, Doc: "Tokens per second, minute, hour or day: 50000/s, 1M/h."},
	{Name: "burst", Is: document.Amount, Doc: "The most of a rate that piles up. No call larger than this can ever run."},
	{Name: "lend", Is: document.Duration, Doc: "How long rights of a rate live at a node that borrowed them. Default: 10s."},
	{Name: "slots", Is: document.Amount, Doc: "This many calls at once."},
}}

var ceilingShape = &document.Shape{Name: "ceiling", Fields: []document.Field{
	{Name: "soft", Required: true, Is: document.Percent, Doc: "How far the limit may be overdrawn."},
	{Name: "size", Is: document.Percent, Doc: "How much output is reserved for a call: as much as this part of the calls of its rule and model need, as learned, and no more than it states. 100%: what it states. Default: 95%."},
	{Name: "price", Is: document.Schema{Kind: "number"}, Doc: "What the cost of a call that overdraws is multiplied by, beside the budget's own price; 1 to 1000000. Default: 1."},
}}

var priceShape = &document.Shape{Name: "price", Fields: []document.Field{
	{Name: "mode", Is: document.Schema{Kind: "string", Words: priceModes},
		Doc: "fixed: the price does not move. dynamic: it moves with use, for supplies with a rate or a window. hybrid: so it does, but calls within a guarantee pay base. Default: fixed."},
	{Name: "base", Required: true, Is: document.Schema{Kind: "number"}, Doc: "What costs are multiplied by, above 0 and at most 1000000, at most 6 digits after the point."},
	{Name: "target", Is: document.Percent, Doc: "The part of the supply that calls should use: above it the price rises, below it falls. Default: 80%."},
	{Name: "min", Is: document.Schema{Kind: "number"}, Doc: "The price never falls below this. Default: base."},
	{Name: "max", Is: document.Schema{Kind: "number"}, Doc: "The price never rises above this. Needed by a price that moves."},
	{Name: "response", Is: document.Duration,
		Doc: "How soon the price follows use, 4s to 24h: it settles in some three times this, and rings if it is below 20s. Default: 20s; of a window its 48th part, if that is more."},
}}

var feedbackShape = &document.Shape{Name: "feedback", Fields: []document.Field{
	{Name: "cut", Is: document.Percent, Doc: "What a refusal (429, 503 or 529) takes off the rate in force, 10% to 90%. Default: 30%."},
	{Name: "least", Is: document.Percent, Doc: "The rate never falls below this part, 1% to 99%. Default: 20%."},
	{Name: "recover", Is: document.Duration, Doc: "How long the way back from nothing to the whole rate takes, 10s to 24h; from half of it, half of that. Default: 2m."},
	{Name: "retry_after", Is: document.Duration, Doc: "The most that counts of how long the provider says to wait; the way back begins that much later. Default: 1m."},
	{Name: "low", Is: document.Percent, Doc: "An answer that says that less than this part of the provider's own limit is left counts as a refusal; 0% to 50%, 0% for never. Default: 2%."},
}}

var ruleShape = &document.Shape{Name: "a rule", Fields: []document.Field{
	{Name: "name", Is: document.Name, Doc: "What decisions call it. Default: its number in the list."},
	{Name: "when", Is: document.Text, Doc: "CEL: does this rule match the call? Absent: always. Sees tenant, agent, run, class, model, priority (the caller asks for a better class), prompt_tokens, max_output_tokens, attributes, data, tokens, and flags by name, as in flags.dynamic_pricing."},
	{Name: "draw", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "The budgets that the call draws on, all or nothing."},
	{Name: "cost", Is: document.Schema{Each: &document.Schema{Kind: "any"}},
		Doc: "CEL by token type: what the call costs. Sees, beside what when sees, cached_tokens and reasoning_tokens: the parts of prompt_tokens and max_output_tokens that have a weight of their own, known when the call has ended. Default: by the token type's unit."},
	{Name: "stop", Is: document.Schema{Kind: "boolean"}, Doc: "true: no rule after this one is looked at when it matches."},
	{Name: "degrade", Is: document.Schema{One: degradeShape}, Doc: "Makes calls cheaper when a budget of this rule runs low, or instead of refusing them."},
	{Name: "route", Is: document.Schema{Kind: "string", Words: routeWords[1:]},
		Doc: "Which of the upstreams that may take the call it goes to: the cheapest by price, the fastest by latency, or by locality one in the node's own zone. The first rule that says so counts. Default: the first of them, in their order."},
	{Name: "retry", Is: document.Schema{One: retryShape},
		Doc: "How the proxy tries a call again that its upstream surely did not run: it was not reached, or refused it. The first rule that says so counts. Default: the caller is told at once."},
}}

var retryShape = &document.Shape{Name: "retry", Fields: []document.Field{
	{Name: "attempts", Is: document.Schema{Kind: "integer", Min: 2, Max: maxAttempts}, Doc: "The most tries of one call in all, 2 to 5. Default: 2."},
	{Name: "backoff", Is: document.Duration, Doc: "How long to wait before an upstream is tried a second time, 10ms to 1m, and twice that before the third; a provider that says a longer time is waited for as it says. A call waits no longer in all than its class's latency_budget. Default: 250ms."},
	{Name: "failover", Is: document.Schema{Names: true, Form: document.PatternForm}, Doc: "The upstreams that are tried instead, at once, by name, or by how names begin, as in \"*\": of those that may take the call, in the order of route. Absent: none, the same one is tried again."},
}}

var degradeShape = &document.Shape{Name: "degrade", Fields: []document.Field{
	{Name: "below", Is: document.Percent, Doc: "Calls run cheaper as soon as less than this part of a budget's limit is left. Absent: only calls that would else be refused."},
	{Name: "model", Is: document.Text, Doc: "The model that a call is to use instead; rules are matched again with it."},
	{Name: "max_output_tokens", Is: document.Amount, Doc: "The most tokens that a call may generate, over all its choices."},
}}
