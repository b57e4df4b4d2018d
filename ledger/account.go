package ledger

import (
	"math"
	"sync"
)

// Account is one node's side of one instance: its shares, rights, reservations and spending.
//
// Fields change in two ways. What lets the account spend less is applied at once and told to others
// only after it is durable; what lets it spend more is applied only after it is durable (DESIGN 3.4,
// rule 0). Only the replica's owner does either. The admission path, from any goroutine, only moves
// tokens between rights, reserved and spent, below the durable mark.
type Account struct {
	mu sync.Mutex // guards all below but id, self and seq

	// What a decision looks at and writes comes first, so that it is on few cache lines: with a thousand accounts in turn each of them is a miss.
	//
	// fenced stops the account for good: peers know a later state of it than its own disk does.
	fenced bool
	// retired stops it because its generation was claimed. What it has reserved is spent; whatever comes back is its heir's.
	retired bool
	// resting stops it because the node is about to end: the mark is what is used, and stays there.
	resting bool
	ready   bool // the first issue is durable
	touched bool // since the owner's last tick
	// spares says that rights are kept here for calls of tenants that ask for less than their parts: see Spare.
	spares bool
	// rights is the balance, kept by hand on every movement. It must equal what State derives;
	// Audit compares the two.
	rights Tokens
	last   Instant // the greatest time seen: clock steps back mint nothing
	end    Instant // of the present window; the far future without windows
	ends   Instant // of the instance's life; the far future where there is no end
	// What guardians let be used: below held, until heldTill, and of a rate until leaseEnd. See guard_marks.go.
	held     Tokens
	leaseEnd Instant
	// aside is what an ask waits for that came before the calls that wait here: calls leave it alone.
	aside    Tokens
	asked    Tokens // asked for since the last tick
	cost     Tokens // of what was reserved since the last tick, before the price
	meanCall ewma
	accrual  accrual // Rate only
	spec     Spec
	decayed  Instant // when decay was last taken
	begins   Instant // of the instance's life; the far past where there is no beginning
	seats    int     // founders of the cluster
	heldTill Instant
	autonomy Millis // how far Held runs ahead; 0 while the generation has no guardians
	s        State

	id   InstanceID
	self Holder
	seq  uint64 // order of locking

	// levels says of each seat up to which limit its earlier holders issued, nil for none.
	levels []Tokens

	slow slow // Rate with feedback only

	overdraftPart Tokens // Soft: this node's part of the overdraft, 0 for other ceilings
	overdrew      overdrew

	// phantom is what a crash left reserved on Slots; it returns at phantomUntil.
	phantom      Tokens
	phantomUntil Instant

	// Signals, read and reset by the owner's tick.
	refused  Tokens // of what was asked for, what could not be served from here
	wantMark Tokens // the mark that somebody lacked since the last tick
	wantTill Instant
	price    Tokens // what costs are multiplied by, in parts per million; 0 if that does not move
	claims   [MaxClaims]Claim
	settled  settled
	used     ewma
	demand   ewma
	unmet    ewma
	lending  ewma
	given    Tokens // for asks since the last tick

	notify func(*Account) // tells the owner of the first touch since a tick; must not block

	// Keeps accounts that lie side by side out of each other's pairs of cache lines: without it two cores on two
	// accounts were slower than one.
	_ [128]byte
}

// State is what of an account is durable, as a value without pointers. All amounts are of the present
// window. Everything only grows within a window, but for Reserved, Mark and Debt.
type State struct {
	// What a reservation looks at comes first, see Account.
	Window   Window
	Spent    Tokens
	Reserved Tokens
	Debt     Tokens // overrun not yet paid
	// Mark bounds Spent + Reserved durably: after a crash all up to it counts as spent.
	Mark Tokens
	Base Tokens // issued by shares

	Genesis   Shares // founding shares, 0 without a seat
	Seats     uint64 // the seats held here by which a grant or slots may be issued, a bit each
	Kept      Tokens // Grant, Slots: what was issued by seats that were passed on since, less what others cut; may be negative
	SharesIn  Shares // sum of shares ever credited
	SharesOut Shares // sum of shares ever given
	// Arriving is the part of the shares that counts only for windows from ArrivingFirst on.
	Arriving      Shares
	ArrivingFirst Window

	Issues  bool   // whether Window was issued; false only before the first issue
	Counted Shares // the shares that this window's issue counted, some of which may have left since
	Free    Shares // Windowed: shares here that no holder has counted for this window

	Cut       Tokens // part of Base taken back (lapsed) because the limit fell
	Rolled    Tokens // rolled over from the window before
	Minted    Tokens // top-ups
	Overdrawn Tokens // issued beyond the limit: soft overdraft, and what observe meters
	In, Out   Tokens // rights moved
	Lapsed    Tokens // what decayed, expired or was burned; see Lapses
	Decayed   Tokens // of it, by the half-life
	Burned    Tokens // of it, by an operator; what a lower limit took back is in Cut
	Overrun   Tokens // overrun ever, over all windows

	// MarkTill bounds the expiry of reservations on Slots durably.
	MarkTill Instant
	// Held and HeldTill are the same for a claim: whoever takes this account over leaves it all up to them. 0 while
	// the generation has no guardians.
	Held     Tokens
	HeldTill Instant

	// Past is what earlier windows came to, for reports.
	Past Past

	// Taken is what generations did in this window that this account is the heir of. Only its rows count it.
	Taken Taken

	At Instant // when this state was written
}

// Taken is what accounts came to that an heir took over, less what it was credited of it: as rights are counted, it adds
// nothing to the heir's own. So the rows of live holders add up to what all did, and those of the dead can be forgotten.
type Taken struct {
	Issued, In, Out, Spent, Lapsed Tokens
	Decayed, Burned                Tokens // of Lapsed
	Minted                         Tokens // of Issued: top-ups
}

func (t *Taken) add(o Taken) {
	t.Issued += o.Issued
	t.In += o.In
	t.Out += o.Out
	t.Spent += o.Spent
	t.Lapsed += o.Lapsed
	t.Decayed += o.Decayed
	t.Burned += o.Burned
	t.Minted += o.Minted
}

// taken is what an heir takes over with an account of which it is credited so many rights. All else counts as spent, as
// it may have been, but for a rate, of which it is known.
func (s *State) taken(credited Tokens, rate bool) Taken {
	l := s.Lapses()
	t := Taken{Issued: s.Issued(), In: s.In - credited, Out: s.Out, Lapsed: s.Lapsed, Spent: s.owned() - credited, Decayed: l.Decayed, Burned: l.Burned, Minted: s.Minted}
	if rate {
		t.Lapsed += s.Balance()
		t.Spent = s.used()
	}
	t.add(s.Taken)
	return t
}

// Past sums up the windows that have ended.
type Past struct {
	Issued, Spent, Lapsed Tokens

	Decayed, Burned           Tokens // of Lapsed
	Rolled, Minted, Overdrawn Tokens // of Issued
}

// Shares is what the holder owns now.
func (s *State) Shares() Shares { return s.Genesis + s.SharesIn - s.SharesOut }

// Issued is all that was ever minted here in this window.
func (s *State) Issued() Tokens { return s.Base + s.Rolled + s.Minted + s.Overdrawn }

// owned is what this account may use or has used.
func (s *State) owned() Tokens { return s.Issued() + s.In - s.Out - s.Lapsed }

// Balance is what may still be spent.
func (s *State) Balance() Tokens { return s.owned() - s.Spent - s.Reserved }

func (s *State) used() Tokens { return s.Spent + s.Reserved }

// ID names the account's instance.
func (a *Account) ID() InstanceID { return a.id }

// Spec returns the present spec. Safe for concurrent use.
func (a *Account) Spec() Spec {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spec
}

// Short says why a reservation was not made. Enough means that it was.
type Short uint8

const (
	Enough    Short = iota
	NoRights        // rights are missing here; peers may have some
	NoMark          // rights are here, but not yet covered by the durable mark: wait for the disk
	NotIssued       // the present window is not issued yet: wait for the disk
	NotHeld         // rights are here, and durable, but guardians have not confirmed that they may be used: wait for them
	Ended           // the instance's life is over: its budget has another one
)

// Take is one account's part of a reservation.
type Take struct {
	Account *Account
	Amount  Tokens
	Cost    Tokens // the amount before the price
	Asked   Tokens // what of the amount is demand, where the rest only makes sure; 0: all of it
	// Keep leaves that many rights here. Headroom leaves that part of the account's own supply, in parts per million,
	// and forbids overdrawing. Neither binds where the ceiling is Observe; Keep does not bind whoever may overdraw.
	Keep     Tokens
	Headroom int64
	// Window is set by Reserve: the window that the tokens belong to. Settlement wants it back.
	Window Window
	// Left is set by Reserve: the rights that are left here.
	Left Tokens
}

// Reserve sets tokens aside on all accounts, or on none. takes must be in the order of Sort and name
// no account twice. expires is when the reservation's TTL ends. It returns Enough, or why not and at
// which take the rights were short first. With overdraw, Soft accounts may use their part of the
// overdraft. It allocates nothing. Safe for concurrent use.
func Reserve(now, expires Instant, takes []Take, overdraw bool) (Short, int) {
	for i := range takes {
		takes[i].Account.mu.Lock()
	}
	why, at := Enough, -1
	for i := range takes {
		if w := takes[i].Account.room(now, expires, &takes[i], overdraw); w != Enough {
			why, at = w, i
			break
		}
	}
	for i := range takes {
		a, n := takes[i].Account, takes[i].Amount
		if why == Enough {
			asked := n
			if takes[i].Asked > 0 {
				asked = min(takes[i].Asked, n)
			}
			takes[i].Window = a.take(n, asked)
			takes[i].Left = a.rights
			a.cost += takes[i].Cost
		}
		a.touch()
	}
	for i := range takes {
		takes[i].Account.mu.Unlock()
	}
	return why, at
}

// Sort puts takes into the one order in which accounts are locked.
func Sort(takes []Take) {
	for i := 1; i < len(takes); i++ { // few, and usually in order: insertion sort allocates nothing
		for j := i; j > 0 && takes[j].Account.seq < takes[j-1].Account.seq; j-- {
			takes[j], takes[j-1] = takes[j-1], takes[j]
		}
	}
}

// room decides whether what t says can be taken now.
func (a *Account) room(now, expires Instant, t *Take, overdraw bool) Short {
	n, keep := t.Amount, t.Keep
	a.advance(now)
	if !a.open() {
		if a.last >= a.ends {
			return Ended
		}
		return NotIssued
	}
	if n < 0 || n > MaxTokens {
		return NoRights
	}
	if a.s.Debt > 0 {
		a.payDebt()
	}
	if t.Headroom > 0 {
		keep += a.headroom(t.Headroom)
		overdraw = false
	}
	if a.rights < n+a.s.Debt+a.aside+keep && !a.mayOverdraw(n, overdraw) {
		return NoRights
	}
	unleased := a.spec.Kind == Rate && a.last >= a.leaseEnd
	// There are rights for what is owed and for this: what lacks is the mark, or guardians.
	if use := a.s.used() + a.s.Debt + n; a.s.Debt > 0 || use > a.limit() {
		a.wantMark = max(a.wantMark, use)
		if use <= a.s.Mark || unleased {
			return NotHeld
		}
		return NoMark
	}
	if a.spec.Kind == Slots {
		a.wantTill = max(a.wantTill, expires)
		if expires > a.s.MarkTill {
			return NoMark
		}
		if expires > a.heldTill {
			return NotHeld
		}
	}
	if unleased {
		return NotHeld
	}
	return Enough
}

// limit bounds what may be used: what is durable here and, on a stock, held by guardians. A soft one without a lease goes
// on: what it costs is its overdraft.
func (a *Account) limit() Tokens {
	if a.spec.Ceiling == Soft && a.last >= a.leaseEnd {
		return a.s.Mark
	}
	return min(a.s.Mark, a.held)
}

// open reports whether the present window's rights may be used.
func (a *Account) open() bool {
	return a.ready && !a.fenced && !a.retired && !a.resting && a.last < a.end
}

// own is what the account has by its own shares: of a rate the most that piles up, else what was issued for them and minted
// here.
func (a *Account) own() Tokens {
	if a.spec.Kind == Rate {
		return a.accrual.cap
	}
	return max(0, a.s.Base-a.s.Cut+a.s.Rolled+a.s.Minted)
}

// headroom is the part of the account's own supply that a class leaves to better ones, rounded down.
func (a *Account) headroom(ppm int64) Tokens { return Part(a.own(), ppm) }

// Part is so many parts per million of n, rounded down.
func Part(n Tokens, ppm int64) Tokens { return Tokens(mulDiv(int64(n), ppm, 1_000_000)) }

// Headroom is what a reservation with that Take.Headroom leaves here. Safe for concurrent use.
func (a *Account) Headroom(ppm int64) Tokens {
	if ppm == 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.headroom(ppm)
}

// mayOverdraw reports whether the shortfall of n may be issued beyond the limit.
func (a *Account) mayOverdraw(n Tokens, overdraw bool) bool {
	switch a.spec.Ceiling {
	case Observe:
		return true
	case Soft:
		return overdraw && a.s.Overdrawn+(n+a.s.Debt-a.rights) <= a.mayHaveOverdrawn()
	}
	return false
}

// take moves n from rights to reserved, of which so much is demand. room said that it may.
func (a *Account) take(n, asked Tokens) Window {
	if lack := n - a.rights; lack > 0 { // overdraw: Observe and Soft only
		a.s.Overdrawn += lack
		a.rights += lack
	}
	a.rights -= n
	a.s.Reserved += n
	if a.spec.Kind == Rate {
		a.accrual.spend(n)
	}
	a.asked += asked
	if n > 0 { // of what calls reserve nothing of, only what they move is known
		a.seen(asked)
	}
	return a.s.Window
}

// seen counts a call of n tokens in the mean.
func (a *Account) seen(n Tokens) {
	if a.meanCall == 0 {
		a.meanCall = ewma(n)
	} else {
		a.meanCall += (ewma(n) - a.meanCall) / 64
	}
}

// Missed tells the account of a call that could not be served from its rights: demand that peers
// should see. Safe for concurrent use.
func (a *Account) Missed(n Tokens) {
	a.mu.Lock()
	a.asked += n
	a.refused += n
	a.touch()
	a.mu.Unlock()
}

// Turned tells the account of a call that was turned away whatever rights there are: it is demand, but none that rights from
// peers would serve. Safe for concurrent use.
func (a *Account) Turned(n Tokens) {
	a.mu.Lock()
	a.asked += n
	a.touch()
	a.mu.Unlock()
}

// touch puts the account on the owner's list, once a tick.
func (a *Account) touch() {
	if !a.touched {
		a.touched = true
		if a.notify != nil {
			a.notify(a)
		}
	}
}

// advance brings what grows by time up to now. Turns of windows are the owner's, since they are durable.
func (a *Account) advance(now Instant) {
	if now <= a.last {
		return
	}
	a.last = now
	if a.spec.Kind == Rate && a.ready {
		a.mint()
	}
}

// Settle ends a reservation of `reserved` tokens made in window w: `used` are charged, the rest returns.
// What was used above the reservation is debt, paid before the next admission. A refund whose window has
// ended is dropped, and so are refund and overrun of a generation that was claimed: then the reservation is what is
// charged. On Slots everything returns and nothing is spent. It returns what was charged and
// the overrun. Safe for concurrent use; the caller sees to it that it happens once.
func (a *Account) Settle(now Instant, reserved, used Tokens, w Window) (charged, overrun Tokens) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.retired {
		if a.spec.Kind == Slots {
			a.s.Reserved -= reserved // its heir may be this node's next generation, see former
			a.rights += reserved
			reserved = 0
		}
		return reserved, 0
	}
	a.advance(now)
	a.touch()
	if a.spec.Kind == Slots {
		a.s.Reserved -= reserved
		a.rights += reserved
		return 0, 0
	}
	used = min(max(used, 0), MaxTokens)
	over := max(0, used-reserved)
	a.settled.add(reserved, used)
	if w != a.s.Window {
		// The window's turn booked the reservation as spent in full.
		a.owe(over)
		return reserved + over, over
	}
	if a.last >= a.end {
		// The window is over, though the next is not issued yet: a refund would roll over.
		a.s.Reserved -= reserved
		a.s.Spent += reserved
		a.owe(over)
		return reserved + over, over
	}
	kept := min(used, reserved)
	a.s.Reserved -= reserved
	a.s.Spent += kept
	a.rights += reserved - kept
	if a.spec.Kind == Rate {
		a.refunded()
	}
	a.owe(over)
	return kept + over, over
}

// owe books an overrun as debt and pays what can be paid.
func (a *Account) owe(n Tokens) {
	if n == 0 && a.s.Debt == 0 {
		return
	}
	a.s.Debt += n
	a.s.Overrun += n
	a.payDebt()
}

// payDebt turns rights into spending until the debt is paid, the rights are used up or the mark is
// reached. Observe issues what it lacks for that, Soft what its part of the overdraft allows.
func (a *Account) payDebt() {
	lack := max(0, a.s.Debt-a.rights)
	switch a.spec.Ceiling {
	case Hard:
		lack = 0
	case Soft:
		lack = max(0, min(lack, a.mayHaveOverdrawn()-a.s.Overdrawn))
	}
	there := min(a.s.Debt, a.rights+lack)
	pay := max(0, min(there, a.limit()-a.s.used()))
	if a.spec.Kind == Rate && a.last >= a.leaseEnd {
		pay = 0
	}
	if over := pay - a.rights; over > 0 { // what is not paid now is not issued: it would be rights that anybody may have
		a.s.Overdrawn += over
		a.rights += over
	}
	a.s.Debt -= pay
	a.s.Spent += pay
	a.rights -= pay
	if a.spec.Kind == Rate {
		a.accrual.spend(pay)
	}
	if there > pay {
		a.wantMark = max(a.wantMark, a.s.used()+there-pay)
	}
}

// SetPrice says what costs are multiplied by here, in parts per million, for peers to see; 0 if that does not move. Safe
// for concurrent use.
func (a *Account) SetPrice(ppm Tokens) {
	a.mu.Lock()
	a.price = ppm
	a.mu.Unlock()
}

// Rights returns what could be reserved here now. Safe for concurrent use.
func (a *Account) Rights(now Instant) Tokens {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	if !a.open() {
		return 0
	}
	return max(0, a.rights-a.s.Debt)
}

// Ended reports whether the life of the account's instance is over: calls draw on the next one. Safe for concurrent use.
func (a *Account) Ended(now Instant) bool { return now >= a.ends }

// Retired reports whether the account's generation is over: nothing can be charged to it any more. Safe for concurrent use.
func (a *Account) Retired() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.retired
}

// State returns a copy of the account's state at now. Safe for concurrent use.
func (a *Account) State(now Instant) State {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	return a.s
}

// Audit checks the account's own equations and returns what they are off by: always 0, or there is a
// bug. Safe for concurrent use.
func (a *Account) Audit() Tokens {
	a.mu.Lock()
	defer a.mu.Unlock()
	off := abs(a.rights - a.s.Balance())
	off += max(0, -a.rights) + max(0, -a.s.Reserved) + max(0, -a.s.Debt)
	off += max(0, a.s.used()-a.s.Mark)
	l := a.s.Lapses()
	off += max(0, -l.Decayed) + max(0, -l.Expired) + max(0, -l.Burned)
	if a.spec.Kind == Rate && a.ready {
		off += max(0, a.rights-a.accrual.lent-a.accrual.cap) + max(0, a.accrual.lent-a.rights)
		if l := a.accrual.lots; len(l) > 0 && l[0].expires <= a.last {
			off++
		}
	}
	if s := a.s.Shares(); s < 0 || s > TotalShares || a.s.Free < 0 || a.s.Counted < 0 || a.s.Free+a.s.Arriving > s {
		off++
	}
	return off
}

func abs(t Tokens) Tokens {
	if t < 0 {
		return -t
	}
	return t
}

// ewma smooths a rate (tokens per second) with a time constant, for signals only.
type ewma float64

func (e *ewma) add(perSecond float64, dt, constant Millis) {
	e.blend(perSecond, ewmaPart(dt, constant))
}

// ewmaPart is the weight of what came in the last dt.
func ewmaPart(dt, constant Millis) float64 { return 1 - math.Exp(-float64(dt)/float64(constant)) }

func (e *ewma) blend(perSecond, w float64) {
	*e += ewma(w * (perSecond - float64(*e)))
	if *e < 1e-3 {
		*e = 0
	}
}
