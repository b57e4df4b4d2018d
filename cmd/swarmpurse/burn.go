package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

func newBurnCommand(a *app) *cobra.Command {
	return a.signed(a.lot(&cobra.Command{
		Use:   "burn BUDGET AMOUNT",
		Short: "Destroy unspent tokens of a budget: of grants and the present window",
		Long: `Destroy tokens of one instance of a budget that are not spent yet, all of AMOUNT or none. What the asked node
has not itself it asks its peers for, for up to 3 seconds. It cannot be undone: mint brings as many back. The next window is
issued in full; to have less for good, lower the amount in the policy. A rate and slots bring back what is taken, so nothing of
them can be burned. Instances of a budget with ` + "`per`" + ` are named by --per, once for each attribute, in its order.`,
		Example: `  swarmpurse burn gpu-pool 2M --why "granted by mistake"
  swarmpurse burn tenant-day 500k --per search`,
	}, "burning", "burn: the same one burns", func(ctx context.Context, client *api.Client, m api.MintRequest) (any, func(*strings.Builder), error) {
		q := api.BurnRequest(m)
		if err := a.signBurn(ctx, client, &q); err != nil {
			return nil, nil, err
		}
		receipt, err := client.Burn(ctx, q)
		return receipt, func(w *strings.Builder) {
			burned := tokens(receipt.Burned)
			if receipt.Repeated {
				burned += " (before: this id was known, nothing was burned now)"
			}
			if receipt.Unheld {
				burned += " (guardians have not confirmed it yet: until they do it comes back if the data directory is lost)"
			}
			fields(w, "instance", clean(receipt.Instance), "burned", burned, "rights", tokens(receipt.Rights))
		}, err
	}))
}
