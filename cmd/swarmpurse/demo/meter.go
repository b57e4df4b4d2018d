package demo

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// slotLength is how finely the model server's count is told apart by time. Windows of budgets are whole
// seconds, so every slot lies in one window.
const slotLength = 250 * time.Millisecond

// maxKeys is how many kinds of call the stand-in counts apart (standin.MaxKeys, less its own).
const maxKeys = standin.MaxKeys - 1

// Meter is the model server of the demo: the stand-in, with its own count told apart by the time at
// which a call reached it. It begins a new stand-in for each slot of time; what one of them counts
// is what its slot's calls used, whenever they end. Safe for concurrent use.
type Meter struct {
	o      standin.Options
	inUse  func(key string) []*gauge // slots budgets that a call of that key holds
	lookup func() time.Time

	mu    sync.Mutex
	slots []*slot // by time
	calls int64
}

type slot struct {
	start  time.Time
	server *standin.Server
	open   int // calls that have not ended; guarded by Meter.mu
	final  map[string]standin.Sums
}

// gauge counts calls at once.
type gauge struct {
	mu        sync.Mutex
	now, peak int64
}

func (g *gauge) add(d int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += d
	g.peak = max(g.peak, g.now)
}

func (g *gauge) top() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.peak
}

// SlotCount is what the calls used that reached the model server within one slot of time.
type SlotCount struct {
	Start time.Time
	ByKey map[string]standin.Sums
}

func newMeter(o standin.Options, inUse func(string) []*gauge) (*Meter, error) {
	if o.Counter == nil {
		o.Counter = llm.NewCounter()
	}
	if _, err := standin.New(o); err != nil { // so that none can fail later
		return nil, err
	}
	return &Meter{o: o, inUse: inUse, lookup: time.Now}, nil
}

// ServeHTTP hands a call to the stand-in of the present slot.
func (m *Meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := m.enter()
	held := m.inUse(r.Header.Get(standin.HeaderTenant))
	for _, g := range held {
		g.add(1)
	}
	defer func() { // also when the stand-in breaks a connection off, which is a panic
		for _, g := range held {
			g.add(-1)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		s.open--
	}()
	s.server.ServeHTTP(w, r)
}

func (m *Meter) enter() *slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	start := m.lookup().Truncate(slotLength) // since the zero time: on whole quarters of a second
	n := len(m.slots)
	if n == 0 || m.slots[n-1].start.Before(start) { // a clock that steps back counts in the last slot
		s, err := standin.New(m.o)
		if err != nil {
			panic("BUG: the stand-in's options were checked: " + err.Error())
		}
		m.slots = append(m.slots, &slot{start: start, server: s})
		n++
	}
	s := m.slots[n-1]
	s.open++
	return s
}

// Counts returns the count of every slot in which a call came, by time.
func (m *Meter) Counts() []SlotCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := make([]SlotCount, len(m.slots))
	for i, s := range m.slots {
		sums := s.final
		if sums == nil {
			sums = s.server.Stats().ByTenant
			if s.open == 0 && i < len(m.slots)-1 { // nothing can come any more
				s.final = sums
				s.server = nil
			}
		}
		counts[i] = SlotCount{s.start, sums}
	}
	return counts
}

// Total adds all up.
func Total(counts []SlotCount) (t standin.Sums) {
	for _, c := range counts {
		for k := range maps.Values(c.ByKey) {
			t.Calls += k.Calls
			t.Completed += k.Completed
			t.Aborted += k.Aborted
			t.Errors += k.Errors
			t.PromptTokens += k.PromptTokens
			t.CompletionTokens += k.CompletionTokens
		}
	}
	return t
}
