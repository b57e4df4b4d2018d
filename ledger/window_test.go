package ledger_test

import (
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestCalendar: which window holds an instant, where it begins and ends, in time zones whose clocks change.
func TestCalendar(t *testing.T) {
	zone := func(name string) *time.Location {
		l, err := time.LoadLocation(name)
		if err != nil {
			t.Fatalf("the tests need the time zone database: %v", err)
		}
		return l
	}
	const hour = Millis(3600_000)
	day := 24 * hour
	for _, c := range []struct {
		what           string
		cal            Calendar
		at, begin, end string // RFC 3339
	}{
		{"no windows", Calendar{}, "2026-03-01T10:00:00Z", "", ""},
		{"an hour", Calendar{Length: hour}, "2026-03-01T10:59:59Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"},
		{"the first instant of an hour", Calendar{Length: hour}, "2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"},
		{"an hour before 1970", Calendar{Length: hour}, "1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
		{"six hours in India, by its midnight", Calendar{Length: 6 * hour, Loc: zone("Asia/Kolkata")}, "2026-03-01T00:10:00Z", "2026-02-28T18:30:00Z", "2026-03-01T00:30:00Z"},
		{"a day, UTC", Calendar{Length: day}, "2026-03-01T10:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"a day of 23 hours in Berlin", Calendar{Length: day, Loc: zone("Europe/Berlin")}, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours in Berlin", Calendar{Length: day, Loc: zone("Europe/Berlin")}, "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"an hour of the 25 is an hour", Calendar{Length: hour, Loc: zone("Europe/Berlin")}, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"a day without midnight in Beirut", Calendar{Length: day, Loc: zone("Asia/Beirut")}, "2021-03-28T10:00:00Z", "2021-03-27T22:00:00Z", "2021-03-28T21:00:00Z"},
		{"the night before it", Calendar{Length: day, Loc: zone("Asia/Beirut")}, "2021-03-27T21:59:59Z", "2021-03-26T22:00:00Z", "2021-03-27T22:00:00Z"},
		{"a midnight that comes twice in Havana", Calendar{Length: day, Loc: zone("America/Havana")}, "2024-11-03T05:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{"a day that has begun goes on when clocks go back over midnight", Calendar{Length: day, Loc: zone("America/St_Johns")}, "2010-11-07T02:40:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"},
		{"the minute before", Calendar{Length: day, Loc: zone("America/St_Johns")}, "2010-11-07T02:29:59Z", "2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z"},
		{"the day that Samoa left out", Calendar{Length: day, Loc: zone("Pacific/Apia")}, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"a week begins on Monday", Calendar{Length: 7 * day}, "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"a month", Calendar{Months: 1}, "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"a month in New York", Calendar{Months: 1, Loc: zone("America/New_York")}, "2026-11-01T03:00:00Z", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"},
		{"a quarter", Calendar{Months: 3}, "2026-05-05T00:00:00Z", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z"},
		{"a year", Calendar{Months: 12}, "2026-05-05T00:00:00Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
	} {
		if err := c.cal.Valid(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		ms := func(s string) Instant {
			x, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return Instant(x.UnixMilli())
		}
		w, start, end := c.cal.At(ms(c.at))
		if c.begin == "" {
			if w != 0 {
				t.Errorf("%s: window %d", c.what, w)
			}
			continue
		}
		show := func(i Instant) string { return time.UnixMilli(int64(i)).UTC().Format(time.RFC3339) }
		if start != ms(c.begin) || end != ms(c.end) || Instant(w)*1000 != start {
			t.Errorf("%s: %s is in %d, %s to %s, want %s to %s", c.what, c.at, w, show(start), show(end), c.begin, c.end)
		}
	}
	for _, c := range []Calendar{{Length: 7 * hour}, {Length: 1500}, {Length: -1}, {Length: hour, Months: 1}, {Months: -1}, {Length: 25 * hour}, {Length: 1}} {
		if c.Valid() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}

// TestCalendarLeavesNoGap: windows follow each other without gap or overlap, over years of clock changes.
func TestCalendarLeavesNoGap(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatalf("the tests need the time zone database: %v", err)
		}
		for _, c := range []Calendar{{Length: 86_400_000, Loc: loc}, {Length: 7 * 86_400_000, Loc: loc}, {Months: 1, Loc: loc}, {Length: 3_600_000, Loc: loc}} {
			at := Instant(time.Date(2009, 12, 30, 0, 0, 0, 0, time.UTC).UnixMilli())
			w, start, end := c.At(at)
			for range 1500 {
				if start > at || at >= end || end-start < 3_600_000 && zone != "Pacific/Apia" {
					t.Fatalf("%s %+v: %d is in [%d, %d)", zone, c, at, start, end)
				}
				if w2, s2, e2 := c.At(end - 1); w2 != w || s2 != start || e2 != end {
					t.Fatalf("%s %+v: the last instant of [%d, %d) is in [%d, %d)", zone, c, start, end, s2, e2)
				}
				w2, s2, e2 := c.At(end)
				if s2 != end || w2 <= w {
					t.Fatalf("%s %+v: [%d, %d) is followed by [%d, %d)", zone, c, start, end, s2, e2)
				}
				w, at, start, end = w2, s2, s2, e2
			}
		}
	}
}

// scripted is a world whose test tells it every step.
func scripted(t *testing.T, nodes, founders int, specs map[string][]Spec) *world {
	w := newWorld(nodes, founders, 1, specs)
	w.fatalf = func(f string, args ...any) { t.Helper(); t.Fatalf(f, args...) }
	w.logf = t.Logf
	return w
}

func one(s Spec) map[string][]Spec { return map[string][]Spec{"b": {s, s, s}} }

// opened gives every node its account and lets rows travel.
func (w *world) opened() {
	for _, n := range w.nodes {
		for _, id := range w.ids {
			if _, err := n.r.Open(n.clock(), id); err != nil {
				w.fatalf("%v", err)
			}
		}
	}
	for range 10 {
		w.round(60)
	}
}

func (w *world) state(n int) *State {
	s := w.nodes[n].r.Account(w.ids[0]).State(w.nodes[n].clock())
	return &s
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestTurn: what a window's end does to rights, reservations and debt.
func TestTurn(t *testing.T) {
	spec := window(1000, 60_000)
	spec.RolloverPPM = 100_000
	w := scripted(t, 1, 1, one(spec))
	n := w.nodes[0]
	w.now = testStart - testStart%60_000 + 60_000
	w.opened()
	id := w.ids[0]
	for range 3 {
		if !n.reserve([]InstanceID{id}, []Tokens{200}, false, false) {
			w.round(20) // the mark moves on
			n.reserve([]InstanceID{id}, []Tokens{200}, false, false)
		}
		w.round(20)
	}
	expect(t, "calls", len(n.open), 3)
	n.settle(0, 50) // 100 come back
	expect(t, "balance", w.state(0).Balance(), 500)

	w.now += 60_000 // the window is over, the next is not issued
	a := n.r.Account(id)
	expect(t, "rights of a window that is over", a.Rights(n.clock()), 0)
	if charged, over := a.Settle(n.clock(), 200, 50, n.open[0].takes[0].Window); charged != 200 || over != 0 {
		t.Errorf("a refund after the end: charged %d and %d, want all 200", charged, over)
	}
	late := n.open[1]
	n.open = nil
	w.round(20)
	s := w.state(0)
	expect(t, "rolled over: a tenth of the limit", s.Rolled, 100)
	expect(t, "balance", s.Balance(), 1100)
	expect(t, "spent before", s.Past.Spent, 500)
	expect(t, "lapsed before", s.Past.Lapsed, 400)
	expect(t, "issued before", s.Past.Issued, 1000)
	charged, over := a.Settle(n.clock(), 200, 260, late.takes[0].Window)
	expect(t, "charged late", charged, 260)
	expect(t, "overrun", over, 60)
	w.round(20)
	w.round(20)
	s = w.state(0)
	expect(t, "the overrun is paid from the new window", s.Spent+s.Debt, 60)
	expect(t, "debt", s.Debt, 0)
	w.check()
}

// TestShareIssuesOnceAWindow: the first rule. A's clock is 25 s ahead; its share, issued by A for the window
// after next, must not be issued for that window by those it wanders to.
func TestShareIssuesOnceAWindow(t *testing.T) {
	w := scripted(t, 3, 1, one(window(1000, 20_000)))
	w.now = testStart - testStart%20_000
	w.nodes[0].off = 45_000
	w.opened()
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	id := w.ids[0]
	ahead := w.state(0).Window
	if got := a.r.GiveShares(a.clock(), id, b.self, TotalShares); got != TotalShares {
		t.Fatalf("gave %d shares", got)
	}
	w.round(20)
	expect(t, "shares of b", w.state(1).Shares(), TotalShares)
	b.r.GiveShares(b.clock(), id, c.self, TotalShares/2)
	w.round(20)
	for range 120 { // c's and b's clocks pass the window that a issued
		w.round(500)
		for i := range w.nodes {
			if s := w.state(i); i > 0 && s.Window <= ahead && s.Base > 0 {
				t.Fatalf("node %d issues %d in window %d, which a issued", i, s.Base, s.Window)
			}
		}
	}
	expect(t, "b's issue", w.state(1).Base, 500)
	expect(t, "c's issue", w.state(2).Base, 500)
	expect(t, "a's issue", w.state(0).Base, 0)
}

// TestClockStepsBack: nothing is minted for time that comes twice, no window opens again, and what repeats by
// the clock goes on.
func TestClockStepsBack(t *testing.T) {
	specs := map[string][]Spec{
		"r": {{Kind: Rate, Amount: 1000, Per: 100, PerMillis: 1000, Lend: DefaultLend}},
		"w": {window(1000, 20_000)},
	}
	w := scripted(t, 2, 1, specs)
	w.opened()
	n := w.nodes[0]
	rate, win := n.r.Account(w.ids[0]), n.r.Account(w.ids[1])
	w.now += 1000
	if got := rate.Rights(n.clock()); got != 1000 {
		t.Fatalf("a full burst at first: %d", got)
	}
	for rate.Rights(n.clock()) > 0 {
		n.admitOnly(rate, min(50, rate.Rights(n.clock())))
		n.r.Tick(n.clock())
		n.batch(commit, nil)
	}
	before := win.State(n.clock()).Window
	n.off = -30_000
	w.now += 29_000
	expect(t, "rights after 29 s of a clock put back 30 s", rate.Rights(n.clock()), 0)
	w.round(10)
	expect(t, "window", win.State(n.clock()).Window, before)
	// A gift whose first telling is lost is told again though the clock was put back.
	w.lossy = func() bool { return true }
	n.r.GiveRights(n.clock(), w.ids[1], w.nodes[1].self, 100, 0)
	w.round(10)
	n.off -= 7000
	w.nodes[1].off = Millis(-37_000)
	w.lossy = nil
	w.round(1000)
	w.round(1000)
	expect(t, "unacknowledged", n.r.Unacked(), 0)
}

// TestRestartInALaterWindow: what was left when the node went down lapses, and the present window is issued.
func TestRestartInALaterWindow(t *testing.T) {
	w := scripted(t, 1, 1, one(window(1000, 20_000)))
	w.now = testStart - testStart%20_000 + 20_000
	w.opened()
	n := w.nodes[0]
	n.reserve(w.ids, []Tokens{1}, false, false)
	n.crash()
	w.now += 200_000
	n.start(2)
	w.members()
	expect(t, "rights before the issue", n.r.Account(w.ids[0]).Rights(n.clock()), 0)
	w.round(10)
	expect(t, "rights", w.state(0).Balance(), 1000)
	w.check()
}

// TestParkedBudget: an account whose budget is gone from the policy rests on disk, and comes back with it.
func TestParkedBudget(t *testing.T) {
	w := scripted(t, 2, 2, one(Spec{Kind: Grant, Amount: 1000}))
	w.opened()
	n := w.nodes[0]
	id := w.ids[0]
	w.lossy = func() bool { return true }
	n.r.GiveRights(n.clock(), id, w.nodes[1].self, 100, 0)
	w.round(10)
	w.lossy = nil
	n.crash()
	specs := w.specs[id]
	delete(w.specs, id)
	n.start(3)
	w.members()
	n.batch(commit, nil)
	if _, err := n.r.Open(n.clock(), id); err == nil {
		t.Fatal("an unknown budget was opened")
	}
	w.specs[id] = specs
	if _, err := n.r.Open(n.clock(), id); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.round(1000)
	}
	expect(t, "what was on the way came", w.state(1).In, 100)
	w.check()
}

// TestCalendarChanges: a policy may change the length of a window; names stay in order, so it neither sleeps
// for ever nor issues twice.
func TestCalendarChanges(t *testing.T) {
	w := scripted(t, 1, 1, map[string][]Spec{"b": {window(1000, 10_000), window(3000, 60_000)}})
	w.now = testStart - testStart%60_000 + 60_000 + 35_000
	w.opened()
	n := w.nodes[0]
	start := w.state(0).Window
	n.version = 1
	n.r.Respec(n.clock())
	w.round(10)
	expect(t, "the window goes on", w.state(0).Window, start)
	expect(t, "with the new limit", w.state(0).Balance(), 3000)
	w.now += 20_000
	w.round(10)
	expect(t, "until the new one ends", w.state(0).Window, start)
	w.now += 10_000
	w.round(10)
	expect(t, "the next is a minute", w.state(0).Window, start+30)
	n.version = 0
	w.now += 15_000
	n.r.Respec(n.clock())
	w.round(10)
	w.round(10)
	expect(t, "shorter again", w.state(0).Window, start+50)
	expect(t, "issue", w.state(0).Balance(), 1000)
	w.check()
}
