package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// simListed is what `sim list -o json` says of a scenario.
type simListed struct {
	Name        string   `json:"name"`
	Nodes       int      `json:"nodes"`
	Seconds     float64  `json:"duration_s"`
	Description string   `json:"description"`
	Bounds      []string `json:"bounds"`
}

// listMargin is what the other columns take of a line.
const listMargin = 44

func newSimListCommand(a *app) *cobra.Command {
	return a.withOutput(&cobra.Command{
		Use:   "list",
		Short: "List the scenarios that ship with this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var all []simListed
			for _, f := range scenario.Shipped() {
				sc, err := f.Parse()
				if err != nil {
					return fmt.Errorf("the scenario %s, which ships: %w", f.Name, err)
				}
				x := simListed{f.Name, sc.Nodes, sc.Duration.Seconds(), sc.Description, []string{}}
				for _, b := range sc.Bounds {
					x.Bounds = append(x.Bounds, b.Text)
				}
				all = append(all, x)
			}
			return a.print(map[string]any{"scenarios": all}, func(w *strings.Builder) {
				t := tables.New("name", "→nodes", "→time", "what it shows")
				for _, x := range all {
					what := clean(x.Description)
					if width := terminalWidth(a.stdout); width > 0 {
						what = text.WrapSoft(what, max(30, width-listMargin))
					}
					t.AppendRow(table.Row{x.Name, x.Nodes, fmt.Sprintf("%g s", x.Seconds), what})
				}
				w.WriteString(t.Render() + "\n")
			})
		},
	})
}

func newSimShowCommand(a *app) *cobra.Command {
	var seed uint64
	c := &cobra.Command{
		Use:   "show SCENARIO",
		Short: "Print a scenario that ships, to make your own from",
		Long:  "Print a scenario that ships, or random: the one that is drawn from --seed, as sim soak does.",
		Example: `  swarmpurse sim show partition > mine.yaml
  swarmpurse sim run mine.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, src, err := a.scenarioSource(args[0], seed)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(src)
			return err
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 0, "of random")
	return c
}
