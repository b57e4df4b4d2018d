package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Error is an error as it crosses the wire: {"error":{"message","type","code","param"}}. The server
// writes it and the Client returns it.
type Error struct {
	Status     int           // HTTP status
	Message    string        // for people: what is wrong and what to do
	Type       string        // the kind, one per status
	Code       string        // stable word for programs: see the Err constants
	Param      string        // the field at fault, "" if there is none
	RetryAfter time.Duration // 0 if retrying is not advised
}

// Codes of errors. Append only. (Refusals of calls are no errors: their codes are admit's.)
const (
	ErrCodeMalformed    = "malformed_json"
	ErrCodeType         = "wrong_type"
	ErrCodeRange        = "out_of_range"
	ErrCodeTooLong      = "too_long"
	ErrCodeTooMany      = "too_many"
	ErrCodeMissing      = "missing_field"
	ErrCodeInvalid      = "invalid_request"
	ErrCodeBodySize     = "body_too_large"
	ErrCodeBodySlow     = "body_too_slow"
	ErrCodeMedia        = "unsupported_media_type"
	ErrCodeMethod       = "method_not_allowed"
	ErrCodePath         = "unknown_path"
	ErrCodeUnknownID    = "unknown_id"
	ErrCodeBudget       = "unknown_budget"
	ErrCodeMember       = "unknown_member"
	ErrCodeConflict     = "conflict"
	ErrCodeNotRemoved   = "not_removed"
	ErrCodeDisabled     = "disabled"
	ErrCodeNotReady     = "not_ready"
	ErrCodeHost         = "host_not_allowed"
	ErrCodeCrossOrigin  = "cross_origin"
	ErrCodeCancelled    = "cancelled"
	ErrCodeInternal     = "internal_error"
	ErrCodeTooFew       = "not_enough_rights"
	ErrCodeEnrolment    = "enrolment" // who may be enrolled, and must be
	ErrCodeNoKey        = "no_api_key"
	ErrCodeKey          = "invalid_api_key"     // OpenAI's word
	ErrCodeForbidden    = "permission_denied"   // the key may not do that
	ErrCodeLimit        = "rate_limit_exceeded" // of the key
	ErrCodeUnsigned     = "signature_required"  // of an operator
	ErrCodeSignature    = "invalid_signature"   // of an operator
	ErrCodeNotOurs      = "unexpected_answer"   // made by the Client: the answer is no answer of a node
	statusClientIsGone  = 499                   // nginx's number for it; nobody reads the answer
	maxMessageLen       = 8192                  // a policy's first mistakes, one a line
	maxEchoLen          = 64
	maxErrorBodyForHint = 200
)

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("HTTP status %d", e.Status)
	}
	return e.Message
}

// Hint names the next thing to try, "" if the message says it all.
func (e *Error) Hint() string {
	switch e.Code {
	case ErrCodeUnknownID:
		return "a reservation is known only to the node that made it: name that node with --node"
	case ErrCodeBudget, ErrCodeTooFew:
		return "run: swarmpurse budgets"
	case ErrCodeMember, ErrCodeNotRemoved:
		return "run: swarmpurse members"
	case ErrCodeConflict:
		return "compare with the present one: swarmpurse policy show"
	case ErrCodeNotReady:
		return "run: swarmpurse members"
	case ErrCodeEnrolment:
		return "run: swarmpurse keys enrolled"
	case ErrCodeNoKey, ErrCodeKey:
		return "give the key with --key or SWARMPURSE_KEY"
	case ErrCodeForbidden:
		return "run: swarmpurse keys show"
	case ErrCodeUnsigned:
		return "sign it with --sign-with FILE or SWARMPURSE_SIGN_WITH, the file of swarmpurse keys operator"
	case ErrCodeSignature:
		return "who signs for which revision: swarmpurse keys signers"
	case ErrCodeInternal:
		return "the node's log has the cause"
	case ErrCodeNotOurs:
		return "does --node name a swarmpurse node's HTTP address?"
	}
	return ""
}

// typeOf gives the "type" of an error: one word per status, so that clients that know only statuses
// and clients that know only types agree.
func typeOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusConflict:
		return "conflict_error"
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return "permission_error"
	case http.StatusServiceUnavailable:
		return "unavailable_error"
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	}
	if status >= 500 {
		return "server_error"
	}
	return "invalid_request_error"
}

func newError(status int, code, param, format string, args ...any) *Error {
	return &Error{Status: status, Type: typeOf(status), Code: code, Param: param, Message: clip(fmt.Sprintf(format, args...), maxMessageLen)}
}

func badRequest(code, param, format string, args ...any) *Error {
	return newError(http.StatusBadRequest, code, param, format, args...)
}

// fromNode turns what a Node returned into what a caller is told. Only errors that are the caller's
// business keep their text; the rest is for the log.
func fromNode(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	status, code := http.StatusInternalServerError, ErrCodeInternal
	var retry time.Duration
	switch {
	case errors.Is(err, admit.ErrInvalid):
		status, code = http.StatusBadRequest, ErrCodeInvalid
	case errors.Is(err, admit.ErrUnknownID):
		status, code = http.StatusNotFound, ErrCodeUnknownID
	case errors.Is(err, ErrUnknownBudget):
		status, code = http.StatusNotFound, ErrCodeBudget
	case errors.Is(err, ErrUnknownMember):
		status, code = http.StatusNotFound, ErrCodeMember
	case errors.Is(err, ErrConflict):
		status, code = http.StatusConflict, ErrCodeConflict
	case errors.Is(err, ErrEnrolment):
		status, code = http.StatusConflict, ErrCodeEnrolment
	case errors.Is(err, ErrNotRemoved):
		status, code = http.StatusConflict, ErrCodeNotRemoved
	case errors.Is(err, ErrTooFew):
		status, code = http.StatusConflict, ErrCodeTooFew
	case errors.Is(err, ErrUnsigned):
		status, code = http.StatusForbidden, ErrCodeUnsigned
	case errors.Is(err, ErrBadSignature):
		status, code = http.StatusForbidden, ErrCodeSignature
	case errors.Is(err, ErrDisabled):
		status, code = http.StatusForbidden, ErrCodeDisabled
	case errors.Is(err, ErrNotReady):
		status, code, retry = http.StatusServiceUnavailable, ErrCodeNotReady, time.Second
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status, code = statusClientIsGone, ErrCodeCancelled
	default:
		return newError(status, code, "", "the node failed to answer: the cause is in its log")
	}
	e := newError(status, code, "", "%s", err.Error())
	e.RetryAfter = retry
	var call *policy.CallError
	if errors.As(err, &call) {
		e.Param = clip(call.Field, maxEchoLen)
	}
	return e
}

// wireError is the body of an error.
type wireError struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Code    string  `json:"code"`
		Param   *string `json:"param"`
	} `json:"error"`
}

func (e *Error) body() []byte {
	var b wireError
	b.Error.Message, b.Error.Type, b.Error.Code = e.Message, e.Type, e.Code
	if e.Param != "" {
		b.Error.Param = &e.Param
	}
	return mustJSON(b)
}

// mustJSON encodes our own types, which cannot fail but by a mistake of ours.
func mustJSON(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: %T does not encode: %v", v, err))
	}
	return append(out, '\n')
}

// clip shortens what came from outside before it is echoed.
func clip(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
