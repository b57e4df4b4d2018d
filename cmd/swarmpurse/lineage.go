package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// lineages is what nodes tell of one data set.
type lineages struct {
	Data  string        `json:"data"`
	Nodes []api.Lineage `json:"nodes"`
	// Silent are the members that could not be asked: what they decided is not here.
	Silent []string `json:"silent,omitempty"`
}

// lineage lists the decisions that touched a data set: those of the node that is asked, or of all that are alive.
func (a *app) lineage(cmd *cobra.Command, data string, limit int, swarm bool) error {
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return err
	}
	defer done()
	own, err := client.Lineage(ctx, data, limit)
	if err != nil {
		return err
	}
	all := lineages{Data: own.Data, Nodes: []api.Lineage{own}}
	if swarm {
		members, err := client.Members(ctx)
		if err != nil {
			return err
		}
		all.ask(ctx, a, members, data, limit)
	}
	if err := a.print(all, func(w *strings.Builder) { printLineages(w, &all) }); err != nil {
		return err
	}
	if len(all.Silent) > 0 {
		return fmt.Errorf("%s did not answer: their decisions are not in the list", clean(strings.Join(all.Silent, ", ")))
	}
	return nil
}

// ask asks the other members.
func (l *lineages) ask(ctx context.Context, a *app, members []api.Member, data string, limit int) {
	l.Silent = append(l.Silent, askOthers(members, func(node string) (api.Lineage, error) { return a.lineageOf(ctx, node, data, limit) },
		func(x api.Lineage) { l.Nodes = append(l.Nodes, x) })...)
	slices.SortFunc(l.Nodes, func(a, b api.Lineage) int { return cmp.Compare(a.Node, b.Node) })
	slices.Sort(l.Silent)
}

func (a *app) lineageOf(ctx context.Context, node, data string, limit int) (api.Lineage, error) {
	c, err := a.dial(node)
	if err != nil {
		return api.Lineage{}, err
	}
	defer c.Close()
	return c.Lineage(ctx, data, limit)
}

func printLineages(w *strings.Builder, l *lineages) {
	type touch struct {
		*api.Touch
		node string
	}
	var list []touch
	for i := range l.Nodes {
		n := &l.Nodes[i]
		for j := range n.Decisions {
			list = append(list, touch{&n.Decisions[j], n.Node})
		}
	}
	slices.SortStableFunc(list, func(a, b touch) int { return b.At.Compare(a.At) })
	if len(list) > 0 {
		t := tables.New("at", "node", "id", "decision", "tenant", "agent", "model", "upstream", "data")
		for _, x := range list {
			t.AppendRow(table.Row{instant(x.At), clean(x.node), clean(x.ID), clean(x.Decision), clean(x.Tenant), clean(x.Agent), clean(x.Model), clean(x.Upstream), clean(strings.Join(x.Data, ", "))})
		}
		w.WriteString(t.Render() + "\n\n")
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		more := ""
		if n.Total > len(n.Decisions) {
			more = fmt.Sprintf(", of which %d are shown", len(n.Decisions))
		}
		fmt.Fprintf(w, "%s remembers %d decisions on calls that named %s%s; all since %s\n", clean(n.Node), n.Total, clean(l.Data), more, instant(n.Since))
	}
}
