package ledger

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Tokens is an amount of one token type. What one token is (a model token, a read, a byte, a
// request) is the policy's business. Amounts never exceed MaxTokens, so sums of a few never overflow.
type Tokens int64

// MaxTokens is the largest amount that a limit, a call or a top-up may have: 2^53-1, which every
// JSON client can write exactly, and which leaves room to add a thousand of them.
const MaxTokens Tokens = 1<<53 - 1

// Shares is the right to a part of an instance's supply; every instance has exactly TotalShares.
type Shares int64

// TotalShares is what the shares of one instance add up to, over all holders and those in flight.
const TotalShares Shares = 1_000_000_000

// Instant is a point in time, in Unix milliseconds. It is an argument everywhere in this package.
type Instant int64

// Millis is a duration in milliseconds.
type Millis int64

// Window names a calendar window by its first second, in Unix seconds; 0 always for supplies without
// windows.
type Window int64

// MaxNameLen bounds the name of a node, in bytes.
const MaxNameLen = 128

// Holder is a node in one generation, that is one life of its data directory. Every counter and
// every row is keyed by holder.
type Holder = guardian.Holder

// CharterID names a charter: the record of who founded the cluster. It is part of every instance's
// identity, so that genesis never runs twice.
type CharterID [16]byte

// IsZero reports whether the charter is not made yet.
func (c CharterID) IsZero() bool { return c == CharterID{} }

func (c CharterID) String() string { return fmt.Sprintf("%x", c[:]) }

// Ceiling says what happens at an instance's limit.
type Ceiling uint8

const (
	Hard    Ceiling = iota // never exceeded
	Soft                   // may be overdrawn up to a stated fraction
	Observe                // metered only
)

func (c Ceiling) String() string {
	switch c {
	case Hard:
		return "hard"
	case Soft:
		return "soft"
	case Observe:
		return "observe"
	}
	return fmt.Sprintf("ceiling(%d)", uint8(c))
}
