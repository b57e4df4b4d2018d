package standin

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// SetLimit has the server refuse calls as providers do that limit tokens per minute: calls take prompt and output tokens out
// of a bucket that perSecond fills up to burst, and get a 429 with retry-after while it lacks them. All answers tell what is
// left in x-ratelimit-…-tokens. 0 takes the limit away. The bucket starts full, or with what is in it.
func (s *Server) SetLimit(perSecond float64, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case perSecond <= 0:
		s.limit = nil
	case s.limit == nil:
		s.limit = rate.NewLimiter(rate.Limit(perSecond), burst)
	default:
		s.limit.SetLimit(rate.Limit(perSecond))
		s.limit.SetBurst(burst)
	}
}

// within takes what a call needs out of the bucket and sets the headers that tell of it; an error says that there is too
// little.
func (s *Server) within(h http.Header, q *request) error {
	s.mu.Lock()
	limit := s.limit
	s.mu.Unlock()
	if limit == nil {
		return nil
	}
	now := time.Now()
	need := int(q.prompt + q.output*int64(q.choices))
	ok := limit.AllowN(now, need)
	left := max(0, limit.TokensAt(now))
	h.Set("X-Ratelimit-Limit-Tokens", strconv.Itoa(limit.Burst()))
	h.Set("X-Ratelimit-Remaining-Tokens", strconv.Itoa(int(left)))
	full := time.Duration((float64(limit.Burst()) - left) / float64(limit.Limit()) * float64(time.Second))
	h.Set("X-Ratelimit-Reset-Tokens", full.Round(time.Millisecond).String())
	if ok {
		return nil
	}
	wait := (float64(need) - left) / float64(limit.Limit())
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait))))
	h.Set("Retry-After-Ms", strconv.Itoa(int(math.Ceil(wait*1000))))
	return &badRequest{http.StatusTooManyRequests, fmt.Sprintf("Rate limit reached for %s: limit %d tokens, %d left, requested %d. Please try again in %.1fs.",
		q.model, limit.Burst(), int(left), need, wait), ""}
}
