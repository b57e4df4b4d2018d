package api

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

// The answers of the two hot calls are appended to a pooled buffer instead of going through
// encoding/json and its maps; a test holds them equal to the types of wire.go.

func appendAnswer(b []byte, a *admit.Answer) []byte {
	b = append(b, '{')
	if a.ID != "" {
		b = append(b, `"id":`...)
		b = appendString(b, a.ID)
		b = append(b, ',')
	}
	b = append(b, `"decision":"`...)
	b = append(b, a.Verdict.String()...)
	b = append(b, `","reserved":`...)
	b = appendCharges(b, a.Reserved)
	b = appendPrices(b, a.Reserved)
	if v := AdviceOf(a); v != nil {
		b = appendAdvice(append(b, `,"advice":`...), v)
	}
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason)
	b = append(b, `,"code":`...)
	b = appendString(b, a.Code)
	if a.RetryAfter > 0 {
		b = append(b, `,"retry_after_ms":`...)
		b = strconv.AppendInt(b, ceilDiv(a.RetryAfter, time.Millisecond), 10)
	}
	b = append(b, `,"backpressure":`...)
	b = strconv.AppendInt(b, int64(a.Level), 10)
	b = append(b, `,"policy":{"revision":`...)
	b = strconv.AppendInt(b, a.Revision, 10)
	if a.Arm != "" {
		b = append(b, `,"arm":`...)
		b = appendString(b, a.Arm)
	}
	b = append(b, `},"node":`...)
	b = appendString(b, a.Node)
	b = append(b, `,"waited_ms":`...)
	b = strconv.AppendFloat(b, float64(a.Waited.Microseconds())/1000, 'f', -1, 64)
	return append(b, '}', '\n')
}

func appendAdvice(b []byte, a *Advice) []byte {
	b = append(b, '{')
	first := len(b)
	name := func(s string) {
		if len(b) > first {
			b = append(b, ',')
		}
		b = append(appendString(b, s), ':')
	}
	text := func(field, s string) {
		if s != "" {
			name(field)
			b = appendString(b, s)
		}
	}
	text("model", a.Model)
	if a.MaxOutputTokens > 0 {
		name("max_output_tokens")
		b = strconv.AppendInt(b, a.MaxOutputTokens, 10)
	}
	for _, p := range [...]struct {
		field string
		v     *float64
	}{{"temperature", a.Temperature}, {"top_p", a.TopP}} {
		if p.v != nil {
			name(p.field)
			b = strconv.AppendFloat(b, *p.v, 'f', -1, 64)
		}
	}
	text("upstream", a.Upstream)
	if len(a.Flags) > 0 {
		name("flags")
		b = append(b, '[')
		for i, f := range a.Flags {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, f)
		}
		b = append(b, ']')
	}
	text("experiment", a.Experiment)
	text("experiment_arm", a.Arm)
	text("node", a.Node)
	text("http", a.HTTP)
	text("zone", a.Zone)
	if a.RTTMS > 0 {
		name("rtt_ms")
		b = strconv.AppendFloat(b, a.RTTMS, 'f', -1, 64)
	}
	return append(b, '}')
}

func appendReceipt(b []byte, r *admit.Receipt) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	b = append(b, `,"charged":`...)
	b = appendCharges(b, r.Charged)
	b = append(b, `,"overrun":`...)
	b = strconv.AppendInt(b, int64(r.Overrun), 10)
	b = append(b, `,"repeated":`...)
	b = strconv.AppendBool(b, r.Repeated)
	b = append(b, `,"late":`...)
	b = strconv.AppendBool(b, r.Late)
	return append(b, '}', '\n')
}

// appendCharges writes amounts by budget name. Charges at two instances or token types of one budget
// are added up. Calls draw on a few budgets, so the search for a name's second charge is short.
func appendCharges(b []byte, charges []admit.Charge) []byte {
	b = append(b, '{')
	first := true
	for i := range charges {
		name := charges[i].Budget
		if slices.ContainsFunc(charges[:i], func(c admit.Charge) bool { return c.Budget == name }) {
			continue
		}
		var sum ledger.Tokens
		for j := i; j < len(charges); j++ {
			if charges[j].Budget == name {
				sum += charges[j].Amount
			}
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, name)
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(sum), 10)
	}
	return append(b, '}')
}

// appendPrices writes prices by budget name, if there are any. One budget has one price.
func appendPrices(b []byte, charges []admit.Charge) []byte {
	open := false
	for i := range charges {
		c := &charges[i]
		if c.Price <= 0 || slices.ContainsFunc(charges[:i], func(o admit.Charge) bool { return o.Budget == c.Budget && o.Price > 0 }) {
			continue
		}
		if open {
			b = append(b, ',')
		} else {
			b, open = append(b, `,"price":{`...), true
		}
		b = append(appendString(b, c.Budget), ':')
		b = strconv.AppendFloat(b, c.Price.Float(), 'g', -1, 64)
	}
	if open {
		b = append(b, '}')
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD, as with encoding/json.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "�"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func ceilDiv(d, unit time.Duration) int64 { return int64((d + unit - 1) / unit) }
