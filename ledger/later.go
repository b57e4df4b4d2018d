package ledger

// What an instance that nobody knows gets by a seat that an operator's word passed on. Its holder may have used it, and told
// nobody: so it issues nothing of what that could have spent, but for what the operator states (Word.Unseen).

// laterKey stands among the instances that were used under a seat for all that were not, and its level for an instant: what
// issues anew after it is issued, what was issued before is not. A hash of 0 is no instance's.
const laterKey uint64 = 0

// later is what of founding shares counts only from a window on.
type later struct {
	shares Shares
	first  Window
}

// add takes a seat's shares in, and returns the level at which the instance is used under it.
func (l *later) add(n Shares, at Tokens, spec *Spec) (level Tokens) {
	switch spec.Kind {
	case Windowed:
		w, _, _ := spec.calendar().At(Instant(at))
		l.shares += n
		l.first = max(l.first, w+1)
	case Grant, Slots:
		return unknownLevel
	}
	return 0
}

// countsLater reports whether what seat i brings to an instance that was not used under it may have been spent by an earlier
// holder who told nobody.
func (r *Replica) countsLater(now Instant, i int, spec *Spec) bool {
	at, ok := r.seats.used[i][laterKey]
	if !ok {
		return false
	}
	switch spec.Kind {
	case Windowed:
		w, _, _ := spec.calendar().At(now)
		last, _, _ := spec.calendar().At(Instant(at))
		return w <= last
	case Rate: // by then the burst is full again
		return now < Instant(at)+Instant(mulDiv(int64(spec.Amount), int64(spec.PerMillis), int64(max(1, spec.Per))))
	}
	return true
}
