package frame

import (
	"encoding/binary"
	"strings"
	"time"
)

// Hello is a caller's first word.
type Hello struct {
	Least, Most uint64 // versions that it speaks
	Key         string // of a caller, which fixes its tenant; "" for none
}

// magic begins every connection, so that nothing else passes for it.
const magic = "swarmpurse"

// AppendHello appends the frame.
func AppendHello(b []byte, h Hello) []byte {
	at := len(b)
	b = append(Begin(b, KindHello, 0), magic...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, h.Least), h.Most)
	return End(appendString(b, h.Key), at)
}

// ReadHello reads the body.
func ReadHello(body []byte) (h Hello, err error) {
	r := read(body)
	if strings.HasPrefix(r.s, magic) {
		r.at = len(magic)
	} else {
		r.fail()
	}
	h = Hello{Least: r.uint(), Most: r.uint(), Key: r.string()}
	return h, r.done("the hello")
}

// Welcome is the node's first word.
type Welcome struct {
	Version uint64 // that both speak from now on
	Node    string
	Window  uint64 // requests that may be on their way at once over this connection: more are refused
}

// AppendWelcome appends the frame.
func AppendWelcome(b []byte, w Welcome) []byte {
	at := len(b)
	b = binary.AppendUvarint(Begin(b, KindWelcome, 0), w.Version)
	b = appendString(b, w.Node)
	return End(binary.AppendUvarint(b, w.Window), at)
}

// ReadWelcome reads the body.
func ReadWelcome(body []byte) (Welcome, error) {
	r := read(body)
	w := Welcome{Version: r.uint(), Node: r.string(), Window: r.uint()}
	return w, r.done("the welcome")
}

// Amount is a number of tokens of one type, as it was read.
type Amount struct {
	Token  string
	Tokens int64
}

func appendAmounts(b []byte, by map[string]int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(by)))
	for token, n := range by {
		b = binary.AppendVarint(appendString(b, token), n)
	}
	return b
}

func (r *reader) amounts(list []Amount) []Amount {
	for range r.list(2) {
		list = append(list, Amount{r.string(), r.int()})
	}
	return list
}

// Call is a call that wants to run.
type Call struct {
	Tenant, Agent, Run string // who pays, who calls, and the run that the call belongs to
	Class              string // priority class; "": the policy's default
	Model              string // to be called
	Priority           bool   // one class better, for points, as the policy sells them

	PromptTokens    int64 // of the prompt
	MaxOutputTokens int64 // that the model may write at most

	Tokens     map[string]int64  // states amounts outright, by token type; otherwise the policy's cost computes them
	Data       []string          // data sets that the call reads: "eu/docs", or with a digest "eu/docs@sha256:9f86…"
	Attributes map[string]string // what else the policy's rules may look at

	NoWait bool          // decide at once: the call does not queue
	Wait   time.Duration // how long it may queue; 0: as long as its class allows, which is the most
	TTL    time.Duration // how long the reservation lives unsettled; 0: two minutes; at most an hour

	// IdempotencyKey names the call: another with it gets the first answer. Only with one is a call asked again whose answer got lost.
	IdempotencyKey string
	Traceparent    string // W3C trace context of the caller, for the audit log
}

const (
	callPriority = 1 << iota
	callNoWait
)

// AppendCall appends the frame.
func AppendCall(b []byte, id uint64, c *Call) []byte {
	at := len(b)
	b = Begin(b, KindAdmit, id)
	var flags uint64
	if c.Priority {
		flags |= callPriority
	}
	if c.NoWait {
		flags |= callNoWait
	}
	b = binary.AppendUvarint(b, flags)
	for _, s := range [...]string{c.Tenant, c.Agent, c.Run, c.Class, c.Model, c.IdempotencyKey, c.Traceparent} {
		b = appendString(b, s)
	}
	b = binary.AppendVarint(binary.AppendVarint(b, c.PromptTokens), c.MaxOutputTokens)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(c.Wait)), int64(c.TTL))
	b = appendAmounts(b, c.Tokens)
	b = appendStrings(b, c.Data)
	b = binary.AppendUvarint(b, uint64(len(c.Attributes)))
	for k, v := range c.Attributes {
		b = appendString(appendString(b, k), v)
	}
	return End(b, at)
}

// ReadCall reads the body. Amounts are appended to stated as they come, instead of into a map: whoever reads checks them.
func ReadCall(body []byte, c *Call, stated []Amount) ([]Amount, error) {
	r := read(body)
	flags := r.uint()
	*c = Call{Priority: flags&callPriority != 0, NoWait: flags&callNoWait != 0}
	for _, s := range [...]*string{&c.Tenant, &c.Agent, &c.Run, &c.Class, &c.Model, &c.IdempotencyKey, &c.Traceparent} {
		*s = r.string()
	}
	c.PromptTokens, c.MaxOutputTokens = r.int(), r.int()
	c.Wait, c.TTL = time.Duration(r.int()), time.Duration(r.int())
	stated = r.amounts(stated)
	c.Data = r.strings()
	if n := r.list(2); n > 0 {
		c.Attributes = make(map[string]string, n)
		for range n {
			k := r.string()
			c.Attributes[k] = r.string()
		}
	}
	return stated, r.done("a call")
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// Decision is what became of a call. Append only.
type Decision uint8

const (
	Admit   Decision = 1 // it may run now
	Degrade Decision = 2 // it may run now, cheaper, as the advice says
	Defer   Decision = 3 // not now: come back after RetryAfter
	Deny    Decision = 4 // it may not run, and waiting cannot help
)

func (d Decision) String() string {
	switch d {
	case Admit:
		return "admit"
	case Degrade:
		return "degrade"
	case Defer:
		return "defer"
	case Deny:
		return "deny"
	}
	return "unknown"
}

// Charge is an amount at one budget.
type Charge struct {
	Budget string
	Tokens int64
	Price  float64 // what the cost was multiplied by; 0 if it is not told
}

func appendCharges(b []byte, list []Charge) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = binary.AppendVarint(appendString(b, list[i].Budget), list[i].Tokens)
		b = appendFloat(b, list[i].Price)
	}
	return b
}

func (r *reader) charges() (list []Charge) {
	if n := r.list(2 + 8); n > 0 {
		list = make([]Charge, n)
		for i := range list {
			list[i] = Charge{r.string(), r.int(), r.float()}
		}
	}
	return list
}

// Answer is the decision on a call.
type Answer struct {
	ID         string // names the reservation, and the decision; "" only when nothing was decided
	Decision   Decision
	Reserved   []Charge // by budget
	Reason     string   // one sentence, for people
	Code       string   // stable word, for programs
	RetryAfter time.Duration
	Waited     time.Duration // in the queue
	Level      int           // of backpressure, 0 to 3: how near the budgets that the call draws on are to their end
	Revision   int64         // of the policy that decided
	Arm        string        // stable or candidate, while a candidate is tried
	Node       string
	Advice     *Advice // how the call must be changed before it runs, where it goes, and which node to ask; nil for as it is
}

// Admitted reports whether the call may run.
func (a *Answer) Admitted() bool { return a.Decision == Admit || a.Decision == Degrade }

// Advice is what the caller is to do. What is reserved is for the call so changed.
type Advice struct {
	Model           string // the model to use
	MaxOutputTokens int64  // the most to generate, over all choices; 0 leaves it
	Temperature     *float64
	TopP            *float64
	Upstream        string   // where the call goes, if the policy routes calls: nowhere else, if it names data that is bound to zones
	Flags           []string // that are on for the call
	Experiment, Arm string   // in which the call takes part, and its arm there

	Node, HTTP, Zone string        // of a call that this node may not decide on: the nearest that may
	RTT              time.Duration // to it
}

// AppendAnswer appends the frame.
func AppendAnswer(b []byte, id uint64, a *Answer) []byte {
	at := len(b)
	b = append(Begin(b, KindAnswer, id), byte(a.Decision), byte(a.Level))
	b = appendString(b, a.ID)
	b = appendCharges(b, a.Reserved)
	b = appendString(appendString(b, a.Reason), a.Code)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(a.RetryAfter)), int64(a.Waited))
	b = appendString(binary.AppendVarint(b, a.Revision), a.Arm)
	b = appendString(b, a.Node)
	v := a.Advice
	if v == nil {
		return End(append(b, 0), at)
	}
	b = appendString(append(b, 1), v.Model)
	b = binary.AppendVarint(b, v.MaxOutputTokens)
	b = appendOptional(appendOptional(b, v.Temperature), v.TopP)
	b = appendStrings(appendString(b, v.Upstream), v.Flags)
	for _, s := range [...]string{v.Experiment, v.Arm, v.Node, v.HTTP, v.Zone} {
		b = appendString(b, s)
	}
	return End(binary.AppendVarint(b, int64(v.RTT)), at)
}

// ReadAnswer reads the body.
func ReadAnswer(body []byte, a *Answer) error {
	r := read(body)
	*a = Answer{Decision: Decision(r.byte()), Level: int(r.byte())}
	a.ID, a.Reserved = r.string(), r.charges()
	a.Reason, a.Code = r.string(), r.string()
	a.RetryAfter, a.Waited = time.Duration(r.int()), time.Duration(r.int())
	a.Revision, a.Arm, a.Node = r.int(), r.string(), r.string()
	if r.uint() != 0 {
		v := &Advice{Model: r.string(), MaxOutputTokens: r.int(), Temperature: r.optional(), TopP: r.optional(), Upstream: r.string(), Flags: r.strings()}
		for _, s := range [...]*string{&v.Experiment, &v.Arm, &v.Node, &v.HTTP, &v.Zone} {
			*s = r.string()
		}
		v.RTT = time.Duration(r.int())
		a.Advice = v
	}
	return r.done("an answer")
}

// Settlement is how a call ended. With neither Used nor Usage the reservation is charged as it stands.
type Settlement struct {
	ID       string
	Used     map[string]int64 // by token type
	Usage    *Usage           // what the provider counted, priced by the node
	Outcome  string           // "ok", "error", "cancelled" or a word of yours
	Score    *float64         // how good the answer was, from 0 to 1: the first counts
	Upstream *Upstream        // what the provider's answer said of its limits
}

// Usage is a provider's count, by OpenAI's rule: cached tokens are a part of the prompt's. (Anthropic counts them beside its
// input_tokens: add cache_read_input_tokens and cache_creation_input_tokens to them.)
type Usage struct {
	PromptTokens     int64
	CompletionTokens int64
	CachedTokens     int64 // of PromptTokens
	ReasoningTokens  int64 // of CompletionTokens
}

// Upstream is what a provider's answer says of its own limits: budgets with feedback follow it.
type Upstream struct {
	Status     int            // of the answer; 429, 503 and 529 are refusals
	RetryAfter time.Duration  // how long it says to wait
	Latency    *time.Duration // how long the answer took to begin
	Remaining  *float64       // the least part of any of its limits that it says is left, 0 to 1
}

// AppendSettlement appends the frame.
func AppendSettlement(b []byte, id uint64, s *Settlement) []byte {
	at := len(b)
	b = appendString(Begin(b, KindSettle, id), s.ID)
	b = appendAmounts(b, s.Used)
	if u := s.Usage; u == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		for _, n := range [...]int64{u.PromptTokens, u.CompletionTokens, u.CachedTokens, u.ReasoningTokens} {
			b = binary.AppendVarint(b, n)
		}
	}
	b = appendOptional(appendString(b, s.Outcome), s.Score)
	return End(appendUpstream(b, s.Upstream), at)
}

// ReadSettlement reads the body. Amounts are appended to used as they come: see ReadCall.
func ReadSettlement(body []byte, used []Amount) (s Settlement, _ []Amount, err error) {
	r := read(body)
	s.ID, used = r.string(), r.amounts(used)
	if r.uint() != 0 {
		s.Usage = &Usage{r.int(), r.int(), r.int(), r.int()}
	}
	s.Outcome, s.Score, s.Upstream = r.string(), r.optional(), r.upstream()
	return s, used, r.done("a settlement")
}

func appendUpstream(b []byte, u *Upstream) []byte {
	if u == nil {
		return append(b, 0)
	}
	b = binary.AppendVarint(append(b, 1), int64(u.Status))
	b = binary.AppendVarint(b, int64(u.RetryAfter))
	if u.Latency == nil {
		b = append(b, 0)
	} else {
		b = binary.AppendVarint(append(b, 1), int64(*u.Latency))
	}
	return appendOptional(b, u.Remaining)
}

func (r *reader) upstream() *Upstream {
	if r.uint() == 0 {
		return nil
	}
	u := &Upstream{Status: int(r.int()), RetryAfter: time.Duration(r.int())}
	if r.uint() != 0 {
		d := time.Duration(r.int())
		u.Latency = &d
	}
	u.Remaining = r.optional()
	return u
}

// Release gives a reservation back of a call that never ran.
type Release struct {
	ID       string
	Upstream *Upstream // what the provider's refusal said of its limits
}

// AppendRelease appends the frame.
func AppendRelease(b []byte, id uint64, l *Release) []byte {
	at := len(b)
	b = appendString(Begin(b, KindRelease, id), l.ID)
	return End(appendUpstream(b, l.Upstream), at)
}

// ReadRelease reads the body.
func ReadRelease(body []byte) (l Release, err error) {
	r := read(body)
	l = Release{ID: r.string(), Upstream: r.upstream()}
	return l, r.done("a release")
}

// Receipt is the answer to a settlement or a release.
type Receipt struct {
	ID       string
	Charged  []Charge // by budget
	Overrun  int64    // real cost above the reservation
	Repeated bool     // an earlier one had already ended this reservation
	Late     bool     // the reservation had expired before
}

const (
	receiptRepeated = 1 << iota
	receiptLate
)

// AppendReceipt appends the frame.
func AppendReceipt(b []byte, id uint64, c *Receipt) []byte {
	at := len(b)
	b = appendString(Begin(b, KindReceipt, id), c.ID)
	var flags uint64
	if c.Repeated {
		flags |= receiptRepeated
	}
	if c.Late {
		flags |= receiptLate
	}
	b = binary.AppendVarint(binary.AppendUvarint(b, flags), c.Overrun)
	return End(appendCharges(b, c.Charged), at)
}

// ReadReceipt reads the body.
func ReadReceipt(body []byte, c *Receipt) error {
	r := read(body)
	c.ID = r.string()
	flags := r.uint()
	c.Repeated, c.Late = flags&receiptRepeated != 0, flags&receiptLate != 0
	c.Overrun, c.Charged = r.int(), r.charges()
	return r.done("a receipt")
}

// Error is what a node answers when it decides nothing. It is the error of its HTTP API.
type Error struct {
	Status     int    // of HTTP
	Code       string // stable word, for programs
	Param      string // the field at fault, "" if there is none
	Message    string // for people: what is wrong and what to do
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Message }

// AppendError appends the frame.
func AppendError(b []byte, id uint64, e *Error) []byte {
	at := len(b)
	b = binary.AppendVarint(Begin(b, KindError, id), int64(e.Status))
	for _, s := range [...]string{e.Code, e.Param, e.Message} {
		b = appendString(b, s)
	}
	return End(binary.AppendVarint(b, int64(e.RetryAfter)), at)
}

// ReadError reads the body.
func ReadError(body []byte) (*Error, error) {
	r := read(body)
	e := &Error{Status: int(r.int()), Code: r.string(), Param: r.string(), Message: r.string(), RetryAfter: time.Duration(r.int())}
	return e, r.done("an error")
}

// Is reports whether target, an *Error, is of that kind: with the same status and code, as far as it names any.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t.Status == 0 || t.Status == e.Status) && (t.Code == "" || t.Code == e.Code)
}
