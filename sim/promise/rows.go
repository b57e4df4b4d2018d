package promise

import (
	"math"
	"time"
)

// How rows spread (gossip/DESIGN.md, "Spread, Relay, Send, Sync").
const (
	Fanout    = 3 // peers that get a packet at once
	Waves     = 2 // and so many times others
	WaveGap   = 100 * time.Millisecond
	Linger    = 2 * time.Millisecond // that a row waits for company
	RowsPart  = 0.2                  // of the ceiling that rows always have, whatever else is sent
	KeptBack  = 1.0 / 32             // of the ceiling, which rows never use up
	BurstPart = 8                    // rows may be sent at once that a second brings, divided by this, or a packet to Fanout peers
	MostOwed  = 10                   // seconds of the ceiling that what else was sent is taken out of later
)

// What goes over the wire, in bytes, with keys, a label of five letters and names of seven. IP and UDP are not counted.
const (
	PacketRoom  = 1341 // the largest payload that goes by packet
	PacketHead  = 56   // of a packet beside its payloads
	PayloadHead = 3    // of each payload
)

// SyncEvery is how often a node starts a push/pull with a peer by chance, among up to 32.
const SyncEvery = 30 * time.Second

// SyncPause is the same among n members: memberlist takes longer from 33 on.
func SyncPause(n int) time.Duration {
	return SyncEvery * time.Duration(max(1, math.Ceil(math.Log2(float64(max(1, n)))-5)+1))
}

// What membership alone costs a node: pings and their answers, in bytes a second, and of each member in a push/pull, of
// which it has a part in two each pause.
const (
	pings     = 330
	perMember = 95
)

// IdleBytes is what a node among n sends each second for membership alone, when nobody has come or gone of late.
func IdleBytes(n int) float64 {
	return pings + 2*perMember*float64(n)/SyncPause(n).Seconds()
}

// Hops is how many nodes news passes until all of n have heard: each tells Fanout × Waves others.
func Hops(n int) int {
	return int(math.Ceil(math.Log(float64(max(2, n))) / math.Log(1+Fanout*Waves)))
}

// Missed is the part of the nodes that a row does not reach where nothing is lost on the way.
const Missed = 0.0025
