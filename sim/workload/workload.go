package workload

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Call is one inference call of a simulated caller.
type Call struct {
	// Seq numbers the source's calls from 0 on in the order of Next. A follow-up has its cause's number plus ChainStep.
	Seq      uint64
	At       ledger.Millis // when it is made, from the start of the run
	Stream   int           // index in Config.Streams
	Node     int           // the node whose caller makes it, from 0 on
	Tenant   string
	Agent    string
	Class    string
	Model    string
	Priority bool  // it asks for one class better, paid in points
	Prompt   int64 // prompt tokens
	// Max is the max_output_tokens that the caller states, Output what the model really writes (at most Max). A
	// decision must not look at Output: nobody knows it until the call ends.
	Max, Output int64
	Runs        ledger.Millis // from admission to the settlement
	Depth       int           // how many calls of its chain may still follow
}

// ChainStep is between the Seq of a call and of the one that it causes.
const ChainStep = 1 << 40

// Source makes calls. It is deterministic: the same configuration and seed make the same calls, whatever the
// system does with them, so that several systems can be judged by one workload. A Source belongs to one consumer.
type Source interface {
	// Next returns the next call that comes by itself, in order of At; false when there are no more.
	Next() (Call, bool)
	// Follow returns the calls that the end of c causes, at the earliest at: an agent chain goes on when the call
	// before has ended. What follows depends on c, at and ended only. ended is false if c was refused.
	Follow(c *Call, at ledger.Millis, ended bool) []Call
}

// Config is what a Source is made from.
type Config struct {
	Streams  []Stream
	Zones    []string // the zone of each node; as many as there are nodes at the start
	Seed     uint64
	Duration time.Duration // no call is made from here on
	Traces   map[string]*Recording
}
