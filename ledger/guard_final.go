package ledger

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// final is what the decided records of a generation show, read once.
type final struct {
	of       Holder
	heir     Holder
	word     bool  // an operator's
	said     *Said // in which words
	accounts map[InstanceID]*finalAccount
	order    []InstanceID
	seats    map[int]Seat
	passes   map[int]*SeatPass
	used     []map[uint64]Tokens // by seat
	with     map[Holder]bool     // those with whom there are pairwise records
	past     past                // those with whom there are none any more
	floor    Instant             // lives that ended by then it may have forgotten
	about    []Holder            // whom it concerns, of a part; nil for all records
}

// finalAccount is one account as final records show it.
type finalAccount struct {
	state   State
	entries map[Holder]Entry
	dues    map[dueKey]Due
}

// entry is the pairwise record with a peer, all zero if there is none.
func (f *finalAccount) entry(peer Holder) Entry {
	if f == nil {
		return Entry{}
	}
	return f.entries[peer]
}

// peers lists those with whom there are pairwise records, in order.
func (f *finalAccount) peers() []Holder {
	return slices.SortedFunc(maps.Keys(f.entries), Holder.Compare)
}

// readFinal reads decided records. What does not make sense was written by a later version than this, or is damage:
// it is left out, and stays with the dead.
func readFinal(of, heir Holder, word bool, records []guardian.Record, seats int) *final {
	f := &final{of: of, heir: heir, word: word, accounts: map[InstanceID]*finalAccount{}, seats: map[int]Seat{}, passes: map[int]*SeatPass{}, used: make([]map[uint64]Tokens, seats), with: map[Holder]bool{}, past: past{}}
	account := func(id InstanceID) *finalAccount {
		a := f.accounts[id]
		if a == nil {
			a = &finalAccount{entries: map[Holder]Entry{}, dues: map[dueKey]Due{}}
			f.accounts[id] = a
			f.order = append(f.order, id)
		}
		return a
	}
	for _, r := range records {
		if id, ok := strings.CutPrefix(r.Key, keyAccount); ok {
			if s, err := decodeState(r.Value); err == nil {
				account(InstanceID(id)).state = *s
			}
		} else if key, ok := strings.CutPrefix(r.Key, keyEntry); ok {
			id, peer, err := splitEntryKey(key)
			if e, bad := decodeEntry(r.Value); err == nil && bad == nil {
				account(id).entries[peer] = *e
				f.with[peer] = true
			}
		} else if r.Key == keySaid {
			if s, err := decodeWord(r.Value); err == nil {
				f.said = &s
			}
		} else if ok, _ := f.past.read(r.Key, r.Value); ok {
			continue
		} else if r.Key == keyFloor {
			f.floor, _ = readFloor(r.Value)
		} else if key, ok := strings.CutPrefix(r.Key, keyDue); ok {
			id, k, err := splitDueKey(key)
			if d, bad := decodeDue(r.Value); err == nil && bad == nil {
				account(id).dues[k] = d
			}
		} else if _, ok := strings.CutPrefix(r.Key, keySeat); ok {
			d := newReader(r.Value, kindSeat)
			d.record(4)
			if s := d.seat(); d.err == nil && s.Index < seats {
				f.seats[s.Index] = s
			}
		} else if i, ok := strings.CutPrefix(r.Key, keyPass); ok {
			m, err := Decode(r.Value)
			n, bad := strconv.Atoi(i)
			if p, isPass := m.(*SeatPass); err == nil && isPass && bad == nil && n < seats && n >= 0 {
				f.passes[n] = p
			}
		} else if key, ok := strings.CutPrefix(r.Key, keyUsed); ok {
			if i, h, level, err := readUsed(key, r.Value, seats); err == nil {
				if f.used[i] == nil {
					f.used[i] = map[uint64]Tokens{}
				}
				f.used[i][h] = level
			}
		}
	}
	return f
}

// dueKey says what an heir was credited for: what a claimed generation owned, with the same holder twice what of it
// came free only later, and with another one what was on its way between the two.
type dueKey struct {
	from, to Holder
}

// Due is what an heir was credited for one key, once.
type Due struct {
	Shares Shares
	Window Window
	Tokens Tokens // of Window
	Taken  Taken  // of Window, see State
}

func dueRecordKey(id InstanceID, k dueKey) string {
	return keyDue + string(id) + "\x00" + holderKey(k.from) + "\x00" + holderKey(k.to)
}

func splitDueKey(key string) (id InstanceID, k dueKey, err error) {
	s, rest, _ := strings.Cut(key, "\x00")
	if k.from, rest, err = cutHolder(rest); err != nil {
		return "", dueKey{}, err
	}
	if k.to, _, err = cutHolder(rest); err != nil {
		return "", dueKey{}, err
	}
	return InstanceID(s), k, nil
}

func encodeDue(d *Due) []byte {
	w := newWriter(kindDue)
	apart := d.Taken.Decayed != 0 || d.Taken.Burned != 0
	switch {
	case d.Taken.Minted != 0:
		w.array(11)
	case apart:
		w.array(10)
	default:
		w.array(8)
	}
	w.ints(int64(d.Shares), int64(d.Window), int64(d.Tokens))
	w.taken(&d.Taken)
	if apart || d.Taken.Minted != 0 {
		w.ints(int64(d.Taken.Decayed), int64(d.Taken.Burned))
	}
	if d.Taken.Minted != 0 {
		w.int(int64(d.Taken.Minted))
	}
	return w.done()
}

func decodeDue(b []byte) (Due, error) {
	r := newReader(b, kindDue)
	more := r.record(3)
	d := Due{Shares: r.shares(), Window: r.window(), Tokens: r.tokens()}
	if more > 4 {
		d.Taken = r.taken()
	}
	if more > 6 {
		d.Taken.Decayed, d.Taken.Burned = r.tokens(), r.tokens()
	}
	if more > 7 {
		d.Taken.Minted = r.tokens()
	}
	r.skip(more - min(more, 8))
	return d, r.err
}
