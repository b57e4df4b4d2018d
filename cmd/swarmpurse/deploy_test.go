package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/node/needs"
	"github.com/swarmpurse/swarmpurse/policy"
)

const deploy = "../../node/deploy"

func nodeFlags() *pflag.FlagSet {
	return newNodeCommand(&app{getenv: func(string) string { return "" }}).Flags()
}

// TestManifestsSpeakOurFlags: what the manifests start is what this binary understands, and the policy in them is one. That they are what Kubernetes
// understands is checked by .ci/manifests, which has its types.
func TestManifestsSpeakOurFlags(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "kubernetes", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	commands := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(src)); ; {
			var doc any
			err := d.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			each(doc, func(m map[string]any) {
				args, _ := m["args"].([]any)
				if len(args) > 0 && args[0] == "node" {
					commands++
					var given []string
					for _, a := range args[1:] {
						given = append(given, strings.NewReplacer("$(POD_IP)", "10.0.0.1", "$(POD_NAME)", "n", "$(NODE_NAME)", "n").Replace(a.(string)))
					}
					if err := nodeFlags().Parse(given); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
				if command, _ := m["command"].([]any); len(command) > 1 && command[0] == "/swarmpurse" {
					commands++
					if c, rest, err := newRootCommand(&app{}).Find(texts(command[1:])); err != nil || c.ParseFlags(rest) != nil || c.Name() != "ready" {
						t.Errorf("%s: %v: %v", file, command, err)
					}
				}
				if source, ok := m["policy.yaml"].(string); ok {
					commands++
					if _, err := policy.Parse(file, []byte(source)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	if commands != 6 { // two nodes, three probes, a policy
		t.Errorf("%d commands and policies were looked at", commands)
	}
}

func texts(list []any) (out []string) {
	for _, x := range list {
		out = append(out, x.(string))
	}
	return out
}

// each visits every mapping of a document.
func each(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, x := range v {
			each(x, visit)
		}
	case []any:
		for _, x := range v {
			each(x, visit)
		}
	}
}

// TestUnit: the settings that it starts a node with are understood, and systemd understands it and finds it well guarded.
func TestUnit(t *testing.T) {
	f := nodeFlags()
	config := filepath.Join(deploy, "node.yaml")
	if err := settle(f, func(string) string { return "" }, &config); err != nil {
		t.Error(err)
	}
	src, err := os.ReadFile(filepath.Join(deploy, "swarmpurse.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(src, []byte("ExecStart=/usr/local/bin/swarmpurse node --config /etc/swarmpurse/node.yaml")) {
		t.Error("it starts something else")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	switch {
	case err != nil && os.Getenv("SWARMPURSE_CI") != "":
		t.Fatal("no systemd-analyze: install systemd, as .ci/run does")
	case err != nil:
		t.Skip("no systemd-analyze: the unit is not looked at")
	}
	// It wants the program to be there.
	unit := filepath.Join(t.TempDir(), "swarmpurse.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(src, []byte("/usr/local/bin/swarmpurse"), []byte("/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || bytes.Contains(out, []byte("swarmpurse.service:")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// An exposure below 2.0 of 10, in tenths.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestServiceManagerIsTold starts a node as systemd would, and hears that it is ready and that it ends.
func TestServiceManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "sp") // short: the path of a socket has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	manager, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		needs.Skip(t, "no sockets of that kind here: "+err.Error(), "run it on Linux or BSD, in a sandbox that lets Unix datagram sockets be made")
	}
	defer manager.Close()
	_ = manager.SetReadDeadline(time.Now().Add(time.Minute))
	hear := func() string {
		b := make([]byte, 256)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	t.Setenv("NOTIFY_SOCKET", at.Name)
	t.Setenv("WATCHDOG_USEC", "200000")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"node", "--name", "n1", "--gossip", "127.0.0.1:0", "--grpc", "off", "--http", "unix:" + filepath.Join(dir, "http"), "--log-level", "error"}, nil, io.Discard, io.Discard)
	}()
	if got := hear(); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	for range 2 {
		if got := hear(); got != "WATCHDOG=1" {
			t.Errorf("told %q", got)
		}
	}
	stop()
	got := hear()
	for got == "WATCHDOG=1" {
		got = hear()
	}
	if got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// TestManPages: there is one for each command that is shown.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	var errs bytes.Buffer
	if c := run(t.Context(), []string{"man", dir}, nil, io.Discard, &errs); c != 0 {
		t.Fatal(c, errs.String())
	}
	for _, name := range []string{"swarmpurse.1", "swarmpurse-node.1", "swarmpurse-policy-apply.1", "swarmpurse-report.1"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Contains(b, []byte(".SH SYNOPSIS")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
