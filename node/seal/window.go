package seal

// windowBits is how many letters of one sender may overtake each other. What it sends to others counts, too, so this is some
// seconds of the busiest sender.
const windowBits = 8192

// window tells which letters of a sender were read. A sender numbers its letters, beginning anew in each run, and numbers its runs.
type window struct {
	run, highest uint64
	since        int64 // when the first letter of the run came, ms
	seen         [windowBits / 64]uint64
}

// fresh reports whether a letter was not read yet.
func (w *window) fresh(run, seq uint64) bool {
	switch {
	case w == nil || run > w.run || run == w.run && seq > w.highest:
		return true
	case run < w.run || seq+windowBits <= w.highest:
		return false
	}
	return w.seen[seq%windowBits/64]&(1<<(seq%64)) == 0
}

// mark takes note of a fresh letter.
func (w *window) mark(now int64, run, seq uint64) {
	if run > w.run {
		*w = window{run: run, since: now}
	}
	if seq > w.highest {
		if seq-w.highest >= windowBits {
			clear(w.seen[:])
		} else {
			for s := w.highest + 1; s <= seq; s++ {
				w.seen[s%windowBits/64] &^= 1 << (s % 64)
			}
		}
		w.highest = seq
	}
	w.seen[seq%windowBits/64] |= 1 << (seq % 64)
}
