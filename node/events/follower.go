package events

import "time"

// Follower reads a hub's events in order. Its methods are for one goroutine.
type Follower struct {
	h    *Hub
	next uint64
	wake chan struct{}
}

// Follow begins to follow after the event of an id that ID wrote; after the latest few but some with "". missed says that
// there were others after that one which are not kept any more, or that it was an event of another process. Close ends it.
func (h *Hub) Follow(after string) (f *Follower, missed bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hasEnded {
		return nil, false, ErrEnded
	}
	if len(h.all) >= MaxFollowers {
		return nil, false, ErrFull
	}
	if h.stop != nil {
		h.stop.Stop()
		h.stop = nil
	}
	h.on.Store(true)
	f = &Follower{h: h, wake: make(chan struct{}, 1)}
	switch seq, ok := h.place(after); {
	case after == "":
		f.next = max(h.first, h.next-min(h.next, backlog))
	case !ok || seq+1 < h.first || seq >= h.next:
		f.next, missed = h.first, true
	default:
		f.next = seq + 1
	}
	h.all[f] = struct{}{}
	h.followers.Add(1)
	if f.next < h.next {
		f.wake <- struct{}{}
	}
	return f, missed, nil
}

// Wake has something in it when there is something to take.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// Take gives the events that have come since the last Take. false: the follower was so slow that some are lost; it should go,
// and may come again with the id of the last one that it had. It is counted.
func (f *Follower) Take() (list []Event, ok bool) {
	h := f.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.next < h.first {
		h.slow.Add(1)
		return nil, false
	}
	for ; f.next < h.next; f.next++ {
		list = append(list, h.ring[f.next%keep])
	}
	return list, true
}

// TooSlow counts a follower that its reader took nothing from.
func (f *Follower) TooSlow() { f.h.slow.Add(1) }

// Close ends the following.
func (f *Follower) Close() {
	h := f.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.all[f]; !there {
		return
	}
	delete(h.all, f)
	h.followers.Add(-1)
	if len(h.all) > 0 || h.hasEnded {
		return
	}
	var stop *time.Timer
	stop = time.AfterFunc(linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.stop == stop { // nobody has come meanwhile
			h.forget()
		}
	})
	h.stop = stop
}

// forget stops keeping events: what happens from here on is missed by all.
func (h *Hub) forget() {
	h.on.Store(false)
	h.next++ // an event that nobody has, so that who comes again hears that there was something
	h.first = h.next
	clear(h.ring[:])
	h.stop = nil
}
