package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// How gauges of several nodes make one line. The others show the largest.
var (
	summed = []string{
		"swarmpurse_budget_rights_tokens", "swarmpurse_budget_reserved_tokens", "swarmpurse_budget_spent_tokens", "swarmpurse_budget_issued_tokens",
		"swarmpurse_budget_lapsed_tokens", "swarmpurse_budget_debt_tokens", "swarmpurse_guarantee_rate_tokens", "swarmpurse_queue_calls", "swarmpurse_queue_tokens",
		"swarmpurse_reservations_active", "swarmpurse_http_in_flight", "swarmpurse_proxy_in_flight", "swarmpurse_proxy_buffered_bytes",
		"swarmpurse_http_event_followers", "swarmpurse_ratelimit_held_reservations", "swarmpurse_socket_connections", "swarmpurse_caller_in_flight", "swarmpurse_audit_bytes",
	}
	least = []string{
		"swarmpurse_lease_seconds", "swarmpurse_budget_exhaustion_seconds", "swarmpurse_budget_rate_ratio", "swarmpurse_tls_certificate_expiry_seconds",
		"swarmpurse_audit_witnessed_records", "swarmpurse_upstream_reach", "swarmpurse_policy_revision",
	}
)

// query is one line, or one set of lines, of a panel.
type query struct{ expr, legend string }

// panel is one chart.
type panel struct {
	title, about, unit string
	queries            []query
}

const selected = `{job=~"$job",instance=~"$instance"}`

// first are the panels that are open when the dashboard opens.
var first = []panel{
	{"Decisions", "Calls decided a second, by verdict.", "cps", []query{{`sum by (verdict) (rate(swarmpurse_decisions_total` + selected + `[$__rate_interval]))`, "{{verdict}}"}}},
	{"Refusals by reason", "Calls deferred or denied a second.", "cps", []query{{`sum by (verdict, code) (rate(swarmpurse_decisions_total{job=~"$job",instance=~"$instance",verdict=~"defer|deny"}[$__rate_interval]))`, "{{verdict}}: {{code}}"}}},
	{"Time to decide", "99 of 100 calls are decided within this time: at once from rights at hand (local), or after waiting (waited).", "s", []query{{`histogram_quantile(0.99, sum by (le, path) (rate(swarmpurse_admission_seconds_bucket` + selected + `[$__rate_interval])))`, "p99 {{path}}"}}},
	{"Budgets used", "Spent and reserved, of the limit; of a rate, what is not there of its burst. Of several instances the one that is used most, as the node sees it that sees most used.", "percentunit", []query{{`max by (budget, token) (swarmpurse_budget_used_ratio` + selected + `)`, "{{budget}}"}}},
	{"Backpressure", "0 to 3, the highest that a node sees.", "none", []query{{`max by (budget) (swarmpurse_backpressure_level` + selected + `)`, "{{budget}}"}}},
	{"Service levels: burn rate", "At 1 a class just keeps its objective.", "none", []query{{`max by (class, window) (swarmpurse_class_burn_rate` + selected + `)`, "{{class}} {{window}}"}}},
	{"Members", "As the node sees them that sees the fewest alive, and the most failed. Nodes that differ are cut off from each other.", "none", []query{{`min(swarmpurse_members{job=~"$job",instance=~"$instance",state="alive"})`, "alive, least"}, {`max(swarmpurse_members{job=~"$job",instance=~"$instance",state="alive"})`, "alive, most"}, {`max(swarmpurse_members{job=~"$job",instance=~"$instance",state="failed"})`, "failed, most"}}},
	{"Books", "Tokens issued and not accounted for. Anything but 0 is a bug of swarmpurse.", "none", []query{{`max by (budget) (swarmpurse_conservation_error_tokens` + selected + `)`, "{{budget}}"}}},
	{"Rights stuck with dead nodes", "By why they are not back.", "none", []query{{`max by (token, reason) (swarmpurse_stuck_tokens` + selected + `)`, "{{token}}: {{reason}}"}}},
}

// panelOf shows one metric.
func panelOf(m Metric) panel {
	p := panel{title: strings.ReplaceAll(strings.TrimPrefix(m.Name, prefix), "_", " "), about: m.Name + ": " + m.Help, unit: unitOf(m)}
	by, legend := "", "all"
	if len(m.Labels) > 0 {
		by = " by (" + strings.Join(m.Labels, ", ") + ")"
		legend = "{{" + strings.Join(m.Labels, "}} {{") + "}}"
	}
	in := m.Name + selected
	switch m.Type {
	case Histogram:
		le := "le"
		if len(m.Labels) > 0 {
			le += ", " + strings.Join(m.Labels, ", ")
		}
		for _, q := range []string{"50", "99"} {
			p.queries = append(p.queries, query{fmt.Sprintf("histogram_quantile(0.%s, sum by (%s) (rate(%s_bucket%s[$__rate_interval])))", q, le, m.Name, selected), "p" + q + " " + strings.TrimPrefix(legend, "all")})
		}
	case Counter:
		p.queries = []query{{fmt.Sprintf("sum%s (rate(%s[$__rate_interval]))", by, in), legend}}
	default:
		how := "max"
		switch {
		case slices.Contains(summed, m.Name):
			how = "sum"
		case slices.Contains(least, m.Name):
			how = "min"
		}
		expr := fmt.Sprintf("%s%s (%s)", how, by, in)
		if m.Name == "swarmpurse_tls_certificate_expiry_seconds" { // a time, not a duration
			expr += " - time()"
		}
		p.queries = []query{{expr, legend}}
	}
	return p
}

// unitOf is in Grafana's words.
func unitOf(m Metric) string {
	name := strings.TrimSuffix(m.Name, "_total")
	switch {
	case m.Type == Counter && strings.HasSuffix(name, "_bytes"):
		return "Bps"
	case strings.HasSuffix(name, "_bytes"):
		return "bytes"
	case m.Type != Counter && strings.HasSuffix(name, "_seconds"):
		return "s"
	case strings.HasSuffix(name, "_ratio"):
		return "percentunit"
	case m.Type == Counter:
		return "cps"
	}
	return "none"
}

// Dashboard is a dashboard for Grafana 10 and later: what to look at first, then every metric, in rows that are closed.
func Dashboard(ms []Metric) ([]byte, error) {
	by, err := grouped(ms)
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	source := object{"type": "prometheus", "uid": "${datasource}"}
	id, y := 0, 0
	const width, height, perRow = 8, 7, 3
	charts := func(ps []panel) (out []object) {
		for i, p := range ps {
			id++
			var targets []object
			for n, q := range p.queries {
				targets = append(targets, object{"refId": string(rune('A' + n)), "datasource": source, "expr": q.expr, "legendFormat": strings.TrimSpace(q.legend)})
			}
			out = append(out, object{
				"id": id, "type": "timeseries", "title": p.title, "description": p.about, "datasource": source, "targets": targets,
				"gridPos":     object{"x": i % perRow * width, "y": y + i/perRow*height, "w": width, "h": height},
				"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0, "custom": object{"lineWidth": 1, "fillOpacity": 10}}, "overrides": []any{}},
				"options":     object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}},
			})
		}
		y += (len(ps) + perRow - 1) / perRow * height
		return out
	}
	panels := charts(first)
	for i, g := range groups {
		if len(by[i]) == 0 {
			continue
		}
		var ps []panel
		for _, m := range by[i] {
			ps = append(ps, panelOf(m))
		}
		id++
		row := object{"id": id, "type": "row", "title": g.title, "collapsed": true, "gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}}
		y++
		at := y
		row["panels"] = charts(ps)
		y = at // a closed row takes one line
		panels = append(panels, row)
	}
	variable := func(name, label string) object {
		in := ""
		if name == "instance" {
			in = `{job=~"$job"}`
		}
		q := fmt.Sprintf("label_values(swarmpurse_build_info%s, %s)", in, name)
		return object{
			"name": name, "label": label, "type": "query", "datasource": source, "query": object{"query": q, "refId": name}, "definition": q,
			"refresh": 2, "includeAll": true, "multi": true, "allValue": ".*", "sort": 1, "current": object{"text": "All", "value": "$__all"},
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(object{
		"uid": "swarmpurse", "title": "swarmpurse", "tags": []string{"swarmpurse"}, "schemaVersion": 39, "editable": true, "graphTooltip": 1,
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "30s",
		"templating": object{"list": []object{
			{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
			variable("job", "Job"), variable("instance", "Node"),
		}},
		"panels": panels,
	})
	// A line for each panel, so that a change shows as what it is.
	out := b.Bytes()
	for _, begin := range []string{`{"datasource":{"type":"prometheus","uid":"${datasource}"},"description"`, `{"collapsed":true`, `{"allValue"`} {
		out = bytes.ReplaceAll(out, []byte(begin), []byte("\n"+begin))
	}
	return out, err
}
