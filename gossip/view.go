package gossip

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Status of a member, as serf sees it.
type Status uint8

const (
	Alive   Status = iota
	Leaving        // has said that it leaves
	Left           // has left; forgotten after a day
	Failed         // does not answer; serf tries to reach it for a day
	statuses
)

func (s Status) String() string {
	if s < statuses {
		return [statuses]string{"alive", "leaving", "left", "failed"}[s]
	}
	return "status(" + strconv.Itoa(int(s)) + ")"
}

// Member is one node of the pool. Tags are shared: read only.
type Member struct {
	Name   string
	Addr   string // host:port of its gossip
	Zone   string // its tag "zone"
	Tags   map[string]string
	Status Status
	Self   bool
	RTT    time.Duration // round trip by serf's coordinates, some seconds old; 0 if unknown
}

func (m Member) same(o Member) bool {
	return m.Name == o.Name && m.Addr == o.Addr && m.Status == o.Status && maps.Equal(m.Tags, o.Tags)
}

// view is the membership at one moment. It is never changed once published.
type view struct {
	members []Member // by name
	byName  map[string]int
	byAddr  map[string]string // host:port to name
	byIP    map[string][]string
	nodes   []memberlist.Node // beside members: what memberlist wants to send to
	alive   []string          // names of the others that are alive
}

// Members answers all known members, sorted by name, ourselves included. The slice is shared: read
// only. It costs nothing: the pool keeps it up to date.
func (p *Pool) Members() []Member { return p.view.Load().members }

// Alive answers the names of the others that are alive, sorted. The slice is shared: read only.
func (p *Pool) Alive() []string { return p.view.Load().alive }

// Distance is the present estimate of the round trip to a member; 0 if unknown.
func (p *Pool) Distance(name string) time.Duration {
	if name == p.opts.Name {
		return 0
	}
	me, err := p.serf.GetCoordinate()
	if err != nil {
		return 0
	}
	c, ok := p.serf.GetCachedCoordinate(name)
	if !ok || !me.IsCompatibleWith(c) {
		return 0
	}
	return me.DistanceTo(c)
}

// look builds a view from serf's members. It takes serf's locks, so it must never run on the
// goroutine that drains serf's events: serf sends those while it holds them.
func (p *Pool) look() *view {
	ms := p.serf.Members()
	slices.SortFunc(ms, func(a, b serf.Member) int { return cmp.Compare(a.Name, b.Name) })
	v := &view{
		members: make([]Member, 0, len(ms)),
		byName:  make(map[string]int, len(ms)),
		byAddr:  make(map[string]string, len(ms)),
		byIP:    make(map[string][]string),
		nodes:   make([]memberlist.Node, 0, len(ms)),
	}
	me, _ := p.serf.GetCoordinate()
	for _, m := range ms {
		ip := m.Addr.String()
		mem := Member{
			Name: m.Name, Addr: net.JoinHostPort(ip, strconv.Itoa(int(m.Port))),
			Zone: m.Tags["zone"], Tags: m.Tags, Status: statusOf(m.Status), Self: m.Name == p.opts.Name,
		}
		if c, ok := p.serf.GetCachedCoordinate(m.Name); ok && !mem.Self && me != nil && me.IsCompatibleWith(c) {
			mem.RTT = me.DistanceTo(c)
		}
		v.byName[m.Name] = len(v.members)
		if old, taken := v.byAddr[mem.Addr]; !taken || v.members[v.byName[old]].Status != Alive {
			v.byAddr[mem.Addr] = m.Name // of several lives at one address the living one counts
		}
		if !mem.Self {
			v.byIP[ip] = append(v.byIP[ip], m.Name)
			if mem.Status == Alive {
				v.alive = append(v.alive, m.Name)
			}
		}
		v.members = append(v.members, mem)
		v.nodes = append(v.nodes, memberlist.Node{
			Name: m.Name, Addr: m.Addr, Port: m.Port,
			PMin: m.ProtocolMin, PMax: m.ProtocolMax, PCur: m.ProtocolCur,
		})
	}
	return v
}

func statusOf(s serf.MemberStatus) Status {
	switch s {
	case serf.StatusAlive:
		return Alive
	case serf.StatusLeaving:
		return Leaving
	case serf.StatusLeft:
		return Left
	}
	return Failed
}

// drainEvents keeps serf going: it only notes that something happened.
func (p *Pool) drainEvents(events <-chan serf.Event) {
	for {
		select {
		case e := <-events:
			if q, ok := e.(*serf.Query); ok {
				p.log.Debug().Str("query", q.Name).Msg("serf query ignored: this node answers none")
			}
			signal(p.changed)
		case <-p.done:
			return
		}
	}
}

// watch publishes a new view after events, and every second: intents to leave come without an event,
// and the snapshotter drops events when it is pressed.
func (p *Pool) watch() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	leaving := leavers{}
	for {
		select {
		case <-p.changed:
		case <-tick.C:
		case <-p.done:
			return
		}
		old, now := p.view.Load(), p.look()
		p.view.Store(now)
		if !slices.EqualFunc(old.members, now.members, Member.same) {
			signal(p.seen)
			signal(p.moved)
		}
		for _, name := range leaving.due(now.members, time.Now(), p.tune.LeaveTakes) {
			p.doubt(name)
		}
	}
}

// announce calls the delegate, apart from watch, so that a slow delegate does not make the view old.
func (p *Pool) announce() {
	for {
		select {
		case <-p.seen:
			p.opts.Delegate.MembersChanged()
		case <-p.done:
			return
		}
	}
}

// signal wakes whoever waits on a channel of capacity one; several signals make one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
