package placement

import (
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Defaults of Strategy.
const (
	keepSeconds     = 0.5  // a donor keeps this much of its own demand, but never more than half
	prefetchSeconds = 1.0  // an asker wants this much of its demand beyond what lacks
	prefetchStock   = 30.0 // and so much of what does not lapse
	keepStock       = 10.0 // of which a donor keeps more, too
	hysteresis      = 0.25
	damping         = 0.25
	rowChange       = 0.01 // a row is sent when this part of the limit moved
	rowPace         = 100  // ms between rows of one instance
	rowAge          = 1000 // ms after which any change is sent
	fewMembers      = 7    // where everybody reaches all others directly, a row costs little
	rowTurn         = 50   // ms between rows of all holders of an instance together
	rowSlowest      = 2000 // ms: no holder waits longer for its turn
	restAge         = ledger.Millis(5000)
	signalAge       = ledger.Millis(10_000) // after which a mere change of signals is sent
	returnSeconds   = 2.0                   // borrowed rights are kept for the calls of this time
	returnDust      = 16                    // and returned if they are more than this part of a mean call
	usefulCalls     = 2.5                   // nobody gets shares of a rate that hold fewer mean calls than this
	uselessCalls    = 1.25                  // and who has shares that hold fewer gives them away
	aheadCalls      = 2.0                   // mean calls that should find their cost here
	aheadSeconds    = 0.5                   // and seconds of demand, of which are more
	aheadStock      = 3.0                   // of what does not lapse: it takes notes to guardians, here and at the donor
	aheadSoonest    = 1000.0                // ms in which own shares may still bring them
	serveMost       = 8.0                   // asks a second that one holder serves: each costs it a gift and notes of it, some 900 bytes
	serveCalls      = 8.0                   // but nobody gets shares for that which hold fewer mean calls
	demandSeconds   = 10.0                  // twice the time over which the ledger smooths demand: what its noise averages over
)

// Strategy pools rights where the surplus is and moves them on demand. The zero value is ready.
type Strategy struct{}

var _ ledger.Strategy = Strategy{}

// alone reports whether a peer can neither give nor use what it gets.
func alone(p *ledger.PeerView) bool { return p.Row != nil && p.Row.Alone }

// keep is what a donor holds back for its own callers.
func keep(v *ledger.View) ledger.Tokens {
	seconds := keepSeconds
	if stock(v) {
		seconds = keepStock
	}
	return min(ledger.Tokens(v.Demand*seconds), v.Givable/2)
}

// stock reports whether rights do not lapse while they lie here, and do not come back.
func stock(v *ledger.View) bool { return v.Spec.Kind == ledger.Grant || v.Spec.Kind == ledger.Windowed }

// Surplus is what is beyond the holder's own near need; nothing while a call waits here.
func (Strategy) Surplus(v *ledger.View) ledger.Tokens {
	if v.Waiting > 0 || v.Held > 0 {
		return 0
	}
	return max(0, v.Givable-keep(v)-min(v.Borrowed, v.Givable)) // what is borrowed has gone before anybody hears of it
}

// dust is what is not worth a message: an eighth of the need, or a quarter of the most that the shares can
// accrue if that is less. Without it donors of a rate give each token as it accrues, a message for each. Other
// supplies do not refill, so their last tokens are given once and for all.
func dust(v *ledger.View, need ledger.Tokens, shares ledger.Shares) ledger.Tokens {
	if v.Spec.Kind != ledger.Rate {
		return 1
	}
	return max(1, min(need/8, ledger.Worth(shares, v.Spec.Amount)/4))
}

// estimate is what a peer may have now: the surplus and the balance that its row said and, for a rate, what it
// has accrued since. A peer that is short itself has no surplus, whatever it accrues.
func estimate(v *ledger.View, p *ledger.PeerView) (surplus, balance ledger.Tokens) {
	row := p.Row
	if row == nil || row.Window != v.Window {
		return 0, 0
	}
	surplus, balance = row.Surplus, max(row.Surplus, row.Balance())
	if v.Spec.Kind == ledger.Rate && v.Spec.PerMillis > 0 {
		part := float64(row.Shares) / float64(ledger.TotalShares)
		most := ledger.Worth(row.Shares, v.Spec.Amount)
		grown := float64(v.Spec.Per) / float64(v.Spec.PerMillis) * part * float64(max(0, p.Age))
		n := ledger.Tokens(min(grown, float64(most)))
		balance = max(balance, min(balance+n, most))
		if surplus > 0 || row.Unmet == 0 {
			surplus = max(surplus, min(surplus+n, most))
		}
	}
	return surplus, balance
}

// donor is a peer that may be asked: its index in the view and what it is expected to have for us.
type donor struct {
	i        int
	has      ledger.Tokens
	distance ledger.Millis
}

// better says whether to rather ask d than o: who can serve the need alone, and the nearer one of two that
// can; otherwise who has more.
func (d donor) better(o donor, need ledger.Tokens) bool {
	fd, fo := d.has >= need, o.has >= need
	if fd != fo {
		return fd
	}
	if fd && d.distance != o.distance {
		return d.distance < o.distance
	}
	return d.has > o.has
}

// Donors picks by power of two choices among the peers whose rows show surplus, nearer first among those
// that can serve the need alone (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
// 2001). When that does not cover the need it tries peers that a refusal named and founders that have not used
// the instance yet; then, of a rate, a holder whose shares will bring the need before the call's time is over (the
// ask waits there, see Hold); and then holders of fragments: those with less than is here, since fragments flow to
// where least lacks (see Give), or with enough for the call.
func (Strategy) Donors(v *ledger.View, need ledger.Tokens, n int) ([]int, ledger.Tokens) {
	var rich, unknown, later, poor []donor
	surplus, fragments := ledger.Tokens(0), ledger.Tokens(0)
	soon := refill(v, v.Share, need) // here
	if v.First > ledger.RankNone {
		soon = refill(v, v.Share, max(need, v.Lack)) // all of it is the tenant's due
	}
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.Refused || p.Asked || alone(p) {
			continue
		}
		least := ledger.Tokens(1)
		if p.Row != nil {
			least = dust(v, need, p.Row.Shares)
		}
		s, b := estimate(v, p)
		whole := can(v, p, need)
		switch {
		case v.Ahead && s < need:
		case s >= need, s >= least && !whole:
			rich = append(rich, donor{i, s, p.Distance})
			surplus += s
		case p.Hinted, p.Row == nil && p.Founder, p.Row != nil && p.Row.Window != v.Window && p.Row.Shares > 0:
			unknown = append(unknown, donor{i, 0, p.Distance})
		case whole:
			ahead := p.Row.Wanted
			if v.First > ledger.RankNone {
				ahead = 0 // it goes first there, or is told if too many do
			}
			if eta := waits(v, p.Row.Shares, ahead+need-b); eta <= float64(v.Patience) && eta < soon {
				later = append(later, donor{i, -ledger.Tokens(eta), p.Distance})
			}
		case b >= least && (b <= v.Rights || v.First == ledger.RankFloor || v.Spec.Kind != ledger.Rate && b >= need):
			poor = append(poor, donor{i, b, p.Distance})
			fragments += b
		}
	}
	if surplus >= need {
		later = nil
	}
	if v.Spec.Kind == ledger.Rate && len(unknown)+len(later) == 0 && surplus+fragments < need {
		return nil, need // too little for the call: the refill will bring more than asking for it
	}
	prefetch := prefetch(v, surplus)
	one := need
	if v.Spec.Kind != ledger.Rate {
		one += prefetch // rather of one who has it all: what it gives must be noted by both sides before it is used
	}
	var picks []int
	got := ledger.Tokens(0)
	for k, from := range [...][]donor{rich, unknown, later, poor} {
		for len(picks) < n && len(from) > 0 && got < need {
			k0 := choose(v, from, one)
			picks = append(picks, from[k0].i)
			got += max(0, from[k0].has)
			if k == 2 {
				got = need // one such ask is enough
			}
			from[k0] = from[len(from)-1]
			from = from[:len(from)-1]
		}
	}
	if v.First == ledger.RankFloor {
		return picks, max(need, v.Lack)
	}
	return picks, max(need, v.Lack) + prefetch
}

// prefetch is what is asked for beyond what lacks. It leaves every other asker its part of what is known to be there, and is
// whole calls: of a rate, what is left over would lapse.
func prefetch(v *ledger.View, surplus ledger.Tokens) ledger.Tokens {
	n := ledger.Tokens(v.Demand * prefetchSeconds)
	switch v.Spec.Kind {
	case ledger.Grant, ledger.Windowed:
		n = ledger.Tokens(v.Demand * prefetchStock)
	case ledger.Slots:
		n = swing(v)
	}
	n = min(n, surplus/ledger.Tokens(max(2, v.Members)))
	if v.Spec.Kind == ledger.Rate && v.MeanCall > 0 {
		n -= n % v.MeanCall
	}
	return max(0, n)
}

// swing is by how much the slots in use here go up and down by chance.
func swing(v *ledger.View) ledger.Tokens {
	return ledger.Tokens(math.Sqrt(float64(v.Reserved) * float64(v.MeanCall)))
}

// can reports whether a peer's shares of a rate can bring the whole need at once, if it is given time.
func can(v *ledger.View, p *ledger.PeerView, need ledger.Tokens) bool {
	return v.Spec.Kind == ledger.Rate && p.Row != nil && saves(v, p.Row.Shares, need)
}

// saves reports whether shares of a rate hold so much that they can save up for the need beside what their holder's own
// calls take. Thinner ones give what they have: where all are thin, a need that waits at one of them waits in vain
// while the fragments that would make it up lie elsewhere.
func saves(v *ledger.View, shares ledger.Shares, need ledger.Tokens) bool {
	return ledger.Worth(shares, v.Spec.Amount) >= 2*need
}

// waits is how long the shares of a rate take to bring so many tokens, in ms; for ever on other supplies.
func waits(v *ledger.View, shares ledger.Shares, lack ledger.Tokens) float64 {
	if v.Spec.Kind != ledger.Rate || v.Spec.PerMillis == 0 || shares <= 0 || v.Spec.Per <= 0 {
		return math.Inf(1)
	}
	perMs := float64(v.Spec.Per) / float64(v.Spec.PerMillis) * float64(shares) / float64(ledger.TotalShares)
	return float64(max(0, lack)) / perMs
}

// refill is how long the call that lacks need waits for this node's own shares, if they can hold it at all.
func refill(v *ledger.View, shares ledger.Shares, need ledger.Tokens) float64 {
	if ledger.Worth(shares, v.Spec.Amount) < need+v.Rights {
		return math.Inf(1)
	}
	return waits(v, shares, need)
}

// Hold keeps an ask that will be served in time: of a rate, when what came before it and it have accrued; of slots,
// when calls run here, whose end brings some. Rights of a rate that come when they have half lapsed are of little use.
func (Strategy) Hold(v *ledger.View, ask *ledger.Ask) bool {
	switch v.Spec.Kind {
	case ledger.Rate:
		if !saves(v, v.Share, ask.Need) {
			return false
		}
		ahead := v.HeldBy[ask.Rank()]
		if v.Waiting > 0 && ask.Rank() <= v.First {
			ahead += v.Waiting - min(v.Waiting, v.Rights)
		}
		return waits(v, v.Share, ahead+ask.Need-v.GivableTo(ask)) <= float64(min(ask.Patience, v.Spec.Lend/2))
	case ledger.Slots:
		return v.Reserved > v.Held
	}
	return false
}

// Return brings borrowed rights back when there are more than the calls of the next moments need: whole calls are
// kept, fragments are not. What has half of its life behind it is kept for the calls of two seconds, not for what is
// to be at hand: else much that was asked for ahead would lapse. They go to a peer whose shares have room, the better one of two by chance.
func (Strategy) Return(v *ledger.View) (int, ledger.Tokens) {
	if v.MeanCall <= 0 {
		return -1, 0
	}
	soon := ledger.Tokens(v.Demand * returnSeconds)
	soon -= soon % v.MeanCall
	keep := max(soon, atHand(v))
	own := v.Rights - v.Borrowed
	n := max(v.Borrowed-max(0, keep-own), v.Lapsing-max(0, soon-own))
	if n < max(1, v.MeanCall/returnDust) {
		return -1, 0
	}
	var to []donor
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.Row == nil || p.Row.Window != v.Window || alone(p) {
			continue
		}
		_, b := estimate(v, p)
		if room := ledger.Worth(p.Row.Shares, v.Spec.Amount) - b; room >= n {
			to = append(to, donor{i, room, p.Distance})
		}
	}
	if len(to) == 0 {
		return -1, n
	}
	return to[choose(v, to, ledger.MaxTokens)].i, n
}

// Accept takes what is offered as long as the shares could hold it: then it is needed sooner or later.
func (Strategy) Accept(v *ledger.View, n ledger.Tokens) bool {
	return v.Waiting > 0 || v.Held > 0 || v.Rights+n <= ledger.Worth(v.Share, v.Spec.Amount)
}

// atHand is what should be here before calls come: the cost of a few, or half a second of demand if that is more. It is
// nothing while it is not known what calls cost, nor when what is borrowed would hardly be used before it lapses.
func atHand(v *ledger.View) ledger.Tokens {
	seconds := aheadSeconds
	if stock(v) && v.MeanCall > 0 {
		seconds = aheadStock
	}
	n := max(ledger.Tokens(aheadCalls*float64(v.MeanCall)), ledger.Tokens(v.Demand*seconds))
	if v.Spec.Kind == ledger.Slots {
		n = max(n, swing(v))
	}
	if v.Spec.Kind == ledger.Rate && v.Demand*float64(v.Spec.Lend)/2000 < float64(n) {
		return 0
	}
	return n
}

// Ahead asks for what lacks to that, unless the node's own shares bring it before the next call is likely to come.
func (Strategy) Ahead(v *ledger.View) ledger.Tokens {
	if v.Demand <= 0 {
		return 0
	}
	has := v.Rights
	if v.Spec.Kind == ledger.Rate && v.Spec.PerMillis > 0 {
		next := float64(v.MeanCall) / v.Demand * 1000 / 2 // ms
		if own, most := v.Rights-v.Borrowed, ledger.Worth(v.Share, v.Spec.Amount); own < most {
			perMs := float64(v.Spec.Per) / float64(v.Spec.PerMillis) * float64(v.Share) / float64(ledger.TotalShares)
			has += min(most-own, ledger.Tokens(perMs*min(next, aheadSoonest)))
		}
	}
	return max(0, atHand(v)-has)
}

// choose takes the better one of two different donors that chance names.
func choose(v *ledger.View, from []donor, need ledger.Tokens) int {
	if len(from) == 1 {
		return 0
	}
	i, j := v.Rand(len(from)), v.Rand(len(from)-1)
	if j >= i {
		j++
	}
	if from[j].better(from[i], need) {
		return j
	}
	return i
}

// Give serves the ask's need if that completes a call, more if there is surplus. Two nodes that both hold
// too little for their waiting calls would trade fragments for ever, so fragments flow one way: to the call
// that lacks least, and of two that lack the same to the holder that sorts first.
func (Strategy) Give(v *ledger.View, ask *ledger.Ask) ledger.Tokens {
	has := v.GivableTo(ask)
	if has <= 0 || has < dust(v, ask.Need, v.Share) {
		return 0
	}
	if ask.Ahead {
		if spare := has - keep(v); v.Waiting == 0 && v.Held == 0 && spare >= ask.Need {
			return min(max(ask.Want, ask.Need), spare)
		}
		return 0
	}
	if v.Spec.Kind == ledger.Rate && has < ask.Need && saves(v, v.Share, ask.Need) {
		return 0 // the whole need will be there soon: see Hold
	}
	if ask.Rank() > v.First && (has >= ask.Need || ask.Rank() == ledger.RankFloor) {
		return min(has, max(ask.Want, ask.Need)) // before the calls that wait here, or may come
	}
	first := ask.From.Compare(v.Self) < 0
	if v.Waiting > 0 && ask.Rank() < v.First {
		return 0
	}
	if v.Waiting > 0 {
		lack := max(0, v.Waiting-v.Rights)
		if ask.Need < lack || ask.Need == lack && first {
			return min(has, ask.Need)
		}
		return 0
	}
	spare := has - keep(v)
	switch {
	case spare >= ask.Need:
		return min(max(ask.Want, ask.Need), spare)
	case has >= ask.Need:
		return ask.Need
	case first || has < v.MeanCall || v.Demand == 0:
		return has // a fragment: no use here
	}
	return max(0, spare)
}

// Weight lets a row out when it changed by a hundredth of the limit, when surplus appears or ends, and any change
// after a while; shares, top-ups and a turn of the window at once. A row goes to everybody, through everybody, so how
// often one may come depends on how many come: holders of shares, whom others ask, take turns at a pace that keeps
// all their rows within a part of what gossip may cost; the others only tell what they have spent.
func (Strategy) Weight(v *ledger.View, last, now *ledger.Row, age ledger.Millis) float64 {
	pace, latest := ledger.Millis(rowPace), ledger.Millis(rowAge)
	switch {
	case v.Members <= fewMembers:
	case now.Shares > 0:
		holders := int64(ledger.TotalShares / now.Shares)
		pace = ledger.Millis(min(max(rowPace, holders*rowTurn), rowSlowest))
		latest = max(latest, pace)
	default:
		pace = ledger.Millis(max(rowPace, int64(v.Members)*rowTurn/4))
		latest = max(restAge, pace)
	}
	limit := float64(max(1, v.Spec.Amount))
	moved := 0.0
	for _, d := range [...]ledger.Tokens{
		now.Spent + now.Reserved - last.Spent - last.Reserved, now.Surplus - last.Surplus,
		now.Issued - last.Issued, now.In - last.In, now.Out - last.Out, now.Wanted - last.Wanted,
	} {
		moved = max(moved, math.Abs(float64(d))/limit)
	}
	switch {
	case last.Version == 0, now.Alone != last.Alone, now.Window != last.Window, now.Shares != last.Shares, now.Minted != last.Minted, now.Whole > last.Whole:
		return 1 + moved
	case age < pace:
		return float64(age - pace)
	case (now.Surplus == 0) != (last.Surplus == 0):
		return 1
	case moved >= rowChange:
		return moved
	case age >= latest && (moved > 0 || twice(now.Demand, last.Demand) || age >= signalAge):
		return max(moved, rowChange/2)
	}
	return 0
}

// twice reports whether one is at least twice the other: demand that ebbs away would else be told every second for a
// minute.
func twice(a, b ledger.Tokens) bool { return a >= 2*b && a > 0 || b >= 2*a && b > 0 }
