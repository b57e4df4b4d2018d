package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// newOperator is an operator's key that was made.
type newOperator struct {
	Name   string `json:"name"`
	Key    string `json:"key"` // the public one
	File   string `json:"file"`
	Policy string `json:"policy"` // what the policy needs of it
}

func newOperatorKeyCommand(a *app) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "operator NAME --out FILE",
		Short: "Make an operator's key, which signs changes",
		Long: `Make a key with which an operator signs changes of the policy, mints, burns, freezes, and words that members are dead. The secret is written to a
new file that only this user can read, and stays there: commands sign with it in their own process (--sign-with FILE), and no node ever
sees it. What is printed is the public key, as the policy lists it under trust.signers.

Once a policy with trust.signers is in force, every node of the swarm takes such changes only if one of those keys has signed them. There is
no way round it: if all keys are lost, nobody can change the policy of that cluster again. So list two operators or more, and keep the
first one's key where it cannot be stolen: the order of the list counts. Of two operators who change the policy without knowing of each
other, the one who stands before the other has his will, and so a stolen key can be taken off by those who stand before it, for good.`,
		Example: `  swarmpurse keys operator alice --out alice.key
  swarmpurse policy apply policy.yaml --sign-with alice.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError("--out is missing: name a new file for the secret, as in --out %s.key", args[0])
			}
			return a.makeOperatorKey(args[0], out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "new `file` for the secret, which only this user can read")
	return a.withOutput(c)
}

func (a *app) makeOperatorKey(name, out string) error {
	s, err := trust.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	v := newOperator{Name: name, Key: s.Public().String(), File: out}
	v.Policy = "trust:\n  signers:\n    - {name: " + yamlText(name) + ", key: " + v.Key + "}\n"
	if _, err := policy.Parse("trust", []byte("apiVersion: swarmpurse/v1\nrevision: 1\n"+v.Policy)); err != nil {
		var many *policy.Errors
		if errors.As(err, &many) && len(many.List) > 0 {
			e := many.List[0]
			return usageError("%s%s", e.Message, strings.TrimSuffix("; "+e.Advice, "; "))
		}
		return usageError("%w", err)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usageError("--out: %w", err)
	}
	_, err = f.WriteString(s.Text(fmt.Sprintf("swarmpurse: the secret key of operator %s, whose public key is %s", name, v.Key)))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := a.print(v, func(w *strings.Builder) { w.WriteString(v.Policy) }); err != nil {
		return err
	}
	a.hint("add the lines to the policy, and sign it the first time it is applied: swarmpurse policy apply FILE --sign-with %s", out)
	return nil
}

func newSignersCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "signers",
		Short: "Show who signs changes",
		Long: `Show the revisions of the policy that signatures lead through, as the node knows them, and who signs what follows each. The last
one is in force: one of its signers must sign the next change.`,
		Args: cobra.NoArgs,
		RunE: showing(a, (*api.Client).Trust, func(w *strings.Builder, t api.Trust) {
			fields(w, "cluster", clean(t.Charter), "signers now", signersText(t.Signers))
			if len(t.Chain) == 0 {
				return
			}
			w.WriteByte('\n')
			list := tables.New("→revision", "hash", "signer", "key")
			for _, l := range t.Chain {
				if len(l.Signers) == 0 {
					list.AppendRow(table.Row{fmt.Sprint(l.Revision), clean(l.Hash[:min(8, len(l.Hash))]), "nobody need sign", ""})
				}
				for i, s := range l.Signers {
					revision, hash := "", ""
					if i == 0 {
						revision, hash = fmt.Sprint(l.Revision), clean(l.Hash[:min(8, len(l.Hash))])
					}
					list.AppendRow(table.Row{revision, hash, clean(s.Name), clean(s.Key)})
				}
			}
			w.WriteString(list.Render() + "\n")
		}),
	})
}
