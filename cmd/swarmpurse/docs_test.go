package main

import (
	"context"
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
// command (and goes on in the next after \ or an open quote); [exit N] below it says with which code it ends, other lines what it prints, by regexp: … is
// anything, any number and any space will do (but a number alone is just that), and the id of a call stands for the one that is printed, from then on.
// ```yaml NAME blocks are files. Ports are other ones, and the providers are a stand-in.
func TestDocuments(t *testing.T) {
	needCurl(t)
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

func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("SWARMPURSE_CI") != "" {
			t.Fatal("no curl: install it")
		}
		t.Skip("no curl")
	}
}

// reader does what a document says.
type reader struct {
	t     *testing.T
	dir   string
	env   []string
	swap  *strings.Replacer
	ids   map[string]string // of calls: as the document has them, as they are
	nodes []*exec.Cmd

	skip    map[string]string // commands that are not run, and why not
	shorter map[string]string // what is run in the place of commands that take long
	used    map[string]bool   // of skip and shorter
}

func newReader(t *testing.T) *reader {
	dir := t.TempDir()
	// Without the race detector, which this test may have: simulations take ten times as long with it.
	if err := makePlain(filepath.Join(dir, "bin", "swarmpurse")); err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Abs("../../policy")
	if err == nil {
		err = os.Symlink(shipped, filepath.Join(dir, "policy"))
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
	r := &reader{t: t, dir: dir, ids: map[string]string{}, used: map[string]bool{}}
	ports := []string{"https://api.openai.com/v1", provider.URL + "/v1", "https://api.anthropic.com/v1", provider.URL + "/v1"}
	http := ""
	for _, p := range []string{"7070", "7071", "7946", "7080", "7081", "7947", "7090", "7443", "7948", "7100", "7956"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, free, _ := net.SplitHostPort(l.Addr().String())
		defer l.Close() // until all are found
		ports = append(ports, ":"+p, ":"+free)
		switch p { // what nodes listen on unless they are told
		case "7070":
			http = free
			r.env = append(r.env, "SWARMPURSE_HTTP=127.0.0.1:"+free)
		case "7071":
			r.env = append(r.env, "SWARMPURSE_GRPC=127.0.0.1:"+free)
		case "7946":
			r.env = append(r.env, "SWARMPURSE_GOSSIP=127.0.0.1:"+free)
		}
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
	for written, real := range r.ids {
		line = strings.ReplaceAll(line, written, real)
	}
	c := exec.CommandContext(ctx, "sh", "-c", r.swap.Replace(line))
	c.Dir, c.Env = r.dir, r.env
	return c
}

var block = regexp.MustCompile("(?ms)^```(console|yaml) ?(\\S*)\n(.*?)^```$")

type typed struct{ line, said string }

// key is the command with one space between its words.
func (c typed) key() string { return strings.Join(strings.Fields(c.line), " ") }

// commandsOf finds the commands of a block, each on one line, and what they say.
func commandsOf(block string) (all []typed) {
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		line, said, more := strings.Cut(part, "\n")
		for more && (strings.HasSuffix(line, "\\") || strings.Count(line, "'")%2 == 1) {
			var next string
			next, said, more = strings.Cut(said, "\n")
			line = strings.TrimSuffix(line, "\\") + " " + next
		}
		all = append(all, typed{line, strings.TrimSpace(said)})
	}
	return all
}

// follow does what a document says, and holds that it has something to do.
func (r *reader) follow(doc string) {
	commands := 0
	for _, b := range block.FindAllStringSubmatch(doc, -1) {
		switch {
		case b[1] == "yaml" && b[2] != "":
			if err := os.WriteFile(filepath.Join(r.dir, b[2]), []byte(b[3]), 0o600); err != nil {
				r.t.Fatal(err)
			}
		case b[1] == "console":
			for _, c := range commandsOf(b[3]) {
				commands++
				if _, ok := r.skip[c.key()]; ok {
					r.used[c.key()] = true
					continue
				}
				if less, ok := r.shorter[c.key()]; ok {
					r.used[c.key()] = true
					c.line = less
				}
				r.enter(c.line, c.said)
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
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Minute)
	defer cancel()
	if in, ok := strings.CutSuffix(line, " &"); ok {
		c := r.command(context.Background(), "exec "+in)
		log, err := os.Create(filepath.Join(r.t.TempDir(), "log"))
		if err != nil {
			r.t.Fatal(err)
		}
		defer log.Close()
		r.t.Cleanup(func() {
			if said, err := os.ReadFile(log.Name()); r.t.Failed() {
				r.t.Logf("%s\n%s%v", line, said, err)
			}
		})
		c.Stdout, c.Stderr = log, log
		if err := c.Start(); err != nil {
			r.t.Fatal(err)
		}
		r.nodes = append(r.nodes, c)
		return // the document waits for it itself
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
		want = strings.TrimSpace(want)
		p := regexp.QuoteMeta(want)
		// Its id first, as that has digits, too.
		id := callID.FindString(want)
		if id != "" {
			p = strings.ReplaceAll(p, regexp.QuoteMeta(id), "\x00")
		}
		p = strings.ReplaceAll(p, "…", ".*")
		if p = digits.ReplaceAllString(p, "[0-9]+"); p == "[0-9]+" {
			p = "(?m)^" + want + "$" // what echo $? says
		}
		p = spaces.ReplaceAllString(p, `\s+`)
		p = strings.ReplaceAll(p, "\x00", `(n[0-9]+\.[0-9a-z]+)`)
		got := regexp.MustCompile(p).FindSubmatch(out)
		if got == nil {
			r.t.Errorf("$ %s\n%sdoes not say %s", line, out, want)
		} else if id != "" {
			r.ids[id] = string(got[1])
		}
	}
}

var (
	callID = regexp.MustCompile(`\bn[0-9]+\.[0-9a-z]{10,}\b`)
	digits = regexp.MustCompile(`[0-9]+`)
	spaces = regexp.MustCompile(`\s+`)
)
