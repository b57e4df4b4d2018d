package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// CallNode is the part of a [Node] that calls need.
type CallNode interface {
	admit.Admitter
	TenantOf(id string) (string, error)
}

// Calls is what the doors for admit, settle and release do alike, whatever they speak: who may come in, as whom he calls, whose
// reservations he may end. Safe for concurrent use.
type Calls struct {
	Node    CallNode
	Callers func() *caller.Table // knows the keys of callers; its result may be nil, which knows none
	Refuse  func(reason string)  // counts what is refused: key, expired_key, key_rate, key_concurrency, tenant, agent, class
}

// Find is the caller that a key stands for. The error is an *Error.
func (c *Calls) Find(key string, now time.Time) (*caller.Caller, error) {
	who, err := c.Callers().Find(key, now)
	if err == nil {
		return who, nil
	}
	reason := "key"
	if errors.Is(err, caller.ErrExpired) {
		reason = "expired_key"
	}
	c.Refuse(reason)
	return nil, newError(http.StatusUnauthorized, ErrCodeKey, "", "%v", err)
}

// Enter lets a request of a caller in, who must Leave then, unless one of his limits refuses it. The error is an *Error.
func (c *Calls) Enter(who *caller.Caller, now time.Time) error {
	limit, wait := who.Enter(now)
	if limit == caller.None {
		return nil
	}
	what, reason := fmt.Sprintf("%s, burst %d", who.Rate(), who.Burst), "key_rate"
	if limit == caller.Concurrency {
		what, reason = fmt.Sprintf("%d requests at once", who.Concurrency), "key_concurrency"
	}
	c.Refuse(reason)
	e := newError(http.StatusTooManyRequests, ErrCodeLimit, "", "caller %q has reached its limit at this node (%s): retry in %v", who.Name, what, wait.Round(time.Millisecond))
	e.RetryAfter = wait
	return e
}

// Fix makes a call that of the key that it came with; who is nil where none was needed.
func (c *Calls) Fix(who *caller.Caller, r *admit.Request) error {
	if who == nil {
		return nil
	}
	r.Key = who.Name
	err := who.Fix(&r.Call)
	var f *caller.Forbidden
	if errors.As(err, &f) {
		c.Refuse(f.Field)
		return newError(http.StatusForbidden, ErrCodeForbidden, f.Field, "%s", f.Message)
	}
	return err
}

// Settle ends a reservation with its real cost, and tells what was said of the provider, if anything was.
func (c *Calls) Settle(who *caller.Caller, id string, s admit.Settlement, u *admit.Upstream) (admit.Receipt, error) {
	if err := c.about(who, id, u); err != nil {
		return admit.Receipt{}, err
	}
	return c.Node.Settle(id, s)
}

// Release gives a reservation back, and tells what was said of the provider, if anything was.
func (c *Calls) Release(who *caller.Caller, id string, u *admit.Upstream) (admit.Receipt, error) {
	if err := c.about(who, id, u); err != nil {
		return admit.Receipt{}, err
	}
	return c.Node.Release(id)
}

func (c *Calls) about(who *caller.Caller, id string, u *admit.Upstream) error {
	if err := c.Own(who, id); err != nil || u == nil {
		return err
	}
	return c.Node.Feedback(id, *u)
}

// Own refuses what is about another tenant's decision, in the words for one that nobody made: an id tells nobody whether it is in use.
func (c *Calls) Own(who *caller.Caller, id string) error {
	v := viewOf(who)
	if v.All {
		return nil
	}
	tenant, err := c.Node.TenantOf(id)
	return c.theirs(v, id, tenant, err)
}

func (c *Calls) theirs(v View, id, tenant string, err error) error {
	if err == nil && v.Sees(tenant) {
		return nil
	}
	if err == nil {
		c.Refuse("tenant")
	} else if !errors.Is(err, admit.ErrUnknownID) {
		return err
	}
	return newError(http.StatusNotFound, ErrCodeUnknownID, "", "tenant %q has no decision %q at this node, or it ended so long ago that it is forgotten", v.Tenant, clip(id, maxIDLen))
}

// ErrorOf is what a caller is told of an error of these calls. Of one that is not the caller's business (Code [ErrCodeInternal]) the text is
// for the log.
func ErrorOf(err error) *Error { return fromNode(err) }

// CheckCall checks a request that has been decoded, but for what only a policy knows, and takes its data sets apart. A negative Wait is the
// class's default; a TTL of 0 is the default. The error is an *Error.
func CheckCall(r *admit.Request) error {
	for _, f := range [...]struct {
		name, value string
		max         int
	}{
		{"tenant", r.Tenant, policy.MaxFieldLen},
		{"agent", r.Agent, policy.MaxFieldLen},
		{"run", r.Run, policy.MaxFieldLen},
		{"class", r.Class, policy.MaxFieldLen},
		{"model", r.Model, policy.MaxFieldLen},
		{"idempotency_key", r.IdempotencyKey, admit.MaxKeyLen},
	} {
		if err := checkLen(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	if err := checkAmount("prompt_tokens", r.PromptTokens); err != nil {
		return err
	}
	if err := checkAmount("max_output_tokens", r.MaxOutputTokens); err != nil {
		return err
	}
	if err := checkStated("tokens", r.Tokens); err != nil {
		return err
	}
	if len(r.Data) > policy.MaxData {
		return tooMany("data", len(r.Data), policy.MaxData)
	}
	for i, d := range r.Data {
		if most := policy.MaxFieldLen + 1 + policy.MaxDigestLen; len(d) > most {
			return checkLen(fmt.Sprintf("data[%d]", i), d, most)
		}
	}
	var err error
	if r.Data, r.Digests, err = splitData(r.Data); err != nil {
		return err
	}
	if len(r.Attributes) > policy.MaxAttributes {
		return tooMany("attributes", len(r.Attributes), policy.MaxAttributes)
	}
	for k, v := range r.Attributes {
		if err := checkName("attributes", k, policy.MaxFieldLen); err != nil {
			return err
		}
		if len(v) > policy.MaxAttributeLen {
			return checkLen("attributes."+k, v, policy.MaxAttributeLen)
		}
	}
	return checkDuration("ttl", r.TTL, admit.MaxTTL)
}

// CheckSettlement checks how a call ended, but for what only its decision knows. The error is an *Error.
func CheckSettlement(id string, s *admit.Settlement) error {
	if err := checkID("id", id); err != nil {
		return err
	}
	if err := checkLen("outcome", s.Outcome, maxOutcomeLen); err != nil {
		return err
	}
	if err := checkStated("used", s.Used); err != nil {
		return err
	}
	if s.Usage != nil {
		if err := checkUsage(s.Usage); err != nil {
			return err
		}
	}
	if s.Score != nil {
		return checkScore(*s.Score)
	}
	return nil
}

// CheckRelease checks the id of a release. The error is an *Error.
func CheckRelease(id string) error { return checkID("id", id) }

// checkUsage checks a count, and passes over parts that cannot be: then all is charged as what is dearer, as a rule.
func checkUsage(u *admit.Usage) error {
	if err := checkAmount("usage.prompt_tokens", u.PromptTokens); err != nil {
		return err
	}
	if err := checkAmount("usage.completion_tokens", u.CompletionTokens); err != nil {
		return err
	}
	if u.CachedTokens < 0 || u.CachedTokens > u.PromptTokens {
		u.CachedTokens = 0
	}
	if u.ReasoningTokens < 0 || u.ReasoningTokens > u.CompletionTokens {
		u.ReasoningTokens = 0
	}
	return nil
}

// checkStated checks amounts by token type.
func checkStated(field string, list []policy.Amount) error {
	if len(list) > policy.MaxStatedTokens {
		return tooMany(field, len(list), policy.MaxStatedTokens)
	}
	for _, a := range list {
		if err := checkName(field, a.Token, maxTokenNameLen); err != nil {
			return err
		}
		if a.Amount < 0 || a.Amount > ledger.MaxTokens {
			return checkAmount(field+"."+a.Token, int64(a.Amount))
		}
	}
	return nil
}
