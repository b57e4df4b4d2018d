package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Bounds of what a caller may send: policy's where policy has one, so that nothing passes the door
// that a rule may not look at. The whole body is bounded by MaxBody before.
const (
	MaxBody         = 1 << 20 // bytes
	maxTokenNameLen = policy.MaxName
	maxIDLen        = 256 // a node's name and a number
	maxOutcomeLen   = 64
	maxMintKeys     = policy.MaxPer
	maxMintIDLen    = 64
	maxWhyLen       = 512
	maxFaultPeers   = 1024
	maxFaultDelay   = time.Minute
	maxFaultClock   = 24 * time.Hour
)

// Amounts decode to pointers so that null, which encoding/json would take for 0, can be told from 0:
// a call that states null tokens must not run for nothing.
type amountMap map[string]*int64

type admitBody struct {
	Tenant          string            `json:"tenant"`
	Agent           string            `json:"agent"`
	Run             string            `json:"run"`
	Class           string            `json:"class"`
	Model           string            `json:"model"`
	Priority        bool              `json:"priority"`
	PromptTokens    int64             `json:"prompt_tokens"`
	MaxOutputTokens int64             `json:"max_output_tokens"`
	Tokens          amountMap         `json:"tokens"`
	Data            []string          `json:"data"`
	Attributes      map[string]string `json:"attributes"`
	Wait            string            `json:"wait"`
	TTL             string            `json:"ttl"`
	IdempotencyKey  string            `json:"idempotency_key"`
}

// decodeAdmit reads and checks the body of POST /v1/admit.
func decodeAdmit(body []byte, req *admit.Request) error {
	var b admitBody
	var tokens []policy.Amount
	if !quickAdmit(body, &b, &tokens) {
		b = admitBody{}
		err := decodeJSON(body, &b)
		if err == nil {
			tokens, err = b.Tokens.amounts("tokens")
		}
		if err != nil {
			return err
		}
	}
	r := admit.Request{
		Call: policy.Call{
			Tenant: b.Tenant, Agent: b.Agent, Run: b.Run, Class: b.Class, Model: b.Model, Priority: b.Priority,
			PromptTokens: b.PromptTokens, MaxOutputTokens: b.MaxOutputTokens, Data: b.Data, Attributes: b.Attributes,
		},
		Wait: admit.UseClassDefault, IdempotencyKey: b.IdempotencyKey,
	}
	r.Tokens = tokens
	var err error
	if b.Wait != "" {
		if r.Wait, err = parseDuration("wait", b.Wait, 0); err != nil {
			return err
		}
	}
	if b.TTL != "" {
		if r.TTL, err = parseDuration("ttl", b.TTL, admit.MaxTTL); err != nil {
			return err
		}
		if r.TTL == 0 {
			return badRequest(ErrCodeRange, "ttl", `"ttl" must be above 0: leave it out for the default of %v`, admit.DefaultTTL)
		}
	}
	if err := CheckCall(&r); err != nil {
		return err
	}
	*req = r
	return nil
}

type settleBody struct {
	ID      string    `json:"id"`
	Used    amountMap `json:"used"`
	Usage   *Usage    `json:"usage"`
	Outcome string    `json:"outcome"`
	Score   *float64  `json:"score"`

	Upstream *Upstream `json:"upstream"`
}

// decodeSettle reads and checks the body of POST /v1/settle.
func decodeSettle(body []byte) (id string, s admit.Settlement, u *admit.Upstream, err error) {
	var b settleBody
	if !quickSettle(body, &b, &s.Used) {
		b = settleBody{}
		if err = decodeJSON(body, &b); err == nil {
			s.Used, err = b.Used.amounts("used")
		}
		if err != nil {
			return "", s, nil, err
		}
	}
	if b.Usage != nil {
		if s.Usage, err = b.Usage.counts(); err != nil {
			return "", s, nil, err
		}
	}
	s.Outcome, s.Score = b.Outcome, b.Score
	if err := CheckSettlement(b.ID, &s); err != nil {
		return "", s, nil, err
	}
	u, err = b.Upstream.Read()
	return b.ID, s, u, err
}

// Read checks what a caller says of its provider; nil if it says nothing. The error is an *Error.
func (u *Upstream) Read() (*admit.Upstream, error) {
	if u == nil {
		return nil, nil
	}
	const day = 24 * time.Hour
	switch {
	case u.Status < 100 || u.Status > 599:
		return nil, badRequest(ErrCodeRange, "upstream.status", "\"upstream.status\" is %d: it must be the status of the provider's answer, from 100 to 599", u.Status)
	case u.RetryAfterMS < 0 || u.RetryAfterMS > day.Milliseconds():
		return nil, badRequest(ErrCodeRange, "upstream.retry_after_ms", "\"upstream.retry_after_ms\" is %d: it must be between 0 and %d", u.RetryAfterMS, day.Milliseconds())
	case u.LatencyMS != nil && !(*u.LatencyMS >= 0 && *u.LatencyMS <= float64(day.Milliseconds())):
		return nil, badRequest(ErrCodeRange, "upstream.latency_ms", "\"upstream.latency_ms\" is %g: it must be between 0 and %d", *u.LatencyMS, day.Milliseconds())
	case u.Remaining != nil && !(*u.Remaining >= 0 && *u.Remaining <= 1):
		return nil, badRequest(ErrCodeRange, "upstream.remaining", "\"upstream.remaining\" is %g: it must be a part of the provider's limit, between 0 and 1", *u.Remaining)
	}
	w := &admit.Upstream{Refused: admit.Refuses(u.Status), RetryAfter: time.Duration(u.RetryAfterMS) * time.Millisecond}
	if u.LatencyMS != nil && u.Status < 300 { // how fast a failure comes says nothing
		w.Latency = time.Duration(*u.LatencyMS * float64(time.Millisecond))
	}
	if u.Remaining != nil {
		w.Left, w.Known = *u.Remaining, true
	}
	return w, nil
}

// counts reads whichever form the provider uses.
func (u *Usage) counts() (*admit.Usage, error) {
	for _, f := range [...]struct {
		name string
		v    *int64
	}{
		{"usage.prompt_tokens", u.PromptTokens},
		{"usage.completion_tokens", u.CompletionTokens},
		{"usage.input_tokens", u.InputTokens},
		{"usage.output_tokens", u.OutputTokens},
		{"usage.cache_creation_input_tokens", u.CacheCreationTokens},
		{"usage.cache_read_input_tokens", u.CacheReadTokens},
	} {
		if f.v != nil {
			if err := checkAmount(f.name, *f.v); err != nil {
				return nil, err
			}
		}
	}
	value := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	var out admit.Usage
	switch {
	// Gateways that translate between providers send both forms; chat's is the one that is complete.
	case u.PromptTokens != nil || u.CompletionTokens != nil:
		out.PromptTokens, out.CompletionTokens = value(u.PromptTokens), value(u.CompletionTokens)
		out.CachedTokens, out.ReasoningTokens = value(u.PromptDetails.cached()), value(u.CompletionDetails.reasoning())
	case u.InputTokens != nil || u.OutputTokens != nil:
		out.PromptTokens = value(u.InputTokens) + value(u.CacheCreationTokens) + value(u.CacheReadTokens)
		out.CompletionTokens = value(u.OutputTokens)
		out.CachedTokens, out.ReasoningTokens = value(u.CacheReadTokens)+value(u.InputDetails.cached()), value(u.OutputDetails.reasoning())
		if err := checkAmount("usage.input_tokens", out.PromptTokens); err != nil {
			return nil, err
		}
	default:
		return nil, badRequest(ErrCodeMissing, "usage",
			`"usage" holds no count that is known: send the provider's own object, with prompt_tokens and completion_tokens or input_tokens and output_tokens, or state amounts in "used"`)
	}
	return &out, nil
}

func (d *UsageDetails) cached() *int64 {
	if d == nil {
		return nil
	}
	return d.CachedTokens
}

func (d *UsageDetails) reasoning() *int64 {
	if d == nil {
		return nil
	}
	return d.ReasoningTokens
}

func decodeRelease(body []byte) (string, *admit.Upstream, error) {
	var b ReleaseRequest
	if err := decodeJSON(body, &b); err != nil {
		return "", nil, err
	}
	if err := checkID("id", b.ID); err != nil {
		return "", nil, err
	}
	u, err := b.Upstream.Read()
	return b.ID, u, err
}

// decodeMint reads the body of a top-up, or of a burn, as the verb says.
func decodeMint(body []byte, verb string) (MintRequest, error) {
	var b struct {
		MintRequest
		Amount *int64 `json:"amount"`
	}
	if err := decodeJSON(body, &b); err != nil {
		return MintRequest{}, err
	}
	m := b.MintRequest
	if m.Budget == "" {
		return m, badRequest(ErrCodeMissing, "budget", `"budget" is missing: name the budget whose tokens to %s`, verb)
	}
	if b.Amount == nil {
		return m, badRequest(ErrCodeMissing, "amount", `"amount" is missing: say how many tokens to %s`, verb)
	}
	if err := checkAmount("amount", *b.Amount); err != nil {
		return m, err
	}
	if *b.Amount == 0 {
		return m, badRequest(ErrCodeRange, "amount", `"amount" must be above 0`)
	}
	m.Amount = ledger.Tokens(*b.Amount)
	if m.ID == "" {
		return m, badRequest(ErrCodeMissing, "id", `"id" is missing: send any text that is this request's own; sent again it does not %s again, so a retry is safe`, verb)
	}
	if len(m.Key) > maxMintKeys {
		return m, tooMany("key", len(m.Key), maxMintKeys)
	}
	for i, k := range m.Key {
		if err := checkLen(fmt.Sprintf("key[%d]", i), k, policy.MaxFieldLen); err != nil {
			return m, err
		}
	}
	return m, errors.Join(checkLen("budget", m.Budget, policy.MaxFieldLen), checkLen("id", m.ID, maxMintIDLen), checkLen("why", m.Why, maxWhyLen))
}

func decodeRemove(body []byte) (RemoveRequest, error) {
	var q RemoveRequest
	if err := decodeJSON(body, &q); err != nil {
		return q, err
	}
	if !q.Dead && (len(q.Also) > 0 || len(q.Stock) > 0 || len(q.Limits) > 0 || q.Unseen) {
		return q, badRequest(ErrCodeInvalid, "dead", `"also", "stock", "limits" and "unseen_unused" are part of a word that the member is dead: send "dead": true with them`)
	}
	if len(q.Also) >= ledger.MaxVouched {
		return q, tooMany("also", len(q.Also), ledger.MaxVouched-1)
	}
	for i, n := range q.Also {
		if err := checkLen(fmt.Sprintf("also[%d]", i), n, ledger.MaxNameLen); err != nil {
			return q, err
		}
	}
	for k, list := range [][]Stated{q.Stock, q.Limits} {
		field := []string{"stock", "limits"}[k]
		if len(list) > ledger.MaxStated {
			return q, tooMany(field, len(list), ledger.MaxStated)
		}
		for i, s := range list {
			at := fmt.Sprintf("%s[%d]", field, i)
			if err := errors.Join(checkLen(at+".instance", s.Instance, ledger.MaxInstanceIDLen), checkAmount(at+".amount", int64(s.Amount))); err != nil {
				return q, err
			}
		}
	}
	return q, checkLen("why", q.Why, maxWhyLen)
}

func decodeFreeze(body []byte) (FreezeRequest, error) {
	var q FreezeRequest
	if err := decodeJSON(body, &q); err != nil {
		return q, err
	}
	switch {
	case q.Instance == "" && q.Tenant == "" && q.Agent == "":
		return q, badRequest(ErrCodeMissing, "", `nothing is named: send "instance", "tenant" or "agent"`)
	case q.Instance != "" && (q.Tenant != "" || q.Agent != ""):
		return q, badRequest(ErrCodeInvalid, "instance", `"instance" stands alone: send it without "tenant" and "agent"`)
	}
	return q, errors.Join(checkLen("instance", q.Instance, ledger.MaxInstanceIDLen), checkLen("tenant", q.Tenant, policy.MaxFieldLen),
		checkLen("agent", q.Agent, policy.MaxFieldLen), checkLen("why", q.Why, maxWhyLen))
}

func decodeFaults(body []byte) (Faults, error) {
	var f Faults
	if err := decodeJSON(body, &f); err != nil {
		return f, err
	}
	if len(f.Drop) > maxFaultPeers {
		return f, tooMany("drop", len(f.Drop), maxFaultPeers)
	}
	if len(f.Delay) > maxFaultPeers {
		return f, tooMany("delay", len(f.Delay), maxFaultPeers)
	}
	for i, p := range f.Drop {
		if err := checkLen(fmt.Sprintf("drop[%d]", i), p, ledger.MaxNameLen); err != nil {
			return f, err
		}
	}
	for p, d := range f.Delay {
		if len(p) > ledger.MaxNameLen {
			return f, checkLen("delay", p, ledger.MaxNameLen)
		}
		if _, err := parseDuration("delay."+p, d, maxFaultDelay); err != nil {
			return f, err
		}
	}
	if f.Clock != "" {
		// Of durations in the API only this one may be negative.
		after, _ := strings.CutPrefix(f.Clock, "-")
		if _, err := parseDuration("clock", after, maxFaultClock); err != nil {
			return f, err
		}
		if _, err := time.ParseDuration(f.Clock); err != nil {
			return f, badRequest(ErrCodeInvalid, "clock", "\"clock\" is %q: write a duration like \"30s\" or \"-1h\"", clip(f.Clock, maxEchoLen))
		}
	}
	return f, nil
}

// decodeJSON decodes one JSON object. Unknown fields are ignored, anything after the object is an error.
func decodeJSON(body []byte, v any) error {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return badRequest(ErrCodeMalformed, "", "the body is empty: send a JSON object")
	}
	err := json.Unmarshal(body, v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		if trimmed[0] != '{' { // null decodes into anything
			return badRequest(ErrCodeType, "", "the body must be a JSON object")
		}
		return nil
	case errors.As(err, &syntax):
		return badRequest(ErrCodeMalformed, "", "malformed JSON at byte %d: %s", syntax.Offset, syntax.Error())
	case errors.As(err, &typ):
		if typ.Field == "" {
			return badRequest(ErrCodeType, "", "the body must be a JSON object, not %s", article(typ.Value))
		}
		// The embedded struct of mint would show in the path.
		field := member(body, strings.TrimPrefix(typ.Field, "MintRequest."), typ.Type)
		return badRequest(ErrCodeType, field, "%q must be %s, not %s (byte %d)", field, want(typ.Type), article(clip(typ.Value, maxEchoLen)), typ.Offset)
	}
	return badRequest(ErrCodeMalformed, "", "malformed JSON: %s", err.Error())
}

// member names what in an object of the body is not of a type, "tokens.compute", where encoding/json says only that it
// is something in "tokens".
func member(body []byte, field string, t reflect.Type) string {
	var whole, inner map[string]json.RawMessage
	if json.Unmarshal(body, &whole) != nil || json.Unmarshal(whole[field], &inner) != nil {
		return field
	}
	for _, key := range slices.Sorted(maps.Keys(inner)) {
		if json.Unmarshal(inner[key], reflect.New(t).Interface()) != nil {
			return field + "." + clip(key, maxEchoLen)
		}
	}
	return field
}

// want describes what a field takes.
func want(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return fmt.Sprintf("an integer from 0 to %d", ledger.MaxTokens)
	case reflect.Slice:
		return "a list of strings"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a " + t.Kind().String()
}

func article(value string) string {
	switch value {
	case "array", "object":
		return "an " + value
	case "string", "bool":
		return "a " + value
	}
	return value // "number 1.5"
}

// amounts orders stated amounts by name: see checkStated.
func (m amountMap) amounts(field string) ([]policy.Amount, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > policy.MaxStatedTokens {
		return nil, tooMany(field, len(m), policy.MaxStatedTokens)
	}
	out := make([]policy.Amount, 0, len(m))
	for name, v := range m {
		if v == nil {
			if err := checkName(field, name, maxTokenNameLen); err != nil {
				return nil, err
			}
			return nil, badRequest(ErrCodeType, field+"."+name, "%q must be an integer from 0 to %d, not null", field+"."+name, ledger.MaxTokens)
		}
		out = append(out, policy.Amount{Token: name, Amount: ledger.Tokens(*v)})
	}
	if len(out) > 1 {
		slices.SortFunc(out, func(a, b policy.Amount) int { return strings.Compare(a.Token, b.Token) })
	}
	return out, nil
}

func checkAmount(field string, n int64) error {
	if n < 0 || n > int64(ledger.MaxTokens) {
		return badRequest(ErrCodeRange, field, "%q is %d: it must be from 0 to %d", field, n, ledger.MaxTokens)
	}
	return nil
}

func checkLen(field, s string, limit int) error {
	if len(s) > limit {
		return badRequest(ErrCodeTooLong, clip(field, maxEchoLen), "%q has %d bytes: at most %d are allowed", clip(field, maxEchoLen), len(s), limit)
	}
	return nil
}

func checkName(field, name string, limit int) error {
	if name == "" {
		return badRequest(ErrCodeInvalid, field, "%q has an empty name in it", field)
	}
	if len(name) > limit {
		return badRequest(ErrCodeTooLong, field, "%q has the name %q of %d bytes in it: at most %d are allowed",
			field, clip(name, maxEchoLen), len(name), limit)
	}
	return nil
}

func checkID(field, id string) error {
	if id == "" {
		return badRequest(ErrCodeMissing, field, "%q is missing: send the id that admit answered", field)
	}
	return checkLen(field, id, maxIDLen)
}

func tooMany(field string, n, limit int) *Error {
	return badRequest(ErrCodeTooMany, field, "%q has %d entries: at most %d are allowed", field, n, limit)
}

// parseDuration reads a duration of 0 or more, at most limit if that is not 0.
func parseDuration(field, s string, limit time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, badRequest(ErrCodeInvalid, clip(field, maxEchoLen), `%q is %q: write a duration like "250ms", "2s" or "1m30s"`, clip(field, maxEchoLen), clip(s, maxEchoLen))
	}
	return d, checkDuration(field, d, limit)
}

// checkDuration checks a duration of 0 or more, at most limit if that is not 0.
func checkDuration(field string, d, limit time.Duration) error {
	if d < 0 {
		return badRequest(ErrCodeRange, field, "%q is %v: it must not be negative", field, d)
	}
	if limit > 0 && d > limit {
		return badRequest(ErrCodeRange, field, "%q is %v: at most %v is allowed", field, d, limit)
	}
	return nil
}
