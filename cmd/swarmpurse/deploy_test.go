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
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
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

// TestCommentsSpeakOurFlags: the commands that stand in the comments of manifests, settings and policies are what this binary understands.
func TestCommentsSpeakOurFlags(t *testing.T) {
	var files []string
	for _, dir := range []string{deploy, filepath.Join(deploy, "kubernetes"), "../../policy", "../../policy/examples"} {
		for _, name := range []string{"*.yaml", "*.service", "Dockerfile"} {
			found, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	// On a line of its own or after a colon it is whole; within a sentence it may lack what does not matter there.
	command := regexp.MustCompile("(?m)^\\s*#.*?(  |: |`)(swarmpurse [^`\n]+)")
	seen := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range command.FindAllStringSubmatch(string(src), -1) {
			seen++
			if err := understood(m[2], m[1] != "`"); err != nil {
				t.Errorf("%s: %s: %v", file, m[2], err)
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d commands were looked at in %d files", seen, len(files))
	}
}

// TestExamplesSpeakOurFlags: the same of the examples that --help and the man pages give.
func TestExamplesSpeakOurFlags(t *testing.T) {
	seen := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", "")) {
			for part := range strings.SplitSeq(line, "&&") {
				part, _, _ = strings.Cut(part, "|")
				part, _, _ = strings.Cut(part, " >")
				if part = strings.TrimSpace(part); strings.HasPrefix(part, "swarmpurse ") {
					seen++
					if err := understood(part, true); err != nil {
						t.Errorf("%s: %s: %v", c.CommandPath(), part, err)
					}
				}
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(newRootCommand(&app{getenv: func(string) string { return "" }}))
	if seen < 50 {
		t.Errorf("%d examples were looked at", seen)
	}
}

// understood says what is wrong with a command line; one that is not whole may lack arguments.
func understood(line string, whole bool) error {
	c, rest, err := newRootCommand(&app{getenv: func(string) string { return "" }}).Find(strings.Fields(inQuotes.ReplaceAllString(line, "x"))[1:])
	if err == nil && !c.Runnable() {
		err = errors.New("no command")
	}
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil && whole {
		err = c.ValidateArgs(c.Flags().Args())
	}
	return err
}

var inQuotes = regexp.MustCompile(`"[^"]*"`)

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
