package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// SupplyText writes a supply as people would: "10,000,000 per 24h", "300,000/m, burst 60,000".
func SupplyText(s *ledger.Spec) string {
	amount := humanize.Comma(int64(s.Amount))
	switch s.Kind {
	case ledger.Windowed:
		if s.Calendar.Months > 0 {
			return amount + " per month"
		}
		return amount + " per " + short(time.Duration(s.Calendar.Length)*time.Millisecond)
	case ledger.Rate:
		per, ok := map[ledger.Millis]string{1000: "s", 60_000: "m", 3_600_000: "h", 86_400_000: "d"}[s.PerMillis]
		if !ok {
			per = short(time.Duration(s.PerMillis) * time.Millisecond)
		}
		return fmt.Sprintf("%s/%s, burst %s", humanize.Comma(int64(s.Per)), per, amount)
	case ledger.Slots:
		return amount + " at once"
	}
	return amount + " once"
}

// CeilingText writes a ceiling as in policies.
func CeilingText(s *ledger.Spec) string {
	if s.Ceiling == ledger.Soft {
		return fmt.Sprintf("soft %g%%", float64(s.OverdraftPPM)/10_000)
	}
	return s.Ceiling.String()
}

// short leaves out the zeros of a duration: 24h, not 24h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
