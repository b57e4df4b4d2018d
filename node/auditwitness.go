package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/wire"
)

// Each node tells the signed head of its audit log to some peers, its witnesses, with the proof that it goes on from the head that
// they know. They keep it on disk, countersign it and send it back; one that does not go on is an alarm there and here. What is
// told is durable here first, so that no crash looks like a rollback.

const (
	auditTell      = 10 * time.Second // between two tellings; the first comes as soon as there are peers
	auditWitnesses = 3
	maxAuditInbox  = 256 // messages of peers; more are dropped, and told again
)

// auditMessage is what a peer sent: one of the two.
type auditMessage struct {
	from   string
	head   *wire.AuditHead
	answer *wire.AuditAnswer
}

// countersigner is a peer that this node tells its heads to.
type countersigner struct {
	key  string
	size int64 // records that it has countersigned, or that it knows
	at   int64 // when, Unix ms
	told int64 // records of the head that was told last
	sure bool  // it has countersigned: size is more than a hint
}

// deliver takes a peer's message; it never blocks.
func (a *auditor) deliver(m auditMessage) {
	select {
	case a.inbox <- m:
	default:
	}
}

// exchange reads what peers sent, and tells the head if it is time.
func (a *auditor) exchange(now time.Time) {
	if a.n.pool == nil {
		return
	}
	heads := a.heads[:0]
	for range maxAuditInbox {
		select {
		case m := <-a.inbox:
			if m.head != nil {
				heads = append(heads, m)
			} else {
				a.answered(m.from, m.answer)
			}
			continue
		default:
		}
		break
	}
	a.witness(heads)
	clear(heads)
	a.heads = heads[:0]
	a.tell(now)
}

// witness answers heads of peers, once what it saw is durable.
func (a *auditor) witness(heads []auditMessage) {
	if len(heads) == 0 {
		return
	}
	type reply struct {
		to     string
		answer wire.AuditAnswer
	}
	var replies []reply
	for _, m := range heads {
		told := audit.Told{Node: m.head.Node, Key: m.head.Key, Note: m.head.Note, From: m.head.From, Gone: m.head.Gone}
		for _, p := range m.head.Proof {
			told.Proof = append(told.Proof, tlog.Hash(p))
		}
		a.wmu.Lock()
		ans, alarm, began, err := a.peers.Receive(int64(a.n.now()), &told)
		a.wmu.Unlock()
		if err != nil {
			a.refused.Add(1)
			a.log.Warn().Err(err).Str("from", m.from).Msg("a checkpoint of an audit log was refused")
			continue
		}
		if began {
			a.log.Info().Str("node", m.from).Str("key", told.Key).Msg("this node witnesses a peer's audit log from now on")
		}
		a.raise(alarm)
		replies = append(replies, reply{m.from, wire.AuditAnswer{Key: ans.Key, Note: ans.Note, Want: ans.Want, Disputed: ans.Disputed}})
	}
	if !a.save() {
		return // what is not durable here must not be countersigned: it is told again
	}
	for _, r := range replies {
		a.n.tell(r.to, msgAuditAnswer, wire.EncodeAuditAnswer(&r.answer))
	}
}

func (a *auditor) save() bool {
	a.wmu.Lock()
	defer a.wmu.Unlock()
	if err := a.peers.Save(); err != nil {
		if !a.unsaved {
			a.log.Error().Err(err).Msg("what this node witnessed of peers' audit logs cannot be written")
		}
		a.unsaved = true
		return false
	}
	a.unsaved = false
	return true
}

// raise says that a log was changed.
func (a *auditor) raise(d *audit.Dispute) {
	if d == nil {
		return
	}
	a.alarms.Add(1)
	a.log.Error().Str("event", "audit").Str("kind", d.Kind).Str("of", d.Of).Str("seen_by", d.By).
		Msg("an audit log is not what it was: " + d.What + "; see swarmpurse audit, and swarmpurse audit verify on that node")
	a.act(audit.Record{Kind: audit.Alarm, What: d.Kind, Node: d.Of, By: d.By, Why: d.What})
}

// answered takes a witness's answer.
func (a *auditor) answered(from string, ans *wire.AuditAnswer) {
	w := a.tells[from]
	if a.tl == nil || w == nil {
		return
	}
	own := a.key.Verifier()
	c, signed := audit.Countersigned(ans.Note, own, ans.Key)
	if len(ans.Note) == 0 || c.Origin == "" {
		return
	}
	head, mine := a.tl.Head()
	if ans.Disputed || c.Size > mine.Size {
		a.wmu.Lock()
		d := a.peers.Disputed(int64(a.n.now()), a.n.opts.Name, from, ans.Note, head)
		a.wmu.Unlock()
		a.raise(d)
		a.save()
		return
	}
	a.wmu.Lock()
	if w.key = ans.Key; signed && (c.Size >= w.size || !w.sure) {
		w.size, w.at, w.sure = c.Size, c.At, true
	}
	if ans.Want {
		w.size = c.Size
	}
	a.wmu.Unlock()
	if ans.Want {
		a.tellTo(from, w)
	}
}

// tell tells the head to the witnesses that do not have it.
func (a *auditor) tell(now time.Time) {
	if a.tl == nil {
		return
	}
	_, c := a.tl.Head()
	names := chooseWitnesses(a.n.opts.Name, a.n.alive())
	due := !now.Before(a.nextTell)
	if c.Size == 0 || !due && slices.Equal(names, a.chosen) {
		return
	}
	if a.chosen = names; due {
		a.nextTell = now.Add(auditTell)
	}
	due = due || len(a.tells) == 0
	kept := make(map[string]*countersigner, len(names))
	a.wmu.Lock()
	for _, name := range names {
		if kept[name] = a.tells[name]; kept[name] == nil {
			kept[name] = &countersigner{}
		}
	}
	a.tells = kept
	a.wmu.Unlock()
	for _, name := range names {
		// One that is new is told at once, the others when it is time.
		if w := kept[name]; w.told == 0 || due && (w.size < c.Size || w.told < c.Size) {
			a.tellTo(name, w)
		}
	}
}

func (a *auditor) tellTo(name string, w *countersigner) {
	d := a.tl.Dir()
	head, c := a.tl.Head()
	h := wire.AuditHead{Node: a.n.opts.Name, Key: a.key.Verifier(), Note: head}
	if w.size > 0 && w.size < c.Size {
		h.From = w.size
		proof, err := tlog.ProveTree(c.Size, w.size, d)
		if err != nil {
			h.Gone = true
			a.log.Info().Err(err).Str("witness", name).Int64("size", w.size).Msg("a witness was away for so long that the records since are deleted: it takes this log on again without proof")
		}
		for _, p := range proof {
			h.Proof = append(h.Proof, p)
		}
	}
	w.told = c.Size
	a.n.tell(name, msgAuditHead, wire.EncodeAuditHead(&h))
}

// chooseWitnesses picks some of the live peers, the same ones while these live, and others for each node.
func chooseWitnesses(self string, alive []string) []string {
	weight := func(name string) uint64 { return xxhash.Sum64String(self + "\x00" + name) }
	names := slices.DeleteFunc(slices.Clone(alive), func(s string) bool { return s == self })
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(weight(x), weight(y)), cmp.Compare(x, y)) })
	return names[:min(len(names), auditWitnesses)]
}

// witnessed fills in who has countersigned, and what is wrong.
func (a *auditor) witnessed(s *api.AuditStatus) {
	a.wmu.Lock()
	defer a.wmu.Unlock()
	for name, w := range a.tells {
		if w.sure {
			s.Witnesses = append(s.Witnesses, api.AuditWitness{Name: name, Size: w.size, At: time.UnixMilli(w.at).UTC()})
		}
	}
	slices.SortFunc(s.Witnesses, func(x, y api.AuditWitness) int { return cmp.Compare(x.Name, y.Name) })
	for _, d := range a.peers.Alarms() {
		s.Alarms = append(s.Alarms, api.AuditAlarm{At: time.UnixMilli(d.At).UTC(), Of: d.Of, By: d.By, Kind: d.Kind, What: d.What})
	}
}

// AuditSightings gives what this node keeps of its peers' logs. See api.Auditor.
func (n *Node) AuditSightings(of string) []api.AuditSighting {
	a := n.auditor
	a.wmu.Lock()
	defer a.wmu.Unlock()
	var list []api.AuditSighting
	for _, k := range a.peers.Sightings(of) {
		list = append(list, api.AuditSighting{
			Of: k.Of, By: n.opts.Name, Key: k.Key, Size: k.Checkpoint.Size, At: time.UnixMilli(k.Checkpoint.At).UTC(), Note: k.Note,
		})
	}
	return list
}

// alarmed gives what is wrong with audit logs, by node.
func (a *auditor) alarmed() map[string]string {
	a.wmu.Lock()
	defer a.wmu.Unlock()
	by := map[string]string{}
	for _, d := range a.peers.Alarms() {
		by[d.Of] = d.Kind
	}
	return by
}
