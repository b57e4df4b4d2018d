package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Server is the stand-in. It is an http.Handler and safe for concurrent use.
type Server struct {
	o      Options
	counts *counts
	seq    atomic.Int64

	mu    sync.Mutex // guards all below
	dice  *rand.Rand
	limit *rate.Limiter // nil: no limit
}

// New returns a Server. It starts nothing.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Server{o: o, counts: newCounts(), dice: rand.New(rand.NewPCG(o.Seed, 0))}, nil
}

// Stats returns the server's own count.
func (s *Server) Stats() Stats { return s.counts.stats() }

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch {
	case r.URL.Path == "/standin/stats" && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, s.Stats())
	case r.URL.Path == "/standin/reset" && r.Method == http.MethodPost:
		s.counts.reset()
		w.WriteHeader(http.StatusNoContent)
	case kind == "models" && r.Method == http.MethodGet:
		s.models(w)
	case kind == "messages/count_tokens" && r.Method == http.MethodPost:
		s.countTokens(w, r)
	case (kind == "chat/completions" || kind == "completions" || kind == "embeddings" || kind == "responses" || kind == "messages") && r.Method == http.MethodPost:
		s.call(w, r, kind)
	default:
		writeError(w, &badRequest{http.StatusNotFound, fmt.Sprintf("the stand-in does not serve %s %.80s", r.Method, r.URL.Path), ""})
	}
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, kind string) {
	if !s.counts.enter(s.o.MaxConcurrent) {
		s.fail(w, "", "", &badRequest{http.StatusTooManyRequests, fmt.Sprintf("more than %d calls at once", s.o.MaxConcurrent), ""})
		return
	}
	defer s.counts.leave()
	q, err := s.read(r, kind)
	if err != nil {
		s.fail(w, r.Header.Get(HeaderTenant), "", err)
		return
	}
	if s.o.ErrorRate > 0 && s.roll() < s.o.ErrorRate {
		s.fail(w, q.tenant, q.model, &badRequest{s.o.ErrorStatus, "an error drawn by the stand-in's error rate", ""})
		return
	}
	if err := s.within(w.Header(), q); err != nil {
		s.fail(w, q.tenant, q.model, err)
		return
	}
	s.counts.add(q.tenant, q.model, time.Now(), Sums{Calls: 1, PromptTokens: q.prompt})
	done := false
	defer func() {
		d := Sums{Aborted: 1}
		if done {
			d = Sums{Completed: 1}
		}
		s.counts.add(q.tenant, q.model, time.Now(), d)
	}()
	id := fmt.Sprintf("standin-%d", s.seq.Add(1))
	switch {
	case kind == "embeddings":
		done = s.embed(w, r, q)
	case kind == "responses":
		done = s.respond(w, r, q, id)
	case kind == "messages":
		done = s.message(w, r, q, id)
	case q.stream:
		done = s.stream(w, r, q, kind, id)
	default:
		done = s.answer(w, r, q, kind, id)
	}
}

func (s *Server) roll() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dice.Float64()
}

func (s *Server) fail(w http.ResponseWriter, tenant, model string, err error) {
	var b *badRequest
	if !errors.As(err, &b) {
		b = &badRequest{http.StatusInternalServerError, err.Error(), ""}
	}
	s.counts.add(tenant, model, time.Now(), Sums{Calls: 1, Errors: 1})
	writeError(w, b)
}

func writeError(w http.ResponseWriter, b *badRequest) {
	kind := "invalid_request_error"
	var code, param any
	switch {
	case b.status == http.StatusTooManyRequests:
		kind, code = "requests", "rate_limit_exceeded"
		if w.Header().Get("Retry-After-Ms") == "" {
			w.Header().Set("Retry-After-Ms", "100")
		}
	case b.status >= 500:
		kind = "server_error"
	}
	if b.param != "" {
		param = b.param
	}
	writeJSON(w, b.status, map[string]any{"error": map[string]any{
		"message": b.message, "type": kind, "param": param, "code": code,
	}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that has gone is noticed by whoever generates for it
}

func (s *Server) models(w http.ResponseWriter) {
	list := make([]map[string]any, len(s.o.Models))
	for i, m := range s.o.Models {
		list[i] = map[string]any{"id": m, "object": "model", "created": 0, "owned_by": "standin"}
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// generate makes n tokens at the server's speed, choice by choice, and counts them as it does. emit
// is told the choice and how many of its tokens follow. It returns false if the client hung up.
func (s *Server) generate(ctx context.Context, q *request, emit func(choice int, from, n int64)) bool {
	if !sleep(ctx, s.o.FirstToken) {
		return false
	}
	total, made := q.output*int64(q.choices), int64(0)
	start := time.Now()
	for made < total {
		if ctx.Err() != nil {
			return false
		}
		n := int64(s.o.TokensPerChunk)
		if s.o.TokensPerSecond > 0 {
			// All choices are made at the same time, so each has the whole speed.
			speed := s.o.TokensPerSecond * float64(q.choices)
			due := int64(time.Since(start).Seconds() * speed)
			if n = due - made; n < 1 {
				next := max(s.o.ChunkEvery, time.Duration(float64(time.Second)/speed))
				if !sleep(ctx, next) {
					return false
				}
				continue
			}
		}
		n = min(n, total-made, q.output-made%q.output) // one choice at a time
		if q.breakAfter >= 0 {
			if n = min(n, q.breakAfter-made); n <= 0 {
				panic(http.ErrAbortHandler)
			}
		}
		if q.stallAfter >= 0 {
			if n = min(n, q.stallAfter-made); n <= 0 {
				<-ctx.Done()
				return false
			}
		}
		s.counts.add(q.tenant, q.model, time.Now(), Sums{CompletionTokens: n})
		emit(int(made/q.output), made%q.output, n)
		made += n
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
