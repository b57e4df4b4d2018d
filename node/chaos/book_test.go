package chaos

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func only(t *testing.T, b *Book) Account {
	t.Helper()
	list := b.Accounts()
	if len(list) != 1 {
		t.Fatalf("%d accounts", len(list))
	}
	return list[0]
}

// What callers are told, and what the nodes must hold and charge for it at the least and at most.
func TestBookKnowsBounds(t *testing.T) {
	admit := func(b *Book, size int64) *Call {
		return b.Admitted(Jobs, "jobs/a", Life{0, 0}, size, at(0), at(1))
	}
	for _, c := range []struct {
		name                  string
		do                    func(b *Book)
		held, peak, low, high int64
	}{
		{"a call that runs", func(b *Book) { admit(b, 100) }, 100, 100, 100, 100},
		{"a settlement on its way", func(b *Book) { admit(b, 100).Ending(60) }, 60, 100, 60, 100},
		{"a settlement", func(b *Book) { c := admit(b, 100); c.Ending(60); c.Settled(60) }, 60, 100, 60, 60},
		{"a refund that was dropped", func(b *Book) { c := admit(b, 100); c.Ending(60); c.Settled(100) }, 60, 100, 100, 100},
		{"a node that forgot the call", func(b *Book) { c := admit(b, 100); c.Ending(60); c.Forgotten() }, 60, 100, 100, 100},
		{"an answer that was lost", func(b *Book) { b.Unknown(Jobs, "jobs/a", 100) }, 0, 0, 0, 100},
		{"a refusal", func(b *Book) { b.Refused(Jobs, "jobs/a", 100) }, 0, 0, 0, 0},
		{"one after the other", func(b *Book) {
			for range 3 {
				c := admit(b, 100)
				c.Ending(10)
				c.Settled(10)
			}
		}, 30, 120, 30, 30},
		{"at once", func(b *Book) {
			x, y := admit(b, 100), admit(b, 50)
			x.Ending(10)
			y.Ending(50)
			y.Settled(50)
		}, 60, 150, 60, 150},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBook()
			c.do(b)
			if a := only(t, b); a.Held != c.held || a.Peak != c.peak || a.Low != c.low || a.High != c.high {
				t.Errorf("held %d, peak %d, spent %d to %d; want %d, %d, %d to %d", a.Held, a.Peak, a.Low, a.High, c.held, c.peak, c.low, c.high)
			}
		})
	}
}

// What only a lost directory can have known: what its node did after it last was heard.
func TestBookKnowsWhatWasAtRisk(t *testing.T) {
	b := NewBook()
	for i, life := range []Life{{1, 0}, {1, 0}, {1, 0}, {1, 1}, {2, 0}} {
		c := b.Admitted(Jobs, "jobs/a", life, 100, at(10*i), at(10*i+5))
		c.Ending(int64(i + 1))
		c.Settled(int64(i + 1))
	}
	a := only(t, b)
	for _, c := range []struct {
		life  Life
		since int
		want  int64
	}{
		{Life{1, 0}, 0, 1 + 2 + 3},
		{Life{1, 0}, 5, 2 + 3},
		{Life{1, 0}, 30, 0},
		{Life{1, 1}, 0, 4},
		{Life{3, 0}, 0, 0},
	} {
		if got := a.AtRisk(c.life, at(c.since)); got != c.want {
			t.Errorf("of %v after %d ms: %d, want %d", c.life, c.since, got, c.want)
		}
	}
}
