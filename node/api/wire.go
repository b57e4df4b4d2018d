package api

import "github.com/swarmpurse/swarmpurse/ledger"

// AdmitRequest is the body of POST /v1/admit. Durations are Go's: "250ms", "2s", "1m30s".
type AdmitRequest struct {
	Tenant          string                   `json:"tenant,omitempty"`
	Agent           string                   `json:"agent,omitempty"`
	Run             string                   `json:"run,omitempty"`
	Class           string                   `json:"class,omitempty"` // absent: the policy's default class
	Model           string                   `json:"model,omitempty"`
	Priority        bool                     `json:"priority,omitempty"` // one class better, for points, as the policy sells them
	PromptTokens    int64                    `json:"prompt_tokens,omitempty"`
	MaxOutputTokens int64                    `json:"max_output_tokens,omitempty"`
	Tokens          map[string]ledger.Tokens `json:"tokens,omitempty"` // by token type: states costs outright
	Data            []string                 `json:"data,omitempty"`   // data sets that the call reads: "eu/docs", with a digest "eu/docs@sha256:9f86…"
	Attributes      map[string]string        `json:"attributes,omitempty"`
	Wait            string                   `json:"wait,omitempty"` // absent: the class's latency budget; "0s": not at all
	TTL             string                   `json:"ttl,omitempty"`  // absent: two minutes; at most an hour
	IdempotencyKey  string                   `json:"idempotency_key,omitempty"`
}

// AdmitAnswer is the answer to POST /v1/admit, with status 200 for admit and degrade and 429 for
// defer and deny.
type AdmitAnswer struct {
	ID           string                   `json:"id,omitempty"`    // names the reservation, and the decision
	Decision     string                   `json:"decision"`        // admit, degrade, defer, deny
	Reserved     map[string]ledger.Tokens `json:"reserved"`        // by budget name
	Price        map[string]float64       `json:"price,omitempty"` // by budget name: what the cost was multiplied by
	Advice       *Advice                  `json:"advice,omitempty"`
	Reason       string                   `json:"reason"`
	Code         string                   `json:"code"`
	RetryAfterMS int64                    `json:"retry_after_ms,omitempty"` // with defer
	Backpressure int                      `json:"backpressure"`             // 0 to 3: how near the budgets that the call draws on are to their end
	Policy       PolicyRef                `json:"policy"`
	Node         string                   `json:"node"`
	WaitedMS     float64                  `json:"waited_ms"`
}

// Admitted reports whether the call may run.
func (a AdmitAnswer) Admitted() bool { return a.Decision == "admit" || a.Decision == "degrade" }

// Advice is what the caller is to do. A call that is degraded, or takes part in an experiment, must be changed before it runs (Model,
// MaxOutputTokens, Temperature, TopP): what is reserved is for the call so changed. Flags are those that are on for the call. Upstream is where an admitted call goes, if the policy routes calls: nowhere else, if it names data that is bound to zones. Node and what
// follows is, of a call that this node may not decide on, the nearest that may.
type Advice struct {
	Model           string   `json:"model,omitempty"`             // the model to use
	MaxOutputTokens int64    `json:"max_output_tokens,omitempty"` // the most to generate, over all choices
	Temperature     *float64 `json:"temperature,omitempty"`
	TopP            *float64 `json:"top_p,omitempty"`
	Upstream        string   `json:"upstream,omitempty"` // by its name in the policy
	Flags           []string `json:"flags,omitempty"`
	Experiment      string   `json:"experiment,omitempty"`     // in which the call takes part
	Arm             string   `json:"experiment_arm,omitempty"` // and its arm there

	Node  string  `json:"node,omitempty"`
	HTTP  string  `json:"http,omitempty"` // where its API is
	Zone  string  `json:"zone,omitempty"`
	RTTMS float64 `json:"rtt_ms,omitempty"` // to it, by coordinates
}

// PolicyRef names the policy that decided.
type PolicyRef struct {
	Revision int64  `json:"revision"`
	Arm      string `json:"arm,omitempty"` // stable or candidate, while a candidate is tried
}

// SettleRequest is the body of POST /v1/settle. With neither Used nor Usage the reservation is
// charged as it stands.
type SettleRequest struct {
	ID      string                   `json:"id"`
	Used    map[string]ledger.Tokens `json:"used,omitempty"`    // by token type
	Usage   *Usage                   `json:"usage,omitempty"`   // the provider's own object, priced by the node
	Outcome string                   `json:"outcome,omitempty"` // "ok", "error", "cancelled" or a word of yours
	Score   *float64                 `json:"score,omitempty"`   // how good the answer was, from 0 to 1: the first counts, see POST /v1/score

	Upstream *Upstream `json:"upstream,omitempty"` // what the provider's answer said of its limits
}

// Upstream is what a provider's answer says of its own limits, for callers that talk to it themselves: budgets with feedback
// follow it. The proxy reads it from the answer.
type Upstream struct {
	Status       int      `json:"status"`                   // of the answer; 429, 503 and 529 are refusals
	RetryAfterMS int64    `json:"retry_after_ms,omitempty"` // how long it says to wait
	LatencyMS    *float64 `json:"latency_ms,omitempty"`     // how long the answer took to begin: rules that route by latency follow it
	Remaining    *float64 `json:"remaining,omitempty"`      // the least part of any of its limits that it says is left, 0 to 1
}

// Usage is the part of a provider's usage object that is read: OpenAI's chat form (prompt and
// completion), OpenAI's responses and Anthropic's form (input and output). Other fields are ignored.
type Usage struct {
	PromptTokens     *int64 `json:"prompt_tokens,omitempty"`
	CompletionTokens *int64 `json:"completion_tokens,omitempty"`
	InputTokens      *int64 `json:"input_tokens,omitempty"`
	OutputTokens     *int64 `json:"output_tokens,omitempty"`
	// Anthropic counts cached input beside input_tokens, not inside it.
	CacheCreationTokens *int64 `json:"cache_creation_input_tokens,omitempty"`
	CacheReadTokens     *int64 `json:"cache_read_input_tokens,omitempty"`
	// What the others count as part of prompt and input, completion and output.
	PromptDetails     *UsageDetails `json:"prompt_tokens_details,omitempty"`
	CompletionDetails *UsageDetails `json:"completion_tokens_details,omitempty"`
	InputDetails      *UsageDetails `json:"input_tokens_details,omitempty"`
	OutputDetails     *UsageDetails `json:"output_tokens_details,omitempty"`
}

// UsageDetails tells of parts of a count.
type UsageDetails struct {
	CachedTokens    *int64 `json:"cached_tokens,omitempty"`
	ReasoningTokens *int64 `json:"reasoning_tokens,omitempty"`
}

// ReleaseRequest is the body of POST /v1/release.
type ReleaseRequest struct {
	ID       string    `json:"id"`
	Upstream *Upstream `json:"upstream,omitempty"` // what the provider's answer said of its limits
}

// Receipt is the answer to POST /v1/settle and /v1/release.
type Receipt struct {
	ID       string                   `json:"id"`
	Charged  map[string]ledger.Tokens `json:"charged"` // by budget name
	Overrun  ledger.Tokens            `json:"overrun"`
	Repeated bool                     `json:"repeated"`
	Late     bool                     `json:"late"`
}

// budgetList, memberList and readiness are answers that stay objects, so that they can grow.
type budgetList struct {
	Budgets []Budget `json:"budgets"`
}

type frozenList struct {
	Frozen []Frozen `json:"frozen"`
}

type memberList struct {
	Members []Member `json:"members"`
}

type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"`
}
