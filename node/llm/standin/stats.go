package standin

import (
	"maps"
	"sync"
	"time"
)

// Sums is what was done for some calls.
type Sums struct {
	Calls            int64 `json:"calls"`     // that were begun, failed ones included
	Completed        int64 `json:"completed"` // answered to the end
	Aborted          int64 `json:"aborted"`   // the client hung up, or it was told to break off
	Errors           int64 `json:"errors"`    // answered with an error: no tokens
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"` // generated, whether or not anybody read them
}

// Tokens is what a budget on all tokens would have been charged.
func (s Sums) Tokens() int64 { return s.PromptTokens + s.CompletionTokens }

func (s *Sums) add(d Sums) {
	s.Calls += d.Calls
	s.Completed += d.Completed
	s.Aborted += d.Aborted
	s.Errors += d.Errors
	s.PromptTokens += d.PromptTokens
	s.CompletionTokens += d.CompletionTokens
}

// Second is what was done in one second of Unix time.
type Second struct {
	Unix int64 `json:"unix"`
	Sums
}

// Stats is the server's own count since its start or the last reset.
type Stats struct {
	Total        Sums            `json:"total"`
	InFlight     int64           `json:"in_flight"`
	PeakInFlight int64           `json:"peak_in_flight"`
	ByModel      map[string]Sums `json:"by_model"`
	ByTenant     map[string]Sums `json:"by_tenant"` // "" are calls that named none
	// ByTenantModel has the tenant, then the model.
	ByTenantModel map[string]map[string]Sums `json:"by_tenant_model"`
	// Seconds are the last seconds in which anything was done, at most MaxSeconds, oldest first.
	// Tokens count in the second in which they were read or generated.
	Seconds []Second `json:"seconds"`
}

const (
	// MaxSeconds bounds Stats.Seconds: an hour.
	MaxSeconds = 3600
	// MaxKeys bounds the tenants, and the models of each; more are counted under Others.
	MaxKeys = 4096
	// Others is the key of those beyond MaxKeys.
	Others = "(others)"
)

// counts is the count. One mutex guards all of it.
type counts struct {
	mu sync.Mutex
	s  Stats
}

func newCounts() *counts {
	c := &counts{}
	c.reset()
	return c
}

func (c *counts) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = Stats{
		InFlight: c.s.InFlight, PeakInFlight: c.s.InFlight,
		ByModel: map[string]Sums{}, ByTenant: map[string]Sums{}, ByTenantModel: map[string]map[string]Sums{},
	}
}

func (c *counts) add(tenant, model string, now time.Time, d Sums) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Total.add(d)
	addTo(c.s.ByModel, model, d)
	tenant = addTo(c.s.ByTenant, tenant, d)
	models := c.s.ByTenantModel[tenant]
	if models == nil {
		models = map[string]Sums{}
		c.s.ByTenantModel[tenant] = models
	}
	addTo(models, model, d)

	sec := now.Unix()
	n := len(c.s.Seconds)
	if n == 0 || c.s.Seconds[n-1].Unix < sec { // a clock that steps back counts in the last second
		if n == MaxSeconds {
			c.s.Seconds = append(c.s.Seconds[:0], c.s.Seconds[1:]...)
		}
		c.s.Seconds = append(c.s.Seconds, Second{Unix: sec})
	}
	c.s.Seconds[len(c.s.Seconds)-1].add(d)
}

// addTo returns the key that it counted under.
func addTo(m map[string]Sums, key string, d Sums) string {
	s, ok := m[key]
	if !ok && len(m) >= MaxKeys {
		key = Others
		s = m[key]
	}
	s.add(d)
	m[key] = s
	return key
}

// enter counts a call in flight; it reports false when there are too many.
func (c *counts) enter(most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.InFlight >= int64(most) {
		return false
	}
	c.s.InFlight++
	c.s.PeakInFlight = max(c.s.PeakInFlight, c.s.InFlight)
	return true
}

func (c *counts) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.InFlight--
}

func (c *counts) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.ByModel, s.ByTenant = maps.Clone(s.ByModel), maps.Clone(s.ByTenant)
	s.ByTenantModel = make(map[string]map[string]Sums, len(c.s.ByTenantModel))
	for t, m := range c.s.ByTenantModel {
		s.ByTenantModel[t] = maps.Clone(m)
	}
	s.Seconds = append([]Second(nil), s.Seconds...)
	return s
}
