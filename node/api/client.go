package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// DefaultNode is where a Client finds a node that was started with no --http.
const DefaultNode = "http://127.0.0.1:7070"

// maxAnswer bounds what a Client reads; the longest answer is all budgets with their instances.
const maxAnswer = 32 << 20

// Client speaks the API to one node. Safe for concurrent use. Calls take as long as their context
// allows. Errors are *Error for what the node answered and *UnreachableError when it did not.
type Client struct {
	base string // "http://host:port", no slash at the end
	node string // as the user wrote it, for errors
	key  string
	http *http.Client
}

// UnreachableError says that a node did not answer.
type UnreachableError struct {
	Node string
	Err  error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("node %s: %v", e.Node, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// Hint names the next thing to try.
func (e *UnreachableError) Hint() string {
	if errors.Is(e.Err, context.DeadlineExceeded) {
		return "the node is slow or stopped; give it longer with --timeout"
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(e.Err, &unknown):
		return "name the file of the authority that vouches for the node's certificate with --ca or SWARMPURSE_CA"
	case errors.As(e.Err, &name):
		return "name the node as its certificate does"
	case strings.Contains(e.Err.Error(), "server gave HTTP response to HTTPS client"):
		return "that node speaks no TLS: write http://"
	case strings.HasPrefix(e.Node, "unix:") && (strings.Contains(e.Err.Error(), "malformed HTTP response") || errors.Is(e.Err, io.EOF)):
		return "is that the node's --socket, which is for package client? commands speak HTTP: name an address of --http, http://127.0.0.1:7070 or unix:/path"
	case strings.Contains(e.Err.Error(), "malformed HTTP response") || errors.Is(e.Err, io.EOF):
		return "does that node speak TLS? write https://"
	}
	return "is it running? start one with: swarmpurse node; or name another with --node"
}

// ClientOptions say how a Client shows who it is, and whom it trusts.
type ClientOptions struct {
	Key string         // a caller's key; "" for none
	CA  *x509.CertPool // who vouches for the node; nil: whom the system trusts
}

// NewClient makes a client without a key: see NewClientWith.
func NewClient(node string) (*Client, error) { return NewClientWith(node, ClientOptions{}) }

// NewClientWith makes a client for "http://host:port", "https://host:port", "host:port" or "unix:/path". "" means DefaultNode. A key goes
// to loopback, to a Unix socket or by TLS only.
func NewClientWith(node string, o ClientOptions) (*Client, error) {
	if node == "" {
		node = DefaultNode
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the key holds bytes that a header cannot carry: a line end or a space, perhaps")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256, // load generators keep as many calls going
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.CA},
	}
	c := &Client{node: node, key: o.Key, http: &http.Client{
		Transport: transport,
		// A redirect would send a mint or a key somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if path, ok := strings.CutPrefix(node, unixPrefix); ok {
		path = strings.TrimPrefix(path, "//") // unix:///run/x.sock
		if path == "" {
			return nil, fmt.Errorf("node %q: the socket's path is missing, as in unix:/run/swarmpurse.sock", node)
		}
		transport.Proxy = nil
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "unix", path) }
		c.base = "http://localhost"
		return c, nil
	}
	full := node
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("node %q: write http://host:port, host:port or unix:/path", node)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("node %q: a query or fragment has no meaning here", node)
	}
	if c.base = strings.TrimRight(u.String(), "/"); o.Key != "" && u.Scheme == "http" && !loopbackHost(u.Host) {
		return nil, fmt.Errorf("node %q: a key would go there in clear: write https://", node)
	}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Admit asks for a decision. Refusals (defer and deny) are answers, not errors.
func (c *Client) Admit(ctx context.Context, r AdmitRequest) (AdmitAnswer, error) {
	var out AdmitAnswer
	err := c.post(ctx, "/v1/admit", r, &out)
	return out, err
}

// Settle books the real cost of a call and ends its reservation.
func (c *Client) Settle(ctx context.Context, r SettleRequest) (Receipt, error) {
	var out Receipt
	err := c.post(ctx, "/v1/settle", r, &out)
	return out, err
}

// Release gives a reservation back whole.
func (c *Client) Release(ctx context.Context, id string) (Receipt, error) {
	var out Receipt
	err := c.post(ctx, "/v1/release", ReleaseRequest{ID: id}, &out)
	return out, err
}

// Refused gives the reservation of a call back that its provider refused, and tells what that said.
func (c *Client) Refused(ctx context.Context, id string, u Upstream) (Receipt, error) {
	var out Receipt
	err := c.post(ctx, "/v1/release", ReleaseRequest{ID: id, Upstream: &u}, &out)
	return out, err
}

// Mint tops an instance up.
func (c *Client) Mint(ctx context.Context, m MintRequest) (MintReceipt, error) {
	var out MintReceipt
	err := c.postSigned(ctx, "/v1/mint", m, m.Signature, &out)
	return out, err
}

// Burn destroys rights of an instance.
func (c *Client) Burn(ctx context.Context, m BurnRequest) (BurnReceipt, error) {
	var out BurnReceipt
	err := c.postSigned(ctx, "/v1/burn", m, m.Signature, &out)
	return out, err
}

// Budgets lists all budgets.
func (c *Client) Budgets(ctx context.Context) ([]Budget, error) {
	var out budgetList
	err := c.get(ctx, "/v1/budgets", &out)
	return out.Budgets, err
}

// Budget tells of one budget, with the holders of its instances.
func (c *Client) Budget(ctx context.Context, name string) (Budget, error) {
	var out Budget
	err := c.get(ctx, "/v1/budgets/"+url.PathEscape(name), &out)
	return out, err
}

// RemoveMember takes a member off the list, or gives an operator's word that it is dead.
func (c *Client) RemoveMember(ctx context.Context, q RemoveRequest) (RemoveReceipt, error) {
	var out RemoveReceipt
	err := c.postSigned(ctx, "/v1/members/"+url.PathEscape(q.Name)+"/remove", q, q.Signature, &out)
	return out, err
}

// Members lists the swarm as that node sees it.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	var out memberList
	err := c.get(ctx, "/v1/members", &out)
	return out.Members, err
}

// Freeze has calls denied in the whole swarm that draw on an instance, or that a tenant or an agent makes.
func (c *Client) Freeze(ctx context.Context, q FreezeRequest) (FreezeReceipt, error) {
	var out FreezeReceipt
	err := c.postSigned(ctx, "/v1/freeze", q, q.Signature, &out)
	return out, err
}

// Unfreeze ends that.
func (c *Client) Unfreeze(ctx context.Context, q FreezeRequest) (FreezeReceipt, error) {
	var out FreezeReceipt
	err := c.postSigned(ctx, "/v1/unfreeze", q, q.Signature, &out)
	return out, err
}

// Frozen lists what is frozen.
func (c *Client) Frozen(ctx context.Context) ([]Frozen, error) {
	var out frozenList
	err := c.get(ctx, "/v1/freeze", &out)
	return out.Frozen, err
}

// Decision tells of a recent decision of that node.
func (c *Client) Decision(ctx context.Context, id string) (Decision, error) {
	var out Decision
	err := c.get(ctx, "/v1/decisions/"+url.PathEscape(id), &out)
	return out, err
}

// Policy is the policy that the node runs, with its document.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	var out Policy
	err := c.get(ctx, "/v1/policy", &out)
	return out, err
}

// PutPolicy has the node check a document, adopt it and gossip it.
func (c *Client) PutPolicy(ctx context.Context, src []byte) (Policy, error) {
	return c.ApplyPolicy(ctx, ApplyRequest{Source: src})
}

// Status is the node's own state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.get(ctx, "/v1/status", &out)
	return out, err
}

// Faults cuts or slows the node's gossip and sets its clock wrong; it replaces the faults set before.
func (c *Client) Faults(ctx context.Context, f Faults) error {
	return c.post(ctx, "/debug/faults", f, &Faults{})
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, "", nil, out)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	return c.postSigned(ctx, path, in, nil, out)
}

// postSigned is post with an operator's signature, nil for none.
func (c *Client) postSigned(ctx context.Context, path string, in any, sig *trust.Signature, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.doSigned(ctx, http.MethodPost, path, "application/json", body, sig, out)
}

func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	return c.doSigned(ctx, method, path, contentType, body, nil, out)
}

// doSigned is do with an operator's signature, nil for none.
func (c *Client) doSigned(ctx context.Context, method, path, contentType string, body []byte, sig *trust.Signature, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("node %s: %w", c.node, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	if sig != nil {
		req.Header.Set(trust.Header, sig.String())
	}
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return &UnreachableError{Node: c.node, Err: fmt.Errorf("the answer broke off: %w", err)}
	}
	if len(data) > maxAnswer {
		return c.notOurs(resp, nil, fmt.Sprintf("the answer is longer than %d bytes", maxAnswer))
	}
	refusal := path == "/v1/admit" && resp.StatusCode == http.StatusTooManyRequests
	if resp.StatusCode != http.StatusOK && !refusal {
		return c.readError(resp, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return c.notOurs(resp, data, "the answer is not what a node says")
	}
	if a, ok := out.(*AdmitAnswer); ok && a.Decision == "" {
		return c.notOurs(resp, data, "the answer holds no decision")
	}
	return nil
}

// send makes a request with the client's key. The error is an *UnreachableError.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error // repeats method and URL, which only clutter
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, &UnreachableError{Node: c.node, Err: err}
	}
	return resp, nil
}

func (c *Client) readError(resp *http.Response, data []byte) error {
	var b wireError
	if err := json.Unmarshal(data, &b); err != nil || b.Error.Message == "" {
		return c.notOurs(resp, data, "the answer is not what a node says")
	}
	e := &Error{Status: resp.StatusCode, Message: clip(b.Error.Message, maxMessageLen), Type: b.Error.Type, Code: b.Error.Code}
	if b.Error.Param != nil {
		e.Param = *b.Error.Param
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 && n < 1<<31 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return e
}

func (c *Client) notOurs(resp *http.Response, data []byte, what string) *Error {
	msg := fmt.Sprintf("node %s: HTTP status %d: %s", c.node, resp.StatusCode, what)
	if len(data) > 0 {
		msg += fmt.Sprintf(": %q", clip(string(data), maxErrorBodyForHint))
	}
	return &Error{Status: resp.StatusCode, Type: typeOf(resp.StatusCode), Code: ErrCodeNotOurs, Message: msg}
}
