package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// lot makes c a command that mints or burns an amount of one instance once, however often it is repeated with one id. do has the node
// do it, and returns the receipt and how to print it; doing is the verb in hints, what the noun in help.
func (a *app) lot(c *cobra.Command, doing, what string, do func(context.Context, *api.Client, api.MintRequest) (any, func(*strings.Builder), error)) *cobra.Command {
	var m api.MintRequest
	c.Args, c.ValidArgsFunction = cobra.ExactArgs(2), a.completeBudgets
	c.RunE = func(cmd *cobra.Command, args []string) error {
		m.Budget = args[0]
		var err error
		if m.Amount, err = policy.ParseAmount(args[1]); err != nil {
			return usageError("AMOUNT: %w", err)
		}
		if m.ID == "" {
			m.ID = rand.Text()
		}
		client, ctx, done, err := a.client(cmd, 0)
		if err != nil {
			return err
		}
		defer done()
		receipt, text, err := do(ctx, client, m)
		var lost *api.UnreachableError
		if errors.As(err, &lost) {
			// It may have been done although the answer never came.
			return &codedError{err: err, code: exitFailed, hint: fmt.Sprintf("%s; to retry without %s twice, add --id %s", lost.Hint(), doing, m.ID)}
		}
		if err != nil {
			return err
		}
		return a.print(receipt, text)
	}
	c.Flags().StringArrayVar(&m.Key, "per", nil, "`value` of the budget's per, in its order; repeatable")
	c.Flags().StringVar(&m.Why, "why", "", "the reason, kept with the record")
	c.Flags().StringVar(&m.ID, "id", "", "`name` of this "+what+" once (default a new one)")
	return a.withClient(c)
}
