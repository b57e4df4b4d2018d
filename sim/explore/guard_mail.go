package explore

import (
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// guardMail has the messages of a search of guardians or of heirs, each by a number, and the sets of them that were sent.
type guardMail struct {
	shapes   *shapes
	messages []guardMessage
	byBytes  map[string]int32
	nets     []guardNet
	adds     map[netPlus]int32
}

type guardMessage struct {
	to, from int
	msg      any
	print    print128
}

type guardNet struct {
	of    [maxGuardNodes][]int32 // by receiver
	print print128
}

// newGuardMail has sent nothing. skip names fields that decide nothing.
func newGuardMail(skip ...[]string) *guardMail {
	return &guardMail{shapes: newShapes(skip...), byBytes: map[string]int32{}, nets: make([]guardNet, 1), adds: map[netPlus]int32{}}
}

// message numbers a message, after a way over the wire.
func (x *guardMail) message(from, to int, m any) int32 {
	wire := ledger.Encode(m)
	key := string(append([]byte{byte(to), byte(from)}, wire...))
	if id, ok := x.byBytes[key]; ok {
		return id
	}
	msg, err := ledger.Decode(wire)
	if err != nil {
		panic(fmt.Sprintf("BUG: what node %d sends does not decode: %v", from, err))
	}
	e := x.shapes.encoder(nil)
	e.str(key)
	id := int32(len(x.messages))
	x.messages = append(x.messages, guardMessage{to, from, msg, e.sum()})
	x.byBytes[key] = id
	return id
}

// sent adds a message to a network.
func (x *guardMail) sent(net, m int32) int32 {
	key := netPlus{net, m}
	id, ok := x.adds[key]
	if ok {
		return id
	}
	id = net
	n := x.nets[net]
	msg := &x.messages[m]
	if i, there := slices.BinarySearch(n.of[msg.to], m); !there {
		n.of[msg.to] = slices.Insert(slices.Clone(n.of[msg.to]), i, m)
		n.print[0] ^= msg.print[0]
		n.print[1] ^= msg.print[1]
		x.nets = append(x.nets, n)
		id = int32(len(x.nets) - 1)
	}
	x.adds[key] = id
	return id
}
