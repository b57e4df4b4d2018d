package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newGossipKeysCommand(a *app) *cobra.Command {
	return groupCommand("gossip", "The keys that gossip is encrypted with", newGossipNewCommand(a), newGossipListCommand(a), newGossipRotateCommand(a))
}

func newGossipNewCommand(a *app) *cobra.Command {
	return a.withOutput(&cobra.Command{
		Use:   "new FILE",
		Short: "Make a keyring for a new swarm",
		Long: `Write a keyring with one new key of 256 bits to a new file, which only this user can read: give the same file to every node of a
new swarm with --keyring. A node with --data keeps the ring there from then on, as keyring.json: a node that joins later is given a copy
of that file of any member.`,
		Example: "  swarmpurse keys gossip new keyring.json && swarmpurse node --name n1 --data ./n1 --keyring keyring.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var b [32]byte
			_, _ = rand.Read(b[:]) // it never fails
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return usageError("%w", err)
			}
			_, err = fmt.Fprintf(f, "[\n  %q\n]\n", base64.StdEncoding.EncodeToString(b[:]))
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			return a.print(map[string]string{"file": args[0]}, func(w *strings.Builder) { fmt.Fprintf(w, "wrote %s\n", args[0]) })
		},
	})
}

func newGossipListCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "list",
		Short: "Show which keys the nodes have",
		Long:  "Ask all nodes which gossip keys they have, and which they encrypt with. Keys are shown by the first digits of their SHA-256.",
		Args:  cobra.NoArgs,
		RunE:  showing(a, (*api.Client).GossipKeys, func(w *strings.Builder, k api.GossipKeys) { printGossipKeys(w, &k) }),
	})
}

func printGossipKeys(w *strings.Builder, k *api.GossipKeys) {
	t := tables.New("key", "→nodes", "→encrypt with it")
	for _, x := range k.Keys {
		t.AppendRow(table.Row{clean(x.ID), fmt.Sprintf("%d of %d", x.Nodes, k.Nodes), fmt.Sprintf("%d of %d", x.Encrypting, k.Nodes)})
	}
	w.WriteString(t.Render() + "\n")
	if len(k.Away) > 0 {
		fmt.Fprintf(w, "away: %s\n", clean(strings.Join(k.Away, ", ")))
	}
}

func newGossipRotateCommand(a *app) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "rotate [--to KEY]",
		Short: "Change the gossip key of all nodes, with none dropped",
		Long: `Make a new gossip key and have all nodes install it, encrypt with it, and forget all others, one step after the other. Between
the steps all nodes understand each other, so traffic goes on. Each node with --data keeps its ring there.

A step is taken only if no member is away, since one that misses it could not come back: bring back what is away, or take it off the list
with swarmpurse members remove NAME. What was begun goes on with --to KEY. A node that was off the list while keys changed is given a copy
of keyring.json from the data directory of any member, with --keyring.

Keys in a file of --keyring that a node without --data was started with are changed in that file.`,
		Example: "  swarmpurse keys gossip rotate\n  swarmpurse keys gossip rotate --to 3f2a09c1d2e4",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			k, id, err := rotate(ctx, client, to)
			if err != nil {
				if id != "" {
					return &codedError{err: err, code: exitFailed, hint: a.named("nothing is lost; to go on: swarmpurse keys gossip rotate --to " + id)}
				}
				return err
			}
			return a.print(k, func(w *strings.Builder) {
				fmt.Fprintf(w, "all %d nodes encrypt with %s and have no other key\n", k.Nodes, clean(id))
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "go on with a `key` that nodes have, as list shows it, instead of making one")
	a.withClient(c)
	_ = c.Flags().Lookup("timeout").Value.Set("1m") // each step waits for all nodes
	c.Flags().Lookup("timeout").DefValue = "1m0s"
	return c
}

// rotate takes all steps. id is the key that the swarm is to end with, once there is one.
func rotate(ctx context.Context, client *api.Client, to string) (k api.GossipKeys, id string, err error) {
	if k, err = client.GossipKeys(ctx); err != nil {
		return k, "", err
	}
	if to == "" && len(k.Keys) > 1 {
		var ids []string
		for _, x := range k.Keys {
			ids = append(ids, fmt.Sprintf("%s (%d of %d nodes encrypt with it)", x.ID, x.Encrypting, k.Nodes))
		}
		return k, "", usageError("the nodes have %d keys, perhaps since a rotation did not end: %s; say with --to which is to stay: a new one is one that few encrypt with", len(ids), strings.Join(ids, ", "))
	}
	id = to
	for _, step := range []string{api.InstallKey, api.UseKey} {
		if k, err = client.ChangeGossipKey(ctx, api.GossipKeyChange{Step: step, ID: id}); err != nil {
			return k, id, err
		}
		id = k.ID
	}
	for _, x := range k.Keys {
		if x.ID == id {
			continue
		}
		if k, err = client.ChangeGossipKey(ctx, api.GossipKeyChange{Step: api.RemoveKey, ID: x.ID}); err != nil {
			return k, id, err
		}
	}
	return k, id, nil
}
