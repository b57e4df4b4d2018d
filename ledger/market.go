package ledger

import "math"

// Market is what the live holders of an instance make of it.
type Market struct {
	Used  float64 // tokens per second that calls really use, before the price
	Price float64 // the geometric mean of the other holders' prices, by their use, in parts per million; 0 if none has one
}

// Market sums up what is known of an instance whose price moves.
func (r *Replica) Market(_ Instant, id InstanceID) Market {
	in, ok := r.instances[id]
	if !ok {
		return Market{}
	}
	var m Market
	if a := in.account; a != nil {
		a.mu.Lock()
		m.Used = float64(a.used)
		a.mu.Unlock()
	}
	var logs, weights float64
	peers := r.peers // sorted by node, as rows are by holder
	for i := range in.rows {
		row := in.rows[i].Row
		if row.Price == 0 {
			continue
		}
		for len(peers) > 0 && peers[0].Holder.Node < row.Holder.Node {
			peers = peers[1:]
		}
		if len(peers) == 0 || !peers[0].Alive || peers[0].Holder != row.Holder {
			continue
		}
		m.Used += float64(row.Used)
		w := float64(row.Used) + 1 // an idle holder's price says little, but more than none
		logs += w * math.Log(float64(row.Price))
		weights += w
	}
	if weights > 0 {
		m.Price = math.Exp(logs / weights)
	}
	return m
}

const settledConstant = 30_000 // ms, smoothing of what a reservation comes to

// settled is what was reserved for calls that have ended, and what they used, each counting less as time goes on.
type settled struct{ reserved, used float64 }

func (s *settled) add(reserved, used Tokens) {
	s.reserved += float64(reserved)
	s.used += float64(used)
}

func (s *settled) fade(dt Millis) {
	f := math.Exp(-float64(dt) / settledConstant)
	s.reserved *= f
	s.used *= f
}

// part is what calls use of what is reserved for them. Until one has ended it is all.
func (s *settled) part() float64 {
	if s.reserved < 1 {
		return 1
	}
	return s.used / s.reserved
}

// use brings the signal of use up to date, as of calls that were admitted: those that run for long count at once, by what
// others came to. Caller holds the lock.
func (a *Account) use(sec float64, dt Millis) {
	if a.price > 0 {
		a.used.add(float64(a.cost)*a.settled.part()/sec, dt, demandConstant)
		a.settled.fade(dt)
	} else {
		a.used, a.settled = 0, settled{}
	}
	a.cost = 0
}
