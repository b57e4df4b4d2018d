package rls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	gstatus "google.golang.org/grpc/status"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Node is what the service asks. All methods are safe for concurrent use.
type Node interface {
	Admit(ctx context.Context, r *admit.Request) (admit.Answer, error)
	Settle(id string, s admit.Settlement) (admit.Receipt, error)
	Release(id string) (admit.Receipt, error)
	// Report books what a call used that has run already, see admit.Engine.TryRan. An error means that nothing was booked, unless ctx has ended.
	Report(ctx context.Context, r *admit.Request) (admit.Answer, error)
	// Left appends what is left of the instances that a decision of this node drew on.
	Left(id string, list []admit.Left) []admit.Left
	// Rules is the policy in force.
	Rules() *policy.Policy
	// Serving reports whether the node decides on calls: it has joined its cluster, and is not about to end.
	Serving() bool
}

// Bounds of one request. What exceeds them is a mistake in Envoy's configuration, which clients of Envoy cannot make.
const (
	maxMessage     = 1 << 20
	maxDescriptors = 64
	maxEntries     = 64 // of one descriptor
	maxDomain      = policy.MaxFieldLen
)

// margin is what of a caller's deadline is left for the answer's way back.
const margin = 2 * time.Millisecond

// lateRefund is how much longer than its hold a reservation lives: this door charges it before it ends by itself.
const lateRefund = time.Minute

// ShouldRateLimit decides on the descriptors of a request: all of them pass, or none is charged.
func (s *Server) ShouldRateLimit(ctx context.Context, in *pb.RateLimitRequest) (out *pb.RateLimitResponse, err error) {
	defer s.guard(&out, &err)
	begin := time.Now()
	who, err := s.identify(ctx, begin)
	if err == nil {
		out, err = s.decide(ctx, who, in)
	}
	if who != nil {
		who.Leave(time.Since(begin))
	}
	s.metrics.duration.Observe(time.Since(begin).Seconds())
	switch {
	case err != nil:
		s.metrics.requests.WithLabelValues(strings.ToLower(gstatus.Code(err).String())).Inc()
		return nil, err
	case out.OverallCode == pb.RateLimitResponse_OK:
		s.metrics.ok.Inc()
	default:
		s.metrics.over.Inc()
	}
	return out, nil
}

func check(in *pb.RateLimitRequest) error {
	switch n := len(in.GetDescriptors()); {
	case in.GetDomain() == "":
		return gstatus.Error(codes.InvalidArgument, "the request names no domain: set domain in Envoy's rate limit filter")
	case len(in.GetDomain()) > maxDomain:
		return gstatus.Errorf(codes.InvalidArgument, "the domain has %d bytes, at most %d are allowed", len(in.GetDomain()), maxDomain)
	case n == 0:
		return gstatus.Error(codes.InvalidArgument, "the request has no descriptors: give the route rate_limits with actions")
	case n > maxDescriptors:
		return gstatus.Errorf(codes.InvalidArgument, "the request has %d descriptors, at most %d are allowed", n, maxDescriptors)
	}
	for i, d := range in.GetDescriptors() {
		if n := len(d.GetEntries()); n > maxEntries {
			return gstatus.Errorf(codes.InvalidArgument, "descriptor %d has %d entries, at most %d are allowed", i+1, n, maxEntries)
		}
	}
	return nil
}

func (s *Server) decide(ctx context.Context, who *caller.Caller, in *pb.RateLimitRequest) (*pb.RateLimitResponse, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	domain, known := s.node.Rules().RateDomain(in.GetDomain())
	label := otherDomain
	if known {
		label = domain.Name
	} else {
		domain = &noDomain
	}
	n := len(in.GetDescriptors())
	q := requests.Get().(*request)
	defer q.free()
	q.s, q.ctx, q.who, q.trace = s, ctx, who, trace(ctx)
	q.items, q.outs = slices.Grow(q.items, n)[:n], slices.Grow(q.outs, n)[:n]
	entries := q.entries[:0]
	for i, d := range in.GetDescriptors() {
		m := &q.items[i]
		if entries = m.read(domain, d, in.GetHitsAddend(), entries); m.what == unmatched {
			continue
		}
		if err := fix(who, &m.call); err != nil { // what a descriptor names may be from a client of Envoy
			m.what = forbidden
			q.fail(&q.outs[i], resultForbidden, err.Error())
		}
	}
	q.entries = entries
	if err := q.run(domain); err != nil {
		return nil, err
	}
	return q.respond(label), nil
}

var requests = sync.Pool{New: func() any { return new(request) }}

// free lets the next request have the room of this one, which must be over: nothing of it may be kept but strings.
func (q *request) free() {
	if cap(q.items) > maxPooled || cap(q.entries) > maxPooled {
		return
	}
	for i := range q.items {
		q.items[i] = item{call: policy.Call{Tokens: q.items[i].call.Tokens[:0]}}
	}
	clear(q.outs)
	clear(q.entries[:cap(q.entries)])
	*q = request{items: q.items[:0], outs: q.outs[:0], asks: q.asks[:0], entries: q.entries[:0]}
	requests.Put(q)
}

// maxPooled keeps what rare large requests needed from staying for ever.
const maxPooled = 16

// noDomain is one that the policy does not have: nothing of it is limited.
var noDomain policy.RateDomain

// trace is what a tracing Envoy sends along.
func trace(ctx context.Context) admit.Trace {
	if v := metadata.ValueFromIncomingContext(ctx, "traceparent"); len(v) > 0 {
		return admit.ParseTrace(v[0])
	}
	return admit.Trace{}
}

// request is one request under way.
type request struct {
	s     *Server
	ctx   context.Context
	who   *caller.Caller // nil: nobody in particular
	trace admit.Trace
	items []item
	outs  []outcome
	over  bool

	asks    []int // of items, those that ask for something
	entries []policy.RateEntry
	call1   admit.Request // that is being made
}

// run gives back and books what is told first, so that what comes back can be used, and then asks for the rest. After an error nothing
// that was asked for is reserved.
func (q *request) run(domain *policy.RateDomain) error {
	asks := q.asks
	for i := range q.items {
		switch m := &q.items[i]; m.what {
		case refund:
			q.refund(m)
		case unmatched:
			if o := &q.outs[i]; domain.DenyUnmatched {
				q.fail(o, "unmatched", fmt.Sprintf("no descriptor of domain %q in the policy fits, and it says unmatched: deny", domain.Name))
			}
		case charge, look:
			asks = append(asks, i)
		}
	}
	for i := range q.items {
		if q.items[i].what == report {
			if err := q.report(i); err != nil {
				return err
			}
		}
	}
	if q.asks = asks; len(asks) > 1 {
		slices.SortStableFunc(asks, func(a, b int) int { return q.items[a].before(&q.items[b]) })
	}
	for _, i := range asks {
		if err := q.ask(i); err != nil {
			q.release(asks)
			return err
		}
	}
	if q.over {
		q.release(asks)
		return nil
	}
	for _, i := range asks {
		q.keep(i)
	}
	return nil
}

func (q *request) fail(o *outcome, code, reason string) {
	o.over, o.code, o.reason = true, code, reason
	q.over = true
}

// ask reserves for one descriptor. What was short of one is not waited for by others.
func (q *request) ask(i int) error {
	m, o := &q.items[i], &q.outs[i]
	r := q.call(m)
	if q.over {
		r.Wait = 0
	}
	if m.what == charge && m.rule.Hold > 0 {
		r.TTL = m.rule.Hold + lateRefund
	}
	a, err := q.s.node.Admit(q.ctx, r)
	return q.told(o, a, err)
}

func (q *request) report(i int) error {
	a, err := q.s.node.Report(q.ctx, q.call(&q.items[i]))
	return q.told(&q.outs[i], a, err)
}

// call is what a descriptor stands for, with the wait that the caller's deadline allows.
func (q *request) call(m *item) *admit.Request {
	r := &q.call1
	*r = admit.Request{Call: m.call, AsIs: true, Wait: admit.UseClassDefault, Trace: q.trace}
	if q.who != nil {
		r.Key = q.who.Name
	}
	if at, ok := q.ctx.Deadline(); ok {
		r.Wait = max(0, time.Until(at)-margin)
	}
	return r
}

// told notes a decision. What values of descriptors are at fault for is over its limit: clients choose them, and Envoy lets calls by whose
// check fails.
func (q *request) told(o *outcome, a admit.Answer, err error) error {
	switch {
	case errors.Is(err, admit.ErrInvalid):
		q.fail(o, resultInvalid, err.Error())
		return nil
	case err != nil && q.ctx.Err() != nil:
		return gstatus.FromContextError(q.ctx.Err()).Err()
	case err != nil:
		return gstatus.Errorf(codes.Unavailable, "the node cannot decide now: %v", err)
	case a.Code == admit.CodeDraining || a.Code == admit.CodeFenced:
		return gstatus.Error(codes.Unavailable, a.Reason)
	}
	o.answer, o.id = a, a.ID
	if !a.Verdict.Admitted() {
		o.retry = a.RetryAfter
		q.fail(o, a.Code, a.Reason)
	}
	return nil
}

// release gives back what was reserved.
func (q *request) release(asks []int) {
	for _, i := range asks {
		if o := &q.outs[i]; o.id != "" && !o.over {
			if _, err := q.s.node.Release(o.id); err != nil {
				q.s.log.Error().Err(err).Str("id", o.id).Msg("rls: a reservation could not be given back: it ends by its time to live")
			}
		}
	}
}

// keep charges what a descriptor asked for, or holds it for a refund.
func (q *request) keep(i int) {
	m, id := &q.items[i], q.outs[i].id
	switch {
	case m.what == look:
		q.release([]int{i})
	case m.rule.Hold > 0:
		out, full := q.s.held.put(reservation{key: m.key(), hits: m.hits, due: time.Now().Add(m.rule.Hold), id: id, rule: m.rule})
		if full {
			q.s.metrics.early.Inc()
			q.s.charge(out, out.hits)
		}
	default:
		q.s.charge(reservation{id: id, hits: m.hits, rule: m.rule}, m.hits)
	}
}

// refund gives hits back of what is held for the same call.
func (q *request) refund(m *item) {
	left, key := m.hits, m.key()
	for range maxPerRefund {
		if left == 0 {
			break
		}
		r, ok := q.s.held.take(key, left)
		if !ok {
			break
		}
		n := min(left, r.hits)
		left -= n
		q.s.charge(r, r.hits-n)
	}
	q.s.metrics.refunds.WithLabelValues("returned").Add(float64(m.hits - left))
	q.s.metrics.refunds.WithLabelValues("lost").Add(float64(left))
}

// charge ends a reservation.
func (s *Server) charge(r reservation, used ledger.Tokens) {
	if _, err := s.node.Settle(r.id, settlement(r.rule, r.hits, used)); err != nil {
		s.log.Error().Err(err).Str("id", r.id).Msg("rls: a reservation could not be settled: it ends by its time to live")
	}
}

func (q *request) respond(domain string) *pb.RateLimitResponse {
	now := time.Now()
	out := &pb.RateLimitResponse{OverallCode: pb.RateLimitResponse_OK, Statuses: make([]*status, len(q.outs))}
	if q.over {
		out.OverallCode = pb.RateLimitResponse_OVER_LIMIT
		out.DynamicMetadata = metadataOf(q.outs)
	}
	var few [4]admit.Left
	rooms := make([]room, len(q.outs))
	for i := range q.outs {
		o := &q.outs[i]
		var left []admit.Left
		if o.id != "" {
			left = q.s.node.Left(o.id, few[:0])
		}
		out.Statuses[i] = o.status(left, now, &rooms[i])
		q.s.metrics.descriptors.WithLabelValues(domain, q.result(i)).Inc()
	}
	out.ResponseHeadersToAdd = headers(out.Statuses, q.outs)
	return out
}

func (q *request) result(i int) string {
	switch m, o := q.items[i].what, &q.outs[i]; {
	case m == unmatched:
		return resultUnmatched
	case m == forbidden:
		return resultForbidden
	case o.code == resultInvalid:
		return resultInvalid
	case o.over:
		return resultOver
	case m == refund:
		return resultRefunded
	case m == report:
		return resultReported
	}
	return resultOK
}
