package main

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// maxUsage bounds a provider's usage object, in bytes.
const maxUsage = 64 << 10

func newSettleCommand(a *app) *cobra.Command {
	var used []string
	var usage string
	r := api.SettleRequest{}
	c := &cobra.Command{
		Use:   "settle ID",
		Short: "Book what a call really used, and end its reservation",
		Long: `Book what an admitted call really used. What was reserved above that goes back to the budget.

Give the amounts with --used, or the provider's own usage object with --usage; with neither, the
reservation is charged as it stands. Settling twice charges once.`,
		Example: `  swarmpurse settle ID --used compute=1432
  jq .usage response.json | swarmpurse settle ID --usage -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.ID = args[0]
			var err error
			if r.Used, err = parseAmounts("--used", used); err != nil {
				return err
			}
			if usage != "" {
				src, err := a.readFile(usage, maxUsage)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(src, &r.Usage); err != nil || r.Usage == nil {
					return usageError(`--usage %s: not a usage object, as in {"prompt_tokens": 12, "completion_tokens": 3}`, usage)
				}
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			receipt, err := client.Settle(ctx, r)
			if err != nil {
				return err
			}
			return a.printReceipt(receipt)
		},
	}
	c.Flags().StringArrayVar(&used, "used", nil, "amount used, as `type=amount`; repeatable")
	c.Flags().StringVar(&usage, "usage", "", "`file` with the provider's usage object as JSON, - for stdin")
	c.Flags().StringVar(&r.Outcome, "outcome", "ok", "how the call ended: ok, error, cancelled or a word of yours")
	return a.withClient(c)
}

func newReleaseCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "release ID",
		Short: "Give a reservation back whole, for a call that never ran",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			receipt, err := client.Release(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printReceipt(receipt)
		},
	})
}

func (a *app) printReceipt(r api.Receipt) error {
	return a.print(r, func(w *strings.Builder) {
		charged := amounts(r.Charged)
		if charged == "" {
			charged = "nothing"
		}
		overrun := ""
		if r.Overrun > 0 {
			overrun = tokens(r.Overrun) + " more than reserved: debt, paid before the next admission"
		}
		repeated := ""
		if r.Repeated {
			repeated = "yes: it had ended before, nothing was charged now"
		}
		late := ""
		if r.Late {
			late = "yes: the reservation had expired"
		}
		fields(w, "id", clean(r.ID), "charged", charged, "overrun", overrun, "repeated", repeated, "late", late)
	})
}
