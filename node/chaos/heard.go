package chaos

import (
	"slices"
	"time"
)

// mute is a time in which a node could not tell its peers what it did.
type mute struct {
	node     int
	from, to time.Time // to is zero while it lasts
	by       *Event
}

// heardWithin is how long it takes at most until a node's peers have heard of what it did, while nothing keeps it
// from telling them.
const heardWithin = 10 * time.Second

// heard is until when all that a node did is surely known to its peers now, whatever an event does to it that has just
// begun: the end of the last time in which it was not mute for long enough, less that long. Mutes are by their beginning.
func heard(now time.Time, mutes []mute, node int, but *Event) time.Time {
	for _, m := range slices.Backward(mutes) {
		if m.node == node && m.by != but && (m.to.IsZero() || now.Sub(m.to) < heardWithin) && m.from.Before(now) {
			now = m.from
		}
	}
	return now.Add(-heardWithin)
}
