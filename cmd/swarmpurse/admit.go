package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

func newAdmitCommand(a *app) *cobra.Command {
	var r api.AdmitRequest
	var stated []string
	c := &cobra.Command{
		Use:   "admit",
		Short: "Ask whether a call may run, and reserve its tokens",
		Long: `Ask a node whether a call may run now, and reserve its tokens until it is settled.

Exit code 0 means that the call may run, 3 that it may not: then nothing is reserved, and stderr
says why and when to come back.`,
		Example: `  swarmpurse admit --tenant search --agent crawler --prompt-tokens 1200 --max-output-tokens 600
  swarmpurse admit --tenant search --tokens compute=10k --wait 0s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if r.Tokens, err = parseAmounts("--tokens", stated); err != nil {
				return err
			}
			wait := time.Duration(-1) // as long as the class allows, which the node knows
			if r.Wait != "" {
				if wait, err = time.ParseDuration(r.Wait); err != nil || wait < 0 {
					return usageError("--wait is %q: write a duration like 250ms or 0s", r.Wait)
				}
			}
			client, ctx, done, err := a.client(cmd, wait)
			if err != nil {
				return err
			}
			defer done()
			answer, err := client.Admit(ctx, r)
			if err != nil {
				return err
			}
			if !answer.Admitted() {
				return a.refused(answer)
			}
			if err := a.print(answer, func(w *strings.Builder) { printAnswer(w, answer) }); err != nil {
				return err
			}
			a.hint("when the call has ended: swarmpurse settle %s --used TYPE=AMOUNT, or: swarmpurse release %s", answer.ID, answer.ID)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&r.Tenant, "tenant", "", "who pays")
	f.StringVar(&r.Agent, "agent", "", "who calls")
	f.StringVar(&r.Run, "run", "", "the run that the call belongs to")
	f.StringVar(&r.Class, "class", "", "priority class (default the policy's)")
	f.StringVar(&r.Model, "model", "", "the model to be called")
	f.BoolVar(&r.Priority, "priority", false, "one class better for this call, paid in priority points, if the policy has such")
	f.Int64Var(&r.PromptTokens, "prompt-tokens", 0, "tokens of the prompt")
	f.Int64Var(&r.MaxOutputTokens, "max-output-tokens", 0, "tokens that the model may write at most")
	f.StringArrayVar(&stated, "tokens", nil, "state an amount outright, as `type=amount`; repeatable")
	f.StringArrayVar(&r.Data, "data", nil, "a data `set` that the call reads, as in eu/docs or with a digest as in eu/docs@sha256:9f86d081; repeatable")
	f.StringToStringVar(&r.Attributes, "attribute", nil, "what else the policy's rules may look at, as `name=value`; repeatable")
	f.StringVar(&r.Wait, "wait", "", "how long the call may queue (default as long as its class allows)")
	f.StringVar(&r.TTL, "ttl", "", "how long the reservation lives unsettled (default 2m)")
	f.StringVar(&r.IdempotencyKey, "idempotency-key", "", "`name` of this call: a retry with it gets the first answer")
	return a.withClient(c)
}

// refused reports a call that may not run: the answer goes to stdout only as JSON.
func (a *app) refused(answer api.AdmitAnswer) error {
	if a.output == "json" {
		if err := a.print(answer, nil); err != nil {
			return err
		}
	}
	hint := "swarmpurse explain " + answer.ID
	if answer.ID == "" {
		hint = "swarmpurse budgets"
	}
	if x := answer.Advice; x != nil && x.HTTP != "" {
		hint = fmt.Sprintf("run it there: --node %s; or see: %s", clean(x.HTTP), hint)
	} else if answer.Decision == "defer" && answer.RetryAfterMS > 0 {
		hint = fmt.Sprintf("retry in %v, or run: %s", time.Duration(answer.RetryAfterMS)*time.Millisecond, hint)
	} else {
		hint = "run: " + hint
	}
	return &codedError{err: fmt.Errorf("%s (%s): %s", answer.Decision, answer.Code, answer.Reason), code: exitDenied, hint: hint}
}

func printAnswer(w *strings.Builder, x api.AdmitAnswer) {
	fields(w,
		"id", clean(x.ID),
		"decision", x.Decision,
		"reserved", amounts(x.Reserved),
		"price", prices(x.Price),
		"advice", advice(x.Advice),
		"flags", flagsOn(x.Advice),
		"experiment", experimentOf(x.Advice),
		"reason", clean(x.Reason),
		"waited", millis(x.WaitedMS),
		"policy", policyOf(x.Policy.Revision, x.Policy.Arm),
		"node", clean(x.Node),
	)
}

// advice writes how a call must be changed, where it goes, and who else can decide on it.
func advice(a *api.Advice) string {
	if a == nil {
		return ""
	}
	var how []string
	if a.Model != "" {
		how = append(how, "model "+clean(a.Model))
	}
	if a.MaxOutputTokens > 0 {
		how = append(how, fmt.Sprintf("at most %d tokens of output", a.MaxOutputTokens))
	}
	if a.Temperature != nil {
		how = append(how, fmt.Sprintf("temperature %g", *a.Temperature))
	}
	if a.TopP != nil {
		how = append(how, fmt.Sprintf("top_p %g", *a.TopP))
	}
	if a.Upstream != "" {
		how = append(how, "upstream "+clean(a.Upstream))
	}
	if a.Node != "" {
		ask := fmt.Sprintf("ask %s in zone %s", clean(a.Node), clean(a.Zone))
		if a.HTTP != "" {
			ask += " at " + clean(a.HTTP)
		}
		how = append(how, ask)
	}
	return strings.Join(how, ", ")
}

// flagsOn and experimentOf write what hashes chose for a call.
func flagsOn(a *api.Advice) string {
	if a == nil {
		return ""
	}
	return clean(strings.Join(a.Flags, ", "))
}

func experimentOf(a *api.Advice) string {
	if a == nil || a.Experiment == "" {
		return ""
	}
	return clean(a.Experiment) + ", arm " + clean(a.Arm)
}

// parseAmounts reads type=amount, amounts as in policies: 900, 10k, 2M.
func parseAmounts(flag string, list []string) (map[string]ledger.Tokens, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]ledger.Tokens, len(list))
	for _, s := range list {
		name, amount, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usageError("%s is %q: write type=amount, as in compute=900", flag, s)
		}
		var n ledger.Tokens
		if amount != "0" { // which no policy may write
			var err error
			if n, err = policy.ParseAmount(amount); err != nil {
				return nil, usageError("%s %s: %w", flag, name, err)
			}
		}
		if _, twice := out[name]; twice {
			return nil, usageError("%s names %q twice", flag, name)
		}
		out[name] = n
	}
	return out, nil
}
