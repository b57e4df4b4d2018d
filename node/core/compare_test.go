package core

import (
	"math/rand/v2"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestComparer(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	var c Comparer
	c.Members(1000, []string{"a", "b"})
	// Both are new, so both are told at once, the first soon followed by the second.
	var told []string
	for now := ledger.Instant(1000); now < 2000; now += 50 {
		if !c.Due(now) {
			continue
		}
		to, pause := c.Peer(now, true, dice)
		told = append(told, to)
		c.Told(now, pause, 100, 25_000, dice)
	}
	if len(told) != 2 || told[0] != "a" || told[1] != "b" {
		t.Fatalf("told %v within a second, want a and b", told)
	}
	// From then on about one in 3 s, by chance.
	n := map[string]int{}
	for now := ledger.Instant(2000); now < 302_000; now += 50 {
		if c.Due(now) {
			to, pause := c.Peer(now, true, dice)
			n[to]++
			c.Told(now, pause, 100, 25_000, dice)
		}
	}
	if all := n["a"] + n["b"]; all < 85 || all > 115 || n["a"] < 30 || n["b"] < 30 {
		t.Errorf("told %v in 300 s, want about 100 evenly", n)
	}
	// One that goes and comes back is told at once; one that is gone again is not.
	c.Members(302_000, []string{"a"})
	c.Members(303_000, []string{"a", "b"})
	c.Members(303_000, []string{"a"})
	if !c.Due(303_000) {
		t.Error("a peer came back and is not told")
	}
	if to, _ := c.Peer(303_000, true, dice); to != "a" {
		t.Errorf("told %q, which is gone", to)
	}
	// Large digests are sent more seldom: a tenth of 25 kB/s allows one of 250 kB in 100 s.
	c.Told(400_000, compareEvery, 250_000, 25_000, dice)
	if c.Due(470_000) || !c.Due(550_000) {
		t.Error("a digest of 250 kB should be followed by the next after 75 to 125 s")
	}
	// Nobody alive.
	c.Members(600_000, nil)
	if to, _ := c.Peer(600_000, true, dice); to != "" || c.Due(600_000) {
		t.Errorf("told %q with nobody alive", to)
	}
}
