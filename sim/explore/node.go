package explore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// start is when every scope begins: the first instant of a window of any length in use here.
const start = ledger.Instant(1_700_000_000_000 - 1_700_000_000_000%86_400_000)

// ttl is how long reservations live.
const ttl = 30_000

// patience is how long calls wait for what they asked for.
const patience = 2000

// node is a node that runs: the production replica with a disk and a clock.
type node struct {
	sc    *setting
	i     int
	r     *ledger.Replica // nil while down
	how   *strategy
	disk  *judge.Disk
	books []*judge.Book

	clock   ledger.Instant
	top     ledger.Instant // the latest that it ever showed
	policy  int
	life    uint64
	left    bool
	open    []call // sorted
	topUps  []int8 // in this batch
	writes  []ledger.Write
	writing bool   // the disk has started on writes
	highest uint64 // version of a row ever sent

	again bool // this is a replay: it was judged when it happened first

	// What the last input brought.
	sent []envelope
	flow ledger.Tokens // admitted, or refunded when negative; of a rate
	note string        // for people
}

// call is a reservation that is open.
type call struct {
	budget int
	amount ledger.Tokens
	window ledger.Window
	until  ledger.Instant
}

type envelope struct {
	to  int
	msg any
}

// setting is what all nodes of a scope share. It does not change.
type setting struct {
	scope   *Scope
	charter ledger.Charter
	ids     []ledger.InstanceID
	self    [nodes]ledger.Holder
	peers   []ledger.Peer
}

func newSetting(s *Scope) *setting {
	sc := &setting{scope: s}
	for i := range nodes {
		sc.self[i] = ledger.Holder{Node: fmt.Sprintf("n%d", i), Gen: 1}
		sc.peers = append(sc.peers, ledger.Peer{Holder: sc.self[i], Alive: true})
	}
	var err error
	if sc.charter, err = ledger.NewCharter("explore", sc.self[:s.Founders], [16]byte{1}); err != nil {
		panic(fmt.Sprintf("BUG: scope %s: %v", s.Name, err))
	}
	for i := range max(1, s.Budgets) {
		name := i
		if s.Life > 0 {
			name = 0
		}
		id, err := ledger.NewInstanceID(sc.charter.ID, fmt.Sprintf("b%d", name), "compute", s.Specs[0].Kind, nil, nil)
		if err == nil && s.Life > 0 {
			begins := start + ledger.Instant(i)*ledger.Instant(s.Life)
			id, err = id.InLife(begins, begins+ledger.Instant(s.Life))
		}
		if err != nil {
			panic(fmt.Sprintf("BUG: scope %s: %v", s.Name, err))
		}
		sc.ids = append(sc.ids, id)
	}
	return sc
}

// newNode is a node at the start of a scope.
func (sc *setting) newNode(i int) (*node, error) {
	n := &node{sc: sc, i: i, disk: judge.NewDisk(sc.self[i]), clock: start, top: start}
	for _, id := range sc.ids {
		n.books = append(n.books, judge.NewBook(sc.self[i], id))
	}
	n.boot()
	if err := n.r.Found(sc.charter); err != nil {
		return nil, err
	}
	if err := n.batch(commit); err != nil {
		return nil, err
	}
	if !sc.scope.Cold {
		for _, id := range sc.ids {
			if !lives(id, start) {
				continue
			}
			if _, err := n.r.Open(n.clock, id); err != nil {
				return nil, err
			}
		}
		if err := n.batch(commit); err != nil {
			return nil, err
		}
	}
	return n, n.look()
}

// dice gives a replica the one number that it throws at its start.
type dice uint64

func (d dice) Uint64() uint64 { return uint64(d) }

// digestDice falls always the same, also for who answers a digest: in the middle, where rand's search for a number
// ends at once, and so that only rows are sent that are newer.
const digestDice dice = 1<<63 | 1

// boot makes a replica of what is on the disk.
func (n *node) boot() error {
	n.life++
	seed := dice(0)
	switch {
	case n.sc.scope.Asks:
		seed = dice(n.life << 20)
	case n.sc.scope.Digests:
		seed = digestDice
	}
	n.how = &strategy{rows: n.sc.scope.Rows}
	n.r = ledger.NewReplica(ledger.Config{
		Self: n.sc.self[n.i], Strategy: n.how, Rand: rand.New(seed),
		Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
			return n.spec(), slices.Contains(n.sc.ids, id)
		},
	})
	n.r.SetPeers(n.sc.peers)
	return n.r.Load(n.clock, n.disk.Records())
}

func (n *node) spec() ledger.Spec { return n.sc.scope.Specs[n.policy] }

// do has one input happen. An error is a violation, or says that the code's own checks failed.
func (n *node) do(in input, msg any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	n.sent, n.flow, n.note = nil, 0, ""
	switch in.kind {
	case reserve:
		err = n.reserve(in)
	case settle:
		err = n.settle(int(in.arg>>8), int64(in.arg&0xff))
	case rights:
		got := n.r.GiveRights(n.clock, n.sc.ids[in.budget], n.sc.self[in.to], ledger.Tokens(in.arg), n.clock)
		n.note = fmt.Sprintf("%d given", got)
	case shares:
		got := n.r.GiveShares(n.clock, n.sc.ids[in.budget], n.sc.self[in.to], n.sc.scope.Shares[in.arg])
		n.note = fmt.Sprintf("%d given", got)
	case receive:
		if refused := n.r.Receive(n.clock, msg); refused != nil {
			n.note = "refused: " + refused.Error()
		}
	case tick:
		n.r.Tick(n.clock)
	case step:
		n.clock += ledger.Instant(in.arg)
	case turn:
		n.clock += ledger.Instant(in.arg)
		n.r.Tick(n.clock)
	case write:
		n.writes, n.writing = n.r.Writes(n.clock), true
	case crash:
		n.crash()
	case restart:
		n.clock = max(start, n.clock-ledger.Instant(in.arg))
		err = n.boot()
	case topUp:
		if _, e := n.r.Mint(n.clock, n.sc.ids[in.budget], n.sc.scope.TopUp, ""); e != nil {
			return e
		}
		n.topUps = append(n.topUps, in.budget)
	case burn:
		_, e := n.r.Burn(n.clock, n.sc.ids[in.budget], n.sc.scope.Burn, "")
		switch {
		case errors.Is(e, ledger.ErrTooFew):
			n.note = "refused: " + e.Error()
		case e != nil:
			return e
		default:
			n.books[in.budget].Burned(n.sc.scope.Burn)
		}
	case policy:
		n.policy = int(in.arg)
		n.r.Respec(n.clock)
	case leave:
		if e := n.r.Leave(n.clock, n.sc.self[in.to]); e != nil {
			return e
		}
		n.left = true
	case digest:
		d := n.r.Digest()
		n.sent, err = []envelope{{int(in.to), d}}, n.disk.Told(d)
	case offer:
		n.how.taker = n.sc.self[in.to]
		n.r.Tick(n.clock)
		n.how.taker = ledger.Holder{}
	}
	if err == nil && in.then != none {
		err = n.batch(in.then)
	}
	if err == nil && !n.again {
		err = n.look()
	}
	return err
}

func (n *node) reserve(in input) error {
	id := n.sc.ids[in.budget]
	a, err := n.r.Open(n.clock, id)
	if errors.Is(err, ledger.ErrEnded) {
		n.note = "refused: " + err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	takes := []ledger.Take{{Account: a, Amount: ledger.Tokens(in.arg)}}
	why, _ := ledger.Reserve(n.clock, n.clock+ttl, takes, true)
	if why == ledger.Enough {
		n.note = "admitted"
		t := takes[0]
		c := call{int(in.budget), t.Amount, t.Window, 0}
		if a.Spec().Kind == ledger.Slots {
			c.until = n.clock + ttl
		}
		n.open = append(n.open, c)
		slices.SortFunc(n.open, func(a, b call) int {
			if a.budget != b.budget {
				return a.budget - b.budget
			}
			return int(a.window-b.window)*1000 + int(a.until-b.until) + int(a.amount-b.amount)
		})
		n.books[in.budget].Admitted(t.Window, t.Amount)
		if a.Spec().Kind == ledger.Rate {
			n.flow = t.Amount
		}
		return nil
	}
	n.note = shorts[why]
	if why == ledger.NoRights && in.to >= 0 {
		n.how.donor = n.sc.self[in.to]
		lack := ledger.Need{First: takes[0].Amount, All: takes[0].Amount, Since: n.clock, Until: n.clock + patience}
		n.r.Waiting(n.clock, id, lack)
		n.r.Waiting(n.clock, id, ledger.Need{}) // the call gives up; what was asked for may come
		n.how.donor = ledger.Holder{}
	}
	return nil
}

var errForgotten = errors.New("an instance is forgotten while one of its calls runs")

func (n *node) settle(k int, percent int64) error {
	c := n.open[k]
	n.open = slices.Delete(slices.Clone(n.open), k, k+1)
	a := n.r.Account(n.sc.ids[c.budget])
	if a == nil {
		_, ends, _ := n.sc.ids[c.budget].Life()
		if spec := n.spec(); spec.Kind == ledger.Windowed {
			if last, _, _ := spec.Calendar.At(ends - 1); c.window != last {
				n.note = "too late: its window had ended long before" // nothing comes back of it, nor is paid
				return nil
			}
		}
		return errForgotten
	}
	used := ledger.Tokens(int64(c.amount) * percent / 100)
	charged, over := a.Settle(n.clock, c.amount, used, c.window)
	n.note = fmt.Sprintf("%d charged, %d of it overrun", charged, over)
	n.books[c.budget].Settled(c.window, c.amount, charged-over)
	if a.Spec().Kind == ledger.Rate {
		n.flow = charged - over - c.amount
	}
	return nil
}

// batch completes one batch.
func (n *node) batch(o outcome) error {
	ws := n.writes
	if !n.writing {
		ws = n.r.Writes(n.clock)
	}
	n.writes, n.writing = nil, false
	switch o {
	case abort:
		n.r.Abort()
		n.topUps = nil
		return nil
	case crashBefore:
		n.crash()
		return nil
	}
	if err := n.disk.Write(ws); err != nil {
		return err
	}
	for _, b := range n.topUps {
		n.books[b].ToppedUp(n.sc.scope.TopUp)
	}
	n.topUps = nil
	if o == crashAfter {
		n.crash()
		return nil
	}
	fx := n.r.Commit(n.clock)
	for _, s := range fx.Sends {
		if err := n.disk.Told(s.Message); err != nil {
			return err
		}
		to := slices.IndexFunc(n.sc.self[:], func(h ledger.Holder) bool { return h.Node == s.To })
		n.sent = append(n.sent, envelope{to, s.Message})
	}
	for _, s := range fx.Spreads {
		if s.Row.Holder == n.sc.self[n.i] {
			if err := n.disk.Spread(s.Row, n.highest); err != nil {
				return err
			}
			n.highest = s.Row.Version
		}
		for j := range nodes {
			if j != n.i {
				n.sent = append(n.sent, envelope{j, []ledger.Row{*s.Row}})
			}
		}
	}
	return nil
}

func (n *node) crash() {
	for _, c := range n.open {
		if n.spec().Kind == ledger.Slots {
			n.books[c.budget].LostSlots(c.amount, c.until)
		}
	}
	for _, b := range n.books {
		b.Crashed()
	}
	n.r, n.how, n.open, n.topUps, n.writes, n.writing, n.left = nil, nil, nil, nil, nil, false, false
}

var errFenced = errors.New("a node that did nothing wrong is fenced")

// look judges the node on its own.
func (n *node) look() error {
	n.top = max(n.top, n.clock)
	t := judge.Time{True: n.clock, Top: n.top, Steady: n.sc.scope.Together}
	for _, b := range n.books {
		if err := b.Look(n.r, n.disk, n.spec(), t); err != nil {
			return err
		}
	}
	if n.r != nil && n.r.Fenced() {
		return errFenced
	}
	return nil
}

// frozen is a copy of a node that is down, to start from again.
func (n *node) frozen() *node {
	c := *n
	c.disk = n.disk.Clone()
	c.books = cloneBooks(n.books)
	return &c
}

func cloneBooks(bs []*judge.Book) []*judge.Book {
	out := make([]*judge.Book, len(bs))
	for i, b := range bs {
		out[i] = b.Clone()
	}
	return out
}
