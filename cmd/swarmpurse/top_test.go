package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

func fakeSnapshot() snapshot {
	n := apitest.New(1000)
	return n.Overview(20)
}

func TestTopFitsTheWindow(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	for range 40 {
		s := fakeSnapshot()
		s.Budgets = append(m.snap.Budgets, s.Budgets...)
		m.snap = s
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
				if n := text.StringWidthWithoutEscSequences(line); n > size.Width {
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
	if out := m.render(); !strings.Contains(out, "revision") || strings.Count(out, "\n") != 9 {
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

// TestTopSorts: a table by each of its columns, both ways round, and as the node tells it.
func TestTopSorts(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	m.seen, m.snap, m.width = true, fakeSnapshot(), 200
	one := m.snap.Budgets[0].Instances[0]
	m.snap.Budgets[0].Instances = nil
	for _, i := range []struct {
		name  string
		spent ledger.Tokens
		ends  int64 // ms, 0 never
	}{{"b", 10, 3000}, {"c", 30, 0}, {"a", 20, 1000}} {
		one.Instance, one.Swarm.Spent, one.ExhaustedMS = i.name, i.spent, nil
		if i.ends > 0 {
			one.ExhaustedMS = &i.ends
		}
		m.snap.Budgets[0].Instances = append(m.snap.Budgets[0].Instances, one)
	}
	seen := func() (names string) {
		for _, r := range m.instances() {
			if len(r.id) == 1 {
				names += r.id
			}
		}
		return names
	}
	columns := partColumns[partBudgets]
	for _, c := range []struct{ column, down, up string }{
		{"", "bca", "bca"}, {"instance", "abc", "cba"}, {"→spent", "cab", "bac"}, {"used up in", "abc", "cba"}, {"→price", "bca", "bca"},
	} {
		for ; m.order[partBudgets].column != slices.Index(columns, c.column)+1; m.press("s") {
		}
		if got := seen(); got != c.down {
			t.Errorf("by %q: %s, want %s", c.column, got, c.down)
		}
		m.press("r")
		if got := seen(); got != c.up {
			t.Errorf("by %q, the other way round: %s, want %s", c.column, got, c.up)
		}
	}
	if out := m.render(); !strings.Contains(out, "PRICE ▲") {
		t.Errorf("it does not show by what it is sorted:\n%s", out)
	}
	// Another table has an order of its own.
	m.press("1")
	if m.press("s"); m.order[partSwarm].column != 1 || m.order[partBudgets].column == 1 {
		t.Error(m.order)
	}
	m.press("6")
	m.press("s")
	m.press("r") // the policy is no table
}

// TestTopIsWider: columns that find no room are gone on to, those of tables that fit stay, and what is sorted by is in sight.
func TestTopIsWider(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	m.seen, m.snap = true, fakeSnapshot()
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 60})
	sees := func(step string, yes, no []string) {
		t.Helper()
		out := m.render()
		for _, w := range yes {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q:\n%s", step, w, out)
			}
		}
		for _, w := range no {
			if strings.Contains(out, w) {
				t.Errorf("%s: %q is seen:\n%s", step, w, out)
			}
		}
	}
	sees("at first", []string{"INSTANCE", "USED ", "left right columns", "CLASS", "WAITING"}, []string{"USED UP IN", "PRICE"})
	m.press("right")
	sees("one on", []string{"INSTANCE", "LIMIT", "NODE"}, []string{"USED "})
	for range 100 {
		m.press("right")
	}
	sees("at the end", []string{"INSTANCE", "pot", "PRICE", "USED UP IN", "NODE", "NOTE", "CLASS", "BURN 1H"}, []string{"LIMIT"})
	if m.press("left"); m.left != m.wider-1 { // it did not go on beyond the end
		t.Errorf("%d of %d are out of sight", m.left, m.wider)
	}
	for range 100 {
		m.press("left")
	}
	sees("back", []string{"USED "}, []string{"USED UP IN"})
	for range len(partColumns[partBudgets]) {
		m.press("s")
		sees("sorted by "+partColumns[partBudgets][m.order[partBudgets].column-1], []string{"INSTANCE", map[bool]string{true: "▼", false: "▲"}[strings.HasPrefix(partColumns[partBudgets][m.order[partBudgets].column-1], "→")]}, nil)
	}
	for m.order[partBudgets].column != slices.Index(partColumns[partBudgets], "→level")+1 {
		m.press("S")
	}
	sees("sorted by what was out of sight", []string{"LEVEL ▼"}, []string{"LIMIT"})
	m.press("left") // from where it stands
	sees("one back", []string{"LEVEL ▼"}, []string{"LIMIT", "USED UP IN"})
	m.Update(tea.WindowSizeMsg{Width: 250, Height: 60})
	sees("a wide window", []string{"USED ", "USED UP IN"}, []string{"left right"})
	// What is printed has no window.
	var b strings.Builder
	if printSnapshot(&b, m.snap); !strings.Contains(b.String(), "USED UP IN") || !strings.Contains(b.String(), "RESERVED") {
		t.Error(b.String())
	}
}

// TestTopOfLate: rates, percentiles and reasons are those of the last minute, and a node that was started anew counts from 0.
func TestTopOfLate(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	at := time.Unix(1_800_000_000, 0)
	look := func(after time.Duration, spent ledger.Tokens, admitted, denied, waited uint64) {
		s := fakeSnapshot()
		s.Budgets[0].Instances[0].Swarm.Spent = spent
		s.Classes[0].Decisions = []api.Outcome{{Decision: "admit", Code: "ok", Calls: admitted}, {Decision: "deny", Code: "no_rule", Calls: denied}}
		s.Classes[0].Waits = []api.Wait{{OverMS: 0, MostMS: 100, Calls: 0}, {OverMS: 100, MostMS: 1000, Calls: waited}}
		m.Update(lookMsg{snap: s, at: at.Add(after)})
	}
	look(0, 100, 1000, 1000, 1000)
	if out := m.render(); !strings.Contains(out, "since it started") || !strings.Contains(out, "50.0% refused") {
		t.Errorf("one look:\n%s", out)
	}
	m.Update(tea.WindowSizeMsg{Width: 250, Height: 80})
	look(10*time.Second, 600, 1090, 1010, 1050)
	for _, want := range []string{"in the last 10 s", "10.0 calls/s, 90.0% admitted, 10.0% refused", "no rule", "≤ 500ms"} {
		if out := m.render(); !strings.Contains(out, want) {
			t.Errorf("no %q:\n%s", want, out)
		}
	}
	if spent, _, ok := m.past.flow(m.snap.Budgets[0].Instances[0].Instance); !ok || spent != 50 {
		t.Errorf("spent %v a second, want 50", spent)
	}
	for i := range 200 {
		look(time.Duration(i+11)*time.Second, 600, 1090, 1010, 1050)
	}
	if out := m.render(); !strings.Contains(out, "no calls") || len(m.past.looks) > topLooks {
		t.Errorf("a minute without calls:\n%s", out)
	}
	look(220*time.Second, 0, 3, 1, 0)
	if out := m.render(); !strings.Contains(out, "75.0% admitted") || !strings.Contains(out, "at once") {
		t.Errorf("started anew:\n%s", out)
	}
}

// TestTopTellsNews: transfers in both directions, what operators do, and why there is nothing to tell; 200 at the most.
func TestTopTellsNews(t *testing.T) {
	m := newTopModel(t.Context(), nil, time.Second)
	m.seen, m.snap, m.width, m.height = true, fakeSnapshot(), 200, 60
	m.press("5")
	for range newsKept + 10 {
		m.Update(eventMsg{event: api.Event{Kind: "member", Record: api.AuditRecord{What: "joined", Peer: "n9"}}})
	}
	for _, e := range []api.Event{
		{Kind: "transfer", Record: api.AuditRecord{What: "in", Peer: "n2", Instance: "pot", Tokens: 1500}},
		{Kind: "transfer", Record: api.AuditRecord{What: "out", Peer: "n3", Instance: "tenant-day/a%2Fb", Shares: 10_000_000}},
		{Kind: "claim", Record: api.AuditRecord{Peer: "n4", Instance: "pot", Tokens: 7}},
		{Kind: "freeze", Record: api.AuditRecord{What: "freeze", By: "alice\x1b[2J", Why: "loops"}},
	} {
		m.Update(eventMsg{event: e})
	}
	out := m.render()
	for _, want := range []string{"n2 → fake  1,500 rights of pot", "fake → n3  1.00% of shares of tenant-day/a/b", "7 rights of pot came back from n4", `freeze by alice\x1b[2J because: loops`, "joined n9"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q:\n%s", want, out)
		}
	}
	if len(m.news) != newsKept {
		t.Errorf("%d are kept", len(m.news))
	}
	m.Update(eventMsg{err: errors.New("operators only")})
	if out := m.render(); !strings.Contains(out, "none are told: operators only") {
		t.Error(out)
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
