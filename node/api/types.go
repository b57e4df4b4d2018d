package api

import (
	"context"
	"errors"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Node is what the HTTP API serves. All methods are safe for concurrent use.
type Node interface {
	admit.Admitter

	// Decision tells of a recent decision of this node: the last some ten thousands are kept.
	Decision(id string) (Decision, error) // admit.ErrUnknownID
	// TenantOf tells whose decision that is, of those that may still be ended. admit.ErrUnknownID.
	TenantOf(id string) (string, error)
	// Lineage tells of recent decisions of this node on calls that named a data set, at most limit of them, and of those that v sees.
	Lineage(data string, limit int, v View) Lineage

	// Budgets lists all budgets, with the instances that v sees: of a tenant those that are its own by their budget's per.
	Budgets(v View) []Budget
	// Budget tells of one budget with its instances; ErrUnknownBudget.
	Budget(name string, v View) (Budget, error)
	Members() []Member
	// RemoveMember takes a member off the list that has left or failed, or takes an operator's word that members are dead, whose
	// rights are this node's then. ErrUnknownMember, ErrNotRemoved while it is alive or its rights come back without, ErrNotReady.
	RemoveMember(ctx context.Context, q RemoveRequest) (RemoveReceipt, error)
	Policy() Policy
	// ApplyPolicy checks a document and, if it is newer than the present one, adopts and gossips it, or has it tried as a candidate.
	// ErrConflict if it is not newer or may not be a candidate, admit.ErrInvalid if it is wrong, ErrNotReady if it is not durable.
	ApplyPolicy(ctx context.Context, r ApplyRequest) (Policy, error)
	// ActOnPolicy does with the candidate what one of the constants Promote, Pause, Resume and RollBack says, in the whole swarm; to
	// roll back without one is about the present revision. ErrConflict if it cannot be, ErrNotReady.
	ActOnPolicy(ctx context.Context, what string, q PolicyAct) (Policy, error)
	PolicyHistory() History
	// Trust tells what an operator needs to sign: the cluster, this node, what is in force, and who signs.
	Trust() Trust
	// Enrolment tells which nodes are enrolled by operators, and of those that the node knows which are not.
	Enrolment() Enrolment
	// Enrol takes an operator's signed word that a node belongs to the swarm, or does not any more. It is durable here and told to all when the call
	// returns. admit.ErrInvalid, ErrUnsigned, ErrBadSignature, ErrEnrolment if something later was said, or nobody signs, ErrNotReady.
	Enrol(ctx context.Context, q EnrolRequest) (EnrolReceipt, error)
	// Mint tops an instance up at this node. ErrUnknownBudget, admit.ErrInvalid.
	Mint(ctx context.Context, m MintRequest) (MintReceipt, error)
	// Burn destroys rights of an instance, all that is asked for or none. ErrUnknownBudget, ErrTooFew, admit.ErrInvalid.
	Burn(ctx context.Context, m BurnRequest) (BurnReceipt, error)
	// Freeze has calls denied in the whole swarm that draw on an instance, or that a tenant or an agent makes; on false ends that.
	// The word is in force here and told to all when the call returns, and durable here unless the receipt says that it is not. admit.ErrInvalid, ErrUnknownBudget,
	// ErrConflict if too much is frozen, ErrNotReady.
	Freeze(ctx context.Context, q FreezeRequest, on bool) (FreezeReceipt, error)
	// Frozen lists what operators froze, of a tenant what touches it.
	Frozen(v View) []Frozen
	Status() Status
	// SetFaults cuts or slows gossip with named peers and sets the node's clock wrong; ErrDisabled without --faults.
	SetFaults(f Faults) error
}

// Errors of a Node, wrapped with details; test with errors.Is.
var (
	ErrUnknownBudget = errors.New("unknown budget")
	ErrUnknownMember = errors.New("unknown member")
	ErrConflict      = errors.New("conflict")
	ErrTooFew        = errors.New("not enough rights")
	ErrNotRemoved    = errors.New("not removed")
	ErrDisabled      = errors.New("disabled")
	ErrEnrolment     = errors.New("enrolment")
	ErrNotReady      = errors.New("not ready")
	ErrUnsigned      = errors.New("the policy in force has trust.signers, so this needs the signature of one of them")
	ErrBadSignature  = errors.New("the signature does not do")
)

// Decision is one decision with its path, as `swarmpurse explain` shows it.
type Decision struct {
	ID       string    `json:"id"`
	Node     string    `json:"node"`
	At       time.Time `json:"at"`
	Decision string    `json:"decision"`
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Tenant   string    `json:"tenant,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	Run      string    `json:"run,omitempty"`
	Class    string    `json:"class"`
	Model    string    `json:"model,omitempty"`
	Rules    []string  `json:"rules"`
	Revision int64     `json:"policy_revision"`
	WaitedMS float64   `json:"waited_ms"`
	Reserved []Charge  `json:"reserved"`
	// Price is what costs were multiplied by when the call was admitted, by budget.
	Price        map[string]float64 `json:"price,omitempty"`
	Backpressure int                `json:"backpressure"`         // when it was decided
	Guaranteed   bool               `json:"guaranteed,omitempty"` // it was within its tenant's guarantee in one of its budgets
	// Shared is how its tenant stood at budgets with fairness: swarm of which more was asked for than they bring.
	Shared []Standing `json:"shared,omitempty"`
	// Service is how the call counts for its class, and how its class stands at the node now; nil of a class that the policy no longer has.
	Service *Service `json:"service,omitempty"`
	// Drift is what calls of its rules and model come to at the node now, beside what is usual.
	Drift  []Drift  `json:"drift,omitempty"`
	Advice *Advice  `json:"advice,omitempty"` // how a degraded call had to be changed, where it was sent, which node to ask
	Data   []string `json:"data,omitempty"`   // that the call named, with the digests given
	// Tried is upstreams that did not run the call, in order, and why: "cloud 429", "spare unreachable". Advice has the last that it was sent to.
	Tried   []string      `json:"tried,omitempty"`
	State   string        `json:"state"` // reserved, settled, released, expired, refused
	Charged []Charge      `json:"charged,omitempty"`
	Outcome string        `json:"outcome,omitempty"`
	Score   *float64      `json:"score,omitempty"` // what its caller said of its answer, 0 to 1
	Expires *time.Time    `json:"expires,omitempty"`
	Overrun ledger.Tokens `json:"overrun,omitempty"`

	// Shadow is what a candidate that is only looked at would have decided otherwise; absent if nothing, or if it was not compared.
	Shadow *ShadowCall `json:"shadow,omitempty"`

	// What follows comes from the audit log; absent if the call is not in it.
	AuditIndex *int64      `json:"audit_index,omitempty"`
	TraceID    string      `json:"trace_id,omitempty"` // W3C trace context that the caller sent
	Caller     string      `json:"caller,omitempty"`   // name of the key that the call came with
	SpanID     string      `json:"span_id,omitempty"`
	Arm        string      `json:"arm,omitempty"`
	Prompt     int64       `json:"prompt_tokens,omitempty"`
	Counted    string      `json:"prompt_counted,omitempty"` // how, also where the log has nothing: tokenizer, estimate (by another model's tokenizer), upstream (asked), bound (no more than its bytes); absent: stated
	MaxOutput  int64       `json:"max_output_tokens,omitempty"`
	Rights     []Rights    `json:"rights,omitempty"`    // of the node, around the reservation
	Transfers  []Moved     `json:"transfers,omitempty"` // that came while the call waited
	Usage      *AuditUsage `json:"usage,omitempty"`     // what the provider counted
}

// conceal takes out what is summed up over all tenants.
func (d *Decision) conceal() {
	d.Drift = nil
	if d.Service != nil {
		d.Service = &Service{Result: d.Service.Result, LatencyBudgetMS: d.Service.LatencyBudgetMS, Objective: d.Service.Objective}
	}
}

// Standing is how the tenant of a call stood at one instance when it was decided, at the node that did.
type Standing struct {
	Instance string  `json:"instance"`
	Asked    float64 `json:"asked"` // tokens per second asked for at this node
	Share    float64 `json:"share"` // tokens per second: the part of its max-min share in the swarm that is for its calls at this node
	Small    bool    `json:"small"` // it asks for less than its share in the swarm, and goes first
	Under    bool    `json:"under"` // it had had less than its share of late, and went before those that had had more
}

// Service is the service level of a class at one node.
type Service struct {
	Result          string  `json:"result,omitempty"` // of the call: met, missed, excused; absent if it is not known
	LatencyBudgetMS float64 `json:"latency_budget_ms"`
	// Objective is the part of calls that should be met, 0 to 1; 0 if the policy states none.
	Objective float64    `json:"objective,omitempty"`
	Met       uint64     `json:"met"` // calls of the class at this node, since it started
	Missed    uint64     `json:"missed"`
	Excused   uint64     `json:"excused"`
	Burn      []BurnRate `json:"burn,omitempty"`
}

// BurnRate is the part of calls that were missed over the part that the objective allows.
type BurnRate struct {
	Window string  `json:"window"`
	Rate   float64 `json:"rate"`
}

// Drift is what calls of one rule and model come to at one node, beside what is usual.
type Drift struct {
	Rule   string  `json:"rule"`
	Model  string  `json:"model"`
	Calls  int     `json:"calls"` // whose output is known
	Output float64 `json:"output_mean"`
	// OutputUsual is what the part of calls that is not Expected puts out at most, in tokens; -1 while too few have ended. Above is the part, of
	// late, that put out more.
	OutputUsual int64       `json:"output_usual"`
	Above       float64     `json:"above"`
	Expected    float64     `json:"above_expected"`
	Costs       []DriftCost `json:"costs,omitempty"`
}

// DriftCost is what a call is charged at one budget, in its tokens: the mean of some 64, and of some 2,048.
type DriftCost struct {
	Budget string  `json:"budget"`
	Late   float64 `json:"late"`
	Usual  float64 `json:"usual"`
}

// Rights are what a node could spend of an instance before and after it reserved for a call.
type Rights struct {
	Instance string        `json:"instance"`
	Token    string        `json:"token"`
	Before   ledger.Tokens `json:"before"`
	After    ledger.Tokens `json:"after"`
}

// Moved is a transfer from a peer.
type Moved struct {
	At       time.Time     `json:"at"`
	From     string        `json:"from"`
	Instance string        `json:"instance"`
	Tokens   ledger.Tokens `json:"tokens,omitempty"`
	Shares   ledger.Shares `json:"shares,omitempty"`
}

// Charge is an amount at one budget instance.
type Charge struct {
	Budget   string        `json:"budget"`
	Instance string        `json:"instance"`
	Token    string        `json:"token"`
	Amount   ledger.Tokens `json:"amount"`
}

// Budget is one budget with its instances, as this node sees the swarm.
type Budget struct {
	Name      string     `json:"name"`
	Token     string     `json:"token"`
	Kind      string     `json:"kind"`    // of the supply: grant, window, rate, slots
	Supply    string     `json:"supply"`  // "10,000,000 per 24h", "50,000/s, burst 100,000"
	Ceiling   string     `json:"ceiling"` // hard, soft 10%, observe
	Per       []string   `json:"per,omitempty"`
	Price     float64    `json:"price"`   // the base price
	Pricing   string     `json:"pricing"` // fixed, dynamic
	Instances []Instance `json:"instances"`
	Truncated int        `json:"truncated,omitempty"` // instances left out of this answer
	// Withheld says that the instances are not the asking tenant's alone, and so are shown to operators only.
	Withheld bool   `json:"withheld,omitempty"`
	Renew    *Renew `json:"renew,omitempty"`    // of a budget whose instances end
	Fairness string `json:"fairness,omitempty"` // swarm: see Instance.Shared
}

// Renew says of a budget how long its instances live, and what became of those that are over. They are not listed.
type Renew struct {
	EveryMS   int64 `json:"every_ms"`
	Ended     int   `json:"ended"`     // that this node still knows, until calls of theirs and peers are done with them
	Forgotten int64 `json:"forgotten"` // accounts of this node, since it started
}

// Instance is one instance: this node's account and the sum over all rows that this node knows.
type Instance struct {
	Instance string        `json:"instance"` // "tenant-day/search"
	Limit    ledger.Tokens `json:"limit"`    // amount per window, grant, burst, slots; with top-ups
	// Used is the part of the limit that is spent or reserved in the swarm; of a rate what is not there of its burst.
	Used  float64 `json:"used"`
	Price float64 `json:"price"` // what costs are multiplied by at this node now
	// Backpressure is the level, 0 to 3, and ExhaustedMS the time until the instance is used up at the pace at which calls ask
	// for it now, absent if it is not. Both as nodes see them whose calls draw on it; 0 at others.
	Backpressure int    `json:"backpressure"`
	Frozen       bool   `json:"frozen,omitempty"` // by an operator: see GET /v1/freeze
	ExhaustedMS  *int64 `json:"exhausted_in_ms,omitempty"`
	// Feedback is there for rates that follow their provider.
	Feedback *Feedback `json:"feedback,omitempty"`
	Local    Account   `json:"local"`
	Swarm    Account   `json:"swarm"`
	// Away is what of the swarm's rights is with holders that are not alive: nobody can spend it until they return.
	Away ledger.Tokens `json:"away"`
	// Overspend is what the swarm spent and reserved above the limit and what may roll over, of a rate above what
	// was issued: on soft ceilings the overdraft, always 0 on hard ones.
	Overspend ledger.Tokens `json:"overspend"`
	// StalenessMS is the age of the oldest row in Swarm, of holders that are alive.
	StalenessMS int64      `json:"staleness_ms"`
	WindowStart *time.Time `json:"window_start,omitempty"`
	WindowEnd   *time.Time `json:"window_end,omitempty"`
	Holders     []Holder   `json:"holders,omitempty"` // only from GET /v1/budgets/{name}
	// Shared are the tenants whose calls come to this node while more is asked for than the instance brings, of a budget with
	// fairness: swarm. Only from GET /v1/budgets/{name}.
	Shared []TenantShare `json:"shared,omitempty"`
}

// TenantShare is how a tenant stands at a node, in one class.
type TenantShare struct {
	Class  string  `json:"class"`
	Tenant string  `json:"tenant"`
	Asked  float64 `json:"asked"` // tokens per second asked for at this node
	Share  float64 `json:"share"` // tokens per second: the part of its max-min share in the swarm that is for its calls at this node
	Under  bool    `json:"under"` // it has had less than that of late, and goes before those that have had more
}

// Feedback is what is left of a rate after its provider refused calls.
type Feedback struct {
	Part    float64    `json:"part"`               // of the rate that is in force at this node, 0 to 1
	WholeAt *time.Time `json:"whole_at,omitempty"` // when all of it will be, if no more calls are refused; absent if it is
}

// Account is the state of one account or a sum of accounts, in tokens of the present window.
type Account struct {
	Shares   ledger.Shares `json:"shares"`
	Issued   ledger.Tokens `json:"issued"`
	Rights   ledger.Tokens `json:"rights"` // what may be spent now (DESIGN: balance)
	Reserved ledger.Tokens `json:"reserved"`
	Spent    ledger.Tokens `json:"spent"`
	Lapsed   ledger.Tokens `json:"lapsed"` // the sum of the next three
	Decayed  ledger.Tokens `json:"decayed,omitempty"`
	Expired  ledger.Tokens `json:"expired,omitempty"`
	Burned   ledger.Tokens `json:"burned,omitempty"` // by operators, and by lower limits
	Debt     ledger.Tokens `json:"debt,omitempty"`
	Overrun  ledger.Tokens `json:"overrun,omitempty"`
	Demand   float64       `json:"demand"` // tokens per second asked for, smoothed
	Unmet    float64       `json:"unmet"`  // the part of it that could not be served
}

// Holder is one holder's account as gossiped.
type Holder struct {
	Node    string `json:"node"`
	Gen     string `json:"generation"`
	Alive   bool   `json:"alive"`
	Version uint64 `json:"version"`
	AgeMS   int64  `json:"age_ms"`
	Account
}

// Member is one node of the swarm.
type Member struct {
	Name       string `json:"name"`
	Status     string `json:"status"` // alive, leaving, left, failed, or Unlisted
	Gossip     string `json:"gossip"`
	HTTP       string `json:"http,omitempty"`
	Zone       string `json:"zone,omitempty"`
	Generation string `json:"generation,omitempty"`
	Version    string `json:"version,omitempty"`
	Revision   int64  `json:"policy_revision,omitempty"`
	Founder    bool   `json:"founder,omitempty"`
	Foreign    bool   `json:"foreign,omitempty"` // of another cluster of the same name: nothing is shared with it
	// AuditAlarm says that its audit log was seen to be changed: fork or rollback. See GET /v1/audit.
	AuditAlarm string `json:"audit_alarm,omitempty"`
	// Refused counts what came in its name and was refused by the node that was asked, since its start, and RefusedWhy says why last;
	// see swarmpurse_peer_refused_total.
	Refused    int64  `json:"refused,omitempty"`
	RefusedWhy string `json:"refused_why,omitempty"`
	// TwoRows says that it was proved to lie or to run twice: two different rows of one version, or two starts side by side, all signed. All that it
	// signs is refused.
	TwoRows bool `json:"two_rows,omitempty"`
	// NotEnrolled says that no operator has enrolled it, which the policy asks for: nobody listens to it. See GET /v1/enrolment.
	NotEnrolled bool `json:"not_enrolled,omitempty"`

	Self  bool    `json:"self,omitempty"`
	RTTMS float64 `json:"rtt_ms"`
	// Ward says that the node that was asked guards this one, and LeaseLeftMS for how long the lease runs that it has
	// acknowledged, margin included: until then it is not claimed here.
	Ward        bool      `json:"ward,omitempty"`
	LeaseLeftMS int64     `json:"lease_left_ms,omitempty"`
	Guarding    *Guarding `json:"guarding,omitempty"` // of the node that was asked
	Stuck       []Stuck   `json:"stuck,omitempty"`    // what it holds and nobody can use, by its last rows
}

// Unlisted is the status of a node that is no member any more, and whose rights are stuck.
const Unlisted = "unlisted"

// Guarding is how the node that was asked is guarded, and whom it guards. It has no guardians below four members.
type Guarding struct {
	Guardians   []Guardian `json:"guardians"`
	LeaseHeld   bool       `json:"lease_held"` // it may mint rates
	LeaseLeftMS int64      `json:"lease_left_ms"`
	Noted       bool       `json:"noted"`            // a majority of them has stored all that is durable here
	Moving      bool       `json:"moving,omitempty"` // on to its next generation, with other guardians
	Wards       []string   `json:"wards"`
}

// Guardian is one of them.
type Guardian struct {
	Name     string `json:"name"`
	Answers  bool   `json:"answers"`
	UpToDate bool   `json:"up_to_date"`        // it has stored all that is durable here
	Refuses  bool   `json:"refuses,omitempty"` // it takes no more notes: this generation is being claimed
}

// Stuck is what a generation that is not alive had of one instance, by its last row.
type Stuck struct {
	Instance   string        `json:"instance"`
	Generation string        `json:"generation"`
	Tokens     ledger.Tokens `json:"tokens"`
	Shares     ledger.Shares `json:"shares"`
	// Why it is not in use again: unguarded here (others guard it, or nobody, and then it comes back with the node or by an
	// operator's word), lease (for LeftMS), own lease (of the node that was asked), claim (too few guardians answer), heir (is away).
	Why    string `json:"why"`
	LeftMS int64  `json:"left_ms,omitempty"`
}

// RemoveRequest is the body of POST /v1/members/{name}/remove.
type RemoveRequest struct {
	Name string `json:"-"`
	// Dead is an operator's word that the member is dead and does not come back: its rights are the asked node's from then
	// on. Else the member is only taken off the list.
	Dead bool     `json:"dead"`
	Also []string `json:"also,omitempty"` // other members that are dead, too
	// Stock is what of the present window's tokens they had not spent; nothing of what is not stated comes back.
	Stock []Stated `json:"stock,omitempty"`
	// Limits are the largest limits that grants and slots ever had; without, the dead's part of a later raise stays out.
	Limits []Stated `json:"limits,omitempty"`
	Unseen bool     `json:"unseen_unused,omitempty"` // they have spent nothing of instances that no other node knows
	Why    string   `json:"why,omitempty"`
	By     string   `json:"-"`

	Signature *trust.Signature `json:"-"` // of an operator, where trust.signers asks for one, of a word that they are dead
}

// Stated is an amount of one instance: "gpu-pool", "tenant-day/search".
type Stated struct {
	Instance string        `json:"instance"`
	Amount   ledger.Tokens `json:"amount"`
}

// RemoveReceipt says what came of it.
type RemoveReceipt struct {
	Removed []string `json:"removed"`
	Heir    string   `json:"heir,omitempty"` // whose their rights are
	Back    []Back   `json:"back,omitempty"`
}

// Back is what came back of one instance.
type Back struct {
	Instance string        `json:"instance"`
	Shares   ledger.Shares `json:"shares"`
	Tokens   ledger.Tokens `json:"tokens"`
}

// Policy is the policy that the node runs.
type Policy struct {
	Revision    int64        `json:"revision"`
	Hash        string       `json:"hash"`
	Since       time.Time    `json:"since"`
	By          string       `json:"by,omitempty"`
	Source      string       `json:"source"` // the YAML document
	Warnings    []string     `json:"warnings,omitempty"`
	Trial       *Trial       `json:"candidate,omitempty"` // that is tried beside it
	Experiments []Experiment `json:"experiments,omitempty"`
	Signers     []Signer     `json:"signers,omitempty"` // who must sign changes, mints and words on dead members
}

// MintRequest tops up one instance; grants and windows only. The tokens are issued at the node that
// is asked, into the present window.
type MintRequest struct {
	Budget string        `json:"budget"`
	Key    []string      `json:"key,omitempty"` // values of the budget's `per`, in its order
	Amount ledger.Tokens `json:"amount"`
	Why    string        `json:"why,omitempty"`
	// ID makes the top-up happen once, however often it is sent; made by the client, at most 64 bytes.
	ID string `json:"id"`
	By string `json:"-"`

	Signature *trust.Signature `json:"-"` // of an operator, where trust.signers asks for one; not of a burn
}

// MintReceipt says what a top-up did.
type MintReceipt struct {
	Instance string        `json:"instance"`
	Minted   ledger.Tokens `json:"minted"`
	Limit    ledger.Tokens `json:"limit"` // with all top-ups that this node knows
	Repeated bool          `json:"repeated,omitempty"`
	// Unheld says that this node has guardians, and a majority of them has not confirmed that it has stored the top-up: until
	// then it is lost if this node's data directory is.
	Unheld bool `json:"unheld,omitempty"`
}

// BurnRequest destroys unspent rights of one instance for good; grants and windows only. What the node that is asked has not
// itself it asks its peers for. The fields are those of a top-up.
type BurnRequest MintRequest

// BurnReceipt says what was burned.
type BurnReceipt struct {
	Instance string        `json:"instance"`
	Burned   ledger.Tokens `json:"burned"`
	Rights   ledger.Tokens `json:"rights"` // what the swarm may still spend, as far as this node knows
	Repeated bool          `json:"repeated,omitempty"`
	// Unheld says that a majority of the node's guardians has not confirmed that it knows: until then the rights come back if
	// this node's data directory is lost.
	Unheld bool `json:"unheld,omitempty"`
}

// FreezeRequest is the body of POST /v1/freeze and /v1/unfreeze: an instance, or a tenant, or an agent of a tenant or, without
// one, of all.
type FreezeRequest struct {
	Instance string `json:"instance,omitempty"` // as GET /v1/budgets names it: "gpu-pool", "tenant-day/search"
	Tenant   string `json:"tenant,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Why      string `json:"why,omitempty"`
	By       string `json:"-"`

	Signature *trust.Signature `json:"-"` // an operator's, where the policy has trust.signers
}

// Frozen is what an operator froze.
type Frozen struct {
	Instance string    `json:"instance,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	At       time.Time `json:"at"`
	Node     string    `json:"node"` // that was asked
	By       string    `json:"by,omitempty"`
	Why      string    `json:"why,omitempty"`
}

// FreezeReceipt is the word that is in force now.
type FreezeReceipt struct {
	Frozen
	On      bool `json:"frozen"`
	Changed bool `json:"changed"` // it was not so before, as far as the node knew
	// Undurable says that the node's disk has not confirmed the word: it is in force and told to all nodes, but this one
	// forgets it if it is started again before a peer tells it.
	Undurable bool `json:"undurable,omitempty"`
}

// Status is the node's own state.
type Status struct {
	Node       string            `json:"node"`
	Version    string            `json:"version"`
	Cluster    string            `json:"cluster"`
	Generation string            `json:"generation"`
	Charter    string            `json:"charter,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Ready      bool              `json:"ready"`
	Reasons    []string          `json:"reasons,omitempty"` // why not ready, each with what to do
	Durable    bool              `json:"durable"`
	Started    time.Time         `json:"started"`
	Addresses  map[string]string `json:"addresses"` // gossip, http, grpc
	// Gossip traffic since the start, in bytes, all of the pool's.
	GossipSent     int64 `json:"gossip_bytes_sent"`
	GossipReceived int64 `json:"gossip_bytes_received"`
	// ConservationError is what the ledger's equation is off by on this node, in tokens; always 0.
	ConservationError ledger.Tokens    `json:"conservation_error"`
	Decisions         map[string]int64 `json:"decisions"` // by verdict, since the start
	Waiting           int              `json:"waiting"`   // calls queued now
	Active            int              `json:"active"`    // reservations not ended yet
}

// Faults is the body of POST /debug/faults: it replaces the faults set before.
type Faults struct {
	Drop  []string          `json:"drop"`  // peers by name, "*" for all
	Delay map[string]string `json:"delay"` // by peer, as "50ms"
	// Clock is added to the wall clock that the node reads, as "-30s" or "1h"; at most a day either way.
	Clock string `json:"clock,omitempty"`
}
