package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

// What is asked and answered; see package frame for the fields.
type (
	Call       = frame.Call
	Answer     = frame.Answer
	Advice     = frame.Advice
	Charge     = frame.Charge
	Settlement = frame.Settlement
	Usage      = frame.Usage
	Upstream   = frame.Upstream
	Receipt    = frame.Receipt
	Decision   = frame.Decision
	Error      = frame.Error
)

// Decisions.
const (
	Admit   = frame.Admit
	Degrade = frame.Degrade
	Defer   = frame.Defer
	Deny    = frame.Deny
)

// Kinds of an [*Error], for errors.Is.
var (
	ErrInvalid   = &Error{Status: 400}                                    // the request is wrong: Param names the field
	ErrKey       = &Error{Status: 401}                                    // no key, or one that is unknown or has expired
	ErrForbidden = &Error{Status: 403}                                    // the key may not do that
	ErrUnknownID = &Error{Status: 404, Code: "unknown_id"}                // the node has no such reservation: only the one that made it has
	ErrLimit     = &Error{Status: 429, Code: "rate_limit_exceeded"}       // of the key: retry after RetryAfter
	ErrNotReady  = &Error{Status: 503, Code: "not_ready"}                 // the node cannot decide now: retry after RetryAfter
	errClosed    = errors.New("the client was closed")                    // wrapped in an UnreachableError
	errNotOurs   = errors.New("what answers there is no swarmpurse node") // wrapped in an UnreachableError
)

// UnreachableError says that a node did not answer.
type UnreachableError struct {
	Node string
	// Sent says that the request may have come to the node: a call may have been admitted that nobody will settle, and stays reserved until
	// its TTL is over.
	Sent bool
	Err  error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("node %s: %v", e.Node, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// Options make a Client. The zero value will do.
type Options struct {
	// Key is a caller's key (sp_…), which fixes the tenant. "" for none, which loopback and Unix sockets do not need. It goes over a Unix socket, to
	// loopback or by TLS only.
	Key string
	CA  *x509.CertPool // who vouches for a node that is asked by https; nil: whom the system trusts

	// Retries is how often a request is made again that no node has answered, or that the node could not decide yet, if that is safe and the
	// context leaves time. Settlements and releases are safe; of calls those that have not been sent, and those with an
	// IdempotencyKey. 0 means 2; below 0 none.
	Retries int
	// Conns is how many connections over a Unix socket share the requests; 0 means 1, which carries some 100,000 calls a second.
	Conns int
}

const (
	defaultRetries = 2
	dialTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	firstPause     = 20 * time.Millisecond // before a retry; then twice as long each time, and up to half as long again by chance
	maxPause       = 2 * time.Second
)

// Client asks one node. Safe for concurrent use. Requests take as long as their context allows.
type Client struct {
	// One of both is there. They are no interface, so that what they are given stays on its caller's stack.
	framed  *framed
	http    *overHTTP
	retries int
}

// DefaultNode is where a node listens that was started without --http.
const DefaultNode = "http://127.0.0.1:7070"

// New makes a client of a node: "unix:/path" for its --socket, "http://host:port", "https://host:port" or "http+unix:/path" for its --http; "" means
// [DefaultNode]. It connects with the first request. Close it when it is of no more use.
func New(node string, o Options) (*Client, error) {
	if node == "" {
		node = DefaultNode
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the key holds bytes that no key has: a line end or a space, perhaps")
	}
	if o.Conns < 0 || o.Conns > 64 {
		return nil, fmt.Errorf("%d connections; 1 to 64 are possible", o.Conns)
	}
	c := &Client{retries: o.Retries}
	if c.retries == 0 {
		c.retries = defaultRetries
	}
	var err error
	if path, ok := strings.CutPrefix(node, "unix:"); ok {
		c.framed, err = newFramed(node, path, o)
	} else {
		c.http, err = newHTTP(node, o)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends its connections. What is under way fails.
func (c *Client) Close() {
	if c.framed != nil {
		c.framed.close()
		return
	}
	c.http.close()
}

// Admit asks whether a call may run, and reserves its tokens. When the context ends first, the call is taken back.
func (c *Client) Admit(ctx context.Context, call Call) (Answer, error) {
	var a Answer
	err := c.do(ctx, call.IdempotencyKey != "", func() error {
		if c.framed != nil {
			return c.framed.admit(ctx, &call, &a)
		}
		return c.http.admit(ctx, &call, &a)
	})
	return a, err
}

// Settle books the real cost of a call and ends its reservation. Settling twice answers the same as once.
func (c *Client) Settle(ctx context.Context, s Settlement) (Receipt, error) {
	var r Receipt
	err := c.do(ctx, true, func() error {
		if c.framed != nil {
			return c.framed.settle(ctx, &s, &r)
		}
		return c.http.settle(ctx, &s, &r)
	})
	return r, err
}

// Release gives back the reservation of a call that never ran.
func (c *Client) Release(ctx context.Context, id string) (Receipt, error) {
	return c.Refused(ctx, id, nil)
}

// Refused gives back the reservation of a call that its provider refused, and tells what that said of its limits.
func (c *Client) Refused(ctx context.Context, id string, u *Upstream) (Receipt, error) {
	var r Receipt
	l := frame.Release{ID: id, Upstream: u}
	err := c.do(ctx, true, func() error {
		if c.framed != nil {
			return c.framed.release(ctx, &l, &r)
		}
		return c.http.release(ctx, &l, &r)
	})
	return r, err
}

// do makes a request, and makes it again where that helps and is safe.
func (c *Client) do(ctx context.Context, safe bool, f func() error) error {
	for n := 0; ; n++ {
		err := f()
		if err == nil || n >= c.retries {
			return err
		}
		pause := firstPause << min(n, 10)
		var e *Error
		var u *UnreachableError
		switch {
		case errors.As(err, &u):
			if u.Sent && !safe || errors.Is(err, errClosed) || ctx.Err() != nil {
				return err
			}
		case errors.As(err, &e) && errors.Is(err, ErrNotReady):
			if pause = max(pause, e.RetryAfter); pause > maxPause {
				return err // that is for the caller to wait
			}
		default:
			return err
		}
		pause = min(pause+rand.N(pause/2), maxPause)
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}
