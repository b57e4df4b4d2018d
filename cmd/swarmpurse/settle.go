package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// maxUsage bounds a provider's usage object, in bytes.
const maxUsage = 64 << 10

func newSettleCommand(a *app) *cobra.Command {
	var used []string
	var usage string
	var score float64
	r := api.SettleRequest{}
	c := &cobra.Command{
		Use:   "settle ID",
		Short: "Book what a call really used, and end its reservation",
		Long: `Book what an admitted call really used. What was reserved above that goes back to the budget.

Give the amounts with --used, or the provider's own usage object with --usage; with neither, the
reservation is charged as it stands. Settling twice charges once.

With --score, from 0 to 1, say how good the answer was: experiments of the policy compare their arms by it. For calls through
the proxy, which settles them itself, there is 'swarmpurse score'.`,
		Example: `  swarmpurse settle ID --used compute=1432 --score 0.8
  jq .usage response.json | swarmpurse settle ID --usage -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.ID = args[0]
			if cmd.Flags().Changed("score") {
				if !(score >= 0 && score <= 1) {
					return usageError("--score is %g: write a number from 0 to 1", score)
				}
				r.Score = &score
			}
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
	c.Flags().Float64Var(&score, "score", 0, "how good the answer was, `from 0 to 1`")
	c.Flags().StringVar(&r.Outcome, "outcome", "ok", "how the call ended: ok, error, cancelled or a word of yours")
	return a.withClient(c)
}

func newScoreCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "score ID SCORE",
		Short: "Say how good the answer to a call was, from 0 to 1",
		Long: `Say how good the answer to an admitted call was, from 0 to 1, before or after the call was settled. Experiments of the policy compare
their arms by it. The first score of a call counts. Through the proxy the ID is in the header X-Swarmpurse-Decision.`,
		Example: "  swarmpurse score n1-1k3v9q2c0001 0.8",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			score, err := strconv.ParseFloat(args[1], 64)
			if err != nil || !(score >= 0 && score <= 1) {
				return usageError("the score is %s: write a number from 0 to 1", clean(args[1]))
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			receipt, err := client.Score(ctx, args[0], score)
			if err != nil {
				return err
			}
			return a.print(receipt, func(w *strings.Builder) {
				repeated := ""
				if receipt.Repeated {
					repeated = "yes: it had a score before, which counts"
				}
				fields(w, "id", clean(receipt.ID), "score", number(receipt.Score), "repeated", repeated)
			})
		},
	})
}

// scoreOf writes a score, "" for none.
func scoreOf(v *float64) string {
	if v == nil {
		return ""
	}
	return number(*v)
}

func newReleaseCommand(a *app) *cobra.Command {
	var status int
	var wait time.Duration
	c := &cobra.Command{
		Use:   "release ID",
		Short: "Give a reservation back whole, for a call that never ran",
		Long: `Give a reservation back whole, for a call that never ran.

If the provider refused it, say so with --status (429, 503 or 529), and with --retry-after how long it says to
wait: budgets with feedback lower their rate for it, in the whole swarm, and what was reserved of them lapses.`,
		Example: "  swarmpurse release ID --status 429 --retry-after 20s",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait != 0 && status == 0 {
				return usageError("--retry-after goes with --status: write --status 429")
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			var receipt api.Receipt
			if status != 0 {
				receipt, err = client.Refused(ctx, args[0], api.Upstream{Status: status, RetryAfterMS: wait.Milliseconds()})
			} else {
				receipt, err = client.Release(ctx, args[0])
			}
			if err != nil {
				return err
			}
			return a.printReceipt(receipt)
		},
	}
	c.Flags().IntVar(&status, "status", 0, "the HTTP `status` of the provider's answer, as in 429")
	c.Flags().DurationVar(&wait, "retry-after", 0, "how long the provider says to wait; with --status")
	return a.withClient(c)
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
