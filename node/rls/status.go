package rls

import (
	"math"
	"math/bits"
	"strconv"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

type (
	status = pb.RateLimitResponse_DescriptorStatus
	limit  = pb.RateLimitResponse_RateLimit
)

// room is for what is said of a descriptor, which is so allocated at once.
type room struct {
	status status
	limit  limit
	reset  durationpb.Duration
}

// outcome is what became of a descriptor.
type outcome struct {
	over   bool
	answer admit.Answer  // of a call that was decided on
	id     string        // of the decision; "" if there is none
	code   string        // why it is over
	reason string        //
	retry  time.Duration // of a call that may come back
}

// status writes what is left of the budget that is nearest to its end, of those that the decision drew on; of a refusal, of the one that lacked.
func (o *outcome) status(left []admit.Left, now time.Time, to *room) *status {
	s := &to.status
	s.Code = pb.RateLimitResponse_OK
	if o.over {
		s.Code = pb.RateLimitResponse_OVER_LIMIT
	}
	best := nearest(left)
	if short := o.answer.Short; short != nil {
		best = nil
		for i := range left {
			if left[i].Instance == short.Instance {
				best = &left[i]
				best.Left = max(0, min(short.Remaining, best.Left))
			}
		}
	}
	if best == nil {
		return s
	}
	s.CurrentLimit = limitOf(best, now, &to.limit)
	s.LimitRemaining = uint32(min(max(0, best.Left), math.MaxUint32))
	if d, ok := reset(best, now); ok {
		to.reset.Seconds, to.reset.Nanos = int64(d/time.Second), int32(d%time.Second)
		s.DurationUntilReset = &to.reset
	}
	return s
}

// nearest is the one of which the least part is left.
func nearest(list []admit.Left) *admit.Left {
	best := -1
	for i := range list {
		if best < 0 || part(list[i].Left, list[best].Limit) < part(list[best].Left, list[i].Limit) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return &list[best]
}

// part is a product that compares parts: a/x < b/y as a·y < b·x.
func part(a, y ledger.Tokens) float64 { return float64(max(0, a)) * float64(max(1, y)) }

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// limitOf is an instance's limit: what its window brings, or the burst of a rate in the time that fills it. What is given once, and calls at
// once, have no unit.
func limitOf(l *admit.Left, now time.Time, m *limit) *limit {
	m.Name, m.RequestsPerUnit = l.Budget.Name, uint32(min(l.Limit, math.MaxUint32))
	if l.Budget.Spec.Kind == ledger.Windowed && l.Budget.Spec.Calendar.Months > 0 {
		unit(m, pb.RateLimitResponse_RateLimit_MONTH, int64(l.Budget.Spec.Calendar.Months))
		return m
	}
	span, ok := span(l, now)
	if !ok {
		return m
	}
	for _, u := range []struct {
		unit pb.RateLimitResponse_RateLimit_Unit
		of   time.Duration
	}{
		{pb.RateLimitResponse_RateLimit_WEEK, week}, {pb.RateLimitResponse_RateLimit_DAY, day}, {pb.RateLimitResponse_RateLimit_HOUR, time.Hour},
		{pb.RateLimitResponse_RateLimit_MINUTE, time.Minute}, {pb.RateLimitResponse_RateLimit_SECOND, time.Second},
	} {
		if span%u.of == 0 || u.of == time.Second {
			unit(m, u.unit, int64(max(1, (span+u.of-1)/u.of)))
			return m
		}
	}
	return m
}

func unit(m *limit, u pb.RateLimitResponse_RateLimit_Unit, times int64) {
	m.Unit = u
	if times > 1 {
		m.UnitMultiplier = wrapperspb.UInt32(uint32(min(times, math.MaxUint32)))
	}
}

// span is the time that a limit is said of.
func span(l *admit.Left, now time.Time) (time.Duration, bool) {
	spec := &l.Budget.Spec
	switch spec.Kind {
	case ledger.Windowed:
		_, start, end := spec.Calendar.At(ledger.Instant(now.UnixMilli()))
		return time.Duration(end-start) * time.Millisecond, true
	case ledger.Rate:
		return refill(spec, l.Limit), true
	}
	return 0, false
}

// reset is when all of the limit is there again if nothing more is used.
func reset(l *admit.Left, now time.Time) (time.Duration, bool) {
	spec := &l.Budget.Spec
	switch spec.Kind {
	case ledger.Windowed:
		at := ledger.Instant(now.UnixMilli())
		_, _, end := spec.Calendar.At(at)
		return time.Duration(end-at) * time.Millisecond, true
	case ledger.Rate:
		return refill(spec, l.Limit-max(0, l.Left)), true
	}
	return 0, false
}

// refill is how long a rate takes for so many tokens, rounded up to ms.
func refill(spec *ledger.Spec, n ledger.Tokens) time.Duration {
	if n <= 0 || spec.Per <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(spec.PerMillis))
	per := uint64(spec.Per)
	if hi >= per {
		return math.MaxInt64
	}
	ms, rest := bits.Div64(hi, lo, per)
	if rest > 0 {
		ms++
	}
	return time.Duration(min(ms, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// Headers of answers, in the form of draft-polli-ratelimit-headers-03, which is the one that Envoy writes itself when it is told to
// (enable_x_ratelimit_headers: DRAFT_VERSION_03).
const (
	headerLimit     = "x-ratelimit-limit"
	headerRemaining = "x-ratelimit-remaining"
	headerReset     = "x-ratelimit-reset"
	headerRetry     = "retry-after"
	headerDecision  = "x-swarmpurse-decision"
	maxHeaders      = 5
)

// headers are of the status with the least remaining: of those over their limit, if any is.
func headers(all []*status, outs []outcome) []*core.HeaderValue {
	best, over := -1, false
	for i, s := range all {
		isOver := s.Code == pb.RateLimitResponse_OVER_LIMIT
		switch {
		case s.CurrentLimit == nil:
		case best < 0, isOver && !over, isOver == over && s.LimitRemaining < all[best].LimitRemaining:
			best, over = i, isOver
		}
	}
	room := new(struct {
		list   [maxHeaders]*core.HeaderValue
		values [maxHeaders]core.HeaderValue
	})
	list := room.list[:0]
	add := func(key, value string) {
		h := &room.values[len(list)]
		h.Key, h.Value = key, value
		list = append(list, h)
	}
	if best >= 0 {
		s := all[best]
		var b [48]byte
		value := strconv.AppendUint(b[:0], uint64(s.CurrentLimit.RequestsPerUnit), 10)
		if w := seconds(s.CurrentLimit); w > 0 {
			n := len(value)
			value = append(append(value, ", "...), value[:n]...)
			value = strconv.AppendInt(append(value, ";w="...), w, 10)
		}
		add(headerLimit, string(value))
		add(headerRemaining, strconv.FormatUint(uint64(s.LimitRemaining), 10))
		if s.DurationUntilReset != nil {
			add(headerReset, strconv.FormatInt(ceil(s.DurationUntilReset.AsDuration()), 10))
		}
	}
	var retry time.Duration
	for i := range outs {
		if outs[i].over {
			retry = max(retry, outs[i].retry)
		}
	}
	if retry > 0 {
		add(headerRetry, strconv.FormatInt(ceil(retry), 10))
	}
	for i := range outs {
		if outs[i].over && outs[i].id != "" {
			add(headerDecision, outs[i].id)
			break
		}
	}
	return list
}

// ceil is in whole seconds.
func ceil(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// seconds is the time that a limit is said of; 0 if it cannot be said in seconds.
func seconds(l *limit) int64 {
	n := int64(max(1, l.GetUnitMultiplier().GetValue()))
	switch l.Unit {
	case pb.RateLimitResponse_RateLimit_SECOND:
		return n
	case pb.RateLimitResponse_RateLimit_MINUTE:
		return 60 * n
	case pb.RateLimitResponse_RateLimit_HOUR:
		return 3600 * n
	case pb.RateLimitResponse_RateLimit_DAY:
		return 86400 * n
	case pb.RateLimitResponse_RateLimit_WEEK:
		return 7 * 86400 * n
	}
	return 0
}

// metadataOf tells access logs why a request was over its limit.
func metadataOf(outs []outcome) *structpb.Struct {
	for i := range outs {
		if o := &outs[i]; o.over {
			return &structpb.Struct{Fields: map[string]*structpb.Value{
				"decision": structpb.NewStringValue(o.id), "code": structpb.NewStringValue(o.code), "reason": structpb.NewStringValue(o.reason),
			}}
		}
	}
	return nil
}
