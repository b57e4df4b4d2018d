package outcome

import (
	"bytes"
	"slices"
)

const (
	tellEvery  = 2_000  // ms between two times that a node tells what it has counted
	tellLasts  = 30_000 // ms after which it tells it again though nothing has changed, for those that joined
	writeEvery = 5_000  // ms between two times that sums are written
	// tellPart is the part of gossip's ceiling that sums may take: they grow with the swarm, and are told more seldom then. copies is to how
	// many others each node passes on what is news.
	tellPart = 20
	copies   = 6
	// maxOwnLives bounds the runs whose sums a node tells: one that is started again and again leaves the older ones out.
	maxOwnLives = 4
	// othersAtOnce is how many rows of others a node tells with its own, in turns: of nodes that are gone, and of runs that are over, nobody
	// else tells those who joined since, or lost them.
	othersAtOnce = 2
	// MaxBoards bounds what a node keeps sums of.
	MaxBoards = 32
)

// Boards are the sums that a node keeps, and when it tells and writes them. They have one owner.
type Boards struct {
	life    Life
	ceiling int64 // of gossip, in bytes a second
	list    []*kept
}

type kept struct {
	id ID
	Board
	news          bool // this run has counted since it was told
	unwritten     bool
	told, written int64
	next          int // of the rows of others to be told
}

// Begin names this run of the node, and what gossip may take of bytes a second.
func (b *Boards) Begin(l Life, ceiling int64) { b.life, b.ceiling = l, max(1, ceiling) }

func (b *Boards) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(b.list, id, func(k *kept, id ID) int { return bytes.Compare(k.id[:], id[:]) })
}

// Keep says of what sums are kept, the first MaxBoards by id, and returns what is forgotten.
func (b *Boards) Keep(ids []ID) (gone []ID) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	ids = ids[:min(len(ids), MaxBoards)]
	b.list = slices.DeleteFunc(b.list, func(k *kept) bool {
		if slices.Contains(ids, k.id) {
			return false
		}
		gone = append(gone, k.id)
		return true
	})
	for _, id := range ids {
		b.open(id)
	}
	return gone
}

func (b *Boards) open(id ID) *kept {
	i, ok := b.find(id)
	if !ok {
		b.list = slices.Insert(b.list, i, &kept{id: id})
	}
	return b.list[i]
}

// Load takes over what was written. Keep comes after it.
func (b *Boards) Load(id ID, rows []Row) {
	k := b.open(id)
	for _, r := range rows {
		k.Merge(r)
	}
}

// Sum is what all have counted, and in how many runs of nodes; nil for what is not kept.
func (b *Boards) Sum(id ID) (values []float64, lives int) {
	i, ok := b.find(id)
	if !ok {
		return nil, 0
	}
	return b.list[i].Sum(), len(b.list[i].Rows())
}

// Rows are those of one board. The caller must not change them.
func (b *Boards) Rows(id ID) []Row {
	i, ok := b.find(id)
	if !ok {
		return nil
	}
	return b.list[i].Rows()
}

// Count takes over what this run has counted, since it began.
func (b *Boards) Count(id ID, values []float64) {
	i, ok := b.find(id)
	if !ok {
		return
	}
	if k := b.list[i]; k.Merge(Row{b.life, values}) {
		k.news, k.unwritten = true, true
	}
}

// Receive takes a peer's rows over, and reports whether they are news that should be told on. What is not kept here is not: its document is on
// its way, and sums are told again.
func (b *Boards) Receive(id ID, rows []Row) (news bool) {
	i, ok := b.find(id)
	if !ok {
		return false
	}
	k := b.list[i]
	for _, r := range rows {
		if r.Life != b.life { // nobody else counts for this run
			news = k.Merge(r) || news
		}
	}
	k.unwritten = k.unwritten || news
	return news
}

// Telling are rows that peers are to be told.
type Telling struct {
	ID   ID
	Rows []Row
}

// Tick is what a node does at a moment, a few times a second: what it tells all members, of whom there are so many, and what it makes durable.
func (b *Boards) Tick(now int64, members int) (tell []Telling, write []ID) {
	for _, k := range b.list {
		if since := now - k.told; since >= tellLasts || since < 0 || k.news && since >= tellEvery {
			if rows := k.tells(b.life); len(rows) > 0 && (since < 0 || since >= b.pause(members, rows)) {
				tell = append(tell, Telling{k.id, rows})
				k.told, k.news = now, false
			}
		}
		if since := now - k.written; k.unwritten && (since >= writeEvery || since < 0) {
			write = append(write, k.id)
			k.written, k.unwritten = now, false
		}
	}
	return tell, write
}

// Last is what a node makes durable when it ends, whenever that was done last.
func (b *Boards) Last() (write []ID) {
	for _, k := range b.list {
		if k.unwritten {
			write = append(write, k.id)
			k.unwritten = false
		}
	}
	return write
}

// tells are the rows of this node, and some of others.
func (k *kept) tells(l Life) (rows []Row) {
	all := k.Rows()
	for _, r := range all {
		if r.Node == l.Node {
			rows = append(rows, r)
		}
	}
	rows = rows[max(0, len(rows)-maxOwnLives):]
	for others := 0; others < othersAtOnce && others < len(all)-len(rows); {
		k.next = (k.next + 1) % len(all)
		if all[k.next].Node == l.Node {
			return rows // its own are told already: the next time goes on from here
		}
		rows, others = append(rows, all[k.next]), others+1
	}
	return rows
}

// pause is how many ms lie between two times that a node tells so many members such rows, so that what comes of it at each stays within its part.
func (b *Boards) pause(members int, rows []Row) int64 {
	size := int64(0)
	for i := range rows {
		size += int64(len(rows[i].Node)) + 16 + 9*int64(len(rows[i].Values))
	}
	size *= int64(min(copies, members))
	if members-1 > copies { // else nobody passes on
		size *= int64(members)
	}
	return size * int64(max(1, len(b.list))) * tellPart * 1000 / b.ceiling
}
