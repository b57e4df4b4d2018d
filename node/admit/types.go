package admit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Request is one call for admission.
type Request struct {
	policy.Call

	// TTL is how long the reservation lives unsettled; 0 means DefaultTTL. At most MaxTTL.
	TTL time.Duration

	// IdempotencyKey makes a retry get the first answer; "" for none. At most MaxKeyLen bytes. A key
	// belongs to its tenant.
	IdempotencyKey string

	// Forward says that whoever asks sends the call to an upstream that the node knows; others are told where it may go.
	Forward bool

	// AsIs says that the call cannot be changed by whoever asks, so that it must not be degraded.
	AsIs bool

	// About, if not 0, says that PromptTokens is a bound, of a prompt that has about so many. Such a call is decided at once, if it is small beside the
	// rights at hand (see Glance), or not at all: ErrBound.
	About int64

	// Counted says how PromptTokens came about.
	Counted Counted

	// Trace is the caller's, and Key the name of the key that it came with, "" for none: for the audit log.
	Trace Trace
	Key   string

	// Wait is how long the caller lets the call queue: 0 means not at all, UseClassDefault (any
	// negative value) means the class's latency budget, which is also the most that is granted.
	Wait time.Duration

	// Digests are of the data sets of the call, in their order, "" for those without one; nil for none.
	Digests []string
}

const (
	UseClassDefault time.Duration = -1
	DefaultTTL                    = 2 * time.Minute
	MaxTTL                        = time.Hour
	MaxKeyLen                     = 256
)

// Verdict is the decision on a call.
type Verdict uint8

const (
	Admit   Verdict = iota + 1 // may run now
	Degrade                    // may run now, cheaper, as the advice says
	Defer                      // may not run now; come back at the named time
	Deny                       // may not run; waiting cannot help
)

func (v Verdict) String() string {
	switch v {
	case Admit:
		return "admit"
	case Degrade:
		return "degrade"
	case Defer:
		return "defer"
	case Deny:
		return "deny"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Admitted reports whether the call may run.
func (v Verdict) Admitted() bool { return v == Admit || v == Degrade }

// Charge is what one budget instance holds for a call, or was charged at settlement.
type Charge struct {
	Budget   string            // the budget's name
	Instance ledger.InstanceID // the instance drawn on
	Token    string            // the token type
	Amount   ledger.Tokens     // reserved, or charged
	Overrun  ledger.Tokens     // part of what was charged that is above the reservation
	Price    policy.PPM        // reserved: what the cost was multiplied by; 0 where nothing is told of it
}

// Answer is what a caller is told about a call: the decision, with its reason.
type Answer struct {
	ID         string // "" only when nothing was decided
	Verdict    Verdict
	Reserved   []Charge
	Reason     string        // one sentence, with numbers, fit to be shown to people
	Code       string        // stable word for programs: see the Code constants
	RetryAfter time.Duration // Defer: when to come back; 0 for Deny
	Revision   int64         // of the policy that decided
	Arm        string        // Stable or Candidate, "" while no candidate is tried
	Node       string
	Class      string   // that the call ran in
	Advice     *Advice  // how the call must be changed, by a rule (Degrade) or its arm of an experiment; what is reserved is for the call so changed
	Flags      []string // that are on for the call; not to be changed
	// Experiment and ExperimentArm name the one in which the call takes part; "" for none.
	Experiment, ExperimentArm string
	Upstream                  *policy.Upstream // where the call goes, if the policy routes calls
	Nearest                   *Neighbor        // Deny for its zones: the nearest node that may decide on it, if one is known
	Short                     *Shortage        // Defer and Deny for want of rights: the budget that lacks them
	Waited                    time.Duration    // how long the call was queued
	Level                     int              // of backpressure, 0 to policy.MaxLevel: the highest of what the call draws on, when it was decided
}

// Prices are by budget what costs were multiplied by. It is made anew.
func (a Answer) Prices() map[string]float64 {
	m := make(map[string]float64, len(a.Reserved))
	for i := range a.Reserved {
		c := &a.Reserved[i]
		if _, known := m[c.Budget]; !known && c.Price > 0 {
			m[c.Budget] = c.Price.Float()
		}
	}
	return m
}

// Advice is how a call must be changed before it runs.
type Advice struct {
	Model             string   // the model to use; "" leaves it
	MaxOutputTokens   int64    // the most that it may generate, over all its choices; 0 leaves it
	Temperature, TopP *float64 // nil leaves them
}

// Shortage is the budget instance that a call was refused for, as far as the node knows the swarm.
type Shortage struct {
	Instance  ledger.InstanceID
	Limit     ledger.Tokens // the most that the instance can hold
	Remaining ledger.Tokens // left in the swarm, in reach
	Own       bool          // it is one tenant's, agent's or run's
}

// Excused reports whether a call was refused for what is its caller's own or an operator's will, rather than for want of
// service: its own budget is used up, it is too large for any, or no rule is for it.
func (a *Answer) Excused() bool {
	switch a.Code {
	case CodeNoRule, CodeTooLarge, CodeFrozen, CodeLocality:
		return true
	case CodeExhausted, CodeHeadroom:
		return a.Short != nil && a.Short.Own
	}
	return false
}

// Codes of answers. Append only.
const (
	CodeOK         = "ok"
	CodeNoRule     = "no_rule"          // no rule matches and the policy's default is deny
	CodeExhausted  = "budget_exhausted" // the swarm has no such rights now
	CodeTooLarge   = "exceeds_limit"    // the call asks for more than the budget can ever hold
	CodeNoRights   = "rights_elsewhere" // rights exist in the swarm but could not be had in time
	CodeHeadroom   = "headroom"         // what is left is for better classes
	CodeShed       = "shed"             // the class makes way for others at this level of backpressure
	CodePressure   = "backpressure"     // so it does, and may come back
	CodeQueueFull  = "queue_full"
	CodeFenced     = "fenced"   // the node may not act until peers have answered
	CodeDraining   = "draining" // the node is shutting down
	CodeBusy       = "too_many_reservations"
	CodeDisk       = "disk_slow"          // this node's disk has not confirmed what must be durable first
	CodeGuardians  = "guardians_away"     // this node's guardians have not confirmed what they must hold first
	CodeFrozen     = "frozen"             // an operator froze the tenant, the agent or an instance
	CodeLocality   = "locality"           // what the call reads or draws on is bound to zones in which this node is not
	CodeNoUpstream = "no_upstream"        // no upstream may take the call, or none that this node knows
	CodeInstances  = "too_many_instances" // the call would make one more instance of a budget than there may be
	CodeAudit      = "audit_full"         // the audit log cannot be written, and the policy refuses calls then
)

// Settlement ends a reservation with the real cost.
type Settlement struct {
	// Used states amounts by token type. A type that is absent is computed from Usage if that is set,
	// and otherwise charged as reserved.
	Used []policy.Amount

	// Usage, if not nil, is what the provider counted; it is priced by the rule that admitted the call.
	Usage *Usage

	// Estimate is what the caller counted itself of a call whose real usage nobody can tell, such as one that
	// was cut. Ceilings that are not hard are charged by it; hard ones what was reserved.
	Estimate *Usage

	// Score, if not nil, is how good the answer was, from 0 to 1. The first one counts, also one that comes by Score or with a settlement
	// that is repeated.
	Score *float64

	// Partial says that Usage tells of one kind of tokens only, so that nothing is learned from it of how calls are.
	Partial bool

	Outcome string // "ok", "error", "cancelled"; free text up to 64 bytes, kept with the decision

	amounts []ledger.Tokens // by draw, instead of all above
}

// Usage is a provider's token count.
type Usage struct {
	PromptTokens     int64
	CompletionTokens int64
	CachedTokens     int64 // of PromptTokens, what it had cached
	ReasoningTokens  int64 // of CompletionTokens, what the model thought
}

// Receipt is what a settlement or a release did. Settling twice gives the same receipt as once.
type Receipt struct {
	ID       string
	Charged  []Charge
	Overrun  ledger.Tokens // real cost above the reservation, over all charges
	Repeated bool          // an earlier call had already ended this reservation
	Late     bool          // the reservation had expired before
}

// Errors of settlement and admission. They are wrapped with details; test with errors.Is.
var (
	ErrUnknownID = errors.New("unknown reservation")
	ErrInvalid   = errors.New("invalid request") // the caller's mistake: the message names the field
	// ErrBound: nothing was decided, as the call stated a bound and does not run at once by it. Count its prompt and ask again.
	ErrBound = errors.New("the prompt must be counted")
)

// Admitter is the node as its doors (HTTP API, proxy, gRPC) see it. Safe for concurrent use.
type Admitter interface {
	// Glance says what is known of a call before its prompt is counted. It changes nothing, and never blocks.
	Glance(r *Request) Glance
	// Admit decides on a call; it may block up to the wait that the request allows. An error means
	// that nothing was decided and nothing is reserved: ErrInvalid, ErrBound, or ctx ended while it was queued.
	Admit(ctx context.Context, r *Request) (Answer, error)
	// Settle books the real cost and ends the reservation. ErrUnknownID if this node has none of that id.
	Settle(id string, s Settlement) (Receipt, error)
	// Release gives everything back; for calls that never ran.
	Release(id string) (Receipt, error)
	// Score says how good the answer to an admitted call was, from 0 to 1, also after the call has ended; the first one counts, and is returned.
	// ErrInvalid, ErrUnknownID.
	Score(id string, v float64) (kept float64, repeated bool, err error)
	// Pace charges bytes that a call is about to move to the budgets of bytes that it draws on, and blocks until it may go on. It never
	// refuses: when rights do not come for some seconds, or ctx ends, the bytes are owed. false means that the call is not paced.
	Pace(ctx context.Context, id string, bytes int64) bool
	// Feedback takes in what the provider's answer to an admitted call says of its limits, before or after the call ends.
	Feedback(id string, u Upstream) error
	// Retry says where an admitted call goes next that its upstream surely did not run, and after how long; false: nowhere, tell the caller.
	Retry(id string, f Failed) (Next, bool, error)
}
