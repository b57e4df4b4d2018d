package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

func newMintCommand(a *app) *cobra.Command {
	var m api.MintRequest
	c := &cobra.Command{
		Use:   "mint BUDGET AMOUNT",
		Short: "Top a budget up: for grants and the present window",
		Long: `Mint tokens into one instance of a budget, at the node that is asked. The amount is written as in
policies: 900, 10k, 2M. Instances of a budget with ` + "`per`" + ` are named by --key, once for each attribute, in its order.`,
		Example: `  swarmpurse mint gpu-pool 2M --why "launch day"
  swarmpurse mint tenant-day 500k --key search`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeBudgets,
		RunE: func(cmd *cobra.Command, args []string) error {
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
			receipt, err := client.Mint(ctx, m)
			var lost *api.UnreachableError
			if errors.As(err, &lost) {
				// It may have been minted although the answer never came.
				return &codedError{err: err, code: exitFailed, hint: fmt.Sprintf("%s; to retry without minting twice, add --id %s", lost.Hint(), m.ID)}
			}
			if err != nil {
				return err
			}
			return a.print(receipt, func(w *strings.Builder) {
				minted := tokens(receipt.Minted)
				if receipt.Repeated {
					minted += " (before: this id was known, nothing was minted now)"
				}
				if receipt.Unheld {
					minted += " (guardians have not confirmed it yet: until they do it is lost if the data directory is)"
				}
				fields(w, "instance", clean(receipt.Instance), "minted", minted, "limit", tokens(receipt.Limit))
			})
		},
	}
	c.Flags().StringArrayVar(&m.Key, "key", nil, "`value` of the budget's per, in its order; repeatable")
	c.Flags().StringVar(&m.Why, "why", "", "the reason, kept with the record")
	c.Flags().StringVar(&m.ID, "id", "", "`name` of this top-up: the same one mints once (default a new one)")
	return a.withClient(c)
}
