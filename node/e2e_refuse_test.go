//go:build unix

package node_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// raw makes a request as any program might, and returns the status and the error in the answer.
func (p *proc) raw(method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.set.HTTP+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	var e struct {
		Error struct{ Message, Type, Code string }
	}
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" || e.Error.Type == "" || e.Error.Code == "" {
		return resp.StatusCode, string(b)
	}
	return resp.StatusCode, e.Error.Message
}

// metric reads one counter of the node; 0 if it is not there yet.
func (p *proc) metric(name string) (v float64) {
	p.t.Helper()
	_, text := p.raw(http.MethodGet, "/metrics", "")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				p.t.Fatalf("metric %q: %v", line, err)
			}
		}
	}
	return v
}

// books are what all nodes say of all budgets, but for demand, which fades, and ages.
func (s *swarm) books() string {
	s.t.Helper()
	var b strings.Builder
	for _, p := range s.nodes {
		bs, err := p.Budgets(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, bud := range bs {
			for _, in := range bud.Instances {
				in.Local.Demand, in.Local.Unmet = 0, 0
				fmt.Fprintf(&b, "%s %s limit %d local %+v swarm %+v\n", p.set.Name, in.Instance, in.Limit, in.Local, total(in))
			}
		}
	}
	return b.String()
}

// admit makes one call that must be admitted. It asks again while the node's disk is behind, as it is where many nodes share one.
func (p *proc) admit(tokens ledger.Tokens) api.AdmitAnswer {
	p.t.Helper()
	var a api.AdmitAnswer
	err := errors.New("not asked")
	for range 30 {
		if a, err = p.Admit(p.t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": tokens}}); err != nil || a.Code != admit.CodeDisk {
			break
		}
	}
	if err != nil || !a.Admitted() {
		p.t.Fatalf("%s: a call of %d tokens was not admitted: %+v, %v", p.set.Name, tokens, a, err)
	}
	return a
}

func (p *proc) settle(id string) {
	p.t.Helper()
	if _, err := p.Settle(p.t.Context(), api.SettleRequest{ID: id}); err != nil {
		p.t.Fatalf("%s: settle: %v", p.set.Name, err)
	}
}

// What is wrong is refused with its reason, and changes nothing on any node.
func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	doc := computePolicy(3, "{grant: 1000000}")
	s := newSwarm(t, 2, doc, func(set *settings) {
		if set.Name == "n2" {
			set.Data = "" // its next life is another generation
		}
	})
	n1, n2 := s.nodes[0], s.nodes[1]
	for _, p := range s.nodes {
		p.settle(p.admit(1000).ID)
	}
	older := n2.admit(1000)
	n2.kill()
	n2.restart()
	s.ready()
	other := n2.admit(10)
	eventually(t, func() error {
		in, err := n1.instanceOf("pot", "pot")
		// What n2 had reserved in its first life is counted for ever, if n1 was told of it in time.
		if err == nil && in.Swarm.Reserved != 10 && in.Swarm.Reserved != 1010 {
			err = fmt.Errorf("n1 knows of %d tokens reserved at n2", in.Swarm.Reserved)
		}
		return err
	})
	s.nodes = s.nodes[:1] // n2 lost what it held, so the totals of the swarm do not add up any more
	before := s.books()

	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"malformed JSON", "POST", "/v1/admit", `{"tenant":`, 400, "JSON"},
		{"two documents", "POST", "/v1/admit", `{} {}`, 400, ""},
		{"not an object", "POST", "/v1/admit", `[1]`, 400, ""},
		{"a word for a number", "POST", "/v1/admit", `{"prompt_tokens":"many"}`, 400, "prompt_tokens"},
		{"a number for a word", "POST", "/v1/admit", `{"tenant":7}`, 400, "tenant"},
		{"a fraction of a token", "POST", "/v1/admit", `{"tokens":{"compute":1.5}}`, 400, "tokens"},
		{"a negative amount", "POST", "/v1/admit", `{"tokens":{"compute":-5}}`, 400, "compute"},
		{"negative prompt tokens", "POST", "/v1/admit", `{"prompt_tokens":-1,"max_output_tokens":5}`, 400, "prompt_tokens"},
		{"above 2^63", "POST", "/v1/admit", `{"tokens":{"compute":9223372036854775808}}`, 400, "tokens"},
		{"above 2^53", "POST", "/v1/admit", `{"tokens":{"compute":9007199254740992}}`, 400, "compute"},
		{"a sum above 2^53", "POST", "/v1/admit", `{"prompt_tokens":9007199254740000,"max_output_tokens":9007199254740000}`, 400, ""},
		{"an unknown token type", "POST", "/v1/admit", `{"tokens":{"gold":5}}`, 400, "gold"},
		{"an unknown class", "POST", "/v1/admit", `{"class":"royal","prompt_tokens":5}`, 400, "royal"},
		{"a bad duration", "POST", "/v1/admit", `{"prompt_tokens":5,"wait":"soon"}`, 400, "wait"},
		{"10 MB", "POST", "/v1/admit", `{"tenant":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "bytes"},
		{"10 MB of policy", "PUT", "/v1/policy", strings.Repeat("# x\n", 10<<18), 413, "bytes"},
		{"settle of nothing", "POST", "/v1/settle", `{"id":"nobody"}`, 404, "nobody"},
		{"settle without an id", "POST", "/v1/settle", `{}`, 400, "id"},
		{"settle of another node's call", "POST", "/v1/settle", `{"id":"` + other.ID + `"}`, 404, ""},
		{"settle with a negative amount", "POST", "/v1/settle", `{"id":"` + other.ID + `","used":{"compute":-1}}`, 400, "compute"},
		{"release of another node's call", "POST", "/v1/release", `{"id":"` + other.ID + `"}`, 404, ""},
		{"mint into an unknown budget", "POST", "/v1/mint", `{"budget":"gold","amount":5,"id":"m"}`, 404, "gold"},
		{"mint of less than nothing", "POST", "/v1/mint", `{"budget":"pot","amount":-5,"id":"m"}`, 400, "amount"},
		{"mint of nothing", "POST", "/v1/mint", `{"budget":"pot","amount":0,"id":"m"}`, 400, ""},
		{"mint above 2^53", "POST", "/v1/mint", `{"budget":"pot","amount":9007199254740992,"id":"m"}`, 400, "amount"},
		{"mint with a key too many", "POST", "/v1/mint", `{"budget":"pot","key":["a"],"amount":5,"id":"m"}`, 400, "key"},
		{"an unknown budget", "GET", "/v1/budgets/gold", ``, 404, "gold"},
		{"an unknown decision", "GET", "/v1/decisions/nobody", ``, 404, "nobody"},
		{"an unknown path", "GET", "/v1/gold", ``, 404, ""},
		{"a wrong method", "DELETE", "/v1/policy", ``, 405, ""},
		{"a policy with an unknown field", "PUT", "/v1/policy", strings.Replace(doc, "supply:", "suply:", 1), 400, "policy:7:33"},
		{"a policy that is no YAML", "PUT", "/v1/policy", "a: [", 400, ":1:"},
		{"an older policy", "PUT", "/v1/policy", computePolicy(2, "{grant: 5}"), 409, "revision 3"},
		{"the policy that is there", "PUT", "/v1/policy", doc, 409, "revision 3"},
	} {
		status, says := n1.raw(c.method, c.path, c.body)
		if len(says) > 400 {
			says = says[:400]
		}
		if status != c.status || !strings.Contains(says, c.says) || strings.HasPrefix(says, "{") {
			t.Errorf("%s: status %d, %q; want %d and %q", c.name, status, says, c.status, c.says)
		}
	}
	if status, says := n2.raw("POST", "/v1/settle", `{"id":"`+older.ID+`"}`); status != 404 {
		t.Errorf("settle of an earlier generation's call: status %d, %q", status, says)
	}
	if after := s.books(); after != before {
		t.Errorf("refusals changed the books from\n%s\nto\n%s", before, after)
	}
	if n := n1.metric(`swarmpurse_gossip_dropped_total{reason="malformed"}`); n != 0 {
		t.Errorf("%g messages of peers were malformed", n)
	}
	n1.settle(n1.admit(1000).ID)
}

// A node that cannot start says why, names the flag or the directory, says what to do, and ends with 1.
func TestStartRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sub := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		if err := os.WriteFile(sub(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return sub(name)
	}
	base := settings{Name: "n1", Cluster: "e2e", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Expect: 1}

	// A directory that a node has used.
	used := base
	used.Data = sub("used")
	p, err := launch(t, used)
	if err != nil {
		t.Fatal(err)
	}
	p.admit(10)
	running := p.set
	inUse := base
	inUse.Data = used.Data
	refused(t, "data directory in use", inUse, used.Data, "another swarmpurse node")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	p.kill()

	with := func(f func(*settings)) settings {
		s := base
		f(&s)
		return s
	}
	refused(t, "HTTP port in use", with(func(s *settings) { s.HTTP = busy.Addr().String() }), "--http", "in use")
	refused(t, "gossip port in use", with(func(s *settings) { s.Gossip = busy.Addr().String() }), "--gossip", "in use")
	refused(t, "HTTP on all interfaces", with(func(s *settings) { s.HTTP = "0.0.0.0:0" }), "--http", "loopback")
	refused(t, "a file for a directory", with(func(s *settings) { s.Data = write("file", "x") }), sub("file"), "directory")
	refused(t, "another node's directory", with(func(s *settings) { s.Data, s.Name = used.Data, "n2" }), used.Data, "n1")
	refused(t, "another cluster's directory", with(func(s *settings) { s.Data, s.Cluster = used.Data, "other" }), used.Data, "e2e")
	refused(t, "policy with a mistake", with(func(s *settings) { s.Policy = write("p.yaml", "apiVersion: swarmpurse/v1\nrevison: 1\n") }), "--policy", "p.yaml:2:1")
	refused(t, "no policy file", with(func(s *settings) { s.Policy = sub("none.yaml") }), "--policy", "none.yaml")
	refused(t, "a keyring that is none", with(func(s *settings) { s.Keyring = write("ring", "[]") }), "ring", "no key")
	refused(t, "no name", with(func(s *settings) { s.Name = "" }), "--name", "")
	refused(t, "a bad seed", with(func(s *settings) { s.Join = []string{"nowhere"} }), "nowhere", "host:port")

	// Damage: every file of the directory in turn.
	files, err := os.ReadDir(used.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".db") {
			continue
		}
		path := filepath.Join(used.Data, f.Name())
		sound, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{"garbage": bytes.Repeat([]byte("garbage "), len(sound)/8), "empty": {}, "half": sound[:len(sound)/2/4096*4096]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, "database "+name, with(func(s *settings) { s.Data = used.Data }), used.Data, "hint:")
		}
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// None of that has harmed it.
	running.Data = used.Data
	if p, err = launch(t, running); err != nil {
		t.Fatal(err)
	}
	p.admit(10)
}

func refused(t *testing.T, name string, set settings, says ...string) {
	t.Helper()
	p, err := launch(t, set)
	if err == nil {
		t.Errorf("%s: the node started", name)
		p.kill()
		return
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("%s: exit code %d, want 1", name, code)
	}
	for _, w := range says {
		if !strings.Contains(p.log.String(), w) {
			t.Errorf("%s: the error does not say %q:\n%s", name, w, p.log.last(4))
		}
	}
}

func keyring(t *testing.T, dir, name string, keys ...[]byte) string {
	t.Helper()
	var texts []string
	for _, k := range keys {
		texts = append(texts, base64.StdEncoding.EncodeToString(k))
	}
	b, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey() []byte {
	k := make([]byte, 32)
	_, _ = rand.Read(k)
	return k
}

// A swarm whose gossip is encrypted works like any other. Nodes with a wrong key or of another cluster never
// join it, and what they and others send is dropped and counted.
func TestStrangersNeverJoin(t *testing.T) {
	t.Parallel()
	key, dir := newKey(), t.TempDir()
	limit := scale(400_000)
	s := newSwarm(t, 3, computePolicy(1, fmt.Sprintf("{grant: %d}", limit)), func(set *settings) {
		set.Keyring = keyring(t, dir, set.Name, key)
	})
	var b bank
	hammer{budget: "pot", token: "compute", workers: 6, offer: limit*2 + limit/5, wait: "1s", sizes: mixed}.run(s, &b)
	within(t, &b, limit, 0)
	s.totals("pot", "pot")
	before := s.books()

	count := func(reason string) (n float64) {
		for _, p := range s.nodes {
			n += p.metric(`swarmpurse_gossip_dropped_total{reason="` + reason + `"}`)
		}
		return n
	}
	var strangers []*proc
	for _, c := range []struct {
		name, reason string
		change       func(*settings)
	}{
		{"wrong-key", "foreign_key", func(set *settings) { set.Keyring = keyring(t, dir, "wrong", newKey()) }},
		{"no-key", "foreign_key", func(set *settings) {}},
		{"wrong-label", "foreign_label", func(set *settings) { set.Keyring, set.Cluster = keyring(t, dir, "label", key), "other" }},
	} {
		set := s.settings(c.name)
		set.Data = ""
		c.change(&set)
		was := count(c.reason)
		p, err := launch(t, set)
		if err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, p)
		eventually(t, func() error {
			if count(c.reason) <= was {
				return fmt.Errorf("%s: nothing was dropped as %s", c.name, c.reason)
			}
			if !strings.Contains(p.log.String(), "no seed could be joined") {
				return fmt.Errorf("%s does not say that it could not join", c.name)
			}
			return nil
		})
	}

	// Bytes by chance, and what looks like the beginning of a message.
	target := s.nodes[0].set.Gossip
	udp, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	garbage := func() float64 {
		return count("garbage") + count("foreign_label") + count("foreign_key") + count("malformed")
	}
	was := garbage()
	for i := range 100 {
		b := make([]byte, 1+i*13)
		_, _ = rand.Read(b)
		_, _ = udp.Write(b)
		if i%5 > 0 {
			continue
		}
		tcp, err := net.Dial("tcp", target)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = tcp.Write(b)
		_ = tcp.Close()
	}
	eventually(t, func() error {
		if n := garbage() - was; n < 50 {
			return fmt.Errorf("of 120 packets and streams of garbage %g were counted", n)
		}
		return nil
	})

	for _, p := range strangers {
		st, err := p.Status(t.Context())
		if err != nil || st.Ready || st.Charter != "" {
			t.Errorf("%s: ready %v, charter %q (%v)", p.set.Name, st.Ready, st.Charter, err)
		}
		if status, says := p.raw("GET", "/readyz", ""); status != 503 {
			t.Errorf("%s: readyz %d %s", p.set.Name, status, says)
		}
	}
	for _, p := range s.nodes {
		ms, err := p.Members(t.Context())
		if err != nil || len(ms) != 3 {
			t.Errorf("%s sees %d members (%v)", p.set.Name, len(ms), err)
		}
	}
	if after := s.books(); after != before {
		t.Errorf("strangers changed the books from\n%s\nto\n%s", before, after)
	}
	s.ready()
	// The swarm goes on.
	if _, err := s.nodes[0].Mint(t.Context(), api.MintRequest{Budget: "pot", Amount: 5000, ID: "more"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		a, err := s.nodes[1].Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 4000}})
		if err == nil && !a.Admitted() {
			err = fmt.Errorf("n2: %+v", a)
		}
		return err
	})
}
