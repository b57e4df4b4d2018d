package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// The operator's word (DESIGN 3.5, rule 9): a person vouches that nodes are dead whose rights no claim can bring back. All
// that live say what of theirs the dead had and got, and deal with them no more; what none of them owns is the dead's, and
// what was decided of them then is a decision like that of a claim. See "The operator's word" in DESIGN.md.

// Word is what an operator states of nodes that are dead.
type Word struct {
	Nodes []string // by name, 1 to MaxVouched
	Stock []Stated // what of the present window's tokens comes back; nothing of what is not stated
	// Unseen says that the dead have spent nothing of instances that no other node knows. Else what their seats would give
	// of such a grant stays out, and of such a window until the next one.
	Unseen bool
	// Limits says of grants and slots that no larger limit was ever in force. Where it is not stated, nobody issues the
	// dead's part of a later raise: they may have issued it by a limit that only they knew.
	Limits  []Stated
	By, Why string // kept with the decision, at most MaxSaid bytes each
}

// Stated is how many tokens of one instance an operator says are unspent.
type Stated struct {
	Instance InstanceID
	Tokens   Tokens
}

// Bounds of a word.
const (
	MaxVouched = 64
	MaxStated  = 1024
	MaxSaid    = 1024
)

const (
	wordRepeat = 1000 * time.Millisecond // until an answer is asked for again, or what became of a word
	wordSlack  = 60_000                  // ms that the clock of a dead node may have been ahead of all others
	wordParts  = 256                     // accounts in one part of an answer
	wordDoubt  = 2000 * time.Millisecond // until a node that has answered asks what became of it
)

// Errors of words. Wrapped with details; test with errors.Is.
var (
	ErrAlive    = errors.New("not dead")
	ErrAbsent   = errors.New("not known")
	ErrOthers   = errors.New("others are away, too")
	ErrClaimed  = errors.New("its guardians see to it")
	ErrNotNow   = errors.New("not now")
	ErrBusyWord = errors.New("another word is being given")
)

// wordErrors are what a peer may refuse with, by the code on the wire. Append only.
var wordErrors = []error{nil, ErrNotNow, ErrAlive, ErrAbsent, ErrOthers, ErrClaimed, ErrBusyWord}

// peerRefusal is why a peer has refused.
type peerRefusal struct {
	kind error
	text string
}

func (e *peerRefusal) Error() string { return e.text }
func (e *peerRefusal) Unwrap() error { return e.kind }

// refuseWord tells why.
func refuseWord(m *WordAsk, why error) *WordAnswer {
	code := max(1, slices.IndexFunc(wordErrors, func(e error) bool { return e != nil && errors.Is(why, e) }))
	text := why.Error()
	return &WordAnswer{ID: m.ID, From: m.To, To: m.From, Code: uint8(code), Refused: strings.ToValidUTF8(text[:min(len(text), maxRefusal)], "")}
}

// words is a replica's side of words.
type words struct {
	shut map[Holder]shut // the generations that this node deals with no more for a word's sake; durable
	owed []*owedAnswer
	own  *attempt // this node gives it
}

// shut says for whose word a generation is dealt with no more.
type shut struct {
	By, Dir Holder // who gives it, and its directory
	ID      uint64
	heard   time.Duration // when it was last heard of
}

// owedAnswer is an answer that waits until what it says is held.
type owedAnswer struct {
	ask     *WordAsk
	version uint64 // that has to be held; 0 while something is on its way to the disk
}

// attempt is a word that this node gives.
type attempt struct {
	word    Word
	id      uint64
	dead    []Holder
	live    []Holder // who has to answer, this node among them; sorted
	answers []*gathered
	asked   time.Duration
	err     error
	decided bool
	durable bool
	back    []Returned
}

// gathered is what one node has answered.
type gathered struct {
	parts []*WordAnswer
}

func (g *gathered) whole() bool {
	return g != nil && !slices.Contains(g.parts, nil)
}

// Returned is what a word brings back of one instance.
type Returned struct {
	Instance InstanceID
	Shares   Shares
	Tokens   Tokens
}

// Vouching is how the word stands that this node gives.
type Vouching struct {
	Dead    []Holder
	Waiting []Holder   // who has not answered
	Err     error      // it is not given, for this reason
	Given   bool       // and durable
	Back    []Returned // what comes back by it
}

// Vouch begins to give an operator's word, and Vouching tells how it goes. It is refused where a claim does without, where
// others are away that it does not name, and while another one is under way. One that came to an end makes room for the next.
func (r *Replica) Vouch(now Instant, w Word) error {
	switch {
	case r.fenced:
		return ErrFenced
	case r.guards.over:
		return ErrRetired
	case r.charter.ID.IsZero():
		return ErrNoCharter
	case !r.heir.IsZero():
		return fmt.Errorf("%w: this node is leaving; ask another", ErrNotNow)
	case len(w.Nodes) == 0 || len(w.Nodes) > MaxVouched || len(w.Stock) > MaxStated || len(w.Limits) > MaxStated || len(w.By) > MaxSaid || len(w.Why) > MaxSaid:
		return fmt.Errorf("%w: a word is about 1 to %d nodes, states at most %d amounts, and says by whom and why in at most %d bytes each",
			ErrTooMuch, MaxVouched, MaxStated, MaxSaid)
	}
	if a := r.words.own; a != nil && a.err == nil && !a.durable {
		return fmt.Errorf("%w: about %v", ErrBusyWord, a.dead)
	}
	for _, s := range w.Stock {
		spec, ok := r.cfg.Resolve(s.Instance)
		switch {
		case !ok:
			return fmt.Errorf("%w: %q is no budget of the present policy", ErrUnknown, s.Instance.Name())
		case spec.Kind == Rate || spec.Ceiling == Observe:
			return fmt.Errorf("%w: of %q, %s with ceiling %v, no tokens come back, only shares", ErrTooMuch, s.Instance.Name(), spec.Kind, spec.Ceiling)
		case s.Tokens < 0 || s.Tokens > spec.Amount:
			return fmt.Errorf("%w: %d tokens of %q, which has %d", ErrTooMuch, s.Tokens, s.Instance.Name(), spec.Amount)
		}
	}
	for _, s := range w.Limits {
		if spec, ok := r.cfg.Resolve(s.Instance); !ok || spec.Kind != Grant && spec.Kind != Slots || s.Tokens < spec.Amount {
			return fmt.Errorf("%w: a largest limit of %d for %q: it is stated of grants and slots, and not below the present one", ErrTooMuch, s.Tokens, s.Instance.Name())
		}
	}
	dead, live, only, err := r.sortOut(w.Nodes)
	if err != nil {
		return err
	}
	if len(dead) == 0 {
		for _, h := range only {
			r.bury(h)
		}
		r.words.own = &attempt{word: w, dead: only, decided: true}
		return nil
	}
	ask := &WordAsk{ID: guardian.WordVersion(r.cfg.Rand.Uint64()), From: r.self, Dir: r.directory(), Dead: dead, Live: live}
	if no := r.refusesWord(ask); no != nil {
		return no
	}
	a := &attempt{word: w, id: ask.ID, dead: dead, live: live, answers: make([]*gathered, len(live)), asked: r.elapsed}
	r.words.own = a
	r.shutFor(ask)
	r.askForWord(a, ask)
	return nil
}

// askForWord asks those that have not answered.
func (r *Replica) askForWord(a *attempt, ask *WordAsk) {
	a.asked = r.elapsed
	for i, h := range a.live {
		if a.answers[i].whole() {
			continue
		}
		if h == r.self {
			r.owe(ask)
		} else {
			m := *ask
			m.To = h
			r.send(h.Node, &m)
		}
	}
}

// Vouching tells how the word stands that was begun last; false if there was none in this life.
func (r *Replica) Vouching() (Vouching, bool) {
	a := r.words.own
	if a == nil {
		return Vouching{}, false
	}
	v := Vouching{Dead: a.dead, Err: a.err, Given: a.durable, Back: a.back}
	for i, h := range a.live {
		if !a.answers[i].whole() {
			v.Waiting = append(v.Waiting, h)
		}
	}
	return v, true
}

// Unvouch gives a word up that is not decided.
func (r *Replica) Unvouch(why error) {
	a := r.words.own
	if a == nil || a.err != nil || a.decided {
		return
	}
	a.err = why
	for _, h := range a.live {
		if over := (&WordOver{ID: a.id, From: r.self, To: h}); h == r.self {
			r.reopen(over)
		} else {
			r.send(h.Node, over)
		}
	}
}

// directory names this node by its data directory.
func (r *Replica) directory() Holder { return Holder{Node: r.self.Node, Gen: r.cfg.Directory} }

// sortOut says which of all generations that are known and not decided a word is about, and who has to answer. It fails
// where there are others. only are those of the named whose accounts are another's already: what waits for them as guardians
// does so no more.
func (r *Replica) sortOut(nodes []string) (dead, live, only []Holder, err error) {
	named := func(h Holder) bool { return slices.Contains(nodes, h.Node) }
	live = append(live, r.self)
	for _, p := range r.peers {
		if p.Alive && p.Holder != r.self {
			live = append(live, p.Holder)
		}
	}
	slices.SortFunc(live, Holder.Compare)
	var others []string
	for _, h := range r.others(live) {
		if named(h) || r.goneByItself(h) {
			dead = append(dead, h)
		} else if s := fmt.Sprintf("%q", h.Node); !slices.Contains(others, s) {
			others = append(others, s)
		}
	}
	for _, n := range nodes {
		if slices.ContainsFunc(dead, func(h Holder) bool { return h.Node == n }) {
			continue
		}
		if slices.ContainsFunc(live, func(h Holder) bool { return h.Node == n }) {
			return nil, nil, nil, fmt.Errorf("%w: %q is a live member, and nothing of an earlier generation of it is left", ErrAlive, n)
		}
		last := Holder{Node: n}
		for _, h := range r.guard.Decisions() {
			if h.Node == n && h.Gen > last.Gen {
				last = h
			}
		}
		if last.Gen == 0 || r.guard.Gone(last) {
			return nil, nil, nil, fmt.Errorf("%w: nothing waits for a node %q", ErrAbsent, n)
		}
		only = append(only, last)
	}
	if len(dead) == 0 {
		return nil, nil, only, nil
	}
	if len(others) > 0 {
		return nil, nil, nil, fmt.Errorf("%w: %v. What they own cannot be told from what the dead own: wait for them, or vouch for them in the same word", ErrOthers, others)
	}
	if len(dead) > maxWordHolders || len(live) > maxWordHolders {
		return nil, nil, nil, fmt.Errorf("%w: a word about %d generations that %d nodes answer; at most %d of either", ErrTooMuch, len(dead), len(live), maxWordHolders)
	}
	return dead, live, only, nil
}

// bury takes over, durably with this batch, that an operator vouches for the death of a node up to a generation.
func (r *Replica) bury(h Holder) {
	if r.guard.Bury(h) {
		r.meta(keyGone+holderKey(h), encodeGone())
	}
}

// others lists all generations that are known, are not decided, and are not among the live: sorted.
func (r *Replica) others(live []Holder) (hs []Holder) {
	seen := map[Holder]bool{}
	for _, h := range live {
		seen[h] = true
	}
	add := func(h Holder) {
		if h.Gen == 0 || seen[h] {
			return
		}
		seen[h] = true
		if _, decided := r.guard.Decision(h); !decided {
			hs = append(hs, h)
		}
	}
	for _, p := range r.peers {
		add(p.Holder)
	}
	for _, s := range r.seats.of {
		add(s.Holder)
	}
	for _, in := range r.order {
		for _, k := range in.rows {
			add(k.Holder)
		}
		for _, e := range in.sortedEdges() {
			if e.Entry != (Entry{}) {
				add(e.peer)
			}
		}
	}
	slices.SortFunc(hs, Holder.Compare)
	return hs
}

// goneByItself reports whether a generation has left, and its rows show that it owned nothing any more. Nothing is lost
// with it, so no operator needs to name it; with the word it is over.
func (r *Replica) goneByItself(h Holder) bool {
	i, ok := r.peer(h.Node)
	if !ok || !r.peers[i].Left || r.peers[i].Holder != h || r.seated(h) {
		return false
	}
	for _, in := range r.order {
		if k, ok := in.find(h, -1); ok && (in.rows[k].Shares > 0 || in.rows[k].Balance() > 0) {
			return false
		}
	}
	return true
}

// refusesWord says why this node does not answer for a word; nil if it does.
func (r *Replica) refusesWord(m *WordAsk) error {
	if r.charter.ID.IsZero() || r.fenced || r.guards.over || !r.heir.IsZero() {
		return fmt.Errorf("%w: node %s is starting, leaving, or over", ErrNotNow, r.self.Node)
	}
	for _, h := range m.Dead {
		if _, ok := r.alive(h); ok || h == r.self {
			return fmt.Errorf("%w: node %s sees %s alive", ErrAlive, r.self.Node, h.Node)
		}
		if _, decided := r.guard.Decision(h); decided {
			r.guard.Tell(h, m.From)
			return fmt.Errorf("%w: node %s knows that %v is another's already; give the word again in a moment", ErrNotNow, r.self.Node, h)
		}
		if s, ok := r.words.shut[h]; ok && s.By != m.From && !slices.Contains(m.Dead, s.By) {
			if i, ok := r.peer(s.By.Node); !ok || r.peers[i].directory() == s.Dir || r.peers[i].Holder.Gen == 0 {
				return fmt.Errorf("%w: node %s has answered one that %s gives", ErrBusyWord, r.self.Node, s.By.Node)
			}
		}
		if err := r.leftToClaim(h, m); err != nil {
			return err
		}
	}
	for _, h := range m.Live {
		if _, decided := r.guard.Decision(h); decided {
			return fmt.Errorf("%w: node %s knows that %v is over", ErrNotNow, r.self.Node, h)
		}
	}
	for _, p := range r.peers {
		if p.Alive && p.Holder.Gen == 0 {
			return fmt.Errorf("%w: node %s does not know yet which generation %s is", ErrNotNow, r.self.Node, p.Holder.Node)
		}
	}
	for _, h := range r.others(m.Live) {
		if !slices.Contains(m.Dead, h) {
			return fmt.Errorf("%w: node %s knows %v, whom the word leaves out", ErrOthers, r.self.Node, h)
		}
	}
	return nil
}

// leftToClaim says of a generation that this node guards whether a claim can bring it back, or has.
func (r *Replica) leftToClaim(h Holder, m *WordAsk) error {
	set := r.guard.WardSet(h)
	if set == nil {
		return nil
	}
	live := 0
	for _, g := range set {
		if g == r.directory() {
			live++
		} else if i, ok := r.peer(g.Node); ok && r.peers[i].Alive && r.peers[i].directory() == g {
			live++
		}
	}
	if live >= guardian.Majority(len(set)) {
		if !r.guard.Fresh(r.elapsed) && r.fewGuardians() && !r.guard.Accepted(h) {
			return nil // it has lost its own guardians, and can claim nothing before a word frees it, which may be this one
		}
		return fmt.Errorf("%w: %d of the %d guardians of %v are alive, and claim it once its lease is over", ErrClaimed, live, len(set), h)
	}
	if r.guard.Adopt(r.elapsed, h) {
		r.guard.Tell(h, m.From)
		return fmt.Errorf("%w: a claim of %v was begun, which may be decided already, and holds; give the word for the rest again in a moment", ErrNotNow, h)
	}
	return nil
}

// shutFor deals with the dead no more until the word is given or given up. It is durable with this batch.
func (r *Replica) shutFor(m *WordAsk) {
	if r.words.shut == nil {
		r.words.shut = map[Holder]shut{}
	}
	for _, h := range m.Dead {
		s := shut{By: m.From, Dir: m.Dir, ID: m.ID, heard: r.elapsed}
		if had := r.words.shut[h]; had.By != s.By || had.ID != s.ID {
			r.meta(keyShut+holderKey(h), encodeShut(&s))
		}
		r.words.shut[h] = s
		r.setShut(h, true)
	}
}

func (r *Replica) setShut(h Holder, on bool) {
	for _, in := range r.order {
		if e := in.edges[h]; e != nil {
			e.shut = on
		}
	}
}

// reopen ends it, for one word.
func (r *Replica) reopen(m *WordOver) {
	for _, h := range r.sortedShut() {
		if s := r.words.shut[h]; s.ID == m.ID && s.By.Node == m.From.Node {
			r.forgetShut(h)
		}
	}
	r.words.owed = slices.DeleteFunc(r.words.owed, func(o *owedAnswer) bool { return o.ask.ID == m.ID })
}

func (r *Replica) forgetShut(h Holder) {
	if _, ok := r.words.shut[h]; ok {
		delete(r.words.shut, h)
		r.meta(keyShut+holderKey(h), nil)
		r.setShut(h, false)
	}
}

func (r *Replica) sortedShut() []Holder {
	hs := make([]Holder, 0, len(r.words.shut))
	for h := range r.words.shut {
		hs = append(hs, h)
	}
	slices.SortFunc(hs, Holder.Compare)
	return hs
}

// isShut reports whether this node deals with a generation no more, for the sake of a word that is being given, or was.
func (r *Replica) isShut(h Holder) bool {
	_, ok := r.words.shut[h]
	return ok || r.guard.Vouched(h)
}

// receiveWord takes a message about a word.
func (r *Replica) receiveWord(now Instant, m any) error {
	switch m := m.(type) {
	case *WordAsk:
		if m.To != r.self || m.From == r.self || !slices.Contains(m.Live, r.self) || !slices.Contains(m.Live, m.From) {
			return fmt.Errorf("a word that %v is to answer, which we are not", m.To)
		}
		if no := r.refusesWord(m); no != nil {
			r.send(m.From.Node, refuseWord(m, no))
			return nil
		}
		r.shutFor(m)
		r.owe(m)
	case *WordAnswer:
		if m.To == r.self {
			r.takeAnswer(now, m)
		}
	case *WordOver:
		if m.To.Node == r.self.Node {
			r.reopen(m)
		}
	case *WordDoubt:
		return r.receiveDoubt(m)
	}
	return nil
}

// receiveDoubt tells what became of a word of this directory. One that is neither decided nor under way never will be.
func (r *Replica) receiveDoubt(m *WordDoubt) error {
	if m.Dir != r.directory() || m.By.Node != r.self.Node {
		return nil
	}
	for _, h := range m.Dead {
		if _, decided := r.guard.Decision(h); decided {
			r.guard.Tell(h, m.From)
			return nil
		}
	}
	if a := r.words.own; a != nil && a.id == m.ID && a.err == nil && m.By == r.self {
		return nil
	}
	r.send(m.From.Node, &WordOver{ID: m.ID, From: r.self, To: m.From})
	return nil
}

// owe remembers to answer.
func (r *Replica) owe(m *WordAsk) {
	r.words.owed = slices.DeleteFunc(r.words.owed, func(o *owedAnswer) bool { return o.ask.From == m.From })
	r.words.owed = append(r.words.owed, &owedAnswer{ask: m})
}

// wordTick answers what is owed, asks again, asks what became of words, and decides.
func (r *Replica) wordTick(now Instant) {
	r.words.owed = slices.DeleteFunc(r.words.owed, func(o *owedAnswer) bool { return r.answerWord(now, o) })
	if a := r.words.own; a != nil && a.err == nil && !a.decided {
		if r.elapsed-a.asked >= wordRepeat {
			r.askForWord(a, &WordAsk{ID: a.id, From: r.self, Dir: r.directory(), Dead: a.dead, Live: a.live})
		}
		r.decideWord(now, a)
	}
	var told []uint64
	for _, h := range r.sortedShut() {
		s, still := r.words.shut[h]
		if !still || r.elapsed-s.heard < wordDoubt || s.By == r.self && r.words.own != nil && r.words.own.id == s.ID {
			continue
		}
		s.heard = r.elapsed
		r.words.shut[h] = s
		if slices.Contains(told, s.ID) {
			continue
		}
		told = append(told, s.ID)
		m := &WordDoubt{ID: s.ID, By: s.By, Dir: s.Dir, From: r.self}
		for _, x := range r.sortedShut() {
			if r.words.shut[x].ID == s.ID {
				m.Dead = append(m.Dead, x)
			}
		}
		if s.By.Node == r.self.Node {
			if s.Dir == r.directory() {
				r.reopen(&WordOver{ID: s.ID, From: r.self, To: r.self}) // of an earlier life: it was not decided
			}
		} else {
			r.send(s.By.Node, m)
		}
	}
}

// wordsCommit takes over that a batch is durable, which made it known that generations are decided: nobody waits for a word
// about them any more.
func (r *Replica) wordsCommit(decided []Holder) {
	for _, h := range decided {
		r.forgetShut(h)
	}
	if a := r.words.own; a != nil && a.decided && !a.durable {
		a.durable = len(a.live) == 0 || slices.ContainsFunc(decided, func(h Holder) bool { return slices.Contains(a.dead, h) })
	}
}

// followWord takes along how a word stands that the generation before was giving. One that was not decided is not given.
func (r *Replica) followWord(a *attempt) {
	if a != nil && !a.decided && a.err == nil {
		a.err = fmt.Errorf("%w: this node has moved on to another generation", ErrNotNow)
	}
	r.words.own = a
}
