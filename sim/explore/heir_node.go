package explore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// HeirScope is a world of three nodes whose generations have guardians and are claimed. It explores the accounting alone:
// the guardians are ideal. They hold a node's present version when the search says so, and decide, once for each
// generation, on any version that a claim could find: not below what was held, not above what was noted.
type HeirScope struct {
	Name  string
	About string

	Founders int
	Spec     ledger.Spec
	Calls    []ledger.Tokens
	Used     []int64
	Rights   []ledger.Tokens
	Shares   []ledger.Shares
	Heirs    [][2]int // {claimed, heir}: the heir's present generation; of the same node its next one
	Crashes  bool
	Members  bool // the number of members falls below four
	Word     bool // nobody has guardians; n0 dies, and an operator vouches for that at n1

	Most  HeirCosts
	Depth int
	Brief int
}

// HeirCosts bounds the actions of one path, by sort.
type HeirCosts struct{ Calls, Gifts, Ticks, Holds, Claims, Faults uint8 }

type heirKind uint8

const (
	heirReserve heirKind = iota + 1 // arg: amount
	heirSettle                      // arg: call << 8 | percent
	heirRights                      // to, arg: amount
	heirShares                      // to, arg: index
	heirTick
	heirHold
	heirReceive // arg: message
	heirCrash   // and restart
	heirMembers
	heirClaim // to: the heir, arg: version
	heirDie
	heirVouch // to: who is dead
)

type heirInput struct {
	kind heirKind
	to   int8
	arg  int32
}

type heirCost uint8

const (
	heirFree heirCost = iota
	heirCalls
	heirGifts
	heirTicks
	heirHolds
	heirClaiming
	heirFaults
	heirCostCount
)

func (c *HeirCosts) by() [heirCostCount]uint8 {
	return [heirCostCount]uint8{heirCalls: c.Calls, heirGifts: c.Gifts, heirTicks: c.Ticks, heirHolds: c.Holds, heirClaiming: c.Claims, heirFaults: c.Faults}
}

func (in *heirInput) cost() heirCost {
	switch in.kind {
	case heirReserve:
		return heirCalls
	case heirRights, heirShares:
		return heirGifts
	case heirTick:
		return heirTicks
	case heirHold:
		return heirHolds
	case heirClaim:
		return heirClaiming
	case heirCrash, heirMembers, heirDie, heirVouch:
		return heirFaults
	}
	return heirFree
}

// heirGenerations bounds the generations of a node.
const heirGenerations = 3

// heirNode is a node that runs: the production replica with a disk. Time stands still for it but for ticks.
type heirNode struct {
	w     *heirSetting
	i     int
	self  ledger.Holder
	r     *ledger.Replica
	disk  *judge.Disk
	books []*judge.Book // by generation, the present one last
	past  [][]heirNoted // by generation: what was noted in each version
	held  [heirGenerations]uint64
	ticks int
	few   bool // members
	dead  bool
	gone  [nodes]bool // whom it sees dead
	open  []call

	sent []envelope
	note string
}

// heirNoted is what guardians may have of a generation in one version.
type heirNoted []guardian.Record

// heirSetting is what all nodes of a scope share.
type heirSetting struct {
	scope   *HeirScope
	charter ledger.Charter
	id      ledger.InstanceID
}

func newHeirSetting(s *HeirScope) *heirSetting {
	w := &heirSetting{scope: s}
	var fs []ledger.Holder
	for i := range s.Founders {
		fs = append(fs, guardHolder(i))
	}
	var err error
	if w.charter, err = ledger.NewCharter("explore", fs, [16]byte{1}); err != nil {
		panic(fmt.Sprintf("BUG: scope %s: %v", s.Name, err))
	}
	if w.id, err = ledger.NewInstanceID(w.charter.ID, "b", "compute", s.Spec.Kind, nil, nil); err != nil {
		panic(fmt.Sprintf("BUG: scope %s: %v", s.Name, err))
	}
	return w
}

// newHeirNode is a node at the start of a scope: its account is open, and its first version is noted and held.
func (w *heirSetting) newHeirNode(i int) (*heirNode, error) {
	n := &heirNode{w: w, i: i}
	if err := n.begin(guardHolder(i), nil); err != nil {
		return nil, err
	}
	if err := n.r.Found(w.charter); err != nil {
		return nil, err
	}
	if _, err := n.r.Open(n.now(), w.id); err != nil {
		return nil, err
	}
	for range 3 {
		if err := n.commit(); err != nil {
			return nil, err
		}
		if err := n.tick(); err != nil {
			return nil, err
		}
		if err := n.hold(); err != nil {
			return nil, err
		}
	}
	n.sent = nil
	return n, n.look()
}

// begin starts a generation on what the one before has left on the disk.
func (n *heirNode) begin(self ledger.Holder, records []ledger.Write) error {
	n.self, n.open = self, nil
	n.disk = judge.NewDisk(self)
	if err := n.disk.Write(records); err != nil {
		return err
	}
	n.books = append(slices.Clone(n.books), judge.NewBook(self, n.w.id))
	n.past = append(slices.Clone(n.past), []heirNoted{nil})
	return n.boot()
}

func (n *heirNode) now() ledger.Instant { return start + ledger.Instant(n.ticks)*1000 }

// boot makes a replica of what is on the disk. Its zone has three nodes beside it that only guard.
func (n *heirNode) boot() error {
	n.r = ledger.NewReplica(ledger.Config{
		Self: n.self, Directory: 1, Zone: "z", Strategy: &strategy{}, Rand: rand.New(rand.NewPCG(1, 2)),
		Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) { return n.w.scope.Spec, id == n.w.id },
	})
	guardians := 3
	if n.w.scope.Word {
		guardians = 0
	}
	n.r.SetGuards(n.now(), ledger.Guards{Guardians: guardians, Lease: 1_000_000_000, Autonomy: 1000})
	n.members()
	if err := n.r.Load(n.now(), n.disk.Records()); err != nil {
		return err
	}
	if n.r.Charter().ID.IsZero() {
		return nil
	}
	_, err := n.r.Open(n.now(), n.w.id)
	return err
}

func (n *heirNode) members() {
	var ps []ledger.Peer
	for k := range 3 {
		if n.w.scope.Word {
			break // who is known must answer
		}
		ps = append(ps, ledger.Peer{Holder: ledger.Holder{Node: fmt.Sprintf("g%d", k), Gen: 1}, Zone: "z", Alive: !n.few})
	}
	for j := range nodes {
		ps = append(ps, ledger.Peer{Holder: guardHolder(j), Directory: 1, Zone: "other", Alive: !n.gone[j]})
	}
	n.r.SetPeers(ps)
}

// do has one input happen, with its batch.
func (n *heirNode) do(in heirInput, msg any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	n.sent, n.note = nil, ""
	switch in.kind {
	case heirReserve:
		a := n.r.Account(n.w.id)
		if a == nil {
			n.note = "not open"
			break
		}
		takes := []ledger.Take{{Account: a, Amount: ledger.Tokens(in.arg)}}
		if why, _ := ledger.Reserve(n.now(), n.now()+ttl, takes, true); why == ledger.Enough {
			n.note = "admitted"
			n.open = append(slices.Clone(n.open), call{amount: takes[0].Amount, window: takes[0].Window})
			n.book().Admitted(takes[0].Window, takes[0].Amount)
		} else {
			n.note = shorts[why]
		}
		return n.tick()
	case heirSettle:
		c := n.open[in.arg>>8]
		n.open = slices.Delete(slices.Clone(n.open), int(in.arg>>8), int(in.arg>>8)+1)
		charged, over := n.r.Account(n.w.id).Settle(n.now(), c.amount, c.amount*ledger.Tokens(in.arg&0xff)/100, c.window)
		n.book().Settled(c.window, c.amount, charged-over)
	case heirRights:
		got := n.r.GiveRights(n.now(), n.w.id, n.peer(in.to), ledger.Tokens(in.arg), n.now())
		n.note = fmt.Sprintf("%d given", got)
	case heirShares:
		got := n.r.GiveShares(n.now(), n.w.id, n.peer(in.to), n.w.scope.Shares[in.arg])
		n.note = fmt.Sprintf("%d given", got)
	case heirTick:
		return n.tick()
	case heirHold:
		return n.hold()
	case heirDie:
		n.dead = true
		return nil
	case heirVouch:
		n.gone[in.to] = true
		n.members()
		if refused := n.r.Vouch(n.now(), ledger.Word{Nodes: []string{guardHolder(int(in.to)).Node}}); refused != nil {
			n.note = "refused: " + refused.Error()
		}
		return n.tick()
	case heirReceive:
		ask, asked := msg.(*ledger.WordAsk)
		if asked { // by then everybody sees who is dead
			for _, h := range ask.Dead {
				n.gone[h.Node[1]-'0'] = true
			}
			n.members()
		}
		if refused := n.r.Receive(n.now(), msg); refused != nil {
			n.note = "refused: " + refused.Error()
		}
		if err := n.commit(); err != nil {
			return err
		}
		_, decided := msg.(*guardian.Decided)
		_, part := msg.(*guardian.Outcome)
		_, answered := msg.(*ledger.WordAnswer)
		if decided || part || asked || answered {
			return n.tick() // and once more, since what it waits for may be open by then
		}
		return nil
	case heirCrash:
		n.book().Crashed()
		n.open = nil
		if err := n.boot(); err != nil {
			return err
		}
	case heirMembers:
		n.few = true
		n.members()
	}
	return n.commit()
}

// peer is the generation of a node that this one gives to: its first.
func (n *heirNode) peer(to int8) ledger.Holder { return guardHolder(int(to)) }

func (n *heirNode) book() *judge.Book { return n.books[len(n.books)-1] }

func (n *heirNode) tick() error {
	for range 2 {
		n.ticks++
		n.r.Elapsed(time.Duration(n.ticks) * time.Second)
		n.r.Tick(n.now())
		if err := n.commit(); err != nil {
			return err
		}
	}
	return nil
}

// hold has two guardians acknowledge the present version.
func (n *heirNode) hold() error {
	own := n.disk.Guards().Own
	if own == nil {
		return nil
	}
	n.held[len(n.books)-1] = own.Version
	for _, g := range own.Set[:2] {
		if err := n.r.Receive(n.now(), &guardian.NoteAck{From: g, To: n.self, Version: own.Version, Noted: own.Version, Lease: time.Hour}); err != nil {
			return err
		}
	}
	return n.commit()
}

// commit completes the batch.
func (n *heirNode) commit() error {
	if err := n.disk.Write(n.r.Writes(n.now())); err != nil {
		return err
	}
	gen := len(n.past) - 1
	if own := n.disk.Guards().Own; own != nil {
		noted := slices.Clone(n.past[gen])
		for uint64(len(noted)) <= own.Version {
			noted = append(noted, n.mirror())
		}
		n.past = slices.Clone(n.past)
		n.past[gen] = noted
	}
	fx := n.r.Commit(n.now())
	for _, s := range fx.Sends {
		if err := n.disk.Told(s.Message); err != nil {
			return err
		}
		if _, isNote := s.Message.(*guardian.Note); !isNote {
			n.sent = append(n.sent, envelope{int(s.To[1] - '0'), s.Message})
		}
	}
	heir, over := n.r.Retired()
	if !over {
		return n.look()
	}
	n.book().Crashed()
	records := n.disk.Records()
	next := ledger.Holder{Node: n.self.Node, Gen: n.self.Gen + 1}
	if heir.Node == n.self.Node {
		next = heir
	}
	drop := ledger.Succeed(records, next.Gen)
	records = slices.DeleteFunc(records, func(w ledger.Write) bool {
		return slices.ContainsFunc(drop, func(d ledger.Write) bool { return d.Key == w.Key })
	})
	if err := n.begin(next, records); err != nil {
		return err
	}
	if err := n.commit(); err != nil {
		return err
	}
	return n.tick()
}

// mirror is what guardians have of the node's disk as it is.
func (n *heirNode) mirror() (rs heirNoted) {
	for _, w := range ledger.Succeed(n.disk.Records(), 0) {
		for _, r := range n.disk.Records() {
			if r.Key == w.Key && r.Key != "guardians" {
				rs = append(rs, guardian.Record(r))
			}
		}
	}
	return rs
}

// look judges the node on its own.
func (n *heirNode) look() error {
	n.books = slices.Clone(n.books)
	n.books[len(n.books)-1] = n.book().Clone()
	err := n.book().Look(n.r, n.disk, n.w.scope.Spec, judge.Time{True: n.now(), Top: n.now()})
	if err == nil && n.r.Fenced() {
		err = errFenced
	}
	return err
}
