package main

import (
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newMembersCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "members",
		Short: "Show the nodes of the swarm",
		Args:  cobra.NoArgs,
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
			}{list}, func(w *strings.Builder) { printMembers(w, list) })
		},
	})
}

func printMembers(w *strings.Builder, list []api.Member) {
	t := tables.New("name", "status", "zone", "gossip", "http", "version", "→policy", "→rtt", "note")
	for _, m := range list {
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
		revision := ""
		if m.Revision > 0 {
			revision = strconv.FormatInt(m.Revision, 10)
		}
		t.AppendRow(table.Row{
			clean(m.Name), clean(m.Status), clean(m.Zone), clean(m.Gossip), clean(m.HTTP), clean(m.Version), revision, millis(m.RTTMS),
			strings.Join(notes, ", "),
		})
	}
	w.WriteString(t.Render() + "\n")
}
