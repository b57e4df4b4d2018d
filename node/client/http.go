package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

// maxBody bounds an answer.
const maxBody = 1 << 20

// overHTTP is the way over HTTP.
type overHTTP struct {
	node, base, key string
	http            *http.Client
}

func newHTTP(node string, o Options) (*overHTTP, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.CA},
	}
	h := &overHTTP{node: node, key: o.Key, http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would take the key elsewhere
	}}
	if path, ok := strings.CutPrefix(node, "http+unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		h.base = "http://localhost"
		return h, nil
	}
	u, err := url.Parse(node)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("node %q: write unix:/path of its --socket, or http://host:port, https://host:port or http+unix:/path of its --http", node)
	}
	if o.Key != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("node %q: a key would go there in clear: write https://", node)
	}
	h.base = strings.TrimRight(u.String(), "/")
	return h, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

func (h *overHTTP) close() { h.http.CloseIdleConnections() }

func (h *overHTTP) admit(ctx context.Context, c *Call, a *Answer) error {
	in := callBody{
		Tenant: c.Tenant, Agent: c.Agent, Run: c.Run, Class: c.Class, Model: c.Model, Priority: c.Priority, PromptTokens: c.PromptTokens,
		MaxOutputTokens: c.MaxOutputTokens, Tokens: c.Tokens, Data: c.Data, Attributes: c.Attributes, Wait: text(c.Wait), TTL: text(c.TTL), IdempotencyKey: c.IdempotencyKey,
	}
	if c.NoWait {
		in.Wait = "0s"
	}
	var out answerBody
	if err := h.post(ctx, "/v1/admit", c.Traceparent, in, &out); err != nil {
		return err
	}
	*a = Answer{
		ID: out.ID, Decision: decisionOf(out.Decision), Reserved: chargesOf(out.Reserved, out.Price), Reason: out.Reason, Code: out.Code,
		RetryAfter: time.Duration(out.RetryAfterMS) * time.Millisecond, Waited: millis(out.WaitedMS), Level: out.Backpressure,
		Revision: out.Policy.Revision, Arm: out.Policy.Arm, Node: out.Node,
	}
	if v := out.Advice; v != nil {
		a.Advice = &Advice{
			Model: v.Model, MaxOutputTokens: v.MaxOutputTokens, Temperature: v.Temperature, TopP: v.TopP, Upstream: v.Upstream, Flags: v.Flags,
			Experiment: v.Experiment, Arm: v.Arm, Node: v.Node, HTTP: v.HTTP, Zone: v.Zone, RTT: millis(v.RTTMS),
		}
	}
	if a.Decision == 0 {
		return &UnreachableError{Node: h.node, Sent: true, Err: errNotOurs}
	}
	return nil
}

func (h *overHTTP) settle(ctx context.Context, s *Settlement, r *Receipt) error {
	in := settleBody{ID: s.ID, Used: s.Used, Outcome: s.Outcome, Score: s.Score, Upstream: upstreamBodyOf(s.Upstream)}
	if u := s.Usage; u != nil {
		in.Usage = &usageBody{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens}
		in.Usage.Prompt.Cached, in.Usage.Completion.Reasoning = u.CachedTokens, u.ReasoningTokens
	}
	return h.end(ctx, "/v1/settle", in, r)
}

func (h *overHTTP) release(ctx context.Context, l *frame.Release, r *Receipt) error {
	return h.end(ctx, "/v1/release", releaseBody{l.ID, upstreamBodyOf(l.Upstream)}, r)
}

func (h *overHTTP) end(ctx context.Context, path string, in any, r *Receipt) error {
	var out receiptBody
	if err := h.post(ctx, path, "", in, &out); err != nil {
		return err
	}
	*r = Receipt{ID: out.ID, Charged: chargesOf(out.Charged, nil), Overrun: out.Overrun, Repeated: out.Repeated, Late: out.Late}
	return nil
}

func (h *overHTTP) post(ctx context.Context, path, trace string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("node %s: %w", h.node, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if trace != "" {
		req.Header.Set("Traceparent", trace)
	}
	if h.key != "" {
		req.Header.Set("Authorization", "Bearer "+h.key)
	}
	lost := func(sent bool, err error) error {
		if e := ctx.Err(); e != nil {
			return e
		}
		return &UnreachableError{Node: h.node, Sent: sent, Err: err}
	}
	resp, err := h.http.Do(req)
	if err != nil {
		var ue *url.Error // repeats method and URL, which only clutter
		if errors.As(err, &ue) {
			err = ue.Err
		}
		var op *net.OpError
		return lost(!(errors.As(err, &op) && op.Op == "dial"), err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return lost(true, fmt.Errorf("the answer broke off: %w", err))
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusTooManyRequests && path == "/v1/admit" && !isError(data) {
		if err := json.Unmarshal(data, out); err != nil {
			return lost(true, fmt.Errorf("%w: %w", errNotOurs, err))
		}
		return nil
	}
	var b errorBody
	if json.Unmarshal(data, &b) != nil || b.Error.Message == "" {
		return lost(true, fmt.Errorf("HTTP status %d: %w", resp.StatusCode, errNotOurs))
	}
	e := &Error{Status: resp.StatusCode, Code: b.Error.Code, Param: b.Error.Param, Message: b.Error.Message}
	if ms, err := strconv.ParseInt(resp.Header.Get("Retry-After-Ms"), 10, 32); err == nil && ms > 0 {
		e.RetryAfter = time.Duration(ms) * time.Millisecond
	}
	return e
}

// isError tells a key's limit from a refusal: both have status 429.
func isError(data []byte) bool {
	var b errorBody
	return json.Unmarshal(data, &b) == nil && b.Error.Message != ""
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func decisionOf(s string) Decision {
	for _, d := range []Decision{Admit, Degrade, Defer, Deny} {
		if d.String() == s {
			return d
		}
	}
	return 0
}

func chargesOf(by map[string]int64, price map[string]float64) (list []Charge) {
	for _, b := range slices.Sorted(maps.Keys(by)) {
		list = append(list, Charge{Budget: b, Tokens: by[b], Price: price[b]})
	}
	return list
}

func upstreamBodyOf(u *Upstream) *upstreamBody {
	if u == nil {
		return nil
	}
	b := &upstreamBody{Status: u.Status, RetryAfterMS: u.RetryAfter.Milliseconds(), Remaining: u.Remaining}
	if u.Latency != nil {
		ms := float64(*u.Latency) / float64(time.Millisecond)
		b.LatencyMS = &ms
	}
	return b
}

// The JSON of the API: a test holds it against package api.
type (
	callBody struct {
		Tenant          string            `json:"tenant,omitempty"`
		Agent           string            `json:"agent,omitempty"`
		Run             string            `json:"run,omitempty"`
		Class           string            `json:"class,omitempty"`
		Model           string            `json:"model,omitempty"`
		Priority        bool              `json:"priority,omitempty"`
		PromptTokens    int64             `json:"prompt_tokens,omitempty"`
		MaxOutputTokens int64             `json:"max_output_tokens,omitempty"`
		Tokens          map[string]int64  `json:"tokens,omitempty"`
		Data            []string          `json:"data,omitempty"`
		Attributes      map[string]string `json:"attributes,omitempty"`
		Wait            string            `json:"wait,omitempty"`
		TTL             string            `json:"ttl,omitempty"`
		IdempotencyKey  string            `json:"idempotency_key,omitempty"`
	}
	answerBody struct {
		ID           string             `json:"id"`
		Decision     string             `json:"decision"`
		Reserved     map[string]int64   `json:"reserved"`
		Price        map[string]float64 `json:"price"`
		Reason       string             `json:"reason"`
		Code         string             `json:"code"`
		RetryAfterMS int64              `json:"retry_after_ms"`
		WaitedMS     float64            `json:"waited_ms"`
		Backpressure int                `json:"backpressure"`
		Node         string             `json:"node"`
		Policy       struct {
			Revision int64  `json:"revision"`
			Arm      string `json:"arm"`
		} `json:"policy"`
		Advice *struct {
			Model           string   `json:"model"`
			MaxOutputTokens int64    `json:"max_output_tokens"`
			Temperature     *float64 `json:"temperature"`
			TopP            *float64 `json:"top_p"`
			Upstream        string   `json:"upstream"`
			Flags           []string `json:"flags"`
			Experiment      string   `json:"experiment"`
			Arm             string   `json:"experiment_arm"`
			Node            string   `json:"node"`
			HTTP            string   `json:"http"`
			Zone            string   `json:"zone"`
			RTTMS           float64  `json:"rtt_ms"`
		} `json:"advice"`
	}
	settleBody struct {
		ID       string           `json:"id"`
		Used     map[string]int64 `json:"used,omitempty"`
		Usage    *usageBody       `json:"usage,omitempty"`
		Outcome  string           `json:"outcome,omitempty"`
		Score    *float64         `json:"score,omitempty"`
		Upstream *upstreamBody    `json:"upstream,omitempty"`
	}
	usageBody struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
		Prompt           struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		Completion struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
	upstreamBody struct {
		Status       int      `json:"status"`
		RetryAfterMS int64    `json:"retry_after_ms,omitempty"`
		LatencyMS    *float64 `json:"latency_ms,omitempty"`
		Remaining    *float64 `json:"remaining,omitempty"`
	}
	releaseBody struct {
		ID       string        `json:"id"`
		Upstream *upstreamBody `json:"upstream,omitempty"`
	}
	receiptBody struct {
		ID       string           `json:"id"`
		Charged  map[string]int64 `json:"charged"`
		Overrun  int64            `json:"overrun"`
		Repeated bool             `json:"repeated"`
		Late     bool             `json:"late"`
	}
	errorBody struct {
		Error struct {
			Message string `json:"message"`
			Code    string `json:"code"`
			Param   string `json:"param"`
		} `json:"error"`
	}
)
