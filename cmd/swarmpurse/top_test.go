package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

func fakeSnapshot() snapshot {
	n := apitest.New(1000)
	return snapshot{Status: n.Status(), Budgets: n.Budgets(api.View{All: true}), Members: n.Members()}
}

func TestTopFitsTheWindow(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	for range 40 {
		s := fakeSnapshot()
		m.snap.Status, m.snap.Members = s.Status, s.Members
		m.snap.Budgets = append(m.snap.Budgets, s.Budgets...)
	}
	m.seen = true
	for _, size := range []tea.WindowSizeMsg{{Width: 200, Height: 60}, {Width: 80, Height: 24}, {Width: 20, Height: 5}, {Width: 1, Height: 1}} {
		m.Update(size)
		for _, key := range []tea.KeyPressMsg{{Code: tea.KeyHome}, {Code: tea.KeyDown}, {Code: tea.KeyUp}, {Code: tea.KeyUp}} {
			m.Update(key)
			lines := strings.Split(m.render(), "\n")
			if len(lines) > max(size.Height, 2) {
				t.Errorf("%v: %d lines", size, len(lines))
			}
			for _, line := range lines {
				if n := len([]rune(line)); n > size.Width {
					t.Errorf("%v: a line of %d: %q", size, n, line)
				}
			}
		}
	}
	// Down past the end stays at the end.
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 10})
	for range 1000 {
		m.Update(tea.KeyPressMsg{Code: tea.KeyDown})
	}
	if out := m.render(); !strings.Contains(out, "other") || strings.Count(out, "\n") != 9 {
		t.Errorf("the end is not shown:\n%s", out)
	}
}

// TestTopKeepsTrying: a node that goes away leaves its last figures on the screen and an error below.
func TestTopKeepsTrying(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	if out := m.render(); !strings.Contains(out, "asking the node") {
		t.Errorf("at first: %q", out)
	}
	if _, cmd := m.Update(lookMsg{snap: fakeSnapshot()}); cmd == nil {
		t.Error("no next look after an answer")
	}
	_, cmd := m.Update(lookMsg{err: &api.UnreachableError{Node: "n1", Err: errors.New("connection refused")}})
	if cmd == nil {
		t.Error("no next look after an error")
	}
	if out := m.render(); !strings.Contains(out, "1,000") || !strings.Contains(out, "no answer: node n1: connection refused; still trying") {
		t.Errorf("after an error:\n%s", out)
	}
	m.Update(lookMsg{snap: fakeSnapshot()})
	if out := m.render(); strings.Contains(out, "no answer") {
		t.Errorf("after it came back:\n%s", out)
	}
}

// TestTopRuns drives the whole program over pipes: it shows the table, and each way out ends it
// without an error.
func TestTopRuns(t *testing.T) {
	for name, leave := range map[string]func(keys io.Writer, stop context.CancelFunc){
		"q":       func(keys io.Writer, _ context.CancelFunc) { _, _ = io.WriteString(keys, "q") },
		"ctrl-c":  func(keys io.Writer, _ context.CancelFunc) { _, _ = io.WriteString(keys, "\x03") },
		"SIGTERM": func(_ io.Writer, stop context.CancelFunc) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			in, keys := io.Pipe()
			defer keys.Close()
			screen := &watchedBuffer{want: "pot", seen: make(chan struct{})}
			looks := func(context.Context) (snapshot, error) { return fakeSnapshot(), nil }
			done := make(chan error, 1)
			go func() {
				done <- runTop(ctx, newTopModel(ctx, looks, time.Millisecond), tea.WithInput(in), tea.WithOutput(screen),
					tea.WithWindowSize(120, 30), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
			}()
			select {
			case <-screen.seen:
			case err := <-done:
				t.Fatalf("it ended by itself: %v\n%q", err, screen.String())
			}
			leave(keys, stop)
			if err := <-done; err != nil {
				t.Error(err)
			}
			// The alternate screen is left.
			if out := screen.String(); !strings.Contains(out, "\x1b[?1049h") || strings.LastIndex(out, "\x1b[?1049l") < strings.LastIndex(out, "\x1b[?1049h") {
				t.Errorf("the terminal is not as it was: %q", out)
			}
		})
	}
}

// watchedBuffer closes seen once want was written to it.
type watchedBuffer struct {
	mu   sync.Mutex // guards the rest
	b    bytes.Buffer
	want string
	seen chan struct{}
	once sync.Once
}

func (w *watchedBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if bytes.Contains(w.b.Bytes(), []byte(w.want)) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func (w *watchedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
