package scenario

import (
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// apiVersion is the only one that this version reads.
const apiVersion = "swarmpurse/v1"

const (
	callsForm = `^[0-9_]+(\.[0-9_]+)?[kM]?/(s|m|h)$`
	bytesForm = `^[0-9_]+(\.[0-9_]+)?(B|kB|MB)/s$`
	shiftForm = `^-?([0-9.]+(ms|s|m|h))+$`
)

// Schemas of values that policies do not have.
var (
	number    = document.Schema{Kind: "number"}
	calls     = document.Schema{Kind: "string", Form: callsForm}
	perSecond = document.Schema{Kind: "string", Form: bytesForm}
	delay     = document.Schema{Kind: "string", Form: document.DelayForm, Other: &document.Schema{One: delayShape}}
	tokens    = document.Schema{Kind: "amount", Form: document.AmountForm, Other: &document.Schema{One: sizeShape}}
	boolean   = document.Schema{Kind: "boolean"}
)

func whole(low, high int) document.Schema {
	return document.Schema{Kind: "integer", Min: low, Max: high}
}

func words[T ~string](list []T) document.Schema {
	s := document.Schema{Kind: "string"}
	for _, w := range list {
		s.Words = append(s.Words, string(w))
	}
	return s
}

var scenarioShape = &document.Shape{Name: "the scenario", Fields: []document.Field{
	{Name: "apiVersion", Required: true, Is: document.Schema{Kind: "string", Words: []string{apiVersion}}, Doc: "The form of this document."},
	{Name: "name", Required: true, Is: document.Name, Doc: "What reports call it."},
	{Name: "description", Is: document.Text, Doc: "What it shows, in a sentence or two."},
	{Name: "seed", Is: document.Schema{Kind: "integer"}, Doc: "Of all chance: the same seed makes the same run. Default: 1."},
	{Name: "nodes", Required: true, Is: whole(1, MaxNodes), Doc: "How many there are at the start, named n0000, n0001, …"},
	{Name: "founders", Is: whole(1, MaxNodes), Doc: "How many nodes form the cluster: the first ones. Default: 3, or all if there are fewer."},
	{Name: "zones", Is: document.Schema{List: zoneShape}, Doc: "Places; nodes are dealt out to them by weight, one by one. Default: all nodes are in one place."},
	{Name: "warmup", Is: document.Duration, Doc: "Figures count from here on. Default: 0s."},
	{Name: "duration", Required: true, Is: document.Duration, Doc: "Calls are made for so long."},
	{Name: "rest", Is: document.Duration, Doc: "Goes on after duration, with no new calls and no faults, so that everything comes to rest. Default: 30s."},
	{Name: "settle", Is: document.Duration, Doc: "Goes on after rest for at most so long, until nothing moves any more and all know the same. Less than that takes leaves what is promised of a swarm at rest unjudged, and the result says so: in swarms of thousands it takes hours until all know all. Default: as long as it may take."},
	{Name: "retries", Is: whole(0, MaxRetries), Doc: "How often a caller who is deferred comes back when it was told to. Default: 0."},
	{Name: "network", Is: document.Schema{One: networkShape}, Doc: "What links do to packets."},
	{Name: "disk", Is: document.Schema{One: diskShape}, Doc: "What disks take."},
	{Name: "gossip", Is: document.Schema{One: gossipShape}, Doc: "What the pool is configured to. Default: as in production."},
	{Name: "provider", Is: document.Schema{One: providerShape},
		Doc: "What stands behind admitted calls, and may refuse them. A refused call has used nothing, and its caller comes back as one that was deferred. Default: it runs all calls."},
	{Name: "upstreams", Is: document.Schema{List: upstreamShape},
		Doc: "How the policy's upstreams really are. Default: they answer at once, and everybody reaches them."},
	{Name: "policy", Is: document.Schema{Kind: "object"}, Doc: "The policy: the same fields as a policy document, indented below."},
	{Name: "policy_file", Is: document.Text, Doc: "Instead of policy: a file, seen from the scenario's directory."},
	{Name: "revisions", Is: document.Schema{Items: &document.Schema{Kind: "object"}},
		Doc: "What revise faults bring, each as changes of the revision before it: paths and values, as in {budgets.0.price.base: 3}."},
	{Name: "workload", Required: true, Is: document.Schema{List: streamShape}, Doc: "Who calls, and when."},
	{Name: "faults", Is: document.Schema{List: faultShape}, Doc: "What goes wrong."},
	{Name: "beside", Is: document.Schema{List: variantShape},
		Doc: "Other runs of the swarm on the same calls and faults, each with something changed, for bounds to compare with, as in wait_p99[standard, alone] <= 120%."},
	{Name: "bounds", Is: document.Schema{Items: &document.Schema{Kind: "string", Form: boundForm}},
		Doc: "What a run must keep to pass, as in goodput >= 98%, wait_p99[batch] <= 2s, of one stream or one budget (spent[gpu-pool] <= 2M), or beside another system or run: goodput[split-known] >= 95%. " +
			"queue is the most calls that waited at one node at once. recover is the longest time from the end of a fault, or a hot spot's move, " +
			"to the first two seconds of which at least 90 % of the part of the offered tokens is served that was served in the ten seconds before."},
}}

var variantShape = &document.Shape{Name: "a run beside", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What bounds call it."},
	{Name: "skip", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Streams that it leaves out."},
	{Name: "blind", Is: boolean, Doc: "true: nodes are not told of what the provider refuses, and of upstreams that are not reached. Default: false."},
	{Name: "retry", Is: document.Duration, Doc: "Callers who are deferred come back after that, whatever they are told."},
}}

var providerShape = &document.Shape{Name: "provider", Fields: []document.Field{
	{Name: "rate", Required: true, Is: calls, Doc: "Tokens, prompt and output alike, that it gives on average, as in 50k/s."},
	{Name: "burst", Required: true, Is: document.Amount, Doc: "The most of them that piles up."},
	{Name: "from", Is: document.Duration, Doc: "Before that it runs all calls. Default: 0s."},
	{Name: "until", Is: document.Duration, Doc: "From then on it runs all calls. Default: never."},
}}

var upstreamShape = &document.Shape{Name: "an upstream", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What the policy calls it."},
	{Name: "zone", Is: document.Name, Doc: "Where it stands: nodes that a partition cuts off from that zone do not reach it. Default: all reach it."},
	{Name: "begins", Is: delay, Doc: "How long it takes to begin its answer, on top of how long calls run. Default: 0s."},
	{Name: "length", Is: number, Doc: "How many times as long its answers are as streams say; no call gets more than its max. Default: 1."},
}}

var zoneShape = &document.Shape{Name: "a zone", Fields: []document.Field{
	{Name: "name", Required: true, Is: document.Name, Doc: "What streams and faults call it."},
	{Name: "weight", Is: whole(1, maxZoneWeight), Doc: "How many nodes are in it, beside the others. Default: 1."},
}}

var delayShape = &document.Shape{Name: "a delay", Fields: []document.Field{
	{Name: "median", Required: true, Is: document.Delay, Doc: "Half of all take no longer."},
	{Name: "p99", Required: true, Is: document.Delay, Doc: "99 of 100 take no longer."},
}}

var sizeShape = &document.Shape{Name: "a size", Fields: []document.Field{
	{Name: "median", Required: true, Is: document.Amount, Doc: "Half of all are no larger."},
	{Name: "p99", Required: true, Is: document.Amount, Doc: "99 of 100 are no larger."},
}}

var networkShape = &document.Shape{Name: "network", Fields: []document.Field{
	{Name: "same_zone", Is: delay, Doc: "How long a packet takes within a zone, one way. Default: {median: 300us, p99: 2ms}."},
	{Name: "other_zone", Is: delay, Doc: "How long a packet takes from zone to zone, one way. Default: {median: 1ms, p99: 5ms}."},
	{Name: "loss", Is: document.Percent, Doc: "Packets that do not arrive. Default: 0%."},
	{Name: "duplicate", Is: document.Percent, Doc: "Packets that arrive twice. Default: 0%."},
	{Name: "reorder", Is: document.Percent, Doc: "Packets that are held back, so that later ones overtake them. Default: 0%."},
	{Name: "reorder_by", Is: document.Duration, Doc: "For how long at most. Default: 50ms."},
	{Name: "bandwidth", Is: perSecond, Doc: "What a node can send, as in 10MB/s. Default: no limit."},
}}

var diskShape = &document.Shape{Name: "disk", Fields: []document.Field{
	{Name: "sync", Is: delay, Doc: "How long a durable write takes. Default: {median: 2ms, p99: 20ms}."},
}}

var gossipShape = &document.Shape{Name: "gossip", Fields: []document.Field{
	{Name: "bytes", Is: perSecond, Doc: "The most that a node sends, as in 25kB/s."},
}}

var burstShape = &document.Shape{Name: "burst", Fields: []document.Field{
	{Name: "high", Required: true, Is: number, Doc: "The rate in bursts, as a multiple of the mean; in pauses it is so much lower that the mean stays."},
	{Name: "on", Required: true, Is: document.Duration, Doc: "How long a burst takes on average."},
	{Name: "off", Required: true, Is: document.Duration, Doc: "How long a pause takes on average."},
}}

var streamShape = &document.Shape{Name: "a stream", Fields: []document.Field{
	{Name: "name", Is: document.Name, Doc: "What reports call it. Default: its kind and number."},
	{Name: "kind", Required: true, Is: words(workload.Kinds), Doc: "How calls arrive."},
	{Name: "rate", Is: calls, Doc: "Calls over all nodes on average, as in 500/s or 30/m; of chains, how many begin. Not with trace, which has its own."},
	{Name: "from", Is: document.Duration, Doc: "When the first call may come. Default: 0s."},
	{Name: "until", Is: document.Duration, Doc: "When the last call has come. Default: the end."},
	{Name: "class", Is: document.Name, Doc: "The class of its calls. Default: the policy's default class."},
	{Name: "model", Is: document.Text, Doc: "The model that it calls. Default: none."},
	{Name: "priority", Is: document.Schema{Kind: "boolean"}, Doc: "true: its calls ask to run one class better, paid in points where the policy has such a budget. Default: false."},
	{Name: "prompt", Is: tokens, Doc: "Prompt tokens of a call. Not with trace."},
	{Name: "output", Is: tokens, Doc: "Output tokens of a call, which nobody knows until it ends. Not with trace."},
	{Name: "max", Is: document.Amount, Doc: "The max_output_tokens that it states; outputs are cut there. Default: for each call the next power of two above its output, 32 or more."},
	{Name: "bytes", Is: document.Amount, Doc: "Bytes of a call's answer, which come evenly while it runs, and are slowed down where the call draws on a budget of bytes. Default: none."},
	{Name: "runs", Is: delay, Doc: "How long a call runs. Default: a second for 10,000 prompt tokens and for 50 output tokens."},
	{Name: "tenant", Is: document.Name, Doc: "The tenant, or with tenants what comes before their numbers. Default: tenant."},
	{Name: "tenants", Is: whole(1, workload.MaxNames), Doc: "How many tenants there are. Default: one."},
	{Name: "skew", Is: number, Doc: "How unequal tenants are: the exponent of Zipf's law. Default: 0, all alike."},
	{Name: "agents", Is: whole(1, workload.MaxNames), Doc: "How many agents each tenant has. Default: calls name no agent."},
	{Name: "nodes", Is: document.Percent, Doc: "The part of the nodes (the first ones of all or of the zone) whose callers make these calls. Default: 100%."},
	{Name: "zone", Is: document.Name, Doc: "Only callers of this zone. Default: of all."},
	{Name: "data", Is: document.Schema{Names: true, Form: document.TextForm}, Doc: "Data sets that its calls name. Default: none."},
	{Name: "stays", Is: document.Schema{Names: true, Form: document.NameForm}, Doc: "Zones: a run fails if one of its calls is admitted in another, or sent to an upstream that may run it in another. A caller in the wrong zone asks the node that he is told. Default: anywhere."},
	{Name: "burst", Is: document.Schema{One: burstShape}, Doc: "With bursty: how."},
	{Name: "period", Is: document.Duration, Doc: "With diurnal: a day. With hot_spot: how long it stays at one place, default for ever."},
	{Name: "swing", Is: document.Percent, Doc: "With diurnal: by how much the rate goes up and down."},
	{Name: "start", Is: document.Duration, Doc: "With flash_crowd: when the rise begins."},
	{Name: "peak", Is: number, Doc: "With flash_crowd: the rate at the peak, as a multiple of rate."},
	{Name: "ramp", Is: document.Duration, Doc: "With flash_crowd: how long the rise takes, and the fall. Default: 0s."},
	{Name: "hold", Is: document.Duration, Doc: "With flash_crowd: how long the peak lasts."},
	{Name: "hot", Is: whole(1, MaxNodes), Doc: "With hot_spot: how many nodes are hot."},
	{Name: "part", Is: document.Percent, Doc: "With hot_spot: the part of the calls that are made at hot nodes."},
	{Name: "depth", Is: whole(1, workload.MaxDepth), Doc: "With chain: how many calls follow the first, each caused by the end of the one before."},
	{Name: "think", Is: delay, Doc: "With chain: the pause before the next call. Default: none."},
	{Name: "trace", Is: document.Text, Doc: "With trace: a CSV file, seen from the scenario's directory, or azure-sample for a small one that ships."},
	{Name: "speed", Is: number, Doc: "With trace: how much faster than recorded. Default: 1."},
	{Name: "scale", Is: number, Doc: "With trace: how many calls are made of each recorded one, on average. Default: 1."},
	{Name: "repeats", Is: boolean, Doc: "With trace: begin again at its end. Default: false."},
	{Name: "skip", Is: boolean, Doc: "Leave it out, to see what of several matters. Default: false."},
}}

var faultShape = &document.Shape{Name: "a fault", Fields: []document.Field{
	{Name: "kind", Required: true, Is: words(FaultKinds), Doc: "What goes wrong."},
	{Name: "at", Required: true, Is: document.Duration, Doc: "When."},
	{Name: "for", Is: document.Duration, Doc: "For how long. Default: until the end of duration; crash, leave and freeze for good."},
	{Name: "zone", Is: document.Name, Doc: "Where: nodes of this zone."},
	{Name: "fraction", Is: document.Percent, Doc: "How many nodes, drawn by chance, as a part of all or of the zone's."},
	{Name: "count", Is: whole(1, MaxNodes), Doc: "How many nodes, drawn by chance; of join, how many are new."},
	{Name: "nodes", Is: document.Schema{Items: &document.Schema{Kind: "integer"}}, Doc: "Which nodes, counted from 0."},
	{Name: "every", Is: document.Duration, Doc: "Again and again, after so long each time."},
	{Name: "until", Is: document.Duration, Doc: "With every: not after this."},
	{Name: "one_way", Is: boolean, Doc: "With partition: only packets from the nodes to the others are lost. Default: false."},
	{Name: "lose_disk", Is: boolean, Doc: "With crash: the node comes back as a new generation. Default: false."},
	{Name: "stagger", Is: document.Duration, Doc: "With crash, pause, join and leave: the pause between one node and the next. Default: all at once."},
	{Name: "by", Is: document.Schema{Kind: "string", Form: shiftForm}, Doc: "With clock: how far the wall clock steps, as in 3s or -2s."},
	{Name: "loss", Is: document.Percent, Doc: "With link: additional loss."},
	{Name: "delay", Is: document.Delay, Doc: "With link and disk_slow: additional delay."},
	{Name: "revision", Is: whole(1, maxRevisions), Doc: "With revise: which of revisions, from 1 on. One with a rollout is tried as a candidate."},
	{Name: "act", Is: words(revisionActs), Doc: "With revise: apply a revision, or promote, pause, resume or rollback what is in force at the node. Default: apply."},
	{Name: "instance", Is: document.Text, Doc: "With freeze: the instance of a budget, as in tenant-day/search."},
	{Name: "tenant", Is: document.Text, Doc: "With freeze: the tenant."},
	{Name: "agent", Is: document.Text, Doc: "With freeze: the agent, of that tenant if there is one, else of any."},
	{Name: "budget", Is: document.Name, Doc: "With mint and burn: the budget, a grant or a window."},
	{Name: "key", Is: document.Schema{Names: true, Form: document.TextForm}, Doc: "With mint and burn: the values of what the budget is per, in its order, as in [search]. Default: none."},
	{Name: "tokens", Is: document.Amount, Doc: "With mint and burn: how many."},
	{Name: "skip", Is: boolean, Doc: "Leave it out, to see what of several matters. Default: false."},
}}
