package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newMembersCommand(a *app) *cobra.Command {
	c := a.withClient(&cobra.Command{
		Use:   "members",
		Short: "Show the nodes of the swarm, who guards this one, and what the dead hold",
		Long: `Show the nodes of the swarm as one of them sees it. Below the table stands how that node is guarded: its guardians keep copies
of what it owns, so that its rights come back if it dies; its lease is how long it may mint rates without word from them; its
wards are those that it guards. Then what is stuck with nodes that are not alive, and when it can come back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			list, err := client.Members(ctx)
			if err != nil {
				return err
			}
			return a.print(struct {
				Members []api.Member `json:"members"`
			}{list}, func(w *strings.Builder) { printMembers(w, list); printGuarded(w, list) })
		},
	})
	c.AddCommand(newMembersRemoveCommand(a))
	return c
}

func printMembers(w *strings.Builder, list []api.Member) {
	t := tables.New("name", "status", "zone", "gossip", "http", "version", "→policy", "→rtt", "note")
	for _, m := range list {
		revision := ""
		if m.Revision > 0 {
			revision = strconv.FormatInt(m.Revision, 10)
		}
		t.AppendRow(table.Row{
			clean(m.Name), clean(m.Status), clean(m.Zone), clean(m.Gossip), clean(m.HTTP), clean(m.Version), revision, millis(m.RTTMS),
			memberNotes(m),
		})
	}
	w.WriteString(t.Render() + "\n")
}

// memberNotes is what is worth knowing of a member beside its figures.
func memberNotes(m api.Member) string {
	var notes []string
	if m.Self {
		notes = append(notes, "this node")
	}
	if m.Founder {
		notes = append(notes, "founder")
	}
	if m.Foreign {
		notes = append(notes, "of another cluster")
	}
	if m.AuditAlarm != "" {
		notes = append(notes, "AUDIT LOG CHANGED ("+m.AuditAlarm+")")
	}
	if m.NotEnrolled {
		notes = append(notes, "NOT ENROLLED")
	}
	if m.TwoRows {
		notes = append(notes, "FENCED: it lies, or runs twice")
	}
	if m.Refused > 0 {
		notes = append(notes, fmt.Sprintf("refused: %d, the last as %s", m.Refused, clean(m.RefusedWhy)))
	}
	return strings.Join(notes, ", ")
}

// printGuarded shows how the node that was asked is guarded, and what is stuck with nodes that are not alive.
func printGuarded(w *strings.Builder, list []api.Member) {
	for _, m := range list {
		if m.Guarding != nil {
			printGuarding(w, m.Guarding)
		}
	}
	printStuck(w, list, nil)
}

func printGuarding(w *strings.Builder, g *api.Guarding) {
	w.WriteByte('\n')
	if len(g.Guardians) == 0 {
		fields(w, "guardians", "none: there are too few members, or the policy has none; what this node holds comes back with it only", "wards", names(g.Wards))
		return
	}
	var who []string
	for _, x := range g.Guardians {
		s := clean(x.Name)
		switch {
		case x.Refuses:
			s += " (refuses: this generation is being claimed)"
		case !x.Answers:
			s += " (does not answer)"
		case !x.UpToDate:
			s += " (behind)"
		}
		who = append(who, s)
	}
	lease := "over: rates mint nothing"
	if g.LeaseHeld {
		lease = seconds(g.LeaseLeftMS) + " left"
	}
	if g.Moving {
		lease += ", moving on to other guardians"
	}
	fields(w, "guardians", strings.Join(who, ", "), "lease", lease, "wards", names(g.Wards))
}

func names(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return clean(strings.Join(list, ", "))
}

func seconds(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}

// printStuck shows what members hold that are not alive; of these only, if some are named.
func printStuck(w *strings.Builder, list []api.Member, only []string) (rows int) {
	t := tables.New("stuck with", "instance", "→tokens", "→shares", "comes back")
	for _, m := range list {
		if only != nil && !slices.Contains(only, m.Name) {
			continue
		}
		for _, s := range m.Stuck {
			rows++
			t.AppendRow(table.Row{clean(m.Name), clean(s.Instance), tokens(s.Tokens), fmt.Sprintf("%.2f%%", float64(s.Shares)/float64(ledger.TotalShares)*100), back(&s)})
		}
	}
	if rows > 0 {
		w.WriteString("\n" + t.Render() + "\n")
	}
	return rows
}

// back says when stuck rights come back.
func back(s *api.Stuck) string {
	switch s.Why {
	case "lease":
		return "by its guardians, in " + seconds(s.LeftMS) + " at the earliest"
	case "claim":
		return "once enough of its guardians answer"
	case "own lease":
		return "once this node reaches its own guardians"
	case "heir":
		return "with its heir, who is away"
	}
	return "by its guardians elsewhere; if it has none, with the node, or by: members remove --dead"
}
