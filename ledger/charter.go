package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// MaxFounders bounds the founders of a cluster.
const MaxFounders = 64

// Charter is the record of who founded a cluster. The founders hold all shares of every new instance in
// equal parts. It never changes; seats pass on instead.
type Charter struct {
	ID       CharterID
	Cluster  string
	Founders []Holder // sorted, at most MaxFounders
}

// NewCharter makes the charter of the given founders. nonce tells apart two clusters that the same
// holders might found.
func NewCharter(cluster string, founders []Holder, nonce [16]byte) (Charter, error) {
	f := slices.Clone(founders)
	slices.SortFunc(f, Holder.Compare)
	c := Charter{Cluster: cluster, Founders: slices.Compact(f)}
	if err := c.shape(); err != nil {
		return Charter{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %x", cluster, nonce)
	for _, f := range c.Founders {
		fmt.Fprintf(h, " %q %d", f.Node, f.Gen)
	}
	copy(c.ID[:], h.Sum(nil))
	return c, nil
}

func (c *Charter) shape() error {
	if n := len(c.Founders); n == 0 || n > MaxFounders {
		return fmt.Errorf("a charter needs 1 to %d founders, this one has %d", MaxFounders, n)
	}
	for i, f := range c.Founders {
		if f.Node == "" || len(f.Node) > MaxNameLen || i > 0 && c.Founders[i-1].Compare(f) >= 0 {
			return fmt.Errorf("the charter's founders are not a sorted list of names of 1 to %d bytes", MaxNameLen)
		}
	}
	return nil
}

// seatShares is the part of all shares that seat i brings: equal parts, the first takes the remainder.
func (c *Charter) seatShares(i int) Shares {
	n := Shares(len(c.Founders))
	part := TotalShares / n
	if i == 0 {
		part += TotalShares % n
	}
	return part
}

// Ballot is one founder's durable vote while a cluster of several founders is made. A node votes once:
// that is what makes two charters impossible, as each needs the votes of all its founders and the
// number of founders is more than half of the first members.
type Ballot struct {
	Charter Charter
	Voter   Holder
}

// seats knows who holds which seat, and what was used under those held here.
type seats struct {
	of   []Seat
	used []map[uint64]Tokens // by seat, the level of each used instance (see growth.go); only for seats held here
	pass map[int]*SeatPass   // handed over, not yet acknowledged
	told map[int]Instant
	// since is the version of this generation that has the hand-over: it is told once that is held.
	since map[int]uint64
	done  map[int]uint64 // the serials of hand-overs of claimed generations that were acknowledged
}

// MaxUsed bounds the instances that are known per seat.
const MaxUsed = 100_000

func hashID(id InstanceID) uint64 {
	h := sha256.Sum256([]byte(id))
	var n uint64
	for _, b := range h[:8] {
		n = n<<8 | uint64(b)
	}
	return n
}
