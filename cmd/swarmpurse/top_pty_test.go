//go:build linux

package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// TestTopInATerminal runs top in a terminal: it follows the window's size, sorts, and leaves the terminal as it was, whichever way it ends.
func TestTopInATerminal(t *testing.T) {
	node := apitest.New(1000)
	s, err := api.New(api.Options{Node: node, Views: node})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "swarmpurse") // as which TestMain runs main
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	for name, leave := range map[string]func(*screen){
		"q":       func(s *screen) { s.keys("q") },
		"ctrl-c":  func(s *screen) { s.keys("\x03") },
		"SIGTERM": func(s *screen) { _ = s.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGINT":  func(s *screen) { _ = s.cmd.Process.Signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, exec.Command(bin, "top", "--node", server.URL, "--interval", "100ms"))
			s.shows("pot")
			s.resize(30, 6) // less than there is to see
			s.shows("lines 1 to 5")
			s.keys("2") // budgets alone
			s.keys("s")
			s.shows("▲")
			s.resize(200, 50)
			s.shows("USED UP IN")
			s.keys("r")
			s.shows("▼")
			s.keys("\x1b[B") // down: the first one is chosen
			s.shows("▶")
			s.keys("6")
			s.shows("Policy")
			leave(s)
			s.ended()
		})
	}
	t.Run("a node that is not there", func(t *testing.T) {
		s := start(t, exec.Command(bin, "top", "--node", "127.0.0.1:1", "--interval", "100ms"))
		s.shows("no answer")
		s.keys("q")
		s.ended()
	})
}

// screen is a program in a terminal.
type screen struct {
	t        *testing.T
	cmd      *exec.Cmd
	ptm, tty *os.File
	before   *unix.Termios
	mu       sync.Mutex // guards the rest
	out      bytes.Buffer
	from     int // what was looked at already
}

func start(t *testing.T, cmd *exec.Cmd) *screen {
	ptm, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptm.Close(); tty.Close() })
	s := &screen{t: t, cmd: cmd, ptm: ptm, tty: tty}
	s.resize(120, 40)
	if s.before, err = unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := ptm.Read(b)
			s.mu.Lock()
			s.out.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) resize(width, height uint16) {
	if err := pty.Setsize(s.ptm, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) keys(k string) {
	if _, err := s.ptm.WriteString(k); err != nil {
		s.t.Fatal(err)
	}
}

// shows waits until text is written (only what changes on the screen is) that was not there when it was called last.
func (s *screen) shows(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		at := bytes.Index(s.out.Bytes()[s.from:], []byte(text))
		if at >= 0 {
			s.from += at + len(text)
		}
		rest := string(s.out.Bytes()[s.from:])
		s.mu.Unlock()
		if at >= 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("it never shows %q, but %q", text, rest)
		}
	}
}

// ended waits for its end, and looks at what is left of the terminal.
func (s *screen) ended() {
	s.t.Helper()
	s.shows("\x1b[?1049l") // the other screen is left
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("it ended with %v", err)
	}
	after, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	if *after != *s.before {
		s.t.Errorf("the terminal is not as it was: %+v, before %+v", *after, *s.before)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.out.Bytes()
	for on, off := range map[string]string{"\x1b[?25l": "\x1b[?25h", "\x1b[?2004h": "\x1b[?2004l", "\x1b[?1049h": "\x1b[?1049l"} {
		if bytes.LastIndex(all, []byte(on)) > bytes.LastIndex(all, []byte(off)) {
			s.t.Errorf("%q is left on", on)
		}
	}
}
