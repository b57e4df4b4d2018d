package admit

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// turns is the line in which bytes of calls wait for rights to one instance: each call once, with what its present piece still needs.
// All are served in turn, however often who looks: each gets a slice, an equal part of what is there, leaves those before it theirs, and
// goes to the end of the line for the rest.
type turns struct {
	n     atomic.Int32 // calls in line
	mu    sync.Mutex   // guards all below; taken under a shard's
	line  []*turn
	by    map[ID]*turn
	needs ledger.Tokens // of all
}

type turn struct {
	id   ID
	need ledger.Tokens
	seen ledger.Instant // when it looked last
}

// leastSlice is the least that one gets in its turn, in bytes, if it needs so much: a line of 200 kB/s serves 400 calls in two seconds.
const leastSlice ledger.Tokens = 1024

// turnLasts is how long a call that does not look any more keeps others behind it, in ms.
const turnLasts = 1000

// may is how much of the rights that are there a call may take now that needs so much.
func (t *turns) may(now ledger.Instant, id ID, need, rights ledger.Tokens) ledger.Tokens {
	if t.n.Load() == 0 {
		return min(need, rights)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.line) > 0 && t.line[0].id != id && t.line[0].seen < now-turnLasts {
		t.remove(t.line[0].id)
	}
	calls := len(t.line)
	if t.by[id] == nil {
		calls++
	}
	slice := max(leastSlice, rights/ledger.Tokens(calls))
	for _, x := range t.line {
		if x.id == id || rights <= 0 {
			break
		}
		rights -= min(x.need, slice)
	}
	return min(need, slice, rights)
}

// wait has a call wait in line for what it still needs, at its place if it has one and got nothing, and returns what all need there, and the
// first.
func (t *turns) wait(now ledger.Instant, id ID, need ledger.Tokens, served bool) (first, all ledger.Tokens) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if served {
		t.remove(id)
	}
	x := t.by[id]
	if x == nil {
		if t.by == nil {
			t.by = map[ID]*turn{}
		}
		x = &turn{id: id}
		t.by[id] = x
		t.line = append(t.line, x)
		t.n.Add(1)
	}
	t.needs += need - x.need
	x.need, x.seen = need, now
	return t.line[0].need, t.needs
}

// leave takes a call out of line.
func (t *turns) leave(id ID) {
	if t.n.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(id)
}

func (t *turns) remove(id ID) {
	x := t.by[id]
	if x == nil {
		return
	}
	delete(t.by, id)
	i := slices.Index(t.line, x)
	t.line = slices.Delete(t.line, i, i+1)
	t.needs -= x.need
	t.n.Add(-1)
}

// all is what all need that wait.
func (t *turns) all() ledger.Tokens {
	if t.n.Load() == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.needs
}
