package ledger

import (
	"errors"
	"fmt"
)

// Lapses tells apart where rights went that lapsed. The three add up to Lapsed.
type Lapses struct {
	Decayed Tokens // by the token type's half-life
	Expired Tokens // with a window, with a loan's life, beyond what a rate's shares may hold, or since a provider refused calls
	Burned  Tokens // by an operator, or by a lower limit
}

// Lapses tells of the present window.
func (s *State) Lapses() Lapses { return lapses(s.Lapsed, s.Decayed, s.Burned+s.Cut) }

// Lapses tells of the windows that have ended.
func (p *Past) Lapses() Lapses { return lapses(p.Lapsed, p.Decayed, p.Burned) }

// EverLapsed tells of all windows of this generation, and of what it took over as an heir.
func (s *State) EverLapsed() Lapses {
	now, past := s.Lapses(), s.Past.Lapses()
	taken := lapses(s.Taken.Lapsed, s.Taken.Decayed, s.Taken.Burned)
	return Lapses{
		Decayed: now.Decayed + taken.Decayed + past.Decayed,
		Expired: now.Expired + taken.Expired + past.Expired,
		Burned:  now.Burned + taken.Burned + past.Burned,
	}
}

// Lapses tells of the row's window. A holder of an older version tells nothing apart: with it all has expired.
func (r *Row) Lapses() Lapses { return lapses(r.Lapsed, r.Decayed, r.Burned) }

func lapses(all, decayed, burned Tokens) Lapses {
	return Lapses{Decayed: decayed, Expired: all - decayed - burned, Burned: burned}
}

// ErrTooFew is wrapped when rights are not here that are to be burned.
var ErrTooFew = errors.New("not enough rights here")

// Burn destroys amount unspent rights of an instance that are at this node, at once and for good. id makes it happen once; a
// repeat returns true. It wraps ErrTooFew, and burns nothing, when fewer are here: ask for them by Waiting and try again. It is durable
// after the next Commit. What is not held by guardians yet comes back if the generation is claimed.
func (r *Replica) Burn(now Instant, inst InstanceID, amount Tokens, id string) (repeated bool, err error) {
	if len(id) > maxMintID {
		return false, fmt.Errorf("%w: the id has at most %d bytes", ErrTooMuch, maxMintID)
	}
	if amount <= 0 || amount > MaxTokens {
		return false, fmt.Errorf("%w: 1 to %d tokens can be burned, not %d", ErrTooMuch, MaxTokens, amount)
	}
	a, err := r.Open(now, inst)
	if err != nil {
		return false, err
	}
	if k := a.Spec().Kind; k != Grant && k != Windowed {
		return false, fmt.Errorf("%w: %q is a %s, which brings back what is taken; only grants and windows are", ErrNoTopUp, inst.Name(), k)
	}
	if done, ok := r.burned.seen[id]; ok && id != "" {
		if done != amount {
			return true, fmt.Errorf("%w: %q burned %d tokens, not %d", ErrTooMuch, id, done, amount)
		}
		return true, nil
	}
	if here, ok := a.burn(now, amount); !ok {
		return false, fmt.Errorf("%w: %q has %d, %d are to be burned", ErrTooFew, inst.Name(), here, amount)
	}
	r.mark(r.instances[inst])
	if id != "" {
		r.burned.add(id, amount)
		r.meta(keyBurn, encodeMints(&r.burned))
	}
	return false, nil
}

// burn destroys n unspent rights, or none when fewer are here. Debt is paid first.
func (a *Account) burn(now Instant, n Tokens) (here Tokens, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	if !a.open() {
		return 0, false
	}
	if here = max(0, a.rights-a.s.Debt); here < n {
		return here, false
	}
	a.s.Burned += n
	a.lapse(n)
	a.touch()
	return here, true
}
