package audit

import (
	"math"
	"strings"
)

// Kind says what a record is about. Append only.
type Kind uint8

const (
	Decision Kind = iota + 1 // a call was admitted, degraded, deferred or denied
	End                      // a reservation was settled, released, or expired
	Policy                   // a policy came into force, or was in force at the start, or something was said of one
	Member                   // a node joined, failed, left, was taken off the list or vouched dead
	Mint                     // an instance was topped up here
	Burn                     // rights were destroyed here
	Freeze                   // an operator's word of what may not be spent came into force, or ended
	Transfer                 // rights or shares came from a peer, or went to one
	Claim                    // rights of a generation that is over became this node's
	Start                    // the node started; Count is the size that the log had
	Stop                     // the node stopped in good order
	Gap                      // Count records are missing here, for the reason in Why
	Alarm                    // something is wrong with a peer's log, or with this one
	Metrics                  // some of the node's metrics, as they were
)

var kinds = [...]string{
	Decision: "decision", End: "end", Policy: "policy", Member: "member", Mint: "mint", Burn: "burn", Freeze: "freeze",
	Transfer: "transfer", Claim: "claim", Start: "start", Stop: "stop", Gap: "gap", Alarm: "alarm", Metrics: "metrics",
}

func (k Kind) String() string {
	if k > 0 && int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Kinds lists the names.
func Kinds() string { return strings.Join(kinds[1:], ", ") }

// KindOf is the inverse of Kind.String; 0 for an unknown name.
func KindOf(name string) Kind {
	for k, s := range kinds {
		if s == name && k > 0 {
			return Kind(k)
		}
	}
	return 0
}

// Draw is what one instance held for a call, or was charged.
type Draw struct {
	Instance string
	Token    string
	Amount   int64 // reserved, or charged in an End
	Price    int64 // parts per million that the cost was multiplied by; 0 in an End
	Before   int64 // this node's rights before the reservation and
	After    int64 // after it
	Overrun  int64 // End: charged above the reservation
}

// Standing is how a call's tenant stood at an instance of which more was asked for than it brings.
type Standing struct {
	Instance     string
	Asked, Share int64 // thousandths of a token per second, at this node
	Small, Under bool  // it asked for less than its share in the swarm; it had had less of late, and went first
}

// Sample is one series of a metric at a moment.
type Sample struct {
	Series string // as Prometheus writes it: a name, and labels in braces
	Value  float64
}

// Milli is a rate in thousandths, within the range of a record.
func Milli(x float64) int64 {
	if !(x > 0) {
		return 0
	}
	return int64(math.Round(min(x, 1<<50) * 1000))
}

// Record is one entry. A field that does not belong to its kind is zero.
type Record struct {
	Kind Kind
	At   int64 // Unix ms, by the node's clock

	ID    string   // of the decision, of the mint
	Trace [16]byte // W3C trace id that the caller sent; zero: none
	Span  [8]byte  // the caller's span

	// The caller.
	Tenant, Agent, Run, Class, Model string
	Data                             []string // data sets that the call reads

	// The decision.
	Verdict, Code, Reason string
	Rules                 []string
	Revision              int64 // of the policy
	Arm                   string
	Flags                 string // that are on for the call: "a, b"
	Experiment            string // in which the call takes part, and its arm: "small-model=mini"
	WaitedMS, RetryMS     int64
	Level                 int64 // of backpressure
	Draws                 []Draw
	AdviceModel           string
	AdviceMax             int64 // most output tokens
	Prompt, MaxOutput     int64 // tokens, as the caller stated them

	AdviceTemperature, AdviceTopP string // as numbers; "" for none
	Counted                       string // how the prompt's tokens were counted, as package admit names it; "" where the caller stated them
	Caller                        string // name of the key that the call came with, as the policy has it; "" for none

	// The end.
	Score                                 string // what was said of the answer, 0 to 1; "" for nothing
	State, Outcome                        string
	UsedPrompt, UsedOutput, Cached, Think int64 // tokens that the provider counted

	// All else.
	What     string // "applied", "failed", "in", "out", "freeze"
	Node     string // the peer
	By, Why  string // of a call's end, Why is which upstreams did not run it before Upstream: "cloud 429, spare unreachable"
	Instance string
	Tokens   int64
	Shares   int64
	Hash     string // of a policy, hexadecimal
	From     int64  // the revision before
	Count    int64
	Upstream string // that the call was sent to; of its end, where that is another one in the end

	Shared []Standing // of a decision

	Samples []Sample
}

// Bounds. What is longer is cut off: a record never fails to be written for its size.
const (
	MaxRecord  = 32 << 10 // bytes of an encoded record
	maxText    = 512      // bytes of one string
	maxList    = 64       // entries of Rules, Draws and Shared
	maxData    = 256      // of Data
	MaxSamples = 256      // entries of Samples
)
