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

func newBurnCommand(a *app) *cobra.Command {
	var m api.BurnRequest
	c := &cobra.Command{
		Use:   "burn BUDGET AMOUNT",
		Short: "Destroy unspent tokens of a budget: of grants and the present window",
		Long: `Destroy tokens of one instance of a budget that are not spent yet, all of AMOUNT or none. What the asked node
has not itself it asks its peers for, for up to 3 seconds. It cannot be undone: mint brings as many back. The next window is
issued in full; to have less for good, lower the amount in the policy. A rate and slots bring back what is taken, so nothing of
them can be burned. Instances of a budget with ` + "`per`" + ` are named by --key, once for each attribute, in its order.`,
		Example: `  swarmpurse burn gpu-pool 2M --why "granted by mistake"
  swarmpurse burn tenant-day 500k --key search`,
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
			receipt, err := client.Burn(ctx, m)
			var lost *api.UnreachableError
			if errors.As(err, &lost) {
				return &codedError{err: err, code: exitFailed, hint: fmt.Sprintf("%s; to retry without burning twice, add --id %s", lost.Hint(), m.ID)}
			}
			if err != nil {
				return err
			}
			return a.print(receipt, func(w *strings.Builder) {
				burned := tokens(receipt.Burned)
				if receipt.Repeated {
					burned += " (before: this id was known, nothing was burned now)"
				}
				if receipt.Unheld {
					burned += " (guardians have not confirmed it yet: until they do it comes back if the data directory is lost)"
				}
				fields(w, "instance", clean(receipt.Instance), "burned", burned, "rights", tokens(receipt.Rights))
			})
		},
	}
	c.Flags().StringArrayVar(&m.Key, "key", nil, "`value` of the budget's per, in its order; repeatable")
	c.Flags().StringVar(&m.Why, "why", "", "the reason, kept with the record")
	c.Flags().StringVar(&m.ID, "id", "", "`name` of this burn: the same one burns once (default a new one)")
	return a.withClient(c)
}
