package guardian

import (
	"cmp"
	"fmt"
	"strings"
)

// Holder is a node in one generation, that is one life of its data directory.
type Holder struct {
	Node string // the node's name
	Gen  uint64 // grows with every new data directory of that node
}

// IsZero reports whether h names nobody.
func (h Holder) IsZero() bool { return h == Holder{} }

// Compare orders holders by name, then generation.
func (h Holder) Compare(o Holder) int {
	if c := strings.Compare(h.Node, o.Node); c != 0 {
		return c
	}
	return cmp.Compare(h.Gen, o.Gen)
}

func (h Holder) String() string { return fmt.Sprintf("%s#%x", h.Node, h.Gen) }

// Ballot numbers the attempts to claim one generation. The zero value is below all of them.
type Ballot struct {
	Round uint64
	By    Holder // who claims
}

// Compare orders ballots by round, then by who claims.
func (b Ballot) Compare(o Ballot) int {
	if c := cmp.Compare(b.Round, o.Round); c != 0 {
		return c
	}
	return b.By.Compare(o.By)
}

func (b Ballot) String() string { return fmt.Sprintf("%d by %v", b.Round, b.By) }
