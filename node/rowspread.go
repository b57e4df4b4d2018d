package node

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/wire"
)

// Rows are told under signatures: of this node's own to all, of all nodes' to a peer that lacks them.

// signRows signs rows of this node's own, of one generation, and keeps them. The loop's.
func (n *Node) signRows(rows []*ledger.Row) *seal.Rows {
	r := n.signer.Rows(rows...)
	n.book.Wrote(r, rows)
	s := &n.signed
	if h := rows[0].Holder; s.of != h {
		s.of, s.own, s.proved = h, 0, 0
	}
	for i, row := range rows {
		s.keep(rowKey{row.Holder, row.Instance}, row.Version, signedRow{r, i})
		s.own = max(s.own, row.Version)
	}
	return r
}

// spreadRows tells what the ledger says all should know: this node's own rows, as many together as one packet takes, and those of
// others as it heard them.
func (n *Node) spreadRows(spreads []ledger.Spread) {
	var own []*ledger.Row
	var weight float64
	size, mixed := 0, n.peers.mixed()
	room := n.pool.PacketRoom()
	flush := func() {
		if len(own) > 0 {
			r := n.signRows(own)
			n.pool.Spread(rowsKey(own), weight, r.Append([]byte{msgRows}, nil))
			own, weight, size = own[:0:0], 0, 0
		}
	}
	type part struct {
		rows   *seal.Rows
		weight float64
		keep   map[int]bool
	}
	var parts []*part
	byRows := map[*seal.Rows]*part{}
	for i := range spreads {
		row, w := spreads[i].Row, spreads[i].Weight
		mine := row.Holder == n.self()
		if mine && n.signed.unsure {
			n.signed.held[rowKey{row.Holder, row.Instance}] = spreads[i]
			if n.signed.first == 0 {
				n.signed.first = row.Version
			}
			continue
		}
		kept, ok := n.signed.rows[rowKey{row.Holder, row.Instance}]
		if ok && kept.version > row.Version {
			continue // one that came after it goes on
		}
		ok = ok && kept.version == row.Version
		if mixed || !mine && !ok { // nodes of versions without signatures read only this, and write only this
			key, payload := "row/"+row.Holder.Node+"/"+string(row.Instance), ledger.Encode([]ledger.Row{*row})
			if mine {
				n.pool.Spread(key, w, payload)
			} else {
				n.pool.Relay(row.Holder.Node, key, w, payload)
			}
		}
		switch {
		case mine:
			const most = 400 // bytes of a row, but for very long names
			if len(own) == seal.MaxRows || len(own) > 0 && (size+most > room || own[0].Holder != row.Holder) {
				flush()
			}
			own = append(own, row)
			size += 64 + len(row.Holder.Node) + len(row.Instance) + 90
			weight = max(weight, w)
		case ok:
			p := byRows[kept.rows]
			if p == nil {
				p = &part{rows: kept.rows, keep: map[int]bool{}}
				byRows[kept.rows] = p
				parts = append(parts, p)
			}
			p.keep[kept.at] = true
			p.weight = max(p.weight, w)
		}
	}
	flush()
	for _, p := range parts {
		key := fmt.Sprintf("rows/%s/%x", p.rows.Holder().Node, p.rows.Key())
		n.pool.Relay(p.rows.Holder().Node, key, p.weight, p.rows.Append([]byte{msgRows}, func(i int) bool { return p.keep[i] }))
	}
}

// rowsKey is the same for later rows of the same instances, which then take the place of those that still wait.
func rowsKey(rows []*ledger.Row) string {
	h := xxhash.New()
	for _, r := range rows {
		_, _ = h.WriteString(string(r.Instance))
		_, _ = h.Write([]byte{0})
	}
	return fmt.Sprintf("row/%s/%x", rows[0].Holder.Node, h.Sum64())
}

// sendRows sends a peer rows that it lacks.
func (n *Node) sendRows(to string, rows []ledger.Row) {
	if !n.signs(to) {
		n.post(to, ledger.Encode(rows))
		return
	}
	var loose []ledger.Row
	var own []*ledger.Row
	var order []*seal.Rows
	parts := map[*seal.Rows]map[int]bool{}
	add := func(r *seal.Rows, i int) {
		if parts[r] == nil {
			parts[r] = map[int]bool{}
			order = append(order, r)
		}
		parts[r][i] = true
	}
	flush := func() {
		if len(own) > 0 {
			r := n.signRows(own)
			for i := range own {
				add(r, i)
			}
			own = own[:0:0]
		}
	}
	for i := range rows {
		row := &rows[i]
		if !n.belongs(row.Holder.Node, row.Holder.Gen) {
			continue // no peer would take it
		}
		switch kept, ok := n.signed.rows[rowKey{row.Holder, row.Instance}]; {
		case ok && kept.version >= row.Version:
			add(kept.rows, kept.at)
		case row.Holder == n.self() && n.signed.unsure:
		case row.Holder == n.self():
			one := *row // rows are the ledger's again after this
			if own = append(own, &one); len(own) == seal.MaxRows {
				flush()
			}
		default:
			loose = append(loose, *row)
		}
	}
	flush()
	n.sendKeys(to, order)
	for _, r := range order {
		keep := parts[r]
		n.post(to, r.Append([]byte{msgRows}, func(i int) bool { return keep[i] }))
	}
	if len(loose) > 0 {
		n.post(to, ledger.Encode(loose))
	}
}

// sendKeys tells a peer the keys of holders whose own word it may never hear.
func (n *Node) sendKeys(to string, list []*seal.Rows) {
	told := map[ledger.Holder]bool{}
	var ks []wire.Key
	for _, r := range list {
		h := r.Holder()
		pin, ok := n.book.KeyOf(h.Node, h.Gen)
		if !ok || h.Node == n.opts.Name && pin.Dir == n.dir || n.peers.tells(h.Node, pin.Key) || told[ledger.Holder{Node: h.Node, Gen: pin.Dir}] || len(ks) == wire.MaxKeys {
			continue
		}
		told[ledger.Holder{Node: h.Node, Gen: pin.Dir}] = true
		ks = append(ks, wire.Key{Node: h.Node, Dir: pin.Dir, Key: [32]byte(pin.Key)})
	}
	if len(ks) > 0 {
		n.post(to, append([]byte{msgKeys}, wire.EncodeKeys(ks)...))
	}
}
