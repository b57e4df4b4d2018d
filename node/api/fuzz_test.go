package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzQueries: what stands behind the question mark is read within its bounds, or refused with its name; a question that was read
// asks the same when it is put again.
func FuzzQueries(f *testing.F) {
	for _, s := range []string{
		"kind=decision&limit=10&from=3&since=2026-01-02T15:04:05Z", "limit=-1", "limit=99999999999999999999", "from=1e3", "since=yesterday",
		"until=0000-01-01T00:00:00Z", "kinds=decision,state", "kinds=,", "tenant=a&tenant=b", "data=eu/docs&limit=5",
	} {
		f.Add(s)
	}
	s := &Server{}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := auditQuery(v)
		if err != nil {
			checkRefusal(t, err)
		} else {
			again, err := auditQuery(q.values())
			if err != nil || !again.Since.Equal(q.Since) && q.Since.Nanosecond() == 0 || again.Kind != q.Kind || again.From != q.From || q.Limit < 0 || q.Limit > MaxAuditRecords {
				t.Fatalf("%q is %+v, which is %+v: %v", raw, q, again, err)
			}
		}
		kinds, state, err := s.eventKinds(&http.Request{URL: &url.URL{RawQuery: raw}})
		if err != nil {
			checkRefusal(t, err)
		} else if state || slices.ContainsFunc(kinds, func(k string) bool { return !slices.Contains(EventKinds, k) }) {
			t.Fatalf("%q follows %q and the state: %v", raw, kinds, state)
		}
	})
}

// FuzzLoopbackHost: a Host header that passes the fence names this machine, by the name that nobody can give to another, or by an address.
func FuzzLoopbackHost(f *testing.F) {
	for _, s := range []string{"127.0.0.1:7070", "localhost", "[::1]:7070", "127.0.0.1.evil.example", "localhost.evil.example:80", "::1", "[127.0.0.1]", "0x7f.1", "127.1:80", "[::ffff:127.0.0.1]:1", "LOCALHOST:", "[localhost]", "localhost:a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !loopbackHost(host) {
			return
		}
		name := host
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[i:], "]") && strings.Count(strings.TrimSuffix(name[:i], "]"), ":") != 1 {
			if _, err := netip.ParseAddr(name); err != nil {
				name = name[:i]
			}
		}
		name = strings.Trim(name, "[]")
		ip, err := netip.ParseAddr(name)
		if !strings.EqualFold(name, "localhost") && (err != nil || !ip.Unmap().IsLoopback()) {
			t.Fatalf("%q passes as loopback", host)
		}
	})
}

// FuzzAnswer: whatever a client is answered is an answer, or an error with a text that is bounded.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"id":"n1.1","decision":"admit"}`), "")
	f.Add(429, []byte(`{"id":"n1.1","decision":"defer","retry_after_ms":5}`), "7")
	f.Add(400, []byte(`{"error":{"message":"no","type":"invalid_request_error","code":"missing","param":"tenant"}}`), "99999999999")
	f.Add(502, []byte("<html>\x1b[2J"), "-1")
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		if status < 200 || status > 599 || status/100 == 3 {
			return
		}
		c, err := NewClient("http://127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		c.http = &http.Client{Transport: answers(func() *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}, Body: io.NopCloser(bytes.NewReader(body))}
		})}
		a, err := c.Admit(t.Context(), AdmitRequest{})
		if err == nil {
			if a.Decision == "" || !json.Valid(body) {
				t.Fatalf("%d %q is taken for an answer", status, body)
			}
			return
		}
		e := fromNode(err)
		if len(err.Error()) > 8192 || e.RetryAfter < 0 || e.RetryAfter > 1<<31*time.Second {
			t.Fatalf("%v, %v", err, e.RetryAfter)
		}
	})
}

type answers func() *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := a()
	resp.Request = r
	return resp, nil
}
