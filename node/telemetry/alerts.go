package telemetry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// severity is whom an alert is for.
type severity string

const (
	page    severity = "page"
	warning severity = "warning"
	info    severity = "info"
)

// rule is an alert, or a record, which has no severity, summary and description.
type rule struct {
	alert, record string
	about         string // a comment in the file
	expr          string
	hold          time.Duration // how long it must be so before the alert fires
	severity      severity
	summary       string // what is so
	description   string // what to do
}

type ruleGroup struct {
	name, about string
	rules       []rule
}

// AlertRules is a rule file for Prometheus, made for some metrics. A rule that names a metric or a label that is not among them is an error.
func AlertRules(ms []Metric) ([]byte, error) {
	var b strings.Builder
	b.WriteString(`# Recording and alerting rules for swarmpurse, made from the code by ` + "`make generate`" + `. Write them with ` + "`swarmpurse alerts`" + ` and name the
# file in Prometheus' rule_files. They speak of one swarm: where one Prometheus scrapes several, add the label that tells them apart to each
# ` + "`by (...)`" + `. Of every alert the node's metric in it is described by its HELP text.
groups:
`)
	for i, g := range ruleGroups {
		if i > 0 {
			b.WriteByte('\n')
		}
		comment(&b, "  ", g.about)
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", g.name)
		for _, r := range g.rules {
			if err := r.check(ms); err != nil {
				return nil, err
			}
			r.write(&b)
		}
	}
	return []byte(b.String()), nil
}

func (r rule) write(b *strings.Builder) {
	comment(b, "      ", r.about)
	if r.record != "" {
		fmt.Fprintf(b, "      - record: %s\n", r.record)
	} else {
		fmt.Fprintf(b, "      - alert: %s\n", r.alert)
	}
	field := func(name, value string) { fmt.Fprintf(b, "        %s: %s\n", name, value) }
	if strings.Contains(r.expr, "\n") {
		field("expr", "|\n          "+strings.ReplaceAll(r.expr, "\n", "\n          "))
	} else {
		field("expr", r.expr)
	}
	if r.hold > 0 {
		field("for", model.Duration(r.hold).String())
	}
	if r.alert != "" {
		field("labels", fmt.Sprintf("{severity: %s}", r.severity))
		fmt.Fprintf(b, "        annotations:\n          summary: %s\n          description: %s\n", quoted(r.summary), quoted(r.description))
	}
}

// comment writes a text as lines of some 130 characters.
func comment(b *strings.Builder, indent, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+len(word) > 130 {
			fmt.Fprintf(b, "%s#%s\n", indent, line)
			line = ""
		}
		line += " " + word
	}
	if line != "" {
		fmt.Fprintf(b, "%s#%s\n", indent, line)
	}
}

// quoted is a text as YAML has it in single quotes, in which nothing but these means anything.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var (
	named     = regexp.MustCompile(`swarmpurse_\w+(\{[^}]*\})?`)
	condition = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
)

// check holds what a rule asks for, and tells to look at, to the metrics that there are.
func (r rule) check(ms []Metric) error {
	for _, found := range named.FindAllString(r.expr+" "+r.summary+" "+r.description, -1) {
		name, selector, _ := strings.Cut(found, "{")
		i := slices.IndexFunc(ms, func(m Metric) bool { return m.Name == name || m.Type == Histogram && m.Name+"_bucket" == name })
		if i < 0 {
			return fmt.Errorf("%s%s: no node has a metric %s", r.alert, r.record, name)
		}
		for _, c := range condition.FindAllStringSubmatch(selector, -1) {
			if !slices.Contains(ms[i].Labels, c[1]) {
				return fmt.Errorf("%s%s: %s has no label %s", r.alert, r.record, name, c[1])
			}
		}
	}
	return nil
}

type alertUse struct{ name, expr string }

// alertUses are the alerts with what they ask, that of the recorded rules that they go by included.
func alertUses() (out []alertUse) {
	var records []rule
	for _, g := range ruleGroups {
		for _, r := range g.rules {
			if r.record != "" {
				records = append(records, r)
				continue
			}
			expr := r.expr
			for _, by := range records {
				if strings.Contains(r.expr, by.record) {
					expr += " " + by.expr
				}
			}
			out = append(out, alertUse{r.alert, expr})
		}
	}
	return out
}
