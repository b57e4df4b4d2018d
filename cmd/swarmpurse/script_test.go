package main

import (
	"archive/zip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/policy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"swarmpurse": main})
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
			env.Setenv("SWARMPURSE_GRPC", "off") // scripts run at one time, and the default port is one
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "ready": ready, "refused": refused, "change": change, "unpack": unpack, "certify": certify, "answers": answers},
	})
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
