package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Limits bound what a replica keeps.
const (
	MaxInstances = 1 << 16 // accounts and instances known by rows
	MaxRows      = 1 << 20 // rows known, over all instances
	MaxOpen      = 1 << 16 // transfers not acknowledged
)

// Errors of a replica. Wrapped with details; test with errors.Is.
var (
	ErrFull      = errors.New("too many instances")
	ErrNoCharter = errors.New("the cluster has no charter yet")
	ErrUnknown   = errors.New("unknown instance")
	ErrNoTopUp   = errors.New("this supply is neither topped up nor burned")
	ErrTooMuch   = errors.New("amount out of range")
	ErrRetired   = errors.New("retired: what this generation of the node had is another's")
	ErrFenced    = errors.New("fenced: peers know a later state of this node")
)

// Config makes a Replica.
type Config struct {
	Self     Holder
	Strategy Strategy
	Rand     *rand.Rand
	// Resolve tells what an instance is by the present policy; false if it names no budget of it.
	Resolve func(InstanceID) (Spec, bool)
	// Bytes is what messages to single peers may cost in a second, 0 for no limit. Rows for everybody do not count.
	Bytes int64
	// Directory is the first generation of the data directory, which outlives those that follow each other in it when a
	// node claims itself; 0 stands for that of Self.
	Directory uint64
	// Zone and Host say where this node is, as in Peer.
	Zone, Host string
	// Scratch is memory that replicas which one goroutine drives may share; nil where there is one only.
	Scratch *Scratch
}

// Scratch is memory for what is needed for a moment. The zero value is ready.
type Scratch struct {
	view    View
	digests []HolderDigest
	spares  [][]HolderDigest
	row     Row // as it is
	last    Row // as it was told

	candidates []guardian.Candidate
	rows       []Row
	messages   [][]Row
}

// maxSpares bounds the digests and the messages of rows whose memory is kept.
const maxSpares = 64

// Spare takes the memory of a digest back that nobody looks at any more.
func (s *Scratch) Spare(d *Digest) {
	if len(s.spares) < maxSpares {
		s.spares = append(s.spares, d.Holders[:0])
	}
	d.Holders = nil
}

func (s *Scratch) spare() (hs []HolderDigest) {
	if n := len(s.spares); n > 0 {
		hs, s.spares = s.spares[n-1], s.spares[:n-1]
	}
	return hs
}

// SpareRows takes the memory of a message of rows back that nobody looks at any more.
func (s *Scratch) SpareRows(rows []Row) {
	if len(s.messages) < maxSpares && cap(rows) >= 16 {
		clear(rows)
		s.messages = append(s.messages, rows[:0])
	}
}

// message is a copy of rows, to be sent.
func (s *Scratch) message(rows []Row) []Row {
	if n := len(s.messages); n > 0 {
		spare := s.messages[n-1]
		s.messages = s.messages[:n-1]
		return append(spare, rows...)
	}
	return slices.Clone(rows)
}

// Replica is one node's whole ledger: its own accounts and what it knows of others'.
//
// It is driven in batches. Inputs (Open, Receive, Want, Tick, …) may be given in any number; then Writes
// returns what must be made durable, and after that Commit applies what had to wait for it and returns
// what to do. Nothing that Commit returns may be done before the writes are durable. If they fail, Abort
// forgets the batch safely.
type Replica struct {
	cfg     Config
	self    Holder
	charter Charter
	seats   seats
	ballot  *Ballot
	minted  mintLog
	burned  mintLog

	instances map[InstanceID]*instance
	overdrew  map[InstanceID]overdrew // by earlier generations of this directory
	order     []*instance             // in order of first sight: iteration never follows a map
	near      *instance               // that was looked up last
	counts    map[string]int          // of instances, by budget
	seq       uint64
	rows      int
	peers     []Peer // sorted by holder; never written to
	live      int    // of peers, and this node

	version     uint64 // of the last row built
	versionMark uint64 // durable: versions up to it may be used
	versionNext uint64 // what this batch makes durable
	fenced      bool
	resting     bool

	touched   touchList
	active    []*instance
	roused    bool // an instance has become active since Due was asked
	unacked   []*edgeRef
	nextTurn  Instant
	lastSlow  Instant
	askID     uint64
	edges     int    // over all instances
	places    uint64 // grows when other holders live or hold seats
	allowance allowance
	heir      Holder // who gets everything that this node owns, while it leaves

	batch   batch
	last    Effects // of the batch before, whose lists the next one fills
	guard   *guardian.Machine
	elapsed time.Duration // by the clock of leases
	guards  guards
	words   words
	former  former
	mortal  mortal
	past    past // generations with which nothing is open, and no pairwise records are kept
	bound   bool // this generation has guardians, durably: what is used and told must be held
	scratch *Scratch
	reached uint64          // by reach
	dice    func(n int) int // of Config.Rand
}

// Peer is a live or dead member, as the failure detector sees it.
type Peer struct {
	Holder   Holder // Gen 0 while unknown
	Alive    bool
	Left     bool // it is not alive because it left
	Distance Millis
	// Directory is as in Config; 0 for the generation of Holder.
	Directory uint64
	// Where it is: guardians are chosen in one's own zone, on other hosts.
	Zone, Host string
	// Passing says that it is about to leave, or that its version guards nobody: it is named as a guardian no more, and
	// those whom it guards do well to name others while it still answers.
	Passing bool
}

// instance is all that this node knows of one instance.
type instance struct {
	id      InstanceID
	hash    uint64   // of id, for digests
	begins  Instant  // see Life: the far past, and
	ends    Instant  // the far future where there is no end
	over    bool     // it has ended, and is not counted any more
	account *Account // nil if there is none here
	edges   map[Holder]*edge
	rows    []known // sorted by holder
	sums    sums    // of rows

	active   bool
	tickedAt Instant
	sent     Row // the row that peers were sent last
	sentAt   Instant
	need     Need
	held     []heldAsk // that wait for rights here, oldest first
	gifts    []gift    // of shares, lately
	quiet    Instant   // nobody can be asked until then
	aheadAt  Instant   // nor for calls to come
	lookAt   Instant   // all peers are not looked through for one to offer rights to until then
	tellAt   Instant   // the strategy has no use for the row until then, but for what tellNow names
	called   bool      // calls came since it was last asked for some to come
	driftAt  Instant
	dust     dust
	news     bool // a row came since drift was last looked at
	asks     []outstanding
	refusals []refusal
	hints    []Holder
	looked   []gift // who asked in the last second, to give it shares or not
	early    []*Ask // came before the account could answer

	founding    Shares // what genesis gave, until it is durable
	foundingAt  later  // and what of it counts only later
	foundingBy  uint64 // and the seats that it came with
	unseated    bool   // seats came that the account may lack
	changes     []change
	dirty       bool
	writtenMark Tokens // what this batch's Writes made the mark
	writtenTill Instant
	writtenHeld Tokens
	heldTill    Instant        // what this batch's Writes made HeldTill
	owes        Tokens         // Debt as it was written last
	noted       uint64         // the version that has the present held mark
	waitsHeld   bool           // for it to be held
	raisedAt    Instant        // when it was last raised
	dues        map[dueKey]Due // what this node was credited as an heir
	coming      Shares         // of final records, in this batch
	arriving    Tokens         // rights that came and wait for the disk
	slow        slow           // what the generation before knew of refusals by the provider

	// parked is a durable account whose budget the present policy does not have.
	parked *State
}

// known is a row of a peer. Rows are never changed, so that replicas in one process can share them.
type known struct {
	*Row
	at Instant
}

// change is a step that makes an account able to spend more: applied when durable.
type change struct {
	edge   *edge
	apply  func(*State, *Entry)
	then   func() // under the account's lock, right after apply
	due    *dueChange
	lapses Instant // Rate: when the rights that this credits lapse
}

type edgeRef struct {
	in *instance
	e  *edge
}

type batch struct {
	dirty   []*instance
	edges   []*edgeRef
	meta    []Write
	urgent  bool // somebody waits until guardians hold it
	mints   []string
	sends   []Send
	spreads []Spread
	grown   []*Account
	events  []Event
	news    int
	stale   int
}

// Effects is what the driver must do after a batch is durable. The lists are used again: they are valid until the
// next Commit.
type Effects struct {
	Sends   []Send
	Spreads []Spread
	// Grown are the accounts that may serve more than before: waiting calls should be tried again.
	Grown []*Account
	// Events tells what happened, for metrics and logs.
	Events []Event
	// News counts the rows that told something new, Stale those that were known.
	News, Stale int
}

// NewReplica returns an empty replica; Load fills it from disk.
func NewReplica(c Config) *Replica {
	if c.Self.IsZero() || c.Strategy == nil || c.Rand == nil || c.Resolve == nil {
		panic("BUG: incomplete ledger.Config")
	}
	if c.Directory == 0 {
		c.Directory = c.Self.Gen
	}
	if c.Scratch == nil {
		c.Scratch = &Scratch{}
	}
	return &Replica{
		scratch: c.Scratch, dice: c.Rand.IntN, guard: guardian.New(c.Self, c.Directory),
		cfg: c, self: c.Self,
		instances: map[InstanceID]*instance{},
		minted:    mintLog{seen: map[string]Tokens{}},
		burned:    mintLog{seen: map[string]Tokens{}},
		nextTurn:  maxInstant,
		guards:    guards{wholeCopies: wholeCopies},
		mortal:    mortal{closes: maxInstant, leaves: maxInstant},
		askID:     c.Rand.Uint64() >> 2, // so that asks of an earlier life are not taken for repeats
	}
}

// Self returns the holder that this replica writes for.
func (r *Replica) Self() Holder { return r.self }

// Charter returns the cluster's charter; its ID is zero until there is one.
func (r *Replica) Charter() Charter { return r.charter }

// Fenced reports that peers know a later state of this holder than its own disk does, so it may not act.
func (r *Replica) Fenced() bool { return r.fenced }

// SetPeers replaces what is known of the membership. peers are sorted by holder, no two of one node; the slice is
// kept and must not be written to any more.
func (r *Replica) SetPeers(peers []Peer) {
	if !slices.EqualFunc(r.peers, peers, func(a, b Peer) bool { return a.Holder == b.Holder && a.Alive == b.Alive }) {
		r.places++
	}
	before := r.members()
	r.peers, r.live = peers, 1
	for i := range peers {
		if peers[i].Alive && peers[i].Holder.Node != r.self.Node {
			r.live++
		}
	}
	if r.members() == before {
		return
	}
	for _, in := range r.order {
		if a := in.account; a != nil {
			a.mu.Lock()
			r.overdraft(a)
			a.mu.Unlock()
		}
	}
}

// peer finds a member by its node's name.
func (r *Replica) peer(node string) (i int, ok bool) {
	return slices.BinarySearchFunc(r.peers, node, func(p Peer, n string) int { return strings.Compare(p.Holder.Node, n) })
}

// alive returns the peer if it is live in that very generation.
func (r *Replica) alive(h Holder) (Peer, bool) {
	i, ok := r.peer(h.Node)
	if !ok || !r.peers[i].Alive || r.peers[i].Holder.Gen != h.Gen {
		return Peer{}, false
	}
	return r.peers[i], true
}

// members counts the nodes that this one knows, dead ones and itself included: a node that is cut off must
// not take the others' parts of an overdraft. A cluster has at least its founders.
func (r *Replica) members() int {
	n := len(r.peers)
	if _, ok := r.peer(r.self.Node); !ok {
		n++
	}
	return max(n, len(r.charter.Founders))
}

// fence stops this replica: it acts no more.
func (r *Replica) fence() {
	r.fenced = true
	for _, in := range r.order {
		if a := in.account; a != nil {
			a.mu.Lock()
			a.fenced = true
			a.mu.Unlock()
		}
	}
}

// instance returns the record of id, making one if there is room.
func (r *Replica) instance(id InstanceID) (*instance, error) {
	if r.near != nil && r.near.id == id {
		return r.near, nil
	}
	if in, ok := r.instances[id]; ok {
		r.near = in
		return in, nil
	}
	if len(r.order) >= MaxInstances {
		return nil, fmt.Errorf("%w: this node knows %d already; use fewer values of `per`", ErrFull, len(r.order))
	}
	in := &instance{id: id, hash: xxhash.Sum64String(string(id)), edges: map[Holder]*edge{}}
	r.instances[id] = in
	r.order = append(r.order, in)
	r.lives(in)
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[id.budget()]++
	return in, nil
}

// Count returns how many instances of a budget are known, its own accounts and those of others.
func (r *Replica) Count(budget string) int { return r.counts[budget] }

// Room reports whether a call may open an account of an instance: it is known already, or fewer than most of its budget are,
// and fewer in all than a replica holds. Instances go away when their life is over; those without an end never do, as what was
// spent of them must not be forgotten.
func (r *Replica) Room(id InstanceID, most int) bool {
	if _, ok := r.instances[id]; ok {
		return true
	}
	if begins, _, ok := id.Life(); ok {
		r.closeLives(begins) // those before it make room
	}
	return r.counts[id.budget()] < most && len(r.order) < MaxInstances
}

// Open returns this node's account of an instance, making it if there is none: with the founding shares if
// this node holds a seat, without any otherwise. A new account can be used after the next Commit.
func (r *Replica) Open(now Instant, id InstanceID) (*Account, error) {
	if r.fenced {
		return nil, ErrFenced
	}
	if r.guards.over {
		return nil, ErrRetired
	}
	if r.charter.ID.IsZero() {
		return nil, ErrNoCharter
	}
	in, ok := r.instances[id]
	if ok && in.account != nil && now < in.ends {
		return in.account, nil
	}
	if r.ended(now, id) {
		return nil, fmt.Errorf("%w: %q", ErrEnded, id.Name())
	}
	spec, ok := r.cfg.Resolve(id)
	if !ok {
		return nil, fmt.Errorf("%w: %q is no budget of the present policy", ErrUnknown, id.Name())
	}
	var err error
	if in, err = r.instance(id); err != nil {
		return nil, err
	}
	if in.parked != nil {
		r.revive(now, in, spec, in.parked)
		return in.account, nil
	}
	if in.founding, in.foundingBy, err = r.genesis(now, in, &spec, 0, false); err != nil {
		return nil, err
	}
	a := r.attach(in, spec)
	a.last = now
	r.recallSlow(now, in)
	r.begin(now, in)
	return a, nil
}

// begin queues what opens an account: its founding shares and the issue of the present window.
func (r *Replica) begin(now Instant, in *instance) {
	a := in.account
	r.found(in)
	a.mu.Lock()
	w, end, _ := a.due(now)
	r.turn(in, now, w, end)
	if n, of := r.unheld(a), a.overdrew.window; n > 0 && of == w {
		r.grow(in, change{apply: func(s *State, _ *Entry) {
			if s.Window == of {
				s.Taken.add(Taken{Issued: n, Spent: n})
			}
		}})
	}
	a.mu.Unlock()
	r.activate(in)
}

func (r *Replica) attach(in *instance, spec Spec) *Account {
	r.seq++
	a := &Account{id: in.id, self: r.self, seq: r.seq, spec: spec, begins: in.begins, ends: in.ends, end: maxInstant, seats: len(r.charter.Founders), resting: r.resting}
	a.overdrew = r.overdrew[in.id]
	a.notify = func(*Account) { r.touched.add(in) }
	r.bind(a)
	in.account = a
	in.unseated = true
	r.setLevels(a, hashID(in.id))
	r.overdraft(a)
	return a
}

// Account returns this node's account of an instance, or nil.
func (r *Replica) Account(id InstanceID) *Account {
	if in, ok := r.instances[id]; ok {
		return in.account
	}
	return nil
}

// turn adds the change that issues window w. Caller holds the account's lock.
func (r *Replica) turn(in *instance, now Instant, w Window, end Instant) {
	a := in.account
	a.advance(now)
	chunk := a.chunk()
	if a.resting {
		chunk = 0
	}
	issue := a.issue(w, chunk)
	r.grow(in, change{
		apply: func(s *State, _ *Entry) { issue(s) },
		then:  func() { a.opened(now, end) },
	})
}

// Respec takes over a new policy: the worth of shares changes at once, shares do not. Accounts whose
// instance the policy no longer has stay as they are.
func (r *Replica) Respec(now Instant) {
	for _, in := range r.order {
		a := in.account
		if a == nil {
			continue
		}
		spec, ok := r.cfg.Resolve(in.id)
		if !ok {
			continue
		}
		a.mu.Lock()
		a.advance(now)
		a.spec = spec
		r.overdraft(a)
		if spec.Kind == Rate {
			a.retune()
			a.clampRate()
			a.slow.whole = min(a.slow.whole, a.last+Instant(spec.Feedback.longest()))
		} else if a.ready {
			a.end = min(a.ends, a.spec.calendar().endOf(a.s.Window))
		}
		a.mu.Unlock()
		r.activate(in)
	}
	r.nextTurn = now // look at every window once
	r.guards.news = true
}

// overdraft works out this node's equal part of a soft instance's overdraft. Caller holds the account's lock
// or has the only reference.
func (r *Replica) overdraft(a *Account) {
	a.overdraftPart = 0
	if a.spec.Ceiling == Soft {
		a.overdraftPart = Tokens(mulDiv(int64(a.spec.Amount), a.spec.OverdraftPPM, 1_000_000)) / Tokens(r.members())
	}
}

// Mint tops up an instance by amount here and now. id makes it happen once; a repeat returns true. The
// tokens are usable after the next Commit.
func (r *Replica) Mint(now Instant, inst InstanceID, amount Tokens, id string) (repeated bool, err error) {
	if len(id) > maxMintID {
		return false, fmt.Errorf("%w: the id of a top-up has at most %d bytes", ErrTooMuch, maxMintID)
	}
	if amount <= 0 || amount > MaxTokens {
		return false, fmt.Errorf("%w: a top-up is 1 to %d tokens, not %d", ErrTooMuch, MaxTokens, amount)
	}
	a, err := r.Open(now, inst)
	if err != nil {
		return false, err
	}
	in := r.instances[inst]
	spec := a.Spec()
	if spec.Kind != Grant && spec.Kind != Windowed {
		return false, fmt.Errorf("%w: %q is a %s; only grants and windows are", ErrNoTopUp, inst.Name(), spec.Kind)
	}
	if done, ok := r.minted.seen[id]; ok && id != "" {
		if done != amount {
			return true, fmt.Errorf("%w: top-up %q was of %d tokens, not %d", ErrTooMuch, id, done, amount)
		}
		return true, nil
	}
	if st := a.State(now); st.Minted+amount > MaxTokens {
		return false, fmt.Errorf("%w: top-ups of %q would pass %d tokens", ErrTooMuch, inst.Name(), MaxTokens)
	}
	if id != "" {
		r.minted.add(id, amount)
		r.batch.mints = append(r.batch.mints, id)
		r.meta(keyMint, encodeMints(&r.minted))
	}
	r.grow(in, change{apply: func(s *State, _ *Entry) { s.Minted += amount }})
	return false, nil
}

// mintLog remembers the last top-ups by id, so that a repeated one does nothing; and what was burned, likewise.
type mintLog struct {
	seen  map[string]Tokens
	order []string
}

const maxMints = 1024

func (m *mintLog) add(id string, n Tokens) {
	if _, ok := m.seen[id]; !ok {
		m.order = append(m.order, id)
	}
	m.seen[id] = n
}

// undo forgets top-ups that were not made durable: the last ones added.
func (m *mintLog) undo(ids []string) {
	for _, id := range ids {
		delete(m.seen, id)
	}
	m.order = m.order[:len(m.order)-len(ids)]
}

// trim forgets the oldest ones beyond maxMints.
func (m *mintLog) trim() {
	if extra := len(m.order) - maxMints; extra > 0 {
		for _, id := range m.order[:extra] {
			delete(m.seen, id)
		}
		m.order = slices.Clone(m.order[extra:])
	}
}

// genesis returns the founding shares of an instance that this node holds by its seats, and books them as used. Without a
// seat it is 0. by has a bit for each seat held here, also for those under which the instance was used before; seats that the
// account has already are passed over, and so are those that count only later (see later.go), unless those are asked for.
func (r *Replica) genesis(now Instant, in *instance, spec *Spec, have uint64, late bool) (n Shares, by uint64, err error) {
	unused, h := uint64(0), hashID(in.id)
	for i := range r.seats.of {
		if r.seats.of[i].Holder != r.self || have&(1<<i) != 0 {
			continue
		}
		_, used := r.seats.used[i][h]
		used = used || in.ends <= Instant(r.seats.used[i][floorKey])
		if !used && !late && r.countsLater(now, i, spec) {
			continue
		}
		by |= 1 << i
		if used {
			continue
		}
		unused |= 1 << i
		if len(r.seats.used[i]) >= MaxUsed {
			return 0, 0, fmt.Errorf("%w: a founder's seat is used for %d", ErrFull, MaxUsed)
		}
	}
	in.foundingAt = later{}
	for i := range r.seats.of {
		if unused&(1<<i) == 0 {
			continue
		}
		level, shares := Tokens(0), r.charter.seatShares(i)
		if r.countsLater(now, i, spec) {
			level = in.foundingAt.add(shares, r.seats.used[i][laterKey], spec)
		}
		if in.ends < maxInstant {
			level = lifeLevel(in.ends)
		}
		r.use(i, h, level)
		n += shares
	}
	return n, by, nil
}

// use books an instance as used under a seat held here, up to a level.
func (r *Replica) use(i int, h uint64, level Tokens) {
	r.seats.used[i][h] = level
	if ends, ok := level.lifeEnds(); ok {
		r.mortal.leaves = min(r.mortal.leaves, ends+Instant(afterLife))
	}
	r.meta(usedKey(i, h), encodeLevel(level))
}
