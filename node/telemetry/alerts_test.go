package telemetry

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"
)

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Record, Alert, Expr string
			For                 model.Duration
			Labels, Annotations map[string]string
		}
	}
}

// readRules reads alerts.yaml, which a test of package node holds to what AlertRules makes.
func readRules(t *testing.T) (rules ruleFile) {
	t.Helper()
	source, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readYAML(t, source, &rules)
	return rules
}

// TestAlertRulesAreWrittenWhole: what YAML reads is what the list says.
func TestAlertRulesAreWrittenWhole(t *testing.T) {
	rules := readRules(t)
	if len(rules.Groups) != len(ruleGroups) {
		t.Fatalf("%d groups, of %d", len(rules.Groups), len(ruleGroups))
	}
	for i, g := range ruleGroups {
		var read []rule
		for _, r := range rules.Groups[i].Rules {
			read = append(read, rule{
				record: r.Record, alert: r.Alert, expr: strings.TrimSuffix(r.Expr, "\n"), hold: time.Duration(r.For),
				severity: severity(r.Labels["severity"]), summary: r.Annotations["summary"], description: r.Annotations["description"],
			})
		}
		want := slices.Clone(g.rules)
		for n := range want {
			want[n].about = "" // a comment
		}
		if rules.Groups[i].Name != g.name || !slices.Equal(read, want) {
			t.Errorf("group %s: read\n%+v\nwant\n%+v", g.name, read, want)
		}
	}
}

func TestAlertRulesNameWhatThereIs(t *testing.T) {
	ms := []Metric{{"swarmpurse_calls_total", Counter, "", []string{"class"}}, {"swarmpurse_wait_seconds", Histogram, "", nil}}
	for _, c := range []struct {
		of   rule
		want string
	}{
		{rule{alert: "A", expr: `rate(swarmpurse_calls_total{class!="a"}[5m]) > 0`}, ""},
		{rule{alert: "A", expr: `rate(swarmpurse_wait_seconds_bucket[5m]) > 0`}, ""},
		{rule{alert: "A", expr: `swarmpurse_call_total > 0`}, "A: no node has a metric swarmpurse_call_total"},
		{rule{alert: "A", description: "Compare swarmpurse_calls."}, "A: no node has a metric swarmpurse_calls"},
		{rule{record: "a:b", expr: `sum(swarmpurse_calls_total{class="a",code=~"b"})`}, "a:b: swarmpurse_calls_total has no label code"},
	} {
		got := ""
		if err := c.of.check(ms); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.of, got, c.want)
		}
	}
}

func readYAML(t *testing.T, source []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(source, into); err != nil {
		t.Fatal(err)
	}
}

// TestAlertsAreAboutMetricsThatExist holds what the rules name to what a node's registry really has: metrics, labels, and the
// values of labels that are asked for.
func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	rules := readRules(t)
	m, reg := newMetrics(t)
	feed(m)
	m.Decision("defer", "guardians_away", "batch", false, 0, 0)
	have := map[string]map[string][]string{} // by metric, label: values
	for name, f := range gather(t, reg) {
		have[name] = map[string][]string{}
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				have[name][l.GetName()] = append(have[name][l.GetName()], l.GetValue())
			}
		}
	}
	for _, name := range []string{"swarmpurse_tls_certificate_expiry_seconds", "swarmpurse_tls_certificate_failing"} { // of the API's, which tests them by these names
		have[name] = map[string][]string{}
	}
	metric := regexp.MustCompile(`swarmpurse_\w+(\{[^}]*\})?`)
	selector := regexp.MustCompile(`(\w+)(=~|!=|=)"([^"]*)"`)
	by := regexp.MustCompile(`(?:by|without|on) \(([^)]*)\)`)
	var records, alerts []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			title := g.Name + "/" + r.Alert + r.Record
			var texts []string
			for _, a := range r.Annotations {
				texts = append(texts, a)
			}
			known := []string{"instance"} // the scrape's
			for _, found := range metric.FindAllString(r.Expr+" "+strings.Join(texts, " "), -1) {
				name, conditions, _ := strings.Cut(found, "{")
				labels, ok := have[name]
				if !ok {
					t.Errorf("%s: no node has a metric %s", title, name)
				}
				for l := range labels {
					known = append(known, l)
				}
				for _, c := range selector.FindAllStringSubmatch(conditions, -1) {
					if strings.Contains(c[3], "$labels") {
						continue
					}
					for _, value := range strings.Split(c[3], "|") {
						if !slices.Contains(labels[c[1]], value) {
							t.Errorf("%s: %s has no %s=%q", title, name, c[1], value)
						}
					}
				}
			}
			for _, record := range records { // earlier rules, all by class
				if strings.Contains(r.Expr, record) {
					known = append(known, "class")
				}
			}
			for _, list := range by.FindAllStringSubmatch(r.Expr, -1) {
				for _, l := range strings.Split(list[1], ", ") {
					if !slices.Contains(known, l) {
						t.Errorf("%s: by %s, which none of its metrics has", title, l)
					}
				}
			}
			for _, text := range texts {
				for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
					if !slices.Contains(known, l[1]) {
						t.Errorf("%s tells of a label %s, which none of its metrics has", title, l[1])
					}
				}
			}
			if r.Alert != "" {
				alerts = append(alerts, r.Alert)
				if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
					t.Errorf("%s says nothing, or not what to do", title)
				}
			} else {
				records = append(records, r.Record)
			}
		}
	}
	if len(alerts) < 10 || len(records) != 5 {
		t.Errorf("alerts %v, records %v", alerts, records)
	}

	// And each is tried both ways.
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	source, err := os.ReadFile("testdata/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readYAML(t, source, &tests)
	tried := map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			tried[fmt.Sprint(a.Alertname, len(a.ExpAlerts) > 0)] = true
		}
	}
	for _, a := range alerts {
		if !tried[a+"true"] || !tried[a+"false"] {
			t.Errorf("%s: a case in which it fires: %v, in which it does not: %v", a, tried[a+"true"], tried[a+"false"])
		}
	}
}

// TestAlertsByPromtool has Prometheus' own tool check the rules and run their tests.
func TestAlertsByPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("SWARMPURSE_CI") != "":
		t.Fatal("no promtool: run make bin/promtool and have bin in the PATH, as make ci does")
	case err != nil:
		t.Skip("no promtool (make bin/promtool builds it; have bin in the PATH): the rules are checked in part only")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "testdata/alerts_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
