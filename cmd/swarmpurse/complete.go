package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// What a shell offers of a swarm, by asking the node. One that is slow or away offers nothing.

// completeFrom offers names that are told by a node.
func (a *app) completeFrom(cmd *cobra.Command, names func(context.Context, *api.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	a.timeout = time.Second
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer done()
	list, err := names(ctx, client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeBudgets offers budgets as the first argument.
func (a *app) completeBudgets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeFrom(cmd, func(ctx context.Context, c *api.Client) (names []string, err error) {
		list, err := c.Budgets(ctx)
		for _, b := range list {
			names = append(names, b.Name)
		}
		return names, err
	})
}

// completeInstances offers instances of budgets as the value of a flag.
func (a *app) completeInstances(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeFrom(cmd, func(ctx context.Context, c *api.Client) (names []string, err error) {
		list, err := c.Budgets(ctx)
		for _, b := range list {
			for _, i := range b.Instances {
				names = append(names, i.Instance)
			}
		}
		return names, err
	})
}

// completeMembers offers the names of nodes, those that are given already left out.
func (a *app) completeMembers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeFrom(cmd, func(ctx context.Context, c *api.Client) (names []string, err error) {
		list, err := c.Members(ctx)
		given := map[string]bool{}
		for _, name := range args {
			given[name] = true
		}
		for _, m := range list {
			if !given[m.Name] {
				names = append(names, cobra.CompletionWithDesc(m.Name, m.Status))
			}
		}
		return names, err
	})
}

// completeMember offers the name of one.
func (a *app) completeMember(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeMembers(cmd, args, to)
}

// completeNodes offers the addresses of nodes as the value of --node, by asking the one that is named without it.
func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	a.node = ""
	return a.completeFrom(cmd, func(ctx context.Context, c *api.Client) (list []string, err error) {
		members, err := c.Members(ctx)
		for _, m := range members {
			if m.HTTP != "" {
				list = append(list, cobra.CompletionWithDesc(m.HTTP, m.Name+", "+m.Status))
			}
		}
		return list, err
	})
}
