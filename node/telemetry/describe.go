package telemetry

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Describe lists the metrics of collectors that other packages make. One with a type of client_golang says what it is; of any
// other the name does: counters end in _total, the rest are gauges. It collects nothing.
func Describe(collectors ...prometheus.Collector) []Metric {
	var out []Metric
	seen := map[string]bool{}
	for _, c := range collectors {
		ch := make(chan *prometheus.Desc)
		go func() {
			defer close(ch)
			c.Describe(ch)
		}()
		for d := range ch {
			m := readDesc(d)
			m.Type = typeOf(c, m.Name)
			if !seen[m.Name] { // constant labels make several of one
				seen[m.Name] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// printed is what a Desc prints of itself, the only way in which it tells.
var printed = regexp.MustCompile(`^Desc{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* constLabels: {(.*)}, variableLabels: {(.*)}}$`)

func readDesc(d *prometheus.Desc) (m Metric) {
	p := printed.FindStringSubmatch(d.String())
	if p == nil {
		panic(fmt.Sprintf("BUG: client_golang describes a metric otherwise than it used to: %s", d))
	}
	m.Name, _ = strconv.Unquote(p[1])
	m.Help, _ = strconv.Unquote(p[2])
	for l := range strings.SplitSeq(p[3], ",") {
		if name, _, ok := strings.Cut(l, "="); ok {
			m.Labels = append(m.Labels, name)
		}
	}
	if p[4] != "" {
		m.Labels = append(m.Labels, strings.Split(p[4], ",")...)
	}
	return m
}

func typeOf(c prometheus.Collector, name string) Type {
	switch c := c.(type) {
	case *prometheus.CounterVec:
		return Counter
	case *prometheus.GaugeVec:
		return Gauge
	case *prometheus.HistogramVec:
		return Histogram
	case prometheus.Metric:
		var d dto.Metric
		if c.Write(&d) == nil && d.Histogram != nil {
			return Histogram
		}
	}
	if strings.HasSuffix(name, "_total") {
		return Counter
	}
	return Gauge
}
