package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// apiError is an error in the provider's form, with its HTTP status.
type apiError struct {
	status  int
	outcome outcome // how it is counted
	header  http.Header

	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

func invalid(param, format string, args ...any) *apiError {
	e := &apiError{status: http.StatusBadRequest, outcome: outInvalid, Type: "invalid_request_error",
		Message: fmt.Sprintf(format, args...)}
	if param != "" {
		e.Param = &param
	}
	return e
}

func forbidden(format string, args ...any) *apiError {
	e := invalid("", format, args...)
	e.status, e.outcome = http.StatusForbidden, outUnauthorized
	return e.code("permission_denied")
}

// unavailable is an error of ours or of the upstream's, not of the caller.
func unavailable(status int, out outcome, code, format string, args ...any) *apiError {
	e := &apiError{status: status, outcome: out, Type: "server_error", Message: fmt.Sprintf(format, args...)}
	return e.code(code)
}

func (e *apiError) code(c string) *apiError {
	e.Code = &c
	return e
}

func (e *apiError) with(name, value string) *apiError {
	if e.header == nil {
		e.header = http.Header{}
	}
	e.header.Set(name, value)
	return e
}

// write sends the error, in the dialect's own form.
func (e *apiError) write(w http.ResponseWriter, d wire.Dialect) {
	h := w.Header()
	for name, v := range e.header {
		h[name] = v
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	var v any = map[string]*apiError{"error": e}
	if d == wire.Anthropic {
		id := e.header.Get("X-Request-Id")
		v = anthropicError{Type: "error", Error: anthropicDetail{anthropicType(e.status), e.Message}, RequestID: id}
	}
	_ = json.NewEncoder(w).Encode(v) // a client that is gone cannot be told
}

// anthropicError is an error as Anthropic writes it.
type anthropicError struct {
	Type      string          `json:"type"`
	Error     anthropicDetail `json:"error"`
	RequestID string          `json:"request_id,omitempty"`
}

type anthropicDetail struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func anthropicType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// patience is the longest that the provider's clients wait of themselves; when told to come back later
// than that, they try again after a few seconds instead, in vain.
const patience = time.Minute

// refusal is what a deferred or denied call gets: a 429 as the provider would send it, which every
// client already knows how to treat. Its type says what ran out, as theirs does.
func refusal(a *admit.Answer) *apiError {
	e := &apiError{status: http.StatusTooManyRequests, outcome: outDeferred, Message: a.Reason, Type: "tokens"}
	e.code("rate_limit_exceeded")
	switch a.Code {
	case admit.CodeQueueFull, admit.CodeBusy, admit.CodeFenced, admit.CodeDraining:
		e.Type = "requests"
	case admit.CodeNoRule, admit.CodeFrozen, admit.CodeInstances, admit.CodeLocality, admit.CodeNoUpstream:
		// The provider's word for "your plan does not allow this", which clients do not retry.
		e.Type = "insufficient_quota"
	}
	if e.Message == "" {
		e.Message = "Rate limit reached."
	}
	if a.ID != "" {
		e.with("X-Request-Id", a.ID) // which clients show with the error
	}
	if n := a.Nearest; n != nil {
		e.with(HeaderNearest, strings.TrimSpace(n.Name+" "+n.HTTP))
	}
	if s := a.Short; s != nil {
		kind := ratelimitKind(e.Type)
		e.with("X-Ratelimit-Limit-"+kind, strconv.FormatInt(int64(s.Limit), 10))
		e.with("X-Ratelimit-Remaining-"+kind, strconv.FormatInt(int64(s.Remaining), 10))
	}
	if a.Verdict == admit.Deny {
		e.outcome = outDenied
		return e.with("X-Should-Retry", "false")
	}
	wait := max(a.RetryAfter, time.Millisecond)
	if wait > patience {
		e.with("X-Should-Retry", "false")
	}
	e.with("Retry-After-Ms", strconv.FormatInt(int64((wait+time.Millisecond-1)/time.Millisecond), 10))
	e.with("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	e.with("X-Ratelimit-Reset-"+ratelimitKind(e.Type), wait.Round(time.Millisecond).String())
	return e
}

func ratelimitKind(errorType string) string {
	if errorType == "tokens" {
		return "Tokens"
	}
	return "Requests"
}
