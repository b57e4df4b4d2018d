package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/schollz/progressbar/v3"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/child"
)

const (
	lookEvery  = 500 * time.Millisecond // at the nodes, while the load runs
	plainEvery = 5 * time.Second        // a line, without a terminal
)

// nodeState is what one look at a node showed.
type nodeState struct {
	name, zone string
	status     api.Status
	budgets    []api.Budget
	err        error
}

// picture is what people see while the load runs.
type picture struct {
	now    string        // what happens, in words
	at     time.Duration // since the load began
	length time.Duration
	tally  Tally
	open   int64
	nodes  []nodeState
	audit  []BudgetAudit
}

// view shows progress: say for events, show for the state of the load.
type view interface {
	say(format string, args ...any)
	show(p picture)
	close()
}

func newView(o *Options) view {
	if o.Live {
		return newLive(o.Progress)
	}
	return &plain{w: o.Progress}
}

// plain writes lines.
type plain struct {
	w    io.Writer
	mu   sync.Mutex
	last time.Duration
}

func (v *plain) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.w, format+"\n", args...)
}

func (v *plain) show(p picture) {
	if p.at < v.last {
		v.last = 0
	}
	if p.at-v.last < plainEvery {
		return
	}
	v.last = p.at
	over, judged := int64(0), 0
	for _, a := range p.audit {
		if a.hard && a.Skipped == "" {
			over += a.Overspend
			judged++
		}
	}
	waits := 0
	for _, n := range p.nodes {
		waits += n.status.Waiting
	}
	v.say("%3.0f of %.0f s, %s: %s calls, %s admitted, %s refused, %d waiting; overspend on %d hard budgets: %d",
		p.at.Seconds(), p.length.Seconds(), p.now, comma(p.tally.Offered), comma(p.tally.Admitted),
		comma(p.tally.Deferred+p.tally.Denied), waits, judged, over)
}

func (v *plain) close() {}

// live draws a table that is renewed in place, below the lines that were said.
type live struct {
	p    *tea.Program
	done chan struct{}
}

func newLive(w io.Writer) *live {
	ctx := context.Background() // it ends by close
	v := &live{done: make(chan struct{})}
	// Without input the terminal stays as it is, so that Ctrl-C is a signal to this process.
	v.p = tea.NewProgram(&liveModel{width: 80}, tea.WithOutput(w), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithContext(ctx))
	go func() {
		defer close(v.done)
		_, _ = v.p.Run() // a terminal that cannot be drawn on is no reason to end the run
	}()
	return v
}

func (v *live) say(format string, args ...any) { v.p.Println(fmt.Sprintf(format, args...)) }
func (v *live) show(p picture)                 { v.p.Send(p) }

func (v *live) close() {
	v.p.Send(endMsg{})
	<-v.done
}

type endMsg struct{}

type liveModel struct {
	pic    picture
	seen   bool
	ended  bool
	width  int
	height int
}

func (m *liveModel) Init() tea.Cmd { return nil }

func (m *liveModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case picture:
		m.pic, m.seen = msg, true
	case endMsg:
		m.ended = true
		return m, tea.Quit
	}
	return m, nil
}

func (m *liveModel) View() tea.View {
	if !m.seen || m.ended {
		return tea.NewView("")
	}
	lines := strings.Split(strings.TrimRight(m.pic.text(m.width), "\n"), "\n")
	if m.height > 1 && len(lines) > m.height-1 {
		lines = append(lines[:m.height-2], fmt.Sprintf("… %d more lines", len(lines)-m.height+2))
	}
	for i, l := range lines {
		lines[i] = text.Trim(l, m.width)
	}
	return tea.NewView(strings.Join(lines, "\n"))
}

// text draws the bar and the tables.
func (p picture) text(width int) string {
	var b strings.Builder
	b.WriteString("\n" + bar(p.at, p.length, width, p.now) + "\n\n")
	rightsOf := "rights"
	for _, n := range p.nodes {
		if len(n.budgets) > 0 {
			rightsOf = "rights at " + n.budgets[0].Name
			break
		}
	}
	t := tables.Indented("node", "half", "→admits", "→denies", "→waits", "→"+rightsOf)
	for _, n := range p.nodes {
		if n.err != nil {
			t.AppendRow(table.Row{n.name, n.zone, child.Printable(n.err.Error())})
			continue
		}
		rights := int64(0)
		if len(n.budgets) > 0 {
			for _, i := range n.budgets[0].Instances {
				rights += int64(i.Local.Rights)
			}
		}
		d := n.status.Decisions
		t.AppendRow(table.Row{n.name, n.zone, comma(d["admit"] + d["degrade"]), comma(d["defer"] + d["deny"]), n.status.Waiting, comma(rights)})
	}
	b.WriteString(t.Render() + "\n\n")
	t = tables.Indented("budget, as the model server counts", "ceiling", "→limit", "→spent", "→overspend")
	for i, a := range p.audit {
		if i == 12 {
			t.AppendRow(table.Row{fmt.Sprintf("and %d more", len(p.audit)-i)})
			break
		}
		if a.Skipped != "" {
			continue
		}
		t.AppendRow(table.Row{a.Instance + ", " + a.Supply, a.Ceiling, comma(a.nowLimit), comma(a.nowSpent), comma(a.Overspend)})
	}
	b.WriteString(t.Render() + "\n")
	fmt.Fprintf(&b, "\n  %s calls: %s admitted, %s refused, %s failed, %d open", comma(p.tally.Offered),
		comma(p.tally.Admitted), comma(p.tally.Deferred+p.tally.Denied), comma(p.tally.Failed), p.open)
	return b.String()
}

// bar draws progress in one line.
func bar(at, length time.Duration, width int, what string) string {
	at = min(at, length)
	label := fmt.Sprintf("%2.0f of %.0f s, %s", at.Seconds(), length.Seconds(), what)
	pb := progressbar.NewOptions64(length.Milliseconds(),
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(max(10, min(40, width-len(label)-12))),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}))
	_ = pb.Set64(at.Milliseconds()) // it writes to nowhere
	return "  " + strings.TrimSpace(strings.Trim(pb.String(), "\r\n")) + "  " + label
}
