package admit

import "github.com/swarmpurse/swarmpurse/ledger"

// wheel finds the reservations whose time has come: a hashed timing wheel (Varghese and Lauck, SOSP 1987)
// of one-second buckets, longer than MaxTTL, so that no bucket holds two rounds. Entering and leaving take
// constant time and no allocation.
type wheel struct {
	heads [wheelSize]int32
	at    int64 // the second up to which buckets were emptied
}

const wheelSize = 4096 // seconds; MaxTTL is 3,600

func (w *wheel) reset(now ledger.Instant) {
	for i := range w.heads {
		w.heads[i] = -1
	}
	w.at = int64(now) / 1000
}

func (s *shard) schedule(i int32, at ledger.Instant) {
	sec := max((int64(at)+999)/1000, s.wheel.at+1)
	b := int32(sec % wheelSize)
	r := &s.slots[i]
	r.bucket, r.prev, r.next = b, -1, s.wheel.heads[b]
	if r.next >= 0 {
		s.slots[r.next].prev = i
	}
	s.wheel.heads[b] = i
}

func (s *shard) unschedule(i int32) {
	r := &s.slots[i]
	if r.prev >= 0 {
		s.slots[r.prev].next = r.next
	} else {
		s.wheel.heads[r.bucket] = r.next
	}
	if r.next >= 0 {
		s.slots[r.next].prev = r.prev
	}
}

// due calls f for every record whose second has passed. f must take it off the wheel.
func (s *shard) due(now ledger.Instant, f func(i int32)) {
	sec := int64(now) / 1000
	if sec-s.wheel.at > wheelSize {
		s.wheel.at = sec - wheelSize // a long sleep: one round visits every bucket
	}
	for s.wheel.at < sec {
		s.wheel.at++
		b := int32(s.wheel.at % wheelSize)
		for i := s.wheel.heads[b]; i >= 0; {
			next := s.slots[i].next
			f(i)
			i = next
		}
	}
}
