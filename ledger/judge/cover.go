package judge

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Final is what records of a generation show of one instance.
type Final struct {
	State *ledger.State // nil if they show no account
	Pairs []Pair
	Dues  []Due
	Word  bool // an operator's (callers of ReadFinal say so): its rights are what he stated, and what its node did with them stays true
	// Forgot says that they show none since its life was over and it was forgotten.
	Forgot bool
	past   map[string][][2]uint64 // generations with which no pairs are kept any more, by node
}

// pairs are those that the records show, and as they were those that were folded.
func (f *Final) pairs(b *Book) []Pair { return withFolded(f.Pairs, b.closed, f.folded) }

func (f *Final) folded(h ledger.Holder) bool {
	return slices.ContainsFunc(f.past[h.Node], func(s [2]uint64) bool { return s[0] <= h.Gen && h.Gen <= s[1] })
}

// withFolded adds closed pairs that are not kept any more, as they were last.
func withFolded(ps, closed []Pair, folded func(ledger.Holder) bool) []Pair {
	for _, c := range closed {
		if folded(c.Peer) && !slices.ContainsFunc(ps, func(p Pair) bool { return p.Peer == c.Peer }) {
			ps = append(ps[:len(ps):len(ps)], c)
		}
	}
	return ps
}

// ReadFinal reads what a guardian's copies of a generation, or decided records, show of an instance.
func ReadFinal(records []guardian.Record, id ledger.InstanceID) (f Final, err error) {
	for _, r := range records {
		rec, err := ledger.Inspect(ledger.Write(r))
		if err != nil {
			return f, broken(Readable, "final records: %v", err)
		}
		if rec.Closed != nil {
			if f.past == nil {
				f.past = map[string][][2]uint64{}
			}
			f.past[rec.Node] = rec.Closed
		}
		if _, ends, mortal := id.Life(); mortal && ends <= rec.Floor {
			f.Forgot = true
		}
		if rec.Instance != id {
			continue
		}
		if rec.Account != nil {
			f.State = rec.Account
		}
		if rec.Entry != nil {
			f.Pairs = append(f.Pairs, Pair{rec.Peer, *rec.Entry})
		}
		if rec.Due != nil {
			f.Dues = append(f.Dues, Due{From: rec.From, To: rec.To, Due: *rec.Due})
		}
	}
	f.Forgot = f.Forgot && f.State == nil
	return f, nil
}

// Copies lists what is stored of a ward, in no order.
func (g *Guards) Copies(of ledger.Holder) (rs []guardian.Record) {
	for k, v := range g.copies[of] {
		rs = append(rs, guardian.Record{Key: k, Value: v})
	}
	return rs
}

// Claimable calls f with the disk of every guardian whose copies a claim could decide on now: the latest among some
// majority of them.
func Claimable(of ledger.Holder, set []*Guards, f func(*Guards) error) error {
	for _, g := range set {
		v, notLater := g.Ward(of).Version, 0
		for _, o := range set {
			if o.Ward(of).Version <= v {
				notLater++
			}
		}
		if v > 0 && notLater >= guardian.Majority(len(set)) {
			if err := f(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// Covers judges final records of b's generation: they show at least what its callers were told, and what came to others
// from it. books are those of all holders.
func (f *Final) Covers(b *Book, books []*Book, spec ledger.Spec) error {
	if f.Forgot {
		return nil
	}
	window, mark := ledger.Window(0), ledger.Tokens(0)
	if f.State != nil {
		window, mark = f.State.Window, f.State.Held
	}
	if stock := spec.Kind != ledger.Rate && spec.Ceiling == ledger.Hard && !f.Word; stock {
		for i := range b.Uses {
			u := &b.Uses[i]
			if f.State == nil && u.Used > 0 || u.Window > window && u.Used > 0 || u.Window == window && u.Used > mark {
				return broken(BelowHeld, "%v in %s: callers were told %d of window %d; a claim would find window %d with a held mark of %d",
					b.Self, b.ID, u.Used, u.Window, window, mark)
			}
		}
		if f.State != nil && mark > max(0, f.State.Balance())+f.State.Spent+f.State.Reserved {
			return broken(BelowHeld, "%v in %s: a held mark of %d in %+v", b.Self, b.ID, mark, *f.State)
		}
	}
	pairs := f.pairs(b)
	for _, o := range books {
		if f.Word && o.Final != nil && o.Final.Word {
			continue // what was between two of the dead is the dead's
		}
		out, in := find(pairs, o.Self), find(o.Pairs, b.Self)
		if in.SharesIn > out.SharesOut || in.In > 0 && (in.Window > out.Window || in.Window == out.Window && in.In > out.Out) {
			return broken(ToldIsHeld, "%v has credited %+v from %v; a claim would find %+v", o.Self, in.Entry, b.Self, out.Entry)
		}
	}
	return nil
}
