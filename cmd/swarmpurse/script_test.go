package main

import (
	"archive/zip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"swarmpurse": main})
}

// makePlain builds the program as its users have it.
func makePlain(file string) error {
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", file, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("swarmpurse cannot be built: %w\n%s", err, out)
	}
	return nil
}

// TestScripts runs testdata/script/*.txtar: each has a fresh node with 1,000 tokens in its budget
// "pot" behind $SWARMPURSE_NODE.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // writes what cmp finds into the scripts
		Setup: func(env *testscript.Env) error {
			node := apitest.New(1000)
			node.Check = func(src []byte) (int64, []string, error) {
				p, err := policy.Parse("policy", src)
				if err != nil {
					return 0, nil, err
				}
				return p.Revision(), nil, nil
			}
			s, err := api.New(api.Options{Node: node, Views: node})
			if err != nil {
				return err
			}
			server := httptest.NewServer(s.Handler())
			env.Defer(server.Close)
			env.Setenv("SWARMPURSE_NODE", server.URL)
			env.Setenv("GORACE", os.Getenv("GORACE")) // under the race detector each process else sleeps for a second at its end
			env.Setenv("SWARMPURSE_GRPC", "off")      // scripts run at one time, and the default port is one
			shipped, err := filepath.Abs("../../policy")
			if err != nil {
				return err
			}
			env.Setenv("POLICY", shipped)
			rules, err := filepath.Abs("../../node/telemetry/alerts.yaml")
			if err != nil {
				return err
			}
			env.Setenv("RULES", rules)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "ready": ready, "refused": refused, "change": change, "unpack": unpack, "certify": certify, "answers": answers, "admitted": admitted, "scored": scored, "shows": shows, "lists": lists, "plainly": plainly},
	})
}

// plainly takes the program without the race detector from here on, for simulations: with it they take ten times as long.
func plainly(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: plainly")
	}
	dir := ts.MkAbs("plain")
	ts.Check(makePlain(filepath.Join(dir, "swarmpurse")))
	ts.Setenv("PATH", dir+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// unpack FILE makes files of a zip's, beside it.
func unpack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unpack FILE")
	}
	path := ts.MkAbs(args[0])
	z, err := zip.OpenReader(path)
	ts.Check(err)
	defer z.Close()
	ts.Check(os.CopyFS(strings.TrimSuffix(path, ".zip"), z))
}

// answers ARGS... runs swarmpurse until it succeeds: a node that was started in the background answers.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: answers ARGS...")
	}
	for deadline := time.Now().Add(time.Minute); ts.Exec("swarmpurse", args...) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("no answer after a minute: %s", ts.ReadFile("stderr"))
		}
	}
}

// lists FILE REVISION KEYFILE... writes policy.yaml under another revision, with the operators of these keys as signers.
func lists(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: lists FILE REVISION KEYFILE...")
	}
	doc := strings.Replace(ts.ReadFile("policy.yaml"), "revision: 1\n", "revision: "+args[1]+"\n", 1) + "trust:\n  signers:\n"
	for _, file := range args[2:] {
		s, err := trust.ParseSecret(ts.ReadFile(file))
		ts.Check(err)
		doc += fmt.Sprintf("    - {name: %s, key: %s}\n", strings.TrimSuffix(file, ".key"), s.Public())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(doc), 0o600))
}

// certify CERT KEY makes a certificate for 127.0.0.1 that vouches for itself, and sets $PORT to a port that is free.
func certify(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: certify CERT KEY")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	ts.Check(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("PORT", strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	ts.Check(ln.Close())
}

// exits CODE ARGS... runs swarmpurse and demands an exit code. Its output is that of `exec`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	want := map[string]int{"0": exitOK, "1": exitFailed, "2": exitUsage, "3": exitDenied}
	code, known := want[args[0]]
	if !known {
		ts.Fatalf("no exit code %s", args[0])
	}
	err := ts.Exec("swarmpurse", args[1:]...)
	var exit interface{ ExitCode() int }
	got := 0
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != code {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
}

// refused NAME DIR ARGS... demands that a node does not start on a data directory.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: refused NAME DIR ARGS...")
	}
	exits(ts, neg, append([]string{"1", "node", "--name", args[0], "--data", ts.MkAbs(args[1]), "--log-level", "error",
		"--gossip", "127.0.0.1:0", "--http", "unix:" + ts.MkAbs("refused.sock")}, args[2:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("a node that does not start wrote %q", out)
	}
}

// ready NODE waits until a node that was started in the background is.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready NODE")
	}
	c, err := api.NewClient(args[0])
	ts.Check(err)
	defer c.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		st, err := c.Status(context.Background())
		if err == nil && st.Ready {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not ready after a minute: %v %v", args[0], st.Reasons, err)
		}
	}
}

// change FILE OLD NEW replaces a text in a file, the first time that it is there.
func change(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: change FILE OLD NEW")
	}
	old := ts.ReadFile(args[0])
	if !strings.Contains(old, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(old, args[1], args[2], 1)), 0o600))
}

// admitted VAR ARGS... has a call admitted, and sets a variable to the id of its decision.
func admitted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: admitted VAR ARGS...")
	}
	ts.Check(ts.Exec("swarmpurse", append([]string{"admit", "-o", "json"}, args[1:]...)...))
	var a api.AdmitAnswer
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &a))
	if a.Decision != "admit" && a.Decision != "degrade" {
		ts.Fatalf("not admitted: %+v", a)
	}
	ts.Setenv(args[0], a.ID)
}

// scored CALLS FIRST OTHER makes calls of so many agents to the model large, which are settled for what they asked, each with the first score
// (give or take 0.05) in the first arm of the experiment, and with the other one else.
func scored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: scored CALLS FIRST OTHER")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	c, err := api.NewClient(ts.Getenv("SWARMPURSE_NODE"))
	ts.Check(err)
	defer c.Close()
	for i := range n {
		a, err := c.Admit(context.Background(), api.AdmitRequest{Agent: fmt.Sprint("agent-", i), Model: "large", PromptTokens: 100, MaxOutputTokens: 100})
		ts.Check(err)
		if a.Advice == nil || a.Advice.Experiment == "" {
			ts.Fatalf("no part of an experiment: %+v", a)
		}
		of, cost := args[1], int64(1000)
		if a.Advice.Model != "" {
			of, cost = args[2], 200
		}
		score, err := strconv.ParseFloat(of, 64)
		ts.Check(err)
		score += float64(i%3-1) / 20
		_, err = c.Settle(context.Background(), api.SettleRequest{ID: a.ID, Used: map[string]ledger.Tokens{"money": ledger.Tokens(cost)}, Outcome: "ok", Score: &score})
		ts.Check(err)
	}
}

// shows REGEXP ARGS... runs swarmpurse until its output matches: what it tells comes in the background.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: shows REGEXP ARGS...")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("swarmpurse", args[1:]...))
		if re.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing matches %s after a minute", args[0])
		}
	}
}
