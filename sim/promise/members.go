package promise

import (
	"math"
	"time"
)

// From the start of a process until it is a member, and from then until all know. A node that leaves is told of at
// once, and all know as quickly.
const (
	Join   = 500 * time.Millisecond
	Spread = time.Second
)

// From one probe of a node to the next, and how long one takes to fail.
const probe = time.Second

// suspected is how long a node among n is suspected before it counts as failed, once three nodes say so.
func suspected(n int) time.Duration {
	return time.Duration(4 * float64(time.Second) * max(1, math.Log10(float64(n))))
}

// FailureSeen is the time after which the first of n nodes sees that another one has died: at least least, and as each
// of the nodes probes one of the others each second, Exp(1 s) more. It is most in one of 400 cases.
func FailureSeen(n int) (least, most time.Duration) {
	least = probe + suspected(n)
	return least, least + 6*time.Second
}

// CutSlack is the factor by which a real pool may take longer or less long than CutSeen.
const CutSlack = 1.6

// CutSeen is the time after which a side of so many nodes has given up k of the nodes that it lost all at once by a
// cut. That is long where most are lost: a node whose probes fail, and whose helpers do not answer, takes itself for
// the one that is not well, and probes only every eight seconds; and where few are left to confirm a suspicion it
// lasts six times as long.
func CutSeen(side, lost, k int) time.Duration {
	n := side + lost
	if k == 0 {
		return 0
	}
	// When each node of the side has probed so many of the lost ones.
	probed := func(times float64) time.Duration {
		by := float64(k) * times / float64(side)
		others := by * (float64(n-1)/float64(lost) - 1) // probes in between that succeed
		part := float64(lost) / float64(n-1)
		if 3*part*part <= 1-part { // successes outweigh the helpers that do not answer
			return time.Duration((1 + by + others) * float64(probe))
		}
		sum := 0.0
		for i := 0; by > 0; i++ {
			sum += min(1, by) * [...]float64{1, 4, 7, 8}[min(i, 3)]
			by--
		}
		return time.Duration((sum + others) * float64(probe))
	}
	least := suspected(n)
	if n < 4 { // nobody needs to confirm
		return probed(1) + least
	}
	takes := probed(1) + 6*least
	if side > 1 {
		takes = min(takes, max(probed(2), probed(1)+time.Duration(float64(least)*(6-5*math.Log(2)/math.Log(3)))))
	}
	if side > 2 {
		takes = min(takes, max(probed(3), probed(1)+least))
	}
	const uneven = 1.25 // chance does not deal out probes evenly, and the last one counts
	return time.Duration(uneven * float64(takes))
}

// Heal is the longest time after the end of a cut until one node reaches another across it: every node tries one that
// failed every five seconds.
const Heal = 5 * time.Second
