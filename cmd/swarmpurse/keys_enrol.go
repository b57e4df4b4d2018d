package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const enrolHelp = `Where the policy has trust.enrol, nodes listen only to nodes that a signer has enrolled: to who has no more than the gossip key they tell
the policy, and take nothing of him. What is enrolled is a node's name and its public key, which was made with its data directory; a
directory that is made anew has another one. It takes effect at once, at all nodes, and is kept in their data directories. The signature
counts for as long as its operator is on the list of signers.`

func newEnrolCommand(a *app) *cobra.Command {
	var q api.EnrolRequest
	var all bool
	c := &cobra.Command{
		Use:   "enrol NAME --sign-with FILE",
		Short: "Let a node belong to the swarm",
		Long: enrolHelp + `

Without --node-key it is the key that the member of that name tells of itself: compare it with what that node logs. A node that has not joined
yet is enrolled by its key, at any node. --all enrols all nodes that the one which is asked knows, those that are gone included, and but
for those that were expelled: before a policy with trust.enrol is applied for the first time.`,
		Example: `  swarmpurse keys enrol n7 --node-key ed25519:3b6a… --sign-with alice.key
  swarmpurse keys enrol --all --sign-with alice.key`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all != (len(args) == 0) || all && q.Key != "" {
				return usageError("name one node, or write --all alone")
			}
			if !all {
				q.Node = args[0]
			}
			return a.sayEnrolled(cmd, q, func(list []api.EnrolledNode) ([]api.EnrolledNode, error) { return toEnrol(list, &q, all) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all nodes that the one which is asked knows")
	return a.withEnrolment(c, &q)
}

func newExpelCommand(a *app) *cobra.Command {
	q := api.EnrolRequest{Expel: true}
	c := &cobra.Command{
		Use:   "expel NAME --sign-with FILE",
		Short: "Have a node belong to the swarm no more",
		Long: enrolHelp + `

An expelled node is no peer any more, while it runs as well: nobody takes anything of it, and its guardians, where there are any, take its
rights over when its lease is over. What its rows have said until then stays. Stop it, and take it off the list of members. It is named by its name alone,
which is about all its keys, or with --node-key. To take it back, enrol it again.`,
		Example:           `  swarmpurse keys expel n7 --why "stolen laptop" --sign-with alice.key`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Node = args[0]
			return a.sayEnrolled(cmd, q, func(list []api.EnrolledNode) ([]api.EnrolledNode, error) { return toExpel(list, &q) })
		},
	}
	return a.withEnrolment(c, &q)
}

func (a *app) withEnrolment(c *cobra.Command, q *api.EnrolRequest) *cobra.Command {
	c.Flags().StringVar(&q.Key, "node-key", "", "the node's public `key`, as it logs it and swarmpurse keys enrolled shows it")
	c.Flags().StringVar(&q.Why, "why", "", "the reason, for logs and audit records")
	return a.signed(a.withClient(c))
}

// toEnrol chooses whom a command enrols.
func toEnrol(list []api.EnrolledNode, q *api.EnrolRequest, all bool) (chosen []api.EnrolledNode, err error) {
	if all {
		return slices.DeleteFunc(list, func(x api.EnrolledNode) bool { return x.Expelled }), nil
	}
	if q.Key != "" {
		return oneOf(list, q)
	}
	for _, x := range list {
		if x.Node == q.Node && x.Status != "" {
			return []api.EnrolledNode{x}, nil
		}
	}
	return nil, usageError("the node knows no member %q: give its --node-key, which it logs at its start", q.Node)
}

// toExpel chooses whom a command expels.
func toExpel(list []api.EnrolledNode, q *api.EnrolRequest) (chosen []api.EnrolledNode, err error) {
	if q.Key != "" {
		return oneOf(list, q)
	}
	for _, x := range list {
		if x.Node == q.Node && !x.Expelled {
			chosen = append(chosen, x)
		}
	}
	if chosen == nil {
		return nil, usageError("the node knows no %q that is enrolled or a member: see swarmpurse keys enrolled, or give its --node-key", q.Node)
	}
	return chosen, nil
}

// oneOf is the node with the key of the request, whether it is known or not.
func oneOf(list []api.EnrolledNode, q *api.EnrolRequest) ([]api.EnrolledNode, error) {
	k, err := trust.ParseKey(strings.ToLower(q.Key))
	if err != nil {
		return nil, usageError("--node-key: it is no node's public key: that is ed25519: and 64 hexadecimal digits")
	}
	for _, x := range list {
		if x.Node == q.Node && x.Key == k.String() {
			return []api.EnrolledNode{x}, nil
		}
	}
	return []api.EnrolledNode{{Node: q.Node, Key: k.String()}}, nil
}

// sayEnrolled signs and says the same of all nodes that choose chooses of those that are known.
func (a *app) sayEnrolled(cmd *cobra.Command, q api.EnrolRequest, choose func([]api.EnrolledNode) ([]api.EnrolledNode, error)) error {
	secret, err := a.secret()
	if err != nil {
		return err
	}
	if secret == nil {
		return usageError("--sign-with is missing: only who is on the policy's trust.signers enrols nodes")
	}
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return err
	}
	defer done()
	known, err := client.Enrolment(ctx)
	if err != nil {
		return err
	}
	chosen, err := choose(known.Nodes)
	if err != nil {
		return err
	}
	var said []api.EnrolledNode
	for _, x := range chosen {
		q.Node, q.Key = x.Node, x.Key
		if err := a.signEnrolment(ctx, client, &q, x.At); err != nil {
			return err
		}
		rc, err := client.Enrol(ctx, q)
		if err != nil {
			return fmt.Errorf("node %s: %w", clean(x.Node), err)
		}
		rc.Status, known.Required = x.Status, rc.Required
		said = append(said, rc.EnrolledNode)
	}
	if err := a.print(api.Enrolment{Required: known.Required, Nodes: said}, func(w *strings.Builder) { printEnrolled(w, said) }); err != nil {
		return err
	}
	if !known.Required {
		a.hint("the policy in force does not ask for it yet: apply one with trust: {enrol: true}")
	}
	return nil
}

// signEnrolment signs a word on a node; last is the time of the one that it follows.
func (a *app) signEnrolment(ctx context.Context, client *api.Client, q *api.EnrolRequest, last int64) (err error) {
	k, err := trust.ParseKey(q.Key)
	if err != nil {
		return fmt.Errorf("the node tells of a key that cannot be read: %w", err)
	}
	kind := trust.Enrol
	if q.Expel {
		kind = trust.Expel
	}
	q.Signature, err = a.sign(ctx, client, func(t *api.Trust, _ trust.Key) (*trust.Statement, trust.Revision, error) {
		return trust.OfNode(kind, t.Charter, max(now(), last+1), q.Node, k, q.Why), trust.Revision{}, nil
	})
	return err
}

func newEnrolledCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "enrolled",
		Short: "Show which nodes belong to the swarm",
		Long:  enrolHelp + "\n\nList the nodes that were enrolled or expelled, and those that the node which is asked knows and nobody has enrolled.",
		Args:  cobra.NoArgs,
		RunE: showing(a, (*api.Client).Enrolment, func(w *strings.Builder, v api.Enrolment) {
			if !v.Required {
				w.WriteString("the policy in force does not ask that nodes are enrolled (trust.enrol): who has the gossip key belongs to the swarm\n")
			}
			printEnrolled(w, v.Nodes)
		}),
	})
}

func printEnrolled(w *strings.Builder, list []api.EnrolledNode) {
	t := tables.New("node", "key", "enrolled", "member", "by", "at", "why")
	for _, x := range list {
		state, at := "no", ""
		switch {
		case x.Enrolled:
			state = "yes"
		case x.Expelled:
			state = "expelled"
		}
		if x.At > 0 {
			at = instant(time.UnixMilli(x.At))
		}
		t.AppendRow(table.Row{clean(x.Node), clean(x.Key), state, clean(cmp.Or(x.Status, "-")), clean(x.By), at, clean(x.Why)})
	}
	w.WriteString(t.Render() + "\n")
}
