package placement

import (
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Shares: how they should lie by demand, and what moves them there.

// dealing is how shares should lie by what is known of demand.
type dealing struct {
	floor           float64 // demand that everybody counts as having, so that quiet nodes keep something to start with
	perDemand       float64 // shares
	useful, useless float64 // shares that hold usefulCalls, uselessCalls
	meanCall        float64
}

// deal works out how shares should lie; false if nobody has demand. more is demand that the view does not show.
func deal(v *ledger.View, more float64) (d dealing, ok bool) {
	o := ledger.Others{Holders: len(v.Peers)}
	for i := range v.Peers {
		switch r := v.Peers[i].Row; {
		case r == nil:
		case r.Alone:
			o.Alone += r.Shares
		default:
			o.Demand += r.Demand + r.Lent
		}
	}
	return dealOf(v, o, more)
}

// dealOf is deal for what peers come to. Shares of those whose guardians do not hear of them stay there, and what is asked
// for there is nobody's to serve.
func dealOf(v *ledger.View, o ledger.Others, more float64) (d dealing, ok bool) {
	total, all := v.Demand+v.Lending+more+float64(o.Demand), max(0, ledger.TotalShares-o.Alone)
	if total <= 0 || o.Holders == 0 {
		return d, false
	}
	d.floor = total / float64(16*v.Members)
	d.perDemand = float64(all) / (total + d.floor*float64(v.Members))
	d.useful, d.useless, d.meanCall = hold(v, usefulCalls), hold(v, uselessCalls), float64(v.MeanCall)
	return d, true
}

// fair is the part of one who has shares; who has none must deserve more to get some, else they would come and go.
func (d *dealing) fair(demand float64, has ledger.Shares) float64 {
	least := d.useful
	if float64(has) >= d.useless {
		least = d.useless
	}
	if f := (demand + d.floor) * d.perDemand; f >= least {
		return f
	}
	return 0
}

// noise is what chance explains of a difference in shares.
func (d *dealing) noise(demand float64) float64 {
	return 2 * math.Sqrt(max(0, demand)*d.meanCall/demandSeconds) * d.perDemand
}

// Along gives who asks half of the part that its demand deserves, as far as it has less and the giver more than its own
// part: a new instance, or demand that moved, need not wait for rounds of drift. Who has some gets more only if it has
// less than half by more than chance explains.
func (Strategy) Along(v *ledger.View, peer int, ask *ledger.Ask) ledger.Shares {
	if alone(&v.Peers[peer]) {
		return 0
	}
	has, demand, told := ledger.Shares(0), float64(ask.Demand), 0.0
	if r := v.Peers[peer].Row; r != nil {
		has, told = r.Shares, float64(r.Demand+r.Lent)
	}
	demand = max(demand, told)
	d, ok := deal(v, demand-told)
	if !ok {
		return 0
	}
	deserves := d.fair(demand, has)
	if deserves == 0 || has > 0 && deserves/2-float64(has) <= d.noise(demand) {
		return 0
	}
	n := max(deserves/2, d.useful) - float64(has)
	return max(0, ledger.Shares(min(n, float64(v.Share)-d.fair(v.Demand+v.Lending, v.Share))))
}

// Drifts holds when this holder has too few shares to be of use, serves more asks than it can afford, or has more than its part
// of the demand by what Drift moves.
func (Strategy) Drifts(v *ledger.View, o ledger.Others) bool {
	d, ok := dealOf(v, o, 0)
	if !ok {
		return false
	}
	mine := d.fair(v.Demand+v.Lending, v.Share)
	return spread(v, &d, mine) || relieves(v) > 0 || excess(v, &d, mine) > 0
}

// spread reports whether shares lie so thin here that they are of no use.
func spread(v *ledger.View, d *dealing, mine float64) bool {
	return mine < d.useless && v.Share > 0 && float64(v.Share) < d.useless
}

// excess is by how much a holder has more than its part, 0 if it is not worth moving.
func excess(v *ledger.View, d *dealing, mine float64) float64 {
	x := float64(v.Share) - mine
	if mine > 0 && x < max(mine*hysteresis, float64(ledger.TotalShares)/float64(8*v.Members), d.noise(v.Demand+v.Lending)) || x < 1 {
		return 0
	}
	return x
}

// Drift moves shares from a holder that has more than its part of the demand to one that lacks: a quarter of
// the smaller difference a step, half of it to one who has less than half of its part. Nothing moves within the hysteresis, nor for what chance explains: smoothed
// over T, the demand d of calls of c tokens that come at random has a deviation of √(d·c/T). Who lacks twice as
// much is picked twice as often, so that many givers together do not overshoot.
//
// Rights given for asks count as demand of the giver, so that holders who serve many small ones keep their shares.
// Of a rate, nobody gets shares that hold fewer than some calls: spread so thin, no call could run anywhere. Who
// has so few gives them to the holder of most.
func (Strategy) Drift(v *ledger.View) (int, ledger.Shares) {
	d, ok := deal(v, 0)
	if !ok {
		return -1, 0
	}
	lacks := func(p *ledger.PeerView) ledger.Shares {
		if p.Row == nil || p.Given || p.Row.Alone {
			return 0
		}
		demand := float64(p.Row.Demand + p.Row.Lent)
		f := d.fair(demand, p.Row.Shares)
		lack := f - float64(p.Row.Shares)
		if lack <= max(f*hysteresis/2, d.noise(demand)) {
			return 0
		}
		return ledger.Shares(lack)
	}
	mine := d.fair(v.Demand+v.Lending, v.Share)
	if spread(v, &d, mine) {
		return most(v, v.Share), v.Share
	}
	if i, n := relieve(v); i >= 0 {
		return i, n
	}
	excess := excess(v, &d, mine)
	if excess <= 0 {
		return -1, 0
	}
	all := ledger.Shares(0)
	for i := range v.Peers {
		all += min(lacks(&v.Peers[i]), ledger.TotalShares)
	}
	all = min(all, math.MaxInt32) // what dice can do on any machine
	if all <= 0 {
		return -1, 0
	}
	pick := ledger.Shares(v.Rand(int(all)))
	for i := range v.Peers {
		lack := min(lacks(&v.Peers[i]), ledger.TotalShares)
		if pick < lack {
			most := min(ledger.Shares(excess), lack)
			n := ledger.Shares(damping * float64(most))
			if mine == 0 {
				n = most // what it deserves is of no use to it
			}
			if has := v.Peers[i].Row.Shares; has < lack {
				n = max(n, most/2) // it has less than half of its part: no overshoot is near
				if float64(has+n) < d.useful {
					n = min(most, ledger.Shares(d.useful)-has) // enough to be of use at once
				}
			}
			if v.Gather {
				n = wholeTokens(v, n, most)
			}
			return i, min(n, v.Share)
		}
		pick -= lack
	}
	return -1, 0
}

// relieve moves shares of a rate from a holder that serves more asks than it can afford to one that has none, whatever it asks for
// itself: where no node's own demand deserves useful shares, all of them lie with the founders, and all calls of the swarm ask
// those few.
func relieve(v *ledger.View) (int, ledger.Shares) {
	n := relieves(v)
	if n <= 0 {
		return -1, 0
	}
	free := func(p *ledger.PeerView) bool { return p.Row != nil && p.Row.Shares == 0 && !p.Given && !p.Row.Alone }
	some := 0
	for i := range v.Peers {
		if free(&v.Peers[i]) {
			some++
		}
	}
	if some == 0 {
		return -1, 0
	}
	pick := v.Rand(some)
	for i := range v.Peers {
		if !free(&v.Peers[i]) {
			continue
		}
		if pick--; pick < 0 {
			return i, n
		}
	}
	return -1, 0
}

// relieves is how many shares such a holder gives, 0 if it can afford what it serves.
func relieves(v *ledger.View) ledger.Shares {
	if v.Spec.Kind != ledger.Rate || v.MeanCall <= 0 {
		return 0
	}
	serves := v.Lending / float64(v.MeanCall) // a second
	n := max(float64(v.Share)*serveMost/max(1, serves), hold(v, serveCalls))
	n = min(n, float64(v.Share)-n)
	if serves <= serveMost*(1+hysteresis) || n < hold(v, serveCalls) {
		return 0
	}
	return ledger.Shares(n)
}

// hold is the shares of a rate that hold so many mean calls; 0 for other supplies.
func hold(v *ledger.View, calls float64) float64 {
	if v.Spec.Kind != ledger.Rate || v.Spec.Amount <= 0 {
		return 0
	}
	part := calls * float64(v.MeanCall) / float64(v.Spec.Amount)
	return min(1, part) * float64(ledger.TotalShares)
}

// most is the peer with the most shares, if it has more than the given number; -1 otherwise. Of equals it is the
// first, so that two never give to each other.
func most(v *ledger.View, than ledger.Shares) int {
	best := -1
	for i := range v.Peers {
		r := v.Peers[i].Row
		if r == nil || r.Alone || r.Shares < than || r.Shares == than && v.Self.Compare(v.Peers[i].Holder) < 0 {
			continue
		}
		if best < 0 || r.Shares > v.Peers[best].Row.Shares {
			best = i
		}
	}
	return best
}

// Gather brings free shares together at one seat holder, the first of those that live by a hash of instance and
// holder: where alone they are worth nothing they issue what is lacking to the limit. Nodes whose views differ
// may gather at different ones, but shares only ever move up in that order, so never in a circle. What is left
// here are the shares of whole tokens, and what all members together may keep within the slack of an issue.
func (Strategy) Gather(v *ledger.View) (int, ledger.Shares) {
	best, most := -1, uint64(0)
	if v.Seat {
		most = rank(v.Instance, v.Self)
	}
	for i := range v.Peers {
		if p := &v.Peers[i]; p.Founder && !alone(p) {
			if n := rank(v.Instance, p.Holder); n > most {
				best, most = i, n
			}
		}
	}
	whole := ledger.Issue(v.Share-v.Free, v.Spec.Amount)
	n := min(v.Free, v.Share-ledger.PartFor(whole, v.Spec.Amount))
	if best < 0 || n <= ledger.Shares(ledger.IssueSlack/max(1, int64(v.Spec.Amount)*int64(v.Members))) {
		return -1, 0
	}
	return best, n
}

// rank orders holders for an instance (rendezvous hashing; FNV-1a, whose last bytes mix too little, and the
// finalizer of MurmurHash3).
func rank(id ledger.InstanceID, h ledger.Holder) uint64 {
	x := uint64(14695981039346656037)
	for _, s := range [...]string{string(id), "\x00", h.Node} {
		for i := range len(s) {
			x = (x ^ uint64(s[i])) * 1099511628211
		}
	}
	x ^= h.Gen
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// wholeTokens is the part of most shares to move where the limit is so small that free shares are gathered: what
// is not worth a token would only have to be. One token moves rather than none.
func wholeTokens(v *ledger.View, n, most ledger.Shares) ledger.Shares {
	most = min(most, v.Share) / 2
	tokens := max(ledger.Issue(min(n, most), v.Spec.Amount), min(1, ledger.Issue(most, v.Spec.Amount)))
	return min(most, ledger.PartFor(tokens, v.Spec.Amount))
}
