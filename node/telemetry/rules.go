package telemetry

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/node/service"
)

// ruleGroups are the rules that Prometheus is to go by: alerts.yaml is written from them. What is worth a page is no property of a metric, so that
// the rules are a list of their own; AlertRules holds them to the list of metrics.
var ruleGroups = []ruleGroup{
	{
		name: "swarmpurse-service",
		about: "Service levels, by class, of all nodes together. What a class's calls should get is its `objective` in the policy; a class without one " +
			"alerts nobody. The burn rate is the part of its calls that was missed over the part that the objective allows. Two windows each, as in " +
			"\"Alerting on SLOs\" of Google's SRE workbook: the long one so that it matters, the short one so that it ends soon after its cause. At 14.4 " +
			"times the pace, 2 % of a month's misses are used in an hour; at 6 times, 5 % in six hours.",
		rules: append(missedRatios(),
			rule{
				record: "swarmpurse:class_allowed_misses:ratio",
				expr:   "1 - max by (class) (swarmpurse_class_objective_ratio)",
			},
			rule{
				alert: "SwarmpurseClassBurnsFast",
				expr: `swarmpurse:class_missed:ratio_rate5m / swarmpurse:class_allowed_misses:ratio > 14.4
  and swarmpurse:class_missed:ratio_rate1h / swarmpurse:class_allowed_misses:ratio > 14.4`,
				severity:    page,
				summary:     `Calls of class {{ $labels.class }} miss their latency budget at {{ printf "%.1f" $value }} times the pace that its objective allows.`,
				description: "See which budget is short with `swarmpurse top`, and why calls are refused with `sum by (code, verdict) (rate(swarmpurse_decisions_total{class=\"{{ $labels.class }}\"}[5m]))`.",
			},
			rule{
				alert: "SwarmpurseClassBurnsSlowly",
				expr: `swarmpurse:class_missed:ratio_rate30m / swarmpurse:class_allowed_misses:ratio > 6
  and swarmpurse:class_missed:ratio_rate6h / swarmpurse:class_allowed_misses:ratio > 6`,
				severity:    page,
				summary:     `For hours calls of class {{ $labels.class }} have missed their latency budget at {{ printf "%.1f" $value }} times the pace that its objective allows.`,
				description: "The budget that is short wants a higher limit, other classes more headroom or less weight: see `swarmpurse budgets`.",
			},
		),
	},
	{
		name:  "swarmpurse-budgets",
		about: "Budgets. Which fractions are told is the budget's `alerts` in the policy.",
		rules: []rule{
			{
				alert:       "SwarmpurseBudgetUsed",
				expr:        "max by (budget, token, fraction) (swarmpurse_budget_alert_instances) > 0",
				severity:    info,
				summary:     "{{ $value }} instances of budget {{ $labels.budget }} have used {{ $labels.fraction }} of their limit or more.",
				description: "`swarmpurse budgets {{ $labels.budget }}` shows which; `swarmpurse mint` tops one up.",
			},
			{
				alert:       "SwarmpurseBudgetPressed",
				expr:        "max by (budget, token) (swarmpurse_backpressure_level) >= 2",
				hold:        5 * time.Minute,
				severity:    warning,
				summary:     "Budget {{ $labels.budget }} has been at level {{ $value }} of backpressure for five minutes: at this pace it is used up within seconds.",
				description: "`swarmpurse budgets {{ $labels.budget }}` shows who asks for it.",
			},
			{
				alert:       "SwarmpurseProviderRefuses",
				expr:        "min by (budget, token) (avg_over_time(swarmpurse_budget_rate_ratio[10m])) < 0.9",
				hold:        5 * time.Minute,
				severity:    warning,
				summary:     "For a quarter of an hour the provider behind budget {{ $labels.budget }} has refused calls: {{ $value | humanizePercentage }} of its rate is in force.",
				description: "The budget's `supply` is more than the provider gives, or others use the same quota: `sum(increase(swarmpurse_budget_lowered_total{budget=\"{{ $labels.budget }}\",by=\"here\"}[1h]))` says how often it was lowered. Lower the rate, or have the quota raised.",
			},
			{
				alert: "SwarmpurseTooManyInstances",
				expr: `max by (budget, token) (swarmpurse_budget_known_instances) > 0.8 * max by (budget, token) (swarmpurse_budget_most_instances)
  and max by (budget, token) (swarmpurse_budget_most_instances) > 1`,
				severity:    warning,
				summary:     "Budget {{ $labels.budget }} has {{ $value }} instances, more than four fifths of what it may have: calls that would make more are going to be denied.",
				description: "Somebody may name ever new tenants, agents or runs: see `swarmpurse budgets {{ $labels.budget }}`, and `swarmpurse freeze`. Else raise `instances` in the policy.",
			},
		},
	},
	{
		name:  "swarmpurse-nodes",
		about: "Nodes and their rights.",
		rules: []rule{
			{
				alert: "SwarmpurseNodeCutOff",
				expr: `sum without (state) (swarmpurse_members{state="alive"})
  / sum without (state) (swarmpurse_members{state=~"alive|failed"}) <= 0.5`,
				hold:        time.Minute,
				severity:    page,
				summary:     "{{ $labels.instance }} reaches {{ $value | humanizePercentage }} of the swarm: it is cut off, or the others are down.",
				description: "It decides with the rights that it holds, for the policy's `autonomy` and `lease`. See `swarmpurse members` there, and the network between.",
			},
			{
				alert:       "SwarmpurseMemberFailed",
				expr:        `max by (state) (swarmpurse_members{state="failed"}) > 0`,
				hold:        5 * time.Minute,
				severity:    warning,
				summary:     "{{ $value }} members of the swarm have not been reached for five minutes.",
				description: "`swarmpurse members` shows which, and what rights are stuck with them. One that does not come back is taken off the list by `swarmpurse members remove`.",
			},
			{
				alert:       "SwarmpurseLeaseEnding",
				expr:        "swarmpurse_lease_seconds > 0 and swarmpurse_lease_seconds < swarmpurse_lease_duration_seconds / 2",
				hold:        30 * time.Second,
				severity:    warning,
				summary:     "{{ $labels.instance }} has had no word from most of its guardians; in {{ $value | humanizeDuration }} its budgets by rate stand still.",
				description: "`swarmpurse members` there shows its guardians and which do not answer.",
			},
			{
				alert:       "SwarmpurseRightsFrozen",
				expr:        "swarmpurse_lease_seconds == 0 and sum without (state) (swarmpurse_guardians) > 0",
				hold:        time.Minute,
				severity:    page,
				summary:     "{{ $labels.instance }} has guardians and no lease: its budgets by rate stand still, and hard ones once it has spent what its guardians hold.",
				description: "Most of its guardians do not answer: see `swarmpurse members` there. If two of three died together, `swarmpurse members remove NAME --dead` vouches for it.",
			},
			{
				alert:       "SwarmpurseGuardiansAway",
				expr:        `sum without (verdict, class, code) (rate(swarmpurse_decisions_total{code="guardians_away"}[5m])) > 0`,
				hold:        time.Minute,
				severity:    page,
				summary:     "{{ $labels.instance }} refuses calls because its guardians do not confirm what they must hold first.",
				description: "Most of its guardians do not answer: see `swarmpurse members` there.",
			},
			{
				alert: "SwarmpurseRightsStuck",
				about: "Guardians take a dead node's rights over when its lease has ended. Raise `for` where the policy's lease is above 10m.",
				expr: `max by (token, reason) (swarmpurse_stuck_tokens{reason!="lease"}) > 0
  or max by (token, reason) (swarmpurse_stuck_shares{reason!="lease"}) > 0`,
				hold:        15 * time.Minute,
				severity:    warning,
				summary:     "Rights to {{ $labels.token }} tokens have been stuck with nodes that are away for a quarter of an hour (why: {{ $labels.reason }}).",
				description: "They come back with the nodes, or by `swarmpurse members remove NAME --dead` where the nodes do not: `swarmpurse members` lists them.",
			},
			{
				alert:       "SwarmpurseDiskFails",
				expr:        `rate(swarmpurse_store_commits_total{result="error"}[5m]) > 0`,
				hold:        time.Minute,
				severity:    page,
				summary:     "{{ $labels.instance }} cannot write its data directory: it admits nothing beyond what is durable.",
				description: "`/readyz` there gives the disk's own error.",
			},
			{
				alert:       "SwarmpurseConservationBroken",
				expr:        "swarmpurse_conservation_error_tokens != 0",
				severity:    page,
				summary:     "{{ $labels.instance }} issued {{ $value }} tokens of budget {{ $labels.budget }} more or less than it accounts for: a bug of swarmpurse.",
				description: "Keep its data directory and log, and report it.",
			},
		},
	},
	{
		name:  "swarmpurse-certificates",
		about: "Certificates of HTTP addresses. They are read again when their files change; no restart is needed.",
		rules: []rule{
			{
				alert:       "SwarmpurseCertificateEnds",
				expr:        "swarmpurse_tls_certificate_expiry_seconds - time() < 7 * 86400",
				hold:        10 * time.Minute,
				severity:    warning,
				summary:     "The certificate of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}.",
				description: "Put a new one in the place of the files of --tls-cert and --tls-key.",
			},
			{
				alert:       "SwarmpurseCertificateEnded",
				expr:        "swarmpurse_tls_certificate_expiry_seconds - time() < 3600",
				severity:    page,
				summary:     "The certificate of {{ $labels.instance }} ends within the hour, or has ended: callers from elsewhere refuse to speak to it.",
				description: "Put a new one in the place of the files of --tls-cert and --tls-key.",
			},
			{
				alert:       "SwarmpurseCertificateFails",
				expr:        "swarmpurse_tls_certificate_failing > 0",
				hold:        10 * time.Minute,
				severity:    warning,
				summary:     "{{ $labels.instance }} cannot use the new files of its certificate, and shows the last good one.",
				description: "Its log says why: most often certificate and key do not belong together, or its user may not read them.",
			},
		},
	},
	{
		name:  "swarmpurse-models",
		about: "What models put out.",
		rules: []rule{
			{
				alert:       "SwarmpurseModelDrifts",
				expr:        "swarmpurse_output_above_reserved_ratio > 2 * swarmpurse_output_above_expected_ratio + 0.05",
				hold:        10 * time.Minute,
				severity:    warning,
				summary:     "{{ $value | humanizePercentage }} of the calls of model {{ $labels.model }} (rule {{ $labels.rule }}) put out more than it is known for: it has become longer.",
				description: "Reservations below soft ceilings follow within some thousand calls; until then its calls overrun. Compare swarmpurse_output_mean_tokens.",
			},
			{
				alert:       "SwarmpurseModelCosts",
				expr:        "swarmpurse_call_cost_tokens > 1.5 * swarmpurse_call_cost_usual_tokens",
				hold:        10 * time.Minute,
				severity:    warning,
				summary:     "Calls of model {{ $labels.model }} (rule {{ $labels.rule }}) cost {{ $value | humanize }} tokens of budget {{ $labels.budget }} each, half as much again as they used to.",
				description: "Its outputs or its prompts have become longer, or its price higher: compare swarmpurse_output_mean_tokens and swarmpurse_budget_price.",
			},
			{
				alert: "SwarmpurseCandidateDrifts",
				about: "While a candidate is tried. Its guard looks at all models together; a hundred calls of one model are told of here.",
				expr: `(sum by (model) (swarmpurse_arm_outputs_total{arm="candidate",result="long"})
  / (sum by (model) (swarmpurse_arm_outputs_total{arm="candidate"}) >= 100))
  - sum by (model) (swarmpurse_arm_outputs_total{arm="stable",result="long"}) / sum by (model) (swarmpurse_arm_outputs_total{arm="stable"}) > 0.1`,
				hold:        5 * time.Minute,
				severity:    warning,
				summary:     "Of the calls of model {{ $labels.model }} for which the candidate decides, {{ $value | humanizePercentage }} more put out more than is usual than of those of the policy in force.",
				description: "Compare swarmpurse_arm_output_mean_tokens by arm. The guard rolls the candidate back beyond its `output_length`, of all models together; `swarmpurse policy rollback` does it now.",
			},
			{
				alert: "SwarmpurseCandidateCosts",
				expr: `(sum by (model, budget) (swarmpurse_arm_costs_total{arm="candidate",result="dear"})
  / (sum by (model, budget) (swarmpurse_arm_costs_total{arm="candidate"}) >= 100))
  - sum by (model, budget) (swarmpurse_arm_costs_total{arm="stable",result="dear"}) / sum by (model, budget) (swarmpurse_arm_costs_total{arm="stable"}) > 0.1`,
				hold:        5 * time.Minute,
				severity:    warning,
				summary:     "Of the calls of model {{ $labels.model }} for which the candidate decides, {{ $value | humanizePercentage }} more cost more of budget {{ $labels.budget }} than is usual than of those of the policy in force.",
				description: "Compare swarmpurse_arm_cost_mean_tokens by arm. If it is not meant to, `swarmpurse policy rollback`; the guard does it by itself beyond a `cost` that the policy allows.",
			},
		},
	},
	{
		name:  "swarmpurse-audit",
		about: "The audit log.",
		rules: []rule{
			{
				alert:       "SwarmpurseAuditAlarm",
				expr:        "increase(swarmpurse_audit_alarms_total[15m]) > 0",
				severity:    page,
				summary:     "{{ $labels.instance }} saw an audit log that does not go on from what it had signed: it was changed, cut off, or begun anew.",
				description: "`swarmpurse members` at that node names the log, `swarmpurse audit` keeps the proof; `swarmpurse audit verify` there names the first record that was changed.",
			},
			{
				alert:       "SwarmpurseAuditFails",
				expr:        "swarmpurse_audit_failing > 0",
				hold:        time.Minute,
				severity:    page,
				summary:     "{{ $labels.instance }} cannot write its audit log: records wait in memory, then they are missing, or calls are deferred where the policy says on_full: refuse.",
				description: "`swarmpurse audit` there says why; most often its disk is full.",
			},
			{
				alert:       "SwarmpurseAuditMisses",
				expr:        "increase(swarmpurse_audit_dropped_total[5m]) > 0",
				severity:    warning,
				summary:     "Records are missing in the audit log of {{ $labels.instance }}.",
				description: "Its disk was full or too slow: give it a faster one, or have `audit.decisions` in the policy write fewer. The log says where they are missing.",
			},
			{
				alert:       "SwarmpurseAuditUnwitnessed",
				expr:        "swarmpurse_audit_size_records - swarmpurse_audit_witnessed_records > 0 and swarmpurse_audit_witnessed_records == swarmpurse_audit_witnessed_records offset 30m",
				hold:        30 * time.Minute,
				severity:    warning,
				summary:     "No peer has countersigned what {{ $labels.instance }} wrote into its audit log for an hour: whoever has its disk could rewrite {{ $value | humanize }} records.",
				description: "It is cut off, or alone. `swarmpurse members` shows whom it sees.",
			},
		},
	},
}

// missedRatios are records of the part of a class's calls that was missed, one for each window over which burn rates are taken.
func missedRatios() (out []rule) {
	for _, w := range service.Windows {
		out = append(out, rule{
			record: "swarmpurse:class_missed:ratio_rate" + w.Name,
			expr: fmt.Sprintf(`sum by (class) (rate(swarmpurse_class_calls_total{result="missed"}[%[1]s]))
  / sum by (class) (rate(swarmpurse_class_calls_total{result=~"met|missed"}[%[1]s]))`, w.Name),
		})
	}
	return out
}
