package needs

import (
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestZone(t *testing.T) {
	begin := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for now := begin; now.Before(begin.AddDate(0, 0, 3)); now = now.Add(time.Minute) {
		name := zoneAt(now)
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for c, least := range map[ledger.Calendar]time.Duration{
			{Length: 3_600_000, Loc: loc}:  10 * time.Minute,
			{Length: 86_400_000, Loc: loc}: 2 * time.Hour,
			{Months: 1, Loc: loc}:          2 * time.Hour,
		} {
			at := ledger.Instant(now.UnixMilli())
			if _, _, end := c.At(at); time.Duration(end-at)*time.Millisecond < least {
				t.Errorf("%v, %s: a window of %+v turns in %d ms", now, name, c, end-at)
			}
		}
	}
}
