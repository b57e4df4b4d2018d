package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxScrape bounds what is read of a node's metrics.
const maxScrape = 16 << 20

// Histogram is a sum of Prometheus histograms with the same buckets.
type Histogram struct {
	bounds []float64 // upper, ascending
	counts []float64 // at or below each bound
	total  float64
}

// metricsOf is what the demo reads of a node's metrics.
type metricsOf struct {
	local   Histogram // swarmpurse_admission_seconds of path local
	settled float64   // swarmpurse_settlements_total of result settled or late
}

func (m *member) scrape(ctx context.Context) (out metricsOf, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+"/metrics", nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	resp, err := plainHTTP.Do(req)
	if err != nil {
		return out, fmt.Errorf("node %s: /metrics: %w", m.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("node %s: /metrics: status %d", m.Name, resp.StatusCode)
	}
	out, err = readMetrics(io.LimitReader(resp.Body, maxScrape))
	if err != nil {
		return out, fmt.Errorf("node %s: /metrics: %w", m.Name, err)
	}
	return out, nil
}

func readMetrics(in io.Reader) (out metricsOf, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(in)
	if err != nil {
		return out, err
	}
	for _, m := range families["swarmpurse_admission_seconds"].GetMetric() {
		if label(m, "path") == "local" {
			out.local.add(m.GetHistogram())
		}
	}
	for _, m := range families["swarmpurse_settlements_total"].GetMetric() {
		if r := label(m, "result"); r == "settled" || r == "late" {
			out.settled += m.GetCounter().GetValue()
		}
	}
	return out, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func (h *Histogram) add(d *dto.Histogram) {
	var o Histogram
	for _, b := range d.GetBucket() {
		o.bounds = append(o.bounds, b.GetUpperBound())
		o.counts = append(o.counts, float64(b.GetCumulativeCount()))
	}
	o.total = float64(d.GetSampleCount())
	h.plus(o, 1)
}

// plus adds a histogram k times; -1 takes an earlier state of it away.
func (h *Histogram) plus(o Histogram, k float64) {
	if len(h.bounds) == 0 {
		h.bounds = slices.Clone(o.bounds)
		h.counts = make([]float64, len(o.counts))
	}
	if len(o.bounds) == 0 || !slices.Equal(h.bounds, o.bounds) {
		return // a node of another version, or an empty one
	}
	for i := range o.counts {
		h.counts[i] += k * o.counts[i]
	}
	h.total += k * o.total
}

// quantile is the value that a part q of all observations does not exceed, interpolated within its
// bucket; NaN without observations.
func (h *Histogram) quantile(q float64) float64 {
	if h.total <= 0 || len(h.bounds) == 0 {
		return math.NaN()
	}
	rank := q * h.total
	i, _ := slices.BinarySearch(h.counts, rank)
	for i < len(h.counts) && h.counts[i] < rank {
		i++
	}
	if i >= len(h.bounds) || math.IsInf(h.bounds[i], 1) {
		finite := h.bounds
		if math.IsInf(finite[len(finite)-1], 1) {
			finite = finite[:len(finite)-1]
		}
		if len(finite) == 0 {
			return math.NaN()
		}
		return finite[len(finite)-1]
	}
	low, before := 0.0, 0.0
	if i > 0 {
		low, before = h.bounds[i-1], h.counts[i-1]
	}
	in := h.counts[i] - before
	if in <= 0 {
		return h.bounds[i]
	}
	return low + (h.bounds[i]-low)*(rank-before)/in
}

// Latency is how long admission took.
type Latency struct {
	Decisions int64   `json:"decisions"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

func (h *Histogram) latency() Latency {
	if h.total <= 0 {
		return Latency{}
	}
	return Latency{int64(math.Round(h.total)), 1000 * h.quantile(0.5), 1000 * h.quantile(0.99)}
}

// mark is the state of all nodes at one moment of the run.
type mark struct {
	at      time.Time
	metrics []metricsOf
	status  []statusOf
}

type statusOf struct {
	sent, received int64
	decisions      map[string]int64
}

// takeMark looks at all nodes at once.
func (s *swarm) takeMark(ctx context.Context) (mark, error) {
	k := mark{at: time.Now(), metrics: make([]metricsOf, len(s.members)), status: make([]statusOf, len(s.members))}
	err := s.each(ctx, func(ctx context.Context, m *member) error {
		var err error
		if k.metrics[m.index], err = m.scrape(ctx); err != nil {
			return err
		}
		st, err := m.client.Status(ctx)
		if err != nil {
			return err
		}
		k.status[m.index] = statusOf{st.GossipSent, st.GossipReceived, st.Decisions}
		return nil
	})
	return k, err
}

// local sums up the histograms of all nodes from one mark to another.
func local(from, to mark) (h Histogram) {
	for i := range to.metrics {
		h.plus(to.metrics[i].local, 1)
		h.plus(from.metrics[i].local, -1)
	}
	return h
}
