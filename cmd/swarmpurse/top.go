package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/swarmpurse/swarmpurse/node/api"
)

const minInterval = 100 * time.Millisecond

func newTopCommand(a *app) *cobra.Command {
	var once bool
	var interval time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the swarm, budgets and calls live",
		Long: `Watch what the dashboard shows, as one node sees it: the swarm by zones, budgets, calls with the reasons of refusals,
queues by class with how long calls waited, transfers and other news, and the policy with what is tried. Live on a
terminal, once with --once or when stdout is no terminal.

Keys:
  1 to 6, Tab  one part alone: swarm, budgets, calls, queues, transfers, policy; 0: all of them
  s, S         sort by the next column, by the one before; r: the other way round
  right, left  go on to the columns that find no room, and back
  up, down     scroll; among budgets alone: choose one, whose holders stand below
  PgUp, PgDn, Home, End
  q, Ctrl-C    quit`,
		Example: `  swarmpurse top
  swarmpurse top --node 10.0.0.5:7070 --interval 5s`,
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
			m := newTopModel(cmd.Context(), fetch, interval)
			m.holders = func(ctx context.Context, budget, instance string) (api.Budget, error) {
				ctx, cancel := context.WithTimeout(ctx, a.timeout)
				defer cancel()
				return client.Instance(ctx, budget, instance)
			}
			m.follow = client.Follow
			return runTop(cmd.Context(), m, tea.WithInput(a.stdin), tea.WithOutput(a.stdout))
		},
	}
	c.Flags().BoolVar(&once, "once", false, "print one look and end")
	c.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks")
	return a.withClient(c)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// snapshot is what one look at a node shows.
type snapshot = api.Overview

// topModel is the live page. Bubble Tea calls its methods one at a time.
type topModel struct {
	ctx      context.Context
	fetch    func(context.Context) (snapshot, error)
	holders  func(ctx context.Context, budget, instance string) (api.Budget, error)      // nil: not asked
	follow   func(ctx context.Context, kinds []string, each func(api.Event) error) error // nil: not followed
	interval time.Duration
	events   chan tea.Msg

	seen bool // a snapshot has come
	snap snapshot
	at   time.Time // of the last look that was answered
	past topHistory
	err  error // of the last look

	news    []api.Event // the newest first
	newsErr error       // why there are no more

	view   int             // of topViews, 0 is all
	order  [topParts]order // how the table of each part is sorted
	chosen string          // instance among budgets alone
	held   api.Budget      // its holders

	width, height int  // 0 wide: all that there is
	top           int  // first line shown
	left          int  // columns after the first that are out of sight, where a table is wider than the window
	follows       bool // what is sorted by is brought in sight
	wider         int  // so many columns may go out of sight, of the widest table
}

type (
	tickMsg time.Time
	lookMsg struct {
		snap snapshot
		held api.Budget
		at   time.Time
		err  error
	}
	eventMsg struct {
		event api.Event
		err   error
	}
)

// newsKept bounds the transfers and other news that are shown.
const newsKept = 200

// newsKinds are the events that top shows: decisions are too many to read.
var newsKinds = []string{"transfer", "claim", "member", "policy", "mint", "burn", "freeze", "alarm"}

func newTopModel(ctx context.Context, fetch func(context.Context) (snapshot, error), interval time.Duration) *topModel {
	return &topModel{ctx: ctx, fetch: fetch, interval: interval, width: 80, height: 24, events: make(chan tea.Msg, newsKept)}
}

// runTop runs the page until q or Ctrl-C is pressed or ctx ends; then, and when it fails, the terminal is as it was.
func runTop(ctx context.Context, m *topModel, opts ...tea.ProgramOption) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m.ctx = ctx
	if m.follow != nil {
		go m.listen(ctx)
	}
	// Asked to quit, it waits for what reads its input; by a context of its own it would not, and close what is read from.
	p := tea.NewProgram(m, append(opts, tea.WithoutSignalHandler())...)
	defer context.AfterFunc(ctx, p.Quit)()
	if _, err := p.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the live page failed: %w", err)
	}
	return nil
}

// listen follows the node's events, and comes back when it is away; not if it may not.
func (m *topModel) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := m.follow(ctx, newsKinds, func(e api.Event) error {
			select {
			case m.events <- eventMsg{event: e}:
			default: // a flood: the newest that find room are shown
			}
			return nil
		})
		select {
		case m.events <- eventMsg{err: err}:
		case <-ctx.Done():
		}
		var refused *api.Error
		if errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable {
			return
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
}

func (m *topModel) Init() tea.Cmd { return tea.Batch(m.look, m.hear) }

// hear waits for the next event.
func (m *topModel) hear() tea.Msg {
	select {
	case e := <-m.events:
		return e
	case <-m.ctx.Done():
		return nil
	}
}

func (m *topModel) look() tea.Msg {
	s, err := m.fetch(m.ctx)
	return lookMsg{snap: s, err: err, at: time.Now()}
}

// lookAt is look with the holders of an instance.
func (m *topModel) lookAt(budget, instance string) tea.Cmd {
	return func() tea.Msg {
		msg := m.look().(lookMsg)
		if msg.err == nil {
			// It may be gone by now: then nobody holds it.
			msg.held, _ = m.holders(m.ctx, budget, instance)
		}
		return msg
	}
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.press(msg.String())
	case lookMsg:
		m.err = msg.err
		if msg.err == nil {
			m.seen, m.snap, m.held, m.at = true, msg.snap, msg.held, msg.at
			m.past.add(msg.at, msg.snap)
		}
		return m, tea.Tick(m.interval, func(t time.Time) tea.Msg { return tickMsg(t) })
	case tickMsg:
		if b := m.chosenBudget(); b != "" && m.holders != nil {
			return m, m.lookAt(b, m.chosen)
		}
		return m, m.look
	case eventMsg:
		m.newsErr = msg.err
		if msg.err == nil {
			m.news = append([]api.Event{msg.event}, m.news[:min(len(m.news), newsKept-1)]...)
		}
		return m, m.hear
	}
	return m, nil
}

// press does what a key says.
func (m *topModel) press(key string) tea.Cmd {
	page := max(m.height-4, 1)
	switch key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "0", "1", "2", "3", "4", "5", "6":
		m.show(int(key[0] - '0'))
	case "tab":
		m.show((m.view + 1) % (topParts + 1))
	case "shift+tab":
		m.show((m.view + topParts) % (topParts + 1))
	case "s":
		m.sortBy(1)
	case "S", "shift+s":
		m.sortBy(-1)
	case "right", "l":
		m.left, m.follows = m.left+1, false
	case "left", "h":
		m.left, m.follows = max(0, m.left-1), false
	case "r":
		if p := m.sorts(); p >= 0 {
			m.order[p].up = !m.order[p].up
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-page)
	case "pgdown", "ctrl+f", "space":
		m.move(page)
	case "home", "g":
		m.move(-1 << 20)
	case "end", "G", "shift+g":
		m.move(1 << 20)
	}
	return nil
}

func (m *topModel) show(view int) { m.view, m.top = view, 0 }

// sorts is the part whose table the keys sort: of all of them, budgets. -1 for a part without.
func (m *topModel) sorts() int {
	p := m.view - 1
	if m.view == 0 {
		p = partBudgets
	}
	if len(partColumns[p]) == 0 {
		return -1
	}
	return p
}

// sortBy goes on by so many columns; before the first column is the order in which the node tells.
func (m *topModel) sortBy(step int) {
	if p := m.sorts(); p >= 0 {
		n := len(partColumns[p]) + 1
		m.order[p], m.follows = order{column: (m.order[p].column + step + n) % n}, true
	}
}

// move scrolls, or chooses another instance.
func (m *topModel) move(lines int) {
	if m.view-1 != partBudgets {
		m.top += lines
		return
	}
	rows := m.instances()
	if len(rows) == 0 {
		return
	}
	at := -1
	for i, r := range rows {
		if r.id == m.chosen {
			at = i
		}
	}
	if at < 0 {
		at, lines = 0, 0
	}
	m.chosen, m.held = rows[max(0, min(at+lines, len(rows)-1))].id, api.Budget{}
}

// chosenBudget is the budget of the chosen instance, "" if its holders are not shown.
func (m *topModel) chosenBudget() string {
	if m.view-1 != partBudgets || m.chosen == "" {
		return ""
	}
	for _, b := range m.snap.Budgets {
		for _, i := range b.Instances {
			if i.Instance == m.chosen {
				return b.Name
			}
		}
	}
	return ""
}

func (m *topModel) View() tea.View {
	v := tea.NewView(m.render())
	v.AltScreen = true
	v.WindowTitle = "swarmpurse top"
	return v
}
