package ledger

import (
	"fmt"
	"strconv"
	"strings"
)

// Record is what one durable write says, for those who judge a swarm from outside (the simulator, checkers).
// Exactly one of Account, Dropped, Entry, Due, Seat, Closed and Version is set for the records that matter to them; none for all others.
type Record struct {
	Instance InstanceID // of Account and Entry
	Dropped  InstanceID // whose account goes from the disk
	Account  *State
	Entry    *Entry
	Peer     Holder // Entry: the other side
	Due      *Due
	From, To Holder // Due: what it was credited for, see EachDue
	Seat     *Seat
	Node     string      // Closed: of which node
	Closed   [][2]uint64 // its generations with which all is booked and no pairwise records are kept, from and to
	Version  uint64      // row versions up to it may be used
	Floor    Instant     // instances whose lives ended by then may be forgotten
}

// Inspect reads a write of Replica.Writes. An error names what is wrong with it.
func Inspect(w Write) (Record, error) {
	if w.Value == nil {
		id, ok := strings.CutPrefix(w.Key, keyAccount)
		if !ok {
			id = ""
		}
		return Record{Dropped: InstanceID(id)}, nil
	}
	var rec Record
	var err error
	if id, ok := strings.CutPrefix(w.Key, keyAccount); ok {
		rec.Instance = InstanceID(id)
		rec.Account, err = decodeState(w.Value)
	} else if key, ok := strings.CutPrefix(w.Key, keyEntry); ok {
		if rec.Instance, rec.Peer, err = splitEntryKey(key); err == nil {
			rec.Entry, err = decodeEntry(w.Value)
		}
	} else if key, ok := strings.CutPrefix(w.Key, keyDue); ok {
		var k dueKey
		if rec.Instance, k, err = splitDueKey(key); err == nil {
			var d Due
			d, err = decodeDue(w.Value)
			rec.Due, rec.From, rec.To = &d, k.from, k.to
		}
	} else if strings.HasPrefix(w.Key, keyPast) {
		p := past{}
		_, err = p.read(w.Key, w.Value)
		rec.Node = w.Key[len(keyPast):]
		for _, s := range p[rec.Node] {
			rec.Closed = append(rec.Closed, [2]uint64{s.from, s.to})
		}
	} else if strings.HasPrefix(w.Key, keySeat) {
		d := newReader(w.Value, kindSeat)
		d.record(4)
		seat := d.seat()
		rec.Seat, err = &seat, d.err
	} else if w.Key == keyFloor {
		rec.Floor, err = readFloor(w.Value)
	} else if w.Key == keyVersion {
		rec.Version, err = decodeVersion(w.Value)
	}
	if err != nil {
		return Record{}, fmt.Errorf("record %q: %w", w.Key, err)
	}
	return rec, nil
}

func splitEntryKey(key string) (InstanceID, Holder, error) {
	parts := strings.Split(key, "\x00")
	if len(parts) != 3 {
		return "", Holder{}, fmt.Errorf("%w: not the key of an entry", ErrWire)
	}
	gen, err := strconv.ParseUint(parts[2], 16, 64)
	if err != nil {
		return "", Holder{}, fmt.Errorf("%w: not the key of an entry: %v", ErrWire, err)
	}
	return InstanceID(parts[0]), Holder{Node: parts[1], Gen: gen}, nil
}

func decodeVersion(b []byte) (uint64, error) {
	d := newReader(b, kindVersion)
	d.record(1)
	v := d.uint()
	return v, d.err
}

// EachEntry calls f with every pairwise record of an instance as it is in memory, in order of peers.
func (r *Replica) EachEntry(id InstanceID, f func(peer Holder, e Entry)) {
	if in, ok := r.instances[id]; ok {
		for _, e := range in.sortedEdges() {
			f(e.peer, e.Entry)
		}
	}
}

// Entry is the pairwise record of an instance with a peer, as it is in memory; the zero one if there is none.
func (r *Replica) Entry(id InstanceID, peer Holder) (e Entry) {
	if in, ok := r.instances[id]; ok {
		if x := in.edges[peer]; x != nil {
			e = x.Entry
		}
	}
	return e
}

// EachDue calls f with everything that this node was credited as an heir, in order: for what a generation owned (to is
// nobody), for its slots that came free later (to is itself), and for what was on its way from it to another.
func (r *Replica) EachDue(id InstanceID, f func(from, to Holder, d Due)) {
	in, ok := r.instances[id]
	if !ok {
		return
	}
	for _, k := range in.sortedDues() {
		f(k.from, k.to, in.dues[k])
	}
}

// Unacked counts the gifts that their receivers have not acknowledged.
func (r *Replica) Unacked() (n int) {
	for _, in := range r.order {
		for _, e := range in.sortedEdges() {
			if in.account != nil && !in.over && e.open(in.account.window()) {
				n++
			}
		}
	}
	return n
}

// Stuck names the peers that have not acknowledged a gift though they were told of it several times: for half a minute or so, as four times
// in three seconds may all be lost.
func (r *Replica) Stuck() (hs []Holder) {
	for _, in := range r.order {
		for _, e := range in.sortedEdges() {
			if in.account != nil && !in.over && e.open(in.account.window()) && e.tries > 6 {
				hs = append(hs, e.peer)
			}
		}
	}
	return hs
}

// EachAccount calls f with every account of this node, in order of first sight.
func (r *Replica) EachAccount(f func(*Account)) {
	for _, in := range r.order {
		if in.account != nil {
			f(in.account)
		}
	}
}

// Peek returns the account's state without bringing it up to any time, what it is by the present policy, its part
// of a soft overdraft, and whether its first issue is durable. Safe for concurrent use.
func (a *Account) Peek() (s State, spec Spec, overdraft Tokens, ready bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s, a.spec, a.mayHaveOverdrawn(), a.ready
}
