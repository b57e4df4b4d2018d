package telemetry

import (
	"slices"
	"strings"
)

// Type is a metric's type in Prometheus' words.
type Type string

const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Metric describes one metric.
type Metric struct {
	Name   string
	Type   Type
	Help   string
	Labels []string
}

const (
	labelArm        = "arm"
	labelBudget     = "budget"
	labelBy         = "by"
	labelClass      = "class"
	labelCode       = "code"
	labelDirection  = "direction"
	labelExperiment = "experiment"
	labelFlag       = "flag"
	labelFraction   = "fraction"
	labelKind       = "kind"
	labelModel      = "model"
	labelPath       = "path"
	labelReason     = "reason"
	labelResult     = "result"
	labelRule       = "rule"
	labelState      = "state"
	labelToken      = "token"
	labelUpstream   = "upstream"
	labelVerdict    = "verdict"
	labelWindow     = "window"
)

var (
	decisionsTotal   = Metric{"swarmpurse_decisions_total", Counter, "Decisions on calls, by verdict (admit, degrade, defer, deny), reason code and class.", []string{labelVerdict, labelCode, labelClass}}
	flagCalls        = Metric{"swarmpurse_flag_calls_total", Counter, "Decisions on calls for which a flag of the policy was on.", []string{labelFlag}}
	admissionSeconds = Metric{"swarmpurse_admission_seconds", Histogram, "Time from a call's arrival to its decision: path local was decided at once, path waited had to queue.", []string{labelPath}}
	waitSeconds      = Metric{"swarmpurse_wait_seconds", Histogram, "Time that calls spent in the queue, by class; calls decided at once are not counted.", []string{labelClass}}

	classCalls     = Metric{"swarmpurse_class_calls_total", Counter, "Calls by whether they ran within their class's latency budget: met, missed, or excused: refused for what is their caller's own (its budget, a call too large, no rule) or an operator's will.", []string{labelClass, labelResult}}
	classBudget    = Metric{"swarmpurse_class_latency_budget_seconds", Gauge, "How long calls of a class may wait.", []string{labelClass}}
	classObjective = Metric{"swarmpurse_class_objective_ratio", Gauge, "The part of a class's calls, but for those that are excused, that should be met; only of classes that have one.", []string{labelClass}}
	classBurn      = Metric{"swarmpurse_class_burn_rate", Gauge, "The part of calls of this node that were missed over what the objective allows, in windows of 5m, 30m, 1h and 6h. At 1 the objective is just kept.", []string{labelClass, labelWindow}}

	reservationsActive  = Metric{"swarmpurse_reservations_active", Gauge, "Reservations that are neither settled, released nor expired.", nil}
	reservationsExpired = Metric{"swarmpurse_reservations_expired_total", Counter, "Reservations that ended by their TTL, because nobody settled or released them.", nil}
	settlementsTotal    = Metric{"swarmpurse_settlements_total", Counter, "Reservations ended by their caller: settled, released, late (after expiry) or repeated (already ended).", []string{labelResult}}
	chargedTokens       = Metric{"swarmpurse_charged_tokens_total", Counter, "Tokens charged at settlement.", []string{labelBudget}}
	overrunTokens       = Metric{"swarmpurse_overrun_tokens_total", Counter, "Real cost above what was reserved; booked as debt and paid before the next admission.", []string{labelBudget}}

	budgetInstances = Metric{"swarmpurse_budget_instances", Gauge, "Instances of a budget that this node has an account for.", []string{labelBudget, labelToken}}
	budgetLimit     = Metric{"swarmpurse_budget_limit_tokens", Gauge, "Limit of a budget, summed over the instances that this node knows.", []string{labelBudget, labelToken}}
	budgetUsed      = Metric{"swarmpurse_budget_used_ratio", Gauge, "Part of a budget's limit that is spent or reserved in the whole swarm as this node knows it, of a rate what is not there of its burst; of several instances the largest.", []string{labelBudget, labelToken}}
	budgetRights    = Metric{"swarmpurse_budget_rights_tokens", Gauge, "Tokens that this node may spend on its own word now.", []string{labelBudget, labelToken}}
	budgetReserved  = Metric{"swarmpurse_budget_reserved_tokens", Gauge, "Tokens set aside at this node for calls that are not settled.", []string{labelBudget, labelToken}}
	budgetSpent     = Metric{"swarmpurse_budget_spent_tokens", Gauge, "Tokens spent at this node in the windows that it still keeps.", []string{labelBudget, labelToken}}
	budgetIssued    = Metric{"swarmpurse_budget_issued_tokens", Gauge, "Tokens minted at this node from its shares in the windows that it still keeps.", []string{labelBudget, labelToken}}
	budgetLapsed    = Metric{"swarmpurse_budget_lapsed_tokens", Gauge, "Rights of this node gone in the windows that it still keeps: decayed, expired or burned.", []string{labelBudget, labelToken, labelKind}}
	mintedTokens    = Metric{"swarmpurse_minted_tokens_total", Counter, "Tokens minted at this node, by shares, by top-ups, by what windows rolled over and beyond the limit (overdraft), with what it took over as an heir.", []string{labelBudget, labelToken, labelKind}}
	lapsedTokens    = Metric{"swarmpurse_lapsed_tokens_total", Counter, "Rights of this node that lapsed: decayed by a half-life, expired (with a window, a loan or beyond a burst), or burned by an operator or a lower limit.", []string{labelBudget, labelToken, labelKind}}
	budgetDebt      = Metric{"swarmpurse_budget_debt_tokens", Gauge, "Overrun that this node has not paid yet.", []string{labelBudget, labelToken}}
	budgetPrice     = Metric{"swarmpurse_budget_price", Gauge, "What costs are multiplied by at this node now; of several instances the largest.", []string{labelBudget, labelToken}}
	budgetLevel     = Metric{"swarmpurse_backpressure_level", Gauge, "Level of backpressure, 0 to 3, as this node sees it; of several instances the highest.", []string{labelBudget, labelToken}}
	budgetVelocity  = Metric{"swarmpurse_budget_velocity_tokens", Gauge, "Tokens per second that calls ask for in the whole swarm, smoothed, of the instances that this node draws on.", []string{labelBudget, labelToken}}
	budgetExhausted = Metric{"swarmpurse_budget_exhaustion_seconds", Gauge, "Time until a budget is used up at that velocity, of several instances the shortest; +Inf if it is not.", []string{labelBudget, labelToken}}
	budgetKnown     = Metric{"swarmpurse_budget_known_instances", Gauge, "Instances of a budget that this node knows of in the swarm.", []string{labelBudget, labelToken}}
	budgetEnded     = Metric{"swarmpurse_budget_ended_instances", Gauge, "Instances of a budget with renew whose lives are over and that this node still knows.", []string{labelBudget, labelToken}}
	forgottenTotal  = Metric{"swarmpurse_budget_forgotten_total", Counter, "Accounts of instances of a budget with renew that this node has forgotten after their lives.", []string{labelBudget, labelToken}}
	budgetMost      = Metric{"swarmpurse_budget_most_instances", Gauge, "Instances of a budget that there may be, by the policy; calls that would make more are denied.", []string{labelBudget, labelToken}}
	guaranteeRate   = Metric{"swarmpurse_guarantee_rate_tokens", Gauge, "Tokens per second that go before all others at this node for a tenant's guarantee: the part of it that the tenant's demand here is of its demand in the swarm. The budget is the one that counts its calls.", []string{labelBudget, labelToken}}
	fairTenants     = Metric{"swarmpurse_fairness_tenants", Gauge, "Tenants, class by class, between which this node shares out a budget with fairness: swarm because more is asked for than it brings: state under are those that have had less than their max-min share, over the others, who wait for them. 0 of both while there is enough for all.", []string{labelBudget, labelToken, labelState}}
	guaranteed      = Metric{"swarmpurse_guaranteed_tokens_total", Counter, "Tokens of calls that were admitted at this node within a tenant's guarantee, as reserved.", []string{labelBudget, labelToken}}
	budgetAlerts    = Metric{"swarmpurse_budget_alert_instances", Gauge, "Instances of a budget of which a fraction that the policy's alerts name is spent or reserved, in the whole swarm as this node knows it.", []string{labelBudget, labelToken, labelFraction}}
	budgetRate      = Metric{"swarmpurse_budget_rate_ratio", Gauge, "Part of a budget's rate that is in force at this node, of several instances the least. Less than 1: its provider refuses calls.", []string{labelBudget, labelToken}}
	loweredTotal    = Metric{"swarmpurse_budget_lowered_total", Counter, "How often a budget's rate fell since its provider refused calls, by who saw it: here, or a peer.", []string{labelBudget, labelBy}}
	conservation    = Metric{"swarmpurse_conservation_error_tokens", Gauge, "Absolute difference between tokens issued and tokens accounted for at this node. Anything but 0 is a bug of swarmpurse.", []string{labelBudget, labelToken}}

	transfersTotal    = Metric{"swarmpurse_transfers_total", Counter, "Transfers of rights or shares between this node and others, by direction (in, out).", []string{labelDirection, labelKind}}
	transferredTokens = Metric{"swarmpurse_transferred_tokens_total", Counter, "Rights moved between this node and others, by direction (in, out).", []string{labelBudget, labelDirection}}
	asksTotal         = Metric{"swarmpurse_asks_total", Counter, "Asks for rights that this node sent, by how they ended: granted, refused or unanswered.", []string{labelResult}}
	asksReceived      = Metric{"swarmpurse_asks_received_total", Counter, "Asks for rights that reached this node, by its answer: granted or refused.", []string{labelResult}}
	askSeconds        = Metric{"swarmpurse_ask_seconds", Histogram, "Time from an ask to its answer.", nil}

	members         = Metric{"swarmpurse_members", Gauge, "Members of the pool as this node sees them: alive, failed or left.", []string{labelState}}
	rowsKnown       = Metric{"swarmpurse_rows_known", Gauge, "Rows that this node keeps, of its own accounts and of others.", nil}
	rowsSent        = Metric{"swarmpurse_rows_sent_total", Counter, "Rows sent to peers.", nil}
	rowsReceived    = Metric{"swarmpurse_rows_received_total", Counter, "Rows received from peers: news, stale (known or older) or refused.", []string{labelResult}}
	rowAge          = Metric{"swarmpurse_row_age_seconds", Gauge, "Age of the oldest row of a live member: how stale this node's picture of the swarm may be.", nil}
	messagesDropped = Metric{"swarmpurse_messages_dropped_total", Counter, "Messages from peers that the node dropped: malformed, or overflow (its queue was full). What the pool drops is in swarmpurse_gossip_dropped_total.", []string{labelReason}}

	frozenKeys = Metric{"swarmpurse_frozen", Gauge, "Instances, tenants and agents that operators froze, by kind.", []string{labelKind}}

	queueDepth  = Metric{"swarmpurse_queue_calls", Gauge, "Calls that wait for tokens now.", []string{labelClass}}
	queueTokens = Metric{"swarmpurse_queue_tokens", Gauge, "Tokens that the waiting calls ask for.", []string{labelClass}}

	sizeReserved = Metric{"swarmpurse_output_reserved_tokens", Gauge, "Tokens of output that 95 % of calls, or what the budget's size says, put out at most, as learned by rule and model. Below soft ceilings that is reserved for a call that states more or none.", []string{labelRule, labelModel}}
	sizeMean     = Metric{"swarmpurse_output_mean_tokens", Gauge, "Tokens of output of a call, the mean of some 64, by rule and model.", []string{labelRule, labelModel}}
	sizeAbove    = Metric{"swarmpurse_output_above_reserved_ratio", Gauge, "Part of calls, of some 64, that put out more than swarmpurse_output_reserved_tokens, by rule and model. Well above swarmpurse_output_above_expected_ratio: the model has become longer.", []string{labelRule, labelModel}}
	sizeExpected = Metric{"swarmpurse_output_above_expected_ratio", Gauge, "What swarmpurse_output_above_reserved_ratio should be at most: what the budget's size leaves.", []string{labelRule, labelModel}}

	costLate  = Metric{"swarmpurse_call_cost_tokens", Gauge, "What a call is charged at a budget, in its tokens: the mean of some 64 calls, by rule, model and budget.", []string{labelRule, labelModel, labelBudget}}
	costUsual = Metric{"swarmpurse_call_cost_usual_tokens", Gauge, "The same, the mean of some 2,048. Well below swarmpurse_call_cost_tokens: the model has become dearer, by longer outputs or prompts, or by a price.", []string{labelRule, labelModel, labelBudget}}

	upstreamCalls   = Metric{"swarmpurse_upstream_decisions_total", Counter, "Decisions of this node that sent a call to an upstream of the policy, by upstream. Refusals for want of one are swarmpurse_decisions_total with the code no_upstream, those at a node in the wrong zone with the code locality.", []string{labelUpstream}}
	upstreamCost    = Metric{"swarmpurse_upstream_cost_total", Counter, "Money that calls of this node took at an upstream, by the policy's prices and the usage that was settled.", []string{labelUpstream}}
	upstreamLatency = Metric{"swarmpurse_upstream_latency_seconds", Gauge, "How long an upstream's answer takes to begin, as rules that route go by: measured here, smoothed, and what the policy states when that is old. Absent while neither is known.", []string{labelUpstream}}
	upstreamAvoided = Metric{"swarmpurse_upstream_avoided", Gauge, "1 while this node passes an upstream over because it refused calls or was not reached, else 0.", []string{labelUpstream}}
	upstreamReach   = Metric{"swarmpurse_upstream_reach", Gauge, "1 if this node was told where an upstream of the policy is (--upstream NAME=URL), else 0: the proxy sends no call there.", []string{labelUpstream}}

	policyRevision = Metric{"swarmpurse_policy_revision", Gauge, "Revision of the policy in force.", nil}
	policyInfo     = Metric{"swarmpurse_policy_info", Gauge, "Always 1; the label names the policy in force by the first 12 digits of its hash.", []string{"hash"}}
	policyChanges  = Metric{"swarmpurse_policy_changes_total", Counter, "Policy documents that were applied or refused.", []string{labelResult}}

	candidateRevision = Metric{"swarmpurse_candidate_revision", Gauge, "Revision of the candidate that is tried beside the policy in force; 0 for none.", nil}
	candidateHeld     = Metric{"swarmpurse_candidate_held", Gauge, "1 while a candidate decides on no calls, since it cannot be tried beside the policy in force, else 0.", nil}
	armCalls          = Metric{"swarmpurse_arm_calls_total", Counter, "Decisions of this node while a candidate is tried, by arm (stable, candidate) and result (admitted, refused). They begin anew with each candidate.", []string{labelArm, labelResult}}

	shadowCalls       = Metric{"swarmpurse_shadow_calls_total", Counter, "Decisions of this node that were compared with those of a shadow, by result: same, differ, or dropped, as there were too many at once. They begin anew with each shadow.", []string{labelResult}}
	shadowDifferences = Metric{"swarmpurse_shadow_differences_total", Counter, "What a shadow would have decided otherwise on this node's calls, by kind: decision, class, rules, draws, amount, model, route, flags.", []string{labelKind}}

	experimentCalls = Metric{"swarmpurse_experiment_calls_total", Counter, "Decisions of this node on calls of an experiment, by experiment, arm and result (admitted, refused).", []string{labelExperiment, labelArm, labelResult}}
	experimentScore = Metric{"swarmpurse_experiment_score", Gauge, "What callers said of answers at this node, 0 to 1, the mean by experiment and arm; absent while nobody said anything.", []string{labelExperiment, labelArm}}

	armOutputs    = Metric{"swarmpurse_arm_outputs_total", Counter, "Calls of this node that ended while a candidate is tried, by arm, model, and whether they put out more than 95 % of calls of their model used to (long) or not (usual).", []string{labelArm, labelModel, labelResult}}
	armOutputMean = Metric{"swarmpurse_arm_output_mean_tokens", Gauge, "Tokens of output of a call while a candidate is tried, the mean of some 64, by arm and model.", []string{labelArm, labelModel}}
	armCosts      = Metric{"swarmpurse_arm_costs_total", Counter, "Calls of this node that ended while a candidate is tried, by arm, model, budget, and whether they cost more of it than 95 % of calls of their model used to (dear) or not (usual).", []string{labelArm, labelModel, labelBudget, labelResult}}
	armCostMean   = Metric{"swarmpurse_arm_cost_mean_tokens", Gauge, "What a call is charged at a budget while a candidate is tried, in its tokens: the mean of some 64, by arm, model and budget.", []string{labelArm, labelModel, labelBudget}}

	storeCommits = Metric{"swarmpurse_store_commits_total", Counter, "Transactions on the data directory, by result (ok, error).", []string{labelResult}}
	storeSeconds = Metric{"swarmpurse_store_commit_seconds", Histogram, "Time of one transaction on the data directory, with its syncs.", nil}
	storeWrites  = Metric{"swarmpurse_store_writes_total", Counter, "Records written or deleted by transactions that succeeded.", nil}
	storeBytes   = Metric{"swarmpurse_store_written_bytes_total", Counter, "Bytes of keys and values in transactions that succeeded.", nil}

	buildInfo    = Metric{"swarmpurse_build_info", Gauge, "Always 1; the labels say what is running.", []string{"version", "revision", "goversion"}}
	scrapeErrors = Metric{"swarmpurse_scrape_errors_total", Counter, "Scrapes at which the node's state could not be had, so that its gauges were left out.", nil}
)

var all = []Metric{
	decisionsTotal, flagCalls, admissionSeconds, waitSeconds, classCalls, classBudget, classObjective, classBurn,
	reservationsActive, reservationsExpired, settlementsTotal, chargedTokens, overrunTokens,
	budgetInstances, budgetKnown, budgetMost, budgetEnded, forgottenTotal, budgetLimit, budgetUsed, budgetRights, budgetReserved, budgetSpent, budgetIssued, budgetLapsed, mintedTokens, lapsedTokens, budgetDebt, budgetPrice, budgetLevel, budgetVelocity, budgetExhausted, budgetRate, loweredTotal, guaranteeRate, guaranteed, fairTenants, budgetAlerts, conservation,
	transfersTotal, transferredTokens, asksTotal, asksReceived, askSeconds,
	members, rowsKnown, rowsSent, rowsReceived, rowAge, messagesDropped,
	queueDepth, queueTokens, frozenKeys,
	sizeReserved, sizeMean, sizeAbove, sizeExpected, costLate, costUsual,
	upstreamCalls, upstreamCost, upstreamLatency, upstreamAvoided, upstreamReach,
	policyRevision, policyInfo, policyChanges, candidateRevision, candidateHeld, armCalls, shadowCalls, shadowDifferences, experimentCalls, experimentScore, armOutputs, armOutputMean, armCosts, armCostMean,
	storeCommits, storeSeconds, storeWrites, storeBytes,
	buildInfo, scrapeErrors,
}

// Names returns every metric of this package, sorted by name. The Go runtime's and the process's own
// metrics (go_, process_) come from client_golang and are not listed.
func Names() []Metric {
	ms := slices.Concat(all, guardMetrics, auditMetrics, trustMetrics)
	for i := range ms {
		ms[i].Labels = slices.Clone(ms[i].Labels)
	}
	slices.SortFunc(ms, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return ms
}
