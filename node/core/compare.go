package core

import (
	"math/rand/v2"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Comparer keeps what two nodes know from differing for long. A row is told once, when it
// changes, so what was lost on the way (a cut too short for the membership to notice is enough) would stay
// unknown until a full push/pull happens to come by, after half a minute or more. Instead every node tells one
// peer after the other what it knows, in a digest and by its policy's revision, and that peer sends what is
// missing.
type Comparer struct {
	at       ledger.Instant // of the next digest
	live     []string       // members alive at the last look
	returned []string       // came back since: they are asked first
}

const (
	compareEvery ledger.Instant = 3_000 // ms between digests to peers by chance
	compareSoon  ledger.Instant = 300   // ms between digests to peers that came back
	// comparePart is the part of the gossip ceiling that digests may cost: they grow with the swarm, and are sent
	// more seldom then.
	comparePart = 10
	maxReturned = 3 // the rows of a whole side come with the first of them, and travel on
	// maxComparePauses bounds the pause between digests: two minutes.
	maxComparePauses = 40
)

// Members tells who is alive, sorted by name. live is kept and must not be written to any more.
func (c *Comparer) Members(now ledger.Instant, live []string) {
	was := c.live
	for _, name := range live {
		for len(was) > 0 && was[0] < name {
			was = was[1:]
		}
		if len(was) > 0 && was[0] == name {
			continue
		}
		if len(c.returned) < maxReturned {
			c.returned = append(c.returned, name)
			c.at = min(c.at, now)
		}
	}
	c.live = live
}

// Due reports whether it is time to tell a peer. A clock that was put back far makes it so.
func (c *Comparer) Due(now ledger.Instant) bool {
	return now >= c.at || c.at > now+compareEvery*maxComparePauses
}

// Next returns when it will be Due, unless it is told of members before.
func (c *Comparer) Next(now ledger.Instant) ledger.Instant {
	if c.Due(now) {
		return now
	}
	return c.at
}

// Peer picks whom to tell: one that came back, or one by chance; "" if nobody is alive. founded says whether this
// node has a charter: without one it has no rows, and what it lacks is a full sync with anybody. After it, call
// Told with what the digest cost.
func (c *Comparer) Peer(now ledger.Instant, founded bool, dice *rand.Rand) (to string, pause ledger.Instant) {
	c.at = now + compareEvery
	if len(c.live) == 0 {
		return "", 0
	}
	to, pause = c.live[dice.IntN(len(c.live))], compareEvery
	if founded && len(c.returned) > 0 {
		to, c.returned = c.returned[0], c.returned[1:]
		if !slices.Contains(c.live, to) {
			return c.Peer(now, founded, dice) // gone again
		}
		if len(c.returned) > 0 {
			pause = compareSoon
		}
	}
	return to, pause
}

// Told plans the next digest after one of that many bytes was sent, under a ceiling of bytes per second.
func (c *Comparer) Told(now, pause ledger.Instant, bytes int, perSecond int64, dice *rand.Rand) {
	cost := ledger.Instant(int64(bytes) * comparePart * 1000 / max(1, perSecond))
	pause = max(pause, min(cost, compareEvery*maxComparePauses))
	c.at = now + pause*3/4 + ledger.Instant(dice.Int64N(int64(pause)/2))
}
