package demo

import (
	"math"
	"strings"
	"testing"
)

// FuzzReadMetrics: whatever stands at /metrics is read or refused; a histogram that is taken has as many counts as bounds.
func FuzzReadMetrics(f *testing.F) {
	f.Add(`# TYPE swarmpurse_admission_seconds histogram
swarmpurse_admission_seconds_bucket{path="local",le="0.1"} 3
swarmpurse_admission_seconds_bucket{path="local",le="+Inf"} 4
swarmpurse_admission_seconds_sum{path="local"} 1
swarmpurse_admission_seconds_count{path="local"} 4
# TYPE swarmpurse_settlements_total counter
swarmpurse_settlements_total{result="settled"} 7
`)
	f.Add("swarmpurse_admission_seconds{path=\"local\"} NaN\nswarmpurse_settlements_total{result=\"late\"} -1e400\n")
	f.Add("# TYPE swarmpurse_admission_seconds summary\nswarmpurse_admission_seconds{path=\"local\",quantile=\"0.5\"} 1\n")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := readMetrics(strings.NewReader(s))
		if err != nil {
			return
		}
		if len(m.local.bounds) != len(m.local.counts) {
			t.Fatalf("%+v", m)
		}
		var sum Histogram
		sum.plus(m.local, 2)
		sum.plus(m.local, -1)
		if l := sum.latency(); len(sum.counts) != len(m.local.counts) || l.Decisions < 0 {
			t.Fatalf("%+v is %+v", sum, l)
		}
		for _, q := range []float64{0, 0.5, 0.99, 1} {
			if v := m.local.quantile(q); v < 0 && !anyNegative(m.local) {
				t.Fatalf("the quantile %v of %+v is %v", q, m.local, v)
			}
		}
	})
}

func anyNegative(h Histogram) bool {
	for _, list := range [][]float64{h.bounds, h.counts, {h.total}} {
		for _, v := range list {
			if v < 0 || math.IsNaN(v) {
				return true
			}
		}
	}
	return false
}
