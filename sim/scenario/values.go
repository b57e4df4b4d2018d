package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// The functions here read a value that may be absent: n is nil then, and they return what is the default.

func (d *decoder) whole(n *yaml.Node, what string, low, high, absent int) int {
	if n == nil {
		return absent
	}
	advice := fmt.Sprintf("write a whole number from %d to %d", low, high)
	v, ok := d.Scalar(n, what, advice)
	if !ok {
		return absent
	}
	i, err := strconv.Atoi(strings.ReplaceAll(v, "_", ""))
	if err != nil || i < low || i > high {
		d.Report(document.Deref(n), advice, "%s cannot be %s", what, document.Clip(v))
		return absent
	}
	return i
}

// number reads a number with at most six digits after the point.
func (d *decoder) number(n *yaml.Node, what string) float64 {
	if n == nil {
		return 0
	}
	const advice = "write a number, as in 2 or 1.5"
	v, ok := d.Scalar(n, what, advice)
	if !ok {
		return 0
	}
	i, err := document.Decimal(v, 6)
	if err != nil {
		d.Report(document.Deref(n), advice, "%s %q %v", what, document.Clip(v), err)
	}
	return float64(i) / 1e6
}

func (d *decoder) fraction(n *yaml.Node, what string) float64 {
	if n == nil {
		return 0
	}
	ppm, _ := d.Percent(n, what)
	return float64(ppm) / 1e6
}

func (d *decoder) truth(n *yaml.Node, what string) bool { return n != nil && d.Boolean(n, what) }

func (d *decoder) span(n *yaml.Node, what string, low, high, absent time.Duration) time.Duration {
	if n == nil {
		return absent
	}
	v, ok := d.Duration(n, what)
	if !ok {
		return absent
	}
	if v < low || v > high {
		d.Report(document.Deref(n), "", "%s is %v, it must be between %v and %v", what, v, low, high)
		return absent
	}
	return v
}

// shift reads a duration that may be negative.
func (d *decoder) shift(n *yaml.Node, what string) time.Duration {
	const advice = "write it as in 3s or -250ms"
	v, ok := d.Scalar(n, what, advice)
	if !ok {
		return 0
	}
	text, negative := strings.CutPrefix(v, "-")
	by, err := document.ParseDuration(text)
	if err != nil {
		d.ScalarErr(document.Deref(n), what, err)
		return 0
	}
	if by == 0 || by > maxShift {
		d.Report(document.Deref(n), advice, "%s is %v, it must not be 0 and at most %v", what, by, maxShift)
	}
	if negative {
		return -by
	}
	return by
}

// exact reads one duration to the microsecond.
func (d *decoder) exact(n *yaml.Node, what string) time.Duration {
	v, ok := d.Scalar(n, what, "write it as in 300us, 20ms or 1s")
	if !ok {
		return 0
	}
	by, err := document.ParseDelay(v)
	if err != nil {
		d.ScalarErr(document.Deref(n), what, err)
		return 0
	}
	return by
}

// delay reads a distribution of durations: one, or a median and a 99th percentile.
func (d *decoder) delay(n *yaml.Node, what string, absent Delay) Delay {
	if n == nil {
		return absent
	}
	if document.Deref(n).Kind != yaml.MappingNode {
		v := d.exact(n, what)
		return Delay{Median: v, P99: v}
	}
	var v Delay
	f := d.Mapping(n, delayShape)
	if f["median"] == nil || f["p99"] == nil {
		return absent // said
	}
	v.Median, v.P99 = d.exact(f["median"], "median"), d.exact(f["p99"], "p99")
	if v.Median > v.P99 {
		d.Report(document.Deref(n), "", "%s has a median of %v, which is above its p99 of %v", what, v.Median, v.P99)
	}
	return v
}

// size reads a distribution of token counts: one, or a median and a 99th percentile.
func (d *decoder) size(n *yaml.Node, what string) Size {
	if n == nil {
		return Size{}
	}
	if document.Deref(n).Kind != yaml.MappingNode {
		v, _ := d.Amount(n, what)
		return Size{Median: int64(v), P99: int64(v)}
	}
	var v Size
	f := d.Mapping(n, sizeShape)
	if n := f["median"]; n != nil {
		m, _ := d.Amount(n, "median")
		v.Median = int64(m)
	}
	if n := f["p99"]; n != nil {
		m, _ := d.Amount(n, "p99")
		v.P99 = int64(m)
	}
	return v
}

// rate reads calls per time as calls per second.
func (d *decoder) rate(n *yaml.Node) float64 {
	const advice = "write it as in 500/s, 2.5k/s or 30/m"
	v, ok := d.Scalar(n, "rate", advice)
	if !ok {
		return 0
	}
	text, per, _ := strings.Cut(v, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[per]
	scale := 1.0
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, scale = t, 1e3
	} else if t, ok := strings.CutSuffix(text, "M"); ok {
		text, scale = t, 1e6
	}
	i, err := document.Decimal(text, 6)
	switch {
	case seconds == 0:
		d.Report(document.Deref(n), advice, "rate %q does not say per what", document.Clip(v))
	case err != nil:
		d.Report(document.Deref(n), advice, "rate %q %v", document.Clip(v), err)
	case i == 0:
		d.Report(document.Deref(n), advice, "rate is 0")
	default:
		return float64(i) / 1e6 * scale / seconds
	}
	return 0
}

// bytes reads bytes per second.
func (d *decoder) bytes(n *yaml.Node, what string) int64 {
	if n == nil {
		return 0
	}
	v, ok := d.Scalar(n, what, bytesAdvice)
	if !ok {
		return 0
	}
	b, err := parseBytes(v)
	if err != nil {
		d.Report(document.Deref(n), bytesAdvice, "%s %q %v", what, document.Clip(v), err)
	}
	return int64(b)
}

const bytesAdvice = "write it as in 25kB/s or 10MB/s"

func parseBytes(s string) (float64, error) {
	for _, u := range []struct {
		suffix string
		scale  float64
	}{{"kB/s", 1e3}, {"MB/s", 1e6}, {"B/s", 1}} {
		if t, ok := strings.CutSuffix(s, u.suffix); ok {
			i, err := document.Decimal(t, 6)
			if err == nil && i == 0 {
				err = fmt.Errorf("is nothing")
			}
			return math.Round(float64(i) / 1e6 * u.scale), err
		}
	}
	return 0, fmt.Errorf("does not say what per second")
}
