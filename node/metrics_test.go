package node

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

var update = flag.Bool("update", false, "write the documents that are made from the list of metrics anew")

// promtool finds Prometheus' own tool, which make ci builds.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("SWARMPURSE_CI") != "":
		t.Fatal("no promtool: run make bin/promtool and have bin in the PATH, as make ci does")
	case err != nil:
		t.Skip("no promtool (make bin/promtool builds it; have bin in the PATH)")
	}
	return path
}

// TestMetricsAreWrittenDown: the documents are those that the code makes. make generate writes them.
func TestMetricsAreWrittenDown(t *testing.T) {
	for name, make := range map[string]func([]telemetry.Metric) ([]byte, error){"METRICS.md": telemetry.Document, "dashboard.json": telemetry.Dashboard, "alerts.yaml": telemetry.AlertRules} {
		want, err := make(Metrics())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("telemetry", name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
			t.Errorf("%s is stale (%v): run make generate and commit it", file, err)
		}
	}
}

// TestMetricsAreThoseOfANode holds the list against what a real node registers and tells, and has Prometheus' tool look at its /metrics.
func TestMetricsAreThoseOfANode(t *testing.T) {
	reg := prometheus.NewRegistry()
	n, err := Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Socket: "unix:" + filepath.Join(t.TempDir(), "s.sock"), Registry: reg, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(t.Context()) }()
	t.Cleanup(func() { n.Close(); <-done })
	listed := map[string]telemetry.Metric{}
	for _, m := range Metrics() {
		if listed[m.Name].Name != "" {
			t.Errorf("%s is listed twice", m.Name)
		}
		listed[m.Name] = m
	}
	registered := map[string]bool{}
	for _, m := range telemetry.Describe(reg) {
		registered[m.Name] = true
		if strings.HasPrefix(m.Name, "swarmpurse_") && (listed[m.Name].Help != m.Help || !slices.Equal(listed[m.Name].Labels, m.Labels)) {
			t.Errorf("a node registers %+v, listed is %+v", m, listed[m.Name])
		}
	}
	for name := range listed {
		if !registered[name] && !strings.HasPrefix(name, "swarmpurse_tenant_") {
			t.Errorf("%s is listed, and no node registers it", name)
		}
	}
	if _, err := n.Admit(t.Context(), ask("a", 10)); err != nil {
		t.Fatal(err)
	}
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		if m, ok := listed[f.GetName()]; ok && !strings.EqualFold(string(m.Type), f.GetType().String()) {
			t.Errorf("%s is a %s, listed as a %s", m.Name, f.GetType(), m.Type)
		}
	}

	tool := promtool(t)
	resp, err := http.Get(n.HTTPAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check := exec.Command(tool, "check", "metrics")
	check.Stdin = resp.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestDashboardAsksWhatPrometheusUnderstands has Prometheus' tool parse every expression of the dashboard, as it will be with its variables
// filled in, and holds the metrics and labels in them against the list.
func TestDashboardAsksWhatPrometheusUnderstands(t *testing.T) {
	source, err := telemetry.Dashboard(Metrics())
	if err != nil {
		t.Fatal(err)
	}
	type panel struct {
		ID      int
		Title   string
		Targets []struct{ Expr, LegendFormat string }
		Panels  []panel
	}
	var board struct{ Panels []panel }
	if err := json.Unmarshal(source, &board); err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, m := range Metrics() {
		labels[m.Name] = m.Labels
		if m.Type == telemetry.Histogram {
			labels[m.Name+"_bucket"] = append([]string{"le"}, m.Labels...)
		}
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	shown, ids := map[string]bool{}, map[int]bool{}
	word := regexp.MustCompile(`swarmpurse_\w+`)
	legend := regexp.MustCompile(`{{(\w+)}}`)
	var walk func(ps []panel)
	walk = func(ps []panel) {
		for _, p := range ps {
			if ids[p.ID] {
				t.Errorf("two panels have the id %d", p.ID)
			}
			ids[p.ID] = true
			for _, q := range p.Targets {
				expr := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "5m").Replace(q.Expr)
				rules = append(rules, rule{fmt.Sprintf("panel:%d_%d", p.ID, len(rules)), expr})
				var has []string
				for _, name := range word.FindAllString(q.Expr, -1) {
					if _, ok := labels[name]; !ok {
						t.Errorf("%s asks for %s, which no node tells", p.Title, name)
					}
					has = append(has, labels[name]...)
					shown[strings.TrimSuffix(name, "_bucket")] = true
				}
				for _, l := range legend.FindAllStringSubmatch(q.LegendFormat, -1) {
					if !slices.Contains(has, l[1]) {
						t.Errorf("%s: the legend names %s, which its metrics do not have", p.Title, l[1])
					}
				}
			}
			walk(p.Panels)
		}
	}
	walk(board.Panels)
	for _, m := range Metrics() {
		if !shown[m.Name] {
			t.Errorf("no panel shows %s", m.Name)
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	type groups map[string]any
	y, err := yaml.Marshal(groups{"groups": []groups{{"name": "dashboard", "rules": rules}}})
	if err == nil {
		err = os.WriteFile(file, y, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool(t), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}
