package chaos

import (
	"encoding/binary"
	"io"
	"math"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a device whose far end is the test.
type wire struct {
	out    chan []byte // what the node sends
	in     chan []byte // what arrives at it
	closed chan struct{}
}

func (w *wire) Read(b []byte) (int, error) {
	select {
	case p := <-w.out:
		return copy(b, p), nil
	case <-w.closed:
		return 0, os.ErrClosed
	}
}

func (w *wire) Write(b []byte) (int, error) {
	w.in <- append([]byte(nil), b...)
	return len(b), nil
}

func (w *wire) Close() error { close(w.closed); return nil }

// net3 is a relay between three nodes.
type net3 struct {
	*Relay
	nodes [3]*wire
}

func newNet3(seed uint64) *net3 {
	n := &net3{}
	var devices []io.ReadWriteCloser
	var addrs []netip.Addr
	for i := range n.nodes {
		n.nodes[i] = &wire{make(chan []byte), make(chan []byte, 1<<17), make(chan struct{})}
		devices = append(devices, n.nodes[i])
		addrs = append(addrs, address(i))
	}
	n.Relay = NewRelay(seed, addrs, devices)
	return n
}

// address of a node in these tests.
func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}) }

// packet is an IPv4 packet with nothing in it but its number.
func packet(to netip.Addr, number uint32) []byte {
	b := make([]byte, 24)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	dst := to.As4()
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint32(b[20:], number)
	return b
}

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b[20:]) }

// send sends packets of the numbers 0 to count−1.
func (n *net3) send(from, to, count int) {
	for i := range count {
		n.nodes[from].out <- packet(address(to), uint32(i))
	}
	synctest.Wait()
}

// arrived empties what arrived at a node, in order.
func (n *net3) arrived(at int) (numbers []uint32) {
	for {
		select {
		case b := <-n.nodes[at].in:
			numbers = append(numbers, number(b))
		default:
			return numbers
		}
	}
}

func within(t *testing.T, seed uint64, f func(n *net3)) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet3(seed)
		f(n)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRelayCarriesPacketsToTheirDestination(t *testing.T) {
	within(t, 1, func(n *net3) {
		n.send(0, 1, 3)
		n.send(0, 2, 1)
		n.send(2, 1, 2)
		if got := n.arrived(1); len(got) != 5 || got[0] != 0 || got[2] != 2 || got[4] != 1 {
			t.Errorf("at node 1: %v", got)
		}
		if got := n.arrived(2); len(got) != 1 {
			t.Errorf("at node 2: %v", got)
		}
		n.nodes[0].out <- packet(netip.MustParseAddr("10.77.0.99"), 0)
		n.nodes[0].out <- []byte{0x60, 0, 0, 0}            // IPv6
		n.nodes[0].out <- packet(address(1), 0)[:22]       // shorter than it says
		n.nodes[0].out <- append(packet(address(1), 0), 0) // longer
		synctest.Wait()
		if n.Strays() != 4 || len(n.arrived(1)) != 0 {
			t.Errorf("%d strays", n.Strays())
		}
		if c := n.Count(0, 1); c != (PathCount{Packets: 3, Bytes: 72}) {
			t.Errorf("%+v", c)
		}
	})
}

func TestRelayCutsOneWay(t *testing.T) {
	within(t, 1, func(n *net3) {
		n.Set(0, 1, Link{Cut: true})
		n.send(0, 1, 100)
		n.send(1, 0, 100)
		n.send(0, 2, 100)
		if a, b, c := len(n.arrived(1)), len(n.arrived(0)), len(n.arrived(2)); a != 0 || b != 100 || c != 100 {
			t.Errorf("%d, %d and %d packets arrived, want 0, 100 and 100", a, b, c)
		}
		n.Set(0, 1, Link{})
		n.send(0, 1, 1)
		if c := n.Count(0, 1); c.Cut != 100 || c.Packets != 1 || len(n.arrived(1)) != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestRelayLosesItsPart(t *testing.T) {
	const count = 20_000
	for _, loss := range []float64{0.05, 0.3, 0.9, 1} {
		var first []uint32
		for _, seed := range []uint64{1, 1, 2} {
			within(t, seed, func(n *net3) {
				n.Set(0, 1, Link{Loss: loss})
				n.send(0, 1, count)
				got := n.arrived(1)
				deviation := math.Sqrt(count * loss * (1 - loss))
				if c := n.Count(0, 1); int(c.Lost)+len(got) != count || math.Abs(float64(c.Lost)-count*loss) > 5*deviation {
					t.Errorf("%v of %d lost: %d (deviation %.0f)", loss, count, c.Lost, deviation)
				}
				switch {
				case first == nil:
					first = got
				case (seed == 1) != equal(first, got) && loss < 1:
					t.Errorf("loss %v: seed %d loses the same packets as seed 1: %v", loss, seed, seed != 1)
				}
			})
		}
	}
}

func equal(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestRelayHoldsBack(t *testing.T) {
	const delay, jitter = 100 * time.Millisecond, 50 * time.Millisecond
	within(t, 1, func(n *net3) {
		n.Set(0, 1, Link{Delay: delay, Jitter: jitter})
		n.send(0, 1, 1000)
		n.Set(0, 1, Link{})
		time.Sleep(delay - 1)
		synctest.Wait()
		if got := n.arrived(1); len(got) != 0 {
			t.Fatalf("%d packets arrived too early", len(got))
		}
		time.Sleep(1 + jitter/2)
		synctest.Wait()
		half := n.arrived(1)
		if len(half) < 400 || len(half) > 600 {
			t.Errorf("%d of 1000 packets arrived after half of the jitter", len(half))
		}
		time.Sleep(jitter / 2)
		synctest.Wait()
		rest := n.arrived(1)
		if len(half)+len(rest) != 1000 {
			t.Errorf("%d packets arrived", len(half)+len(rest))
		}
		ordered := true
		for i := range half[1:] {
			ordered = ordered && half[i] < half[i+1]
		}
		if ordered {
			t.Error("jitter changed no order")
		}
	})
}

// A relay that is asked to hold back more than it may loses what comes, and what it holds arrives.
func TestRelayIsBounded(t *testing.T) {
	within(t, 1, func(n *net3) {
		n.Set(0, 1, Link{Delay: time.Hour})
		n.send(0, 1, maxHeld+10)
		n.send(1, 0, 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if c := n.Count(0, 1); c.Crowded != 10 || len(n.arrived(1)) != maxHeld || len(n.arrived(0)) != 1 {
			t.Errorf("%+v", c)
		}
		n.send(0, 1, 1)
		if c := n.Count(0, 1); c.Crowded != 10 {
			t.Errorf("there is room again: %+v", c)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
	})
}

func TestRelayTellsOfADeviceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRelay(1, []netip.Addr{address(0)}, []io.ReadWriteCloser{broken{}})
		if err := r.Close(); err == nil || err.Error() != "unexpected EOF" {
			t.Errorf("error %v", err)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error)    { return 0, io.ErrUnexpectedEOF }
func (broken) Write(b []byte) (int, error) { return len(b), nil }
func (broken) Close() error                { return nil }
