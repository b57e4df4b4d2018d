package admit

import "github.com/swarmpurse/swarmpurse/ledger"

// wheel finds the reservations whose time has come: a hierarchical timing wheel (Varghese and Lauck, SOSP
// 1987) of 64 seconds and 64 blocks of 64 seconds, which is more than MaxTTL and Grace. Entering and leaving
// take constant time and no allocation.
type wheel struct {
	heads [2 * wheelSize]int32 // by second, then by block
	at    int64                // the second up to which buckets were emptied
}

const wheelSize = 64

func (w *wheel) reset(now ledger.Instant) {
	for i := range w.heads {
		w.heads[i] = -1
	}
	w.at = int64(now) / 1000
}

// schedule has due bring record i at the first second that is not before at.
func (s *shard) schedule(i int32, at ledger.Instant) {
	s.rec(i).due = at
	w := &s.wheel
	sec := max((int64(at)+999)/1000, w.at+1)
	b := sec % wheelSize
	if sec-w.at > wheelSize {
		block := min(sec/wheelSize, w.at/wheelSize+wheelSize-1) // farther ones go in again when that block begins
		b = wheelSize + block%wheelSize
	}
	l := &s.links[i]
	l.bucket, l.prev, l.next = int16(b), -1, w.heads[b]
	if l.next >= 0 {
		s.links[l.next].prev = i
	}
	w.heads[b] = i
}

func (s *shard) unschedule(i int32) {
	l := &s.links[i]
	if l.prev >= 0 {
		s.links[l.prev].next = l.next
	} else {
		s.wheel.heads[l.bucket] = l.next
	}
	if l.next >= 0 {
		s.links[l.next].prev = l.prev
	}
}

// next is the second from which on advance has something to do, of the next two.
func (s *shard) next() int64 {
	sec := s.wheel.at + 1
	if sec%wheelSize != 0 && s.wheel.heads[sec%wheelSize] < 0 {
		sec++
	}
	return sec
}

// advance calls f for every record whose time has come. f takes it off the wheel, and may put it back for later.
func (s *shard) advance(now ledger.Instant, f func(i int32)) {
	w := &s.wheel
	sec := int64(now) / 1000
	switch {
	case sec < w.at-1: // beyond rounding: the clock was put back
		s.rewind(now)
	case sec-w.at > wheelSize*wheelSize: // a long sleep
		s.rebuild(sec - 1)
	}
	for w.at < sec {
		if next := w.at + 1; next%wheelSize == 0 {
			s.spread(wheelSize + next/wheelSize%wheelSize)
		}
		w.at++
		for i := w.heads[w.at%wheelSize]; i >= 0; {
			next, due := s.links[i].next, s.rec(i).due
			if due > now {
				s.unschedule(i) // at the edge of what the wheel holds, or rounded
				s.schedule(i, due)
			} else {
				f(i)
			}
			i = next
		}
	}
}

// spread puts the records of one bucket in again.
func (s *shard) spread(bucket int64) {
	i := s.wheel.heads[bucket]
	s.wheel.heads[bucket] = -1
	for i >= 0 {
		next := s.links[i].next
		s.schedule(i, s.rec(i).due)
		i = next
	}
}

// rebuild puts all records in again, as seen from second at.
func (s *shard) rebuild(at int64) {
	w := &s.wheel
	old := w.heads
	for b := range w.heads {
		w.heads[b] = -1
	}
	w.at = at
	for _, i := range old {
		for i >= 0 {
			next := s.links[i].next
			s.schedule(i, s.rec(i).due)
			i = next
		}
	}
}

// stepped follows a clock that was put forward by some ms: what is reserved keeps the time that it was given.
func (s *shard) stepped(now ledger.Instant, by ledger.Millis) {
	for _, i := range s.wheel.heads {
		for ; i >= 0; i = s.links[i].next {
			s.rec(i).due += ledger.Instant(by)
		}
	}
	s.rebuild(int64(now)/1000 - 1)
}

// rewind follows a clock that was put back to now: no reservation lives longer from here than it was given in
// the first place, though the clock says that it was made in the future.
func (s *shard) rewind(now ledger.Instant) {
	for _, i := range s.wheel.heads {
		for ; i >= 0; i = s.links[i].next {
			r := s.rec(i)
			left := ledger.Instant(r.ttl)
			if r.state == Expired {
				left = ledger.Instant(Grace.Milliseconds())
			}
			r.due = min(r.due, now+left)
		}
	}
	s.rebuild(int64(now)/1000 - 1)
}
