package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

const minInterval = 100 * time.Millisecond

func newTopCommand(a *app) *cobra.Command {
	var once bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch budgets and nodes live",
		Long: `Watch budgets and nodes as one node sees them: a live table on a terminal (q ends it, the arrow keys
scroll), one table with --once or when stdout is no terminal.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minInterval {
				return usageError("--interval is %v: it must be at least %v", interval, minInterval)
			}
			client, ctx, done, err := a.client(cmd, -1)
			if err != nil {
				return err
			}
			defer done()
			fetch := func(ctx context.Context) (snapshot, error) {
				ctx, cancel := context.WithTimeout(ctx, a.timeout)
				defer cancel()
				return client.Overview(ctx, api.MaxInstancesShown)
			}
			if once || a.output == "json" || !isTerminal(a.stdout) {
				s, err := fetch(ctx)
				if err != nil {
					return err
				}
				return a.print(s, func(w *strings.Builder) { printSnapshot(w, s) })
			}
			// --timeout bounds each look here, not the watching.
			return runTop(cmd.Context(), newTopModel(cmd.Context(), fetch, interval), tea.WithInput(a.stdin), tea.WithOutput(a.stdout))
		},
	}
	c.Flags().BoolVar(&once, "once", false, "print one table and end")
	c.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks")
	return a.withClient(c)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// snapshot is what one look at a node shows.
type snapshot = api.Overview

func printSnapshot(w *strings.Builder, s snapshot) {
	st := s.Status
	state := "ready"
	if !st.Ready {
		state = "not ready: " + clean(strings.Join(st.Reasons, "; "))
	}
	fmt.Fprintf(w, "node %s of %s, %s, conservation error %s\n", clean(st.Node), clean(st.Cluster), state, tokens(st.ConservationError))
	for _, verdict := range []string{"admit", "degrade", "defer", "deny"} {
		if n, ok := st.Decisions[verdict]; ok {
			fmt.Fprintf(w, "%s %d  ", verdict, n)
		}
	}
	fmt.Fprintf(w, "waiting %d  active %d\n", st.Waiting, st.Active)
	for i, f := range s.Frozen {
		if i == maxFrozenShown {
			fmt.Fprintf(w, "frozen: %d more, see swarmpurse freeze\n", len(s.Frozen)-i)
			break
		}
		fmt.Fprintf(w, "frozen: %s since %s\n", frozenName(f), instant(f.At))
	}
	w.WriteByte('\n')
	budgets := tables.New("instance", "→limit", "→spent", "→reserved", "→rights here", "→rights swarm", "→overspend", "→used", "→level")
	for _, b := range s.Budgets {
		for _, i := range b.Instances {
			used := ""
			if i.Limit > 0 {
				used = fmt.Sprintf("%.1f%%", 100*float64(i.Swarm.Spent+i.Swarm.Reserved)/float64(i.Limit))
			}
			budgets.AppendRow(table.Row{
				instanceName(i), tokens(i.Limit), tokens(i.Swarm.Spent), tokens(i.Swarm.Reserved),
				tokens(i.Local.Rights), tokens(i.Swarm.Rights - i.Away), tokens(i.Overspend), used, i.Backpressure,
			})
		}
		if len(b.Instances) == 0 {
			budgets.AppendRow(table.Row{clean(b.Name), "not used yet"})
		}
		if b.Truncated > 0 {
			budgets.AppendRow(table.Row{fmt.Sprintf("%s: %d more", clean(b.Name), b.Truncated)})
		}
	}
	w.WriteString(budgets.Render() + "\n\n")
	printMembers(w, s.Members)
}

// maxFrozenShown is how many lines top spends on what is frozen.
const maxFrozenShown = 5

// topModel is the live table. Bubble Tea calls its methods one at a time.
type topModel struct {
	ctx      context.Context
	fetch    func(context.Context) (snapshot, error)
	interval time.Duration

	seen          bool // a snapshot has come
	snap          snapshot
	err           error // of the last look
	width, height int
	top           int // first line shown
}

type (
	tickMsg time.Time
	lookMsg struct {
		snap snapshot
		err  error
	}
)

func newTopModel(ctx context.Context, fetch func(context.Context) (snapshot, error), interval time.Duration) *topModel {
	return &topModel{ctx: ctx, fetch: fetch, interval: interval, width: 80, height: 24}
}

// runTop runs the table until q or Ctrl-C is pressed or ctx ends; then the terminal is as it was.
func runTop(ctx context.Context, m *topModel, opts ...tea.ProgramOption) error {
	p := tea.NewProgram(m, append(opts, tea.WithContext(ctx), tea.WithoutSignalHandler())...)
	if _, err := p.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the live table failed: %w", err)
	}
	return nil
}

func (m *topModel) Init() tea.Cmd { return m.look }

func (m *topModel) look() tea.Msg {
	s, err := m.fetch(m.ctx)
	return lookMsg{s, err}
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "up", "k":
			m.top--
		case "down", "j":
			m.top++
		case "home":
			m.top = 0
		}
	case lookMsg:
		m.err = msg.err
		if msg.err == nil {
			m.seen, m.snap = true, msg.snap
		}
		return m, tea.Tick(m.interval, func(t time.Time) tea.Msg { return tickMsg(t) })
	case tickMsg:
		return m, m.look
	}
	return m, nil
}

func (m *topModel) View() tea.View {
	v := tea.NewView(m.render())
	v.AltScreen = true
	v.WindowTitle = "swarmpurse top"
	return v
}

// render cuts the table to the window, with a last line that says what the keys do.
func (m *topModel) render() string {
	var b strings.Builder
	if m.seen {
		printSnapshot(&b, m.snap)
	} else if m.err == nil {
		b.WriteString("asking the node …\n")
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	foot := "q: quit"
	if m.err != nil {
		foot = "no answer: " + clean(m.err.Error()) + "; still trying, q: quit"
	}
	room := max(m.height-1, 1)
	m.top = max(0, min(m.top, len(lines)-room))
	if hidden := len(lines) - room; hidden > 0 {
		foot += fmt.Sprintf(", up and down: lines %d to %d of %d", m.top+1, m.top+room, len(lines))
	}
	shown := append(lines[m.top:min(m.top+room, len(lines)):len(lines)], foot)
	for i, line := range shown {
		shown[i] = text.Trim(line, m.width)
	}
	return strings.Join(shown, "\n")
}
