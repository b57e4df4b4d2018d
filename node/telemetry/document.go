package telemetry

import (
	"fmt"
	"slices"
	"strings"
)

// group is a chapter of the documents: the metrics whose names begin, after swarmpurse_, with one of some prefixes.
type group struct {
	title    string
	prefixes []string
}

var groups = []group{
	{"Decisions and calls", []string{"decisions_", "admission_", "wait_", "queue_", "reservations_", "settlements_", "flag_", "fairness_", "frozen"}},
	{"Service levels", []string{"class_"}},
	{"Budgets", []string{"budget_", "backpressure_", "charged_", "overrun_", "minted_", "lapsed_", "guarantee", "conservation_"}},
	{"Rights on the move", []string{"transfer", "asks_", "ask_"}},
	{"The swarm", []string{"members", "rows_", "row_", "messages_", "peer_", "gossip_"}},
	{"Guardians", []string{"lease_", "guardians", "wards", "note", "claims_", "generations_", "reclaimed_", "stuck_"}},
	{"Models and upstreams", []string{"output_", "call_cost_", "upstream_"}},
	{"Policy, rollouts and experiments", []string{"policy_", "candidate_", "arm_", "shadow_", "experiment_"}},
	{"The proxy", []string{"proxy_"}},
	{"HTTP", []string{"http_", "tls_"}},
	{"The rate limit service", []string{"ratelimit_"}},
	{"The socket for callers in Go", []string{"socket_"}},
	{"Callers and tenants", []string{"caller_", "tenant_"}},
	{"The audit log", []string{"audit_"}},
	{"The data directory", []string{"store_"}},
	{"The process", []string{"build_", "scrape_", "trace_"}},
}

const prefix = "swarmpurse_"

// grouped sorts metrics into groups, by the order of groups. One that belongs nowhere is an error.
func grouped(ms []Metric) ([][]Metric, error) {
	out := make([][]Metric, len(groups))
	for _, m := range ms {
		name, ok := strings.CutPrefix(m.Name, prefix)
		i := slices.IndexFunc(groups, func(g group) bool {
			return slices.ContainsFunc(g.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		})
		if !ok || i < 0 {
			return nil, fmt.Errorf("%s belongs to none of the groups in document.go", m.Name)
		}
		out[i] = append(out[i], m)
	}
	return out, nil
}

// Document is a table of metrics for people, as Markdown, with the alerts that use them.
func Document(ms []Metric) ([]byte, error) {
	by, err := grouped(ms)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(`# What a node tells at /metrics

Made from the code by ` + "`make generate`" + `; a test fails when it is stale. All names begin with ` + "`" + prefix + "`" + `. Besides them there are the
Go runtime's and the process's own (` + "`go_`, `process_`" + `). Every label has few values: agents and instances are
none, tenants only for the keys that the policy has (` + "`caller_`" + `), and both in what a tenant's own key may scrape (` + "`tenant_`" + `). [dashboard.json](dashboard.json) shows all of them in Grafana (` + "`swarmpurse dashboard`" + ` prints it), [alerts.yaml](alerts.yaml) has the alert
rules (` + "`swarmpurse alerts`" + `); the last column names those that use a metric.
`)
	alerts := alertUses()
	for i, g := range groups {
		if len(by[i]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | what it tells | alerts |\n| --- | --- | --- | --- | --- |\n", g.title)
		for _, m := range by[i] {
			var use []string
			for _, a := range alerts {
				if mentions(a.expr, m.Name) {
					use = append(use, a.name)
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", strings.TrimPrefix(m.Name, prefix), m.Type, strings.Join(m.Labels, ", "), strings.ReplaceAll(m.Help, "|", "\\|"), strings.Join(use, ", "))
		}
	}
	describeBounds(&b)
	return []byte(b.String()), nil
}

// mentions reports whether a text names a metric, or the buckets of a histogram.
func mentions(text, metric string) bool {
	for {
		_, rest, ok := strings.Cut(text, metric)
		if !ok {
			return false
		}
		if rest == "" || rest[0] != '_' && (rest[0] < 'a' || rest[0] > 'z') || strings.HasPrefix(rest, "_bucket") {
			return true
		}
		text = rest
	}
}
