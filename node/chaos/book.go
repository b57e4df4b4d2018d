package chaos

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Life is one generation of one node: it begins with an empty data directory.
type Life struct{ Node, Number int }

// Book is what callers were told, and what follows from that alone. It asks no node. Safe for concurrent use.
//
// Of what was really reserved and spent it knows bounds. A caller hears of its reservation after it was made,
// and the book takes it away before the settlement is sent: so what it counts as held is at no time more than
// what the nodes must hold. A call whose answer was lost may have been admitted or not.
type Book struct {
	mu       sync.Mutex
	accounts map[string]*Account
	errors   map[string]int // answers that no fault excuses
}

// Account is one instance in the book. Amounts are in its token.
type Account struct {
	Budget, Instance string

	Offered  int64 // asked for, by calls that were answered
	Calls    int64 // admitted
	Admitted int64 // reserved for them
	Refused  int64 // calls
	Unknown  int64 // asked for by calls whose answer was lost

	Held int64 // that the nodes must hold as reserved or spent, at the least
	Peak int64 // of Held

	// What the nodes must have charged when all is over: at least, and at most but for what crashes cost.
	Low, High int64
	Gone      int64 // calls that their node had forgotten when they were settled

	calls []*Call
}

// Call is one admitted call.
type Call struct {
	Life      Life
	Sent, Got time.Time // of the admission
	Size      int64     // reserved
	Low       int64     // what it must have cost when it is over
	At        time.Time // of the decision, by the node's clock; zero if it was not asked for

	book *Book
	a    *Account
}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{accounts: map[string]*Account{}, errors: map[string]int{}} }

func (b *Book) account(budget, instance string) *Account {
	a := b.accounts[instance]
	if a == nil {
		a = &Account{Budget: budget, Instance: instance}
		b.accounts[instance] = a
	}
	return a
}

// Refused books a call that was refused.
func (b *Book) Refused(budget, instance string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(budget, instance)
	a.Offered += size
	a.Refused++
}

// Unknown books a call that perhaps was admitted. Nobody runs it.
func (b *Book) Unknown(budget, instance string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(budget, instance)
	a.Unknown += size
	a.High += size
}

// Admitted books a call that was admitted, at a node in that life.
func (b *Book) Admitted(budget, instance string, life Life, size int64, sent, got time.Time) *Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(budget, instance)
	a.Offered += size
	a.Calls++
	a.Admitted += size
	a.Held += size
	a.Peak = max(a.Peak, a.Held)
	a.Low += size
	a.High += size
	c := &Call{Life: life, Sent: sent, Got: got, Size: size, Low: size, book: b, a: a}
	a.calls = append(a.calls, c)
	return c
}

// Ending books that a call used so much of what was reserved, just before any node hears of it.
func (c *Call) Ending(used int64) {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.a.Held -= c.Size - used
	c.low(used)
}

// Settled books what a node said it charged.
func (c *Call) Settled(charged int64) {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.low(charged)
	c.a.High -= c.Size - charged
}

// Forgotten books that the node did not know the call any more: it had crashed, and counts all as spent that
// was reserved.
func (c *Call) Forgotten() {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.low(c.Size)
	c.a.Gone++
}

// Stamped books when, by its own clock, the node began to decide.
func (c *Call) Stamped(at time.Time) {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.At = at
}

func (c *Call) low(v int64) {
	c.a.Low += v - c.Low
	c.Low = v
}

// Wrong books an answer that no fault excuses.
func (b *Book) Wrong(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errors) < 100 {
		b.errors[what]++
	}
}

// Errors are the answers that no fault excuses, each with how often it came.
func (b *Book) Errors() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := map[string]int{}
	for k, v := range b.errors {
		m[k] = v
	}
	return m
}

// Accounts are all accounts by budget and name, as they are now.
func (b *Book) Accounts() []Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Account
	for _, a := range b.accounts {
		c := *a
		c.calls = make([]*Call, len(a.calls))
		for i, x := range a.calls {
			y := *x
			c.calls[i] = &y
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Account) int {
		return cmp.Or(strings.Compare(a.Budget, b.Budget), strings.Compare(a.Instance, b.Instance))
	})
	return list
}

// AtRisk is what an account must have charged for calls that ended at a life after a time: what nobody else
// may know of if that life's directory was lost.
func (a *Account) AtRisk(life Life, since time.Time) (sum int64) {
	for _, c := range a.calls {
		if c.Life == life && c.Got.After(since) {
			sum += c.Low
		}
	}
	return sum
}
