package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

func newMintCommand(a *app) *cobra.Command {
	return a.signed(a.lot(&cobra.Command{
		Use:   "mint BUDGET AMOUNT",
		Short: "Top a budget up: for grants and the present window",
		Long: `Mint tokens into one instance of a budget, at the node that is asked. The amount is written as in
policies: 900, 10k, 2M. Instances of a budget with ` + "`per`" + ` are named by --per, once for each attribute, in its order.`,
		Example: `  swarmpurse mint gpu-pool 2M --why "launch day"
  swarmpurse mint tenant-day 500k --per search`,
	}, "minting", "top-up: the same one mints", func(ctx context.Context, client *api.Client, m api.MintRequest) (any, func(*strings.Builder), error) {
		if err := a.signMint(ctx, client, &m); err != nil {
			return nil, nil, err
		}
		receipt, err := client.Mint(ctx, m)
		return receipt, func(w *strings.Builder) {
			minted := tokens(receipt.Minted)
			if receipt.Repeated {
				minted += " (before: this id was known, nothing was minted now)"
			}
			if receipt.Unheld {
				minted += " (guardians have not confirmed it yet: until they do it is lost if the data directory is)"
			}
			fields(w, "instance", clean(receipt.Instance), "minted", minted, "limit", tokens(receipt.Limit))
		}, err
	}))
}
