package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDocuments runs what documents tell a reader to type: ```console blocks, in their order, in one directory. A line that begins with $ is a
// command; [exit N] below it says with which code it ends, other lines what it prints, by regexp: … is anything, any number and any space will do.
// ```yaml NAME blocks are files. Ports are other ones, and the providers are a stand-in.
func TestDocuments(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("SWARMPURSE_CI") != "" {
			t.Fatal("no curl: install it")
		}
		t.Skip("no curl")
	}
	for _, name := range []string{"MOVING.md", "RECIPES.md"} {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join(deploy, name))
			if err != nil {
				t.Fatal(err)
			}
			newReader(t).follow(string(src))
		})
	}
}

// reader does what a document says.
type reader struct {
	t     *testing.T
	dir   string
	env   []string
	swap  *strings.Replacer
	nodes []*exec.Cmd
}

func newReader(t *testing.T) *reader {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// This binary is swarmpurse when it is called so: see TestMain.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700), os.Symlink(self, filepath.Join(dir, "bin", "swarmpurse"))); err != nil {
		t.Fatal(err)
	}
	starter, err := os.ReadFile("../../policy/starter.yaml")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "policy"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "policy", "starter.yaml"), starter, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hello"}}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`)
	}))
	t.Cleanup(provider.Close)
	r := &reader{t: t, dir: dir}
	ports := []string{"https://api.openai.com/v1", provider.URL + "/v1", "https://api.anthropic.com/v1", provider.URL + "/v1"}
	http := ""
	for _, p := range []string{"7070", "7071", "7946"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, free, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		if p == "7070" {
			http = free
		}
		ports = append(ports, "127.0.0.1:"+p, "127.0.0.1:"+free)
		r.env = append(r.env, map[string]string{"7070": "SWARMPURSE_HTTP", "7071": "SWARMPURSE_GRPC", "7946": "SWARMPURSE_GOSSIP"}[p]+"=127.0.0.1:"+free)
	}
	r.swap = strings.NewReplacer(ports...)
	r.env = append(r.env, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir, "SWARMPURSE_NODE=127.0.0.1:"+http, "SWARMPURSE_LOG_LEVEL=error", "SWARMPURSE_DRAIN=1ms", "NO_PROXY=127.0.0.1")
	t.Cleanup(func() {
		for _, n := range r.nodes {
			_ = n.Process.Signal(syscall.SIGTERM)
			_ = n.Wait()
		}
	})
	return r
}

func (r *reader) command(ctx context.Context, line string) *exec.Cmd {
	c := exec.CommandContext(ctx, "sh", "-c", r.swap.Replace(line))
	c.Dir, c.Env = r.dir, r.env
	return c
}

var block = regexp.MustCompile("(?ms)^```(console|yaml) ?(\\S*)\n(.*?)^```$")

func (r *reader) follow(doc string) {
	commands := 0
	for _, b := range block.FindAllStringSubmatch(doc, -1) {
		switch {
		case b[1] == "yaml" && b[2] != "":
			if err := os.WriteFile(filepath.Join(r.dir, b[2]), []byte(b[3]), 0o600); err != nil {
				r.t.Fatal(err)
			}
		case b[1] == "console":
			for _, part := range strings.Split("\n"+b[3], "\n$ ")[1:] {
				line, said, _ := strings.Cut(part, "\n")
				r.enter(line, strings.TrimSpace(said))
				commands++
			}
		}
	}
	if commands < 5 {
		r.t.Errorf("only %d commands were found", commands)
	}
}

// enter runs one command and compares what it says.
func (r *reader) enter(line, said string) {
	r.t.Helper()
	if kv, ok := strings.CutPrefix(line, "export "); ok {
		r.env = append(r.env, r.swap.Replace(kv))
		return
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	if in, ok := strings.CutSuffix(line, " &"); ok {
		c := r.command(context.Background(), "exec "+in)
		var log bytes.Buffer
		c.Stdout, c.Stderr = &log, &log
		if err := c.Start(); err != nil {
			r.t.Fatal(err)
		}
		r.nodes = append(r.nodes, c)
		if out, err := r.command(ctx, "until swarmpurse ready; do sleep 0.1; done").CombinedOutput(); err != nil {
			r.t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return
	}
	code := 0
	if rest, ok := strings.CutPrefix(said, "[exit "); ok {
		n, more, _ := strings.Cut(rest, "]")
		_, _ = fmt.Sscan(n, &code)
		said = strings.TrimSpace(more)
	}
	c := r.command(ctx, line)
	out, err := c.CombinedOutput()
	if got := c.ProcessState.ExitCode(); got != code {
		r.t.Fatalf("$ %s\n%s(%v), want exit code %d", line, out, err, code)
	}
	for want := range strings.Lines(said) {
		p := regexp.QuoteMeta(strings.TrimSpace(want))
		p = strings.ReplaceAll(p, "…", ".*")
		p = regexp.MustCompile(`[0-9]+`).ReplaceAllString(p, "[0-9]+")
		p = regexp.MustCompile(`\s+`).ReplaceAllString(p, `\s+`)
		if !regexp.MustCompile(p).Match(out) {
			r.t.Errorf("$ %s\n%sdoes not say %s", line, out, want)
		}
	}
}
