package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// handle mounts a path: fence, method, handler, errors in our form, panics, metrics, access log.
func (s *Server) handle(pattern string, m methods) {
	name := pattern
	if pattern == "/" {
		name = "unknown"
	}
	rt := s.metrics.route(name)
	for method, to := range m {
		if to.who == 0 {
			panic(fmt.Sprintf("BUG: the route %s %s does not say whom it is for", method, pattern))
		}
		s.routes = append(s.routes, Route{method, pattern, to.who})
	}
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		answering(r)
		rec := &recorder{ResponseWriter: w}
		var who *caller.Caller
		s.metrics.enter()
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				s.panicked(rec, r, p)
			}
			took := time.Since(start)
			if who != nil {
				who.Leave(took)
			}
			s.metrics.leave(rt, rec.status(), took)
			if rec.slow {
				s.metrics.refuse("answer_slow")
			}
			s.access(r, rec, took)
			// After a part of an answer only a broken connection can tell the client that the rest
			// is missing; the proxy asks for that with ErrAbortHandler.
			if p != nil && (p == http.ErrAbortHandler || rec.broken) {
				panic(http.ErrAbortHandler)
			}
		}()
		err := s.fence(r)
		if err == nil {
			var to route
			if to, err = m.find(r.Method); err != nil {
				rec.Header().Set("Allow", m.allow())
			} else if who, err = s.identify(r, to.who, start); err == nil {
				if who != nil {
					r = r.WithContext(caller.With(r.Context(), who))
				}
				err = to.h(rec, r)
			}
		}
		if err != nil {
			s.fail(rec, r, err)
		}
	})
}

// fence keeps browsers' pages out, since loopback asks for no login: a page that rebinds its DNS name
// to 127.0.0.1 sends that name as Host, and a page that posts across origins says so in
// Sec-Fetch-Site or Origin. A Unix socket is out of a browser's reach.
func (s *Server) fence(r *http.Request) error {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return nil
	}
	// Where a key is needed no page gets in by a name that it rebound: it has no key, and TLS no certificate for that name.
	if !locked(r) && !loopbackHost(r.Host) {
		s.metrics.refuse("host")
		return newError(http.StatusMisdirectedRequest, ErrCodeHost, "",
			"the Host header is %q: on loopback it must be localhost or a loopback address, so that no web page can reach the node; a reverse proxy must set it so", clip(r.Host, maxEchoLen))
	}
	if err := s.origin.Check(r); err != nil {
		s.metrics.refuse("cross_origin")
		return newError(http.StatusForbidden, ErrCodeCrossOrigin, "", "a web page of another origin sent this: %s", err.Error())
	}
	return nil
}

func loopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil { // without a port
		name = host
		if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
			name = host[1 : n-1]
		}
	}
	if name == "127.0.0.1" || strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// fail writes an error, if nothing was written yet.
func (s *Server) fail(rec *recorder, r *http.Request, err error) {
	e := fromNode(err)
	if e.Code == ErrCodeMalformed {
		s.metrics.refuse("body_malformed")
	}
	if log := s.log.Info(); e.Status >= 500 && e.Code == ErrCodeInternal {
		s.log.Error().Err(err).Str("method", r.Method).Str("path", clip(r.URL.Path, maxEchoLen)).Msg("http: failed")
	} else if log.Enabled() {
		log.Str("method", clip(r.Method, maxEchoLen)).Str("path", clip(r.URL.Path, maxEchoLen)).Int("status", e.Status).
			Str("code", e.Code).Str("param", e.Param).Msg("http: refused")
	}
	if rec.code != 0 {
		rec.broken = true
		panic(http.ErrAbortHandler)
	}
	if e.RetryAfter > 0 {
		rec.Header().Set("Retry-After", strconv.FormatInt(ceilDiv(e.RetryAfter, time.Second), 10))
		rec.Header().Set("Retry-After-Ms", strconv.FormatInt(ceilDiv(e.RetryAfter, time.Millisecond), 10))
	}
	if e.Status == http.StatusUnauthorized {
		rec.Header().Set("WWW-Authenticate", `Bearer realm="swarmpurse"`)
	}
	writeBody(rec, e.Status, e.body())
}

func (s *Server) panicked(rec *recorder, r *http.Request, p any) {
	s.metrics.panics.Inc()
	s.log.Error().Str("panic", fmt.Sprint(p)).Str("method", r.Method).Str("path", clip(r.URL.Path, maxEchoLen)).
		Bytes("stack", debug.Stack()).Msg("http: a handler panicked: please report this")
	if rec.code != 0 {
		rec.broken = true
		return
	}
	rec.Header().Set("Connection", "close")
	writeBody(rec, http.StatusInternalServerError,
		newError(http.StatusInternalServerError, ErrCodeInternal, "", "the node failed to answer: the cause is in its log").body())
}

func (s *Server) access(r *http.Request, rec *recorder, took time.Duration) {
	if e := s.log.Debug(); e.Enabled() {
		e.Str("method", clip(r.Method, maxEchoLen)).Str("path", clip(r.URL.Path, maxEchoLen)).Str("remote", r.RemoteAddr).
			Int("status", rec.status()).Int64("bytes", rec.bytes).Dur("took", took).Msg("http: request")
	}
}

// recorder notes what a handler answered. It passes flushes on, and the rest (hijacking, deadlines)
// through Unwrap.
//
// Each write has its time, so that a client that does not read holds nothing for ever; a stream may take as long as it likes, and sets
// times of its own if it has others.
type recorder struct {
	http.ResponseWriter
	code   int
	bytes  int64
	broken bool // the answer ended in its middle
	slow   bool // a write ran out of time
	own    bool // the handler sets the times of its writes
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= 200 { // 1xx come before the answer
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	if d, ok := r.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok && !r.own {
		_ = d.SetWriteDeadline(time.Now().Add(writeTimeout)) // net/http takes it back with the answer's end
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	if err != nil && !r.own && errors.Is(err, os.ErrDeadlineExceeded) {
		r.slow = true
	}
	return n, err
}

// SetWriteDeadline is the handler's, by http.ResponseController.
func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.own = true
	return http.NewResponseController(r.ResponseWriter).SetWriteDeadline(t)
}

// Flush makes streams pass through the recorder unbuffered.
func (r *recorder) Flush() {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK // net/http writes that when a handler writes nothing
	}
	return r.code
}

var jsonType = []string{"application/json"}

// netHTTPCounts is how long an answer may be that net/http says the length of by itself.
const netHTTPCounts = 2048

const headerBackpressure = "X-Swarmpurse-Backpressure"

// levels are the values of that header.
var levels = [policy.MaxLevel + 1][]string{{"0"}, {"1"}, {"2"}, {"3"}}

func levelHeader(level int) []string { return levels[min(max(level, 0), policy.MaxLevel)] }

// writeBody sends a whole JSON answer. A client that is gone is nobody's error.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	if len(body) > netHTTPCounts {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
