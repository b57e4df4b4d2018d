package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
)

const auditVerifyHelp = `Check every byte of an audit log: that its records are those that the node signed, and that the log goes on from the checkpoints
that peers keep of it. The first record that was changed is named; where only peers can tell, between which of their checkpoints it is.

The log is read from the node (--node), or from the data directory of a stopped node (--data DIR), or from an archive that
swarmpurse audit export --archive wrote (--archive FILE). Peers are all that the node knows; with --data and --archive name some: --peer URL.

Whoever holds the node's key, as whoever can write its data directory does, can write a whole log anew. Only peers' checkpoints prove
that: a log that was compared with none is said to be so.`

func newAuditVerifyCommand(a *app) *cobra.Command {
	var from auditSource
	var key string
	c := a.withClient(&cobra.Command{
		Use:   "verify",
		Short: "Prove an audit log against its signatures and against peers' checkpoints",
		Long:  auditVerifyHelp,
		Example: `  swarmpurse audit verify
  swarmpurse audit verify --data ./n2 --peer 127.0.0.1:7070 --peer 127.0.0.1:7071`,
		Args: cobra.NoArgs,
	})
	from.flags(c)
	c.Flags().StringVar(&key, "log-key", "", "the log's public `key`, where it is known from elsewhere")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, peers, done, err := from.open(a, cmd)
		if err != nil {
			return err
		}
		defer done()
		seen := a.sightings(cmd, peers, node.AuditName(dir))
		r, err := node.VerifyAudit(dir, key, seen)
		if err != nil {
			return err
		}
		if err := a.print(r, func(w *strings.Builder) { printAuditReport(w, &r) }); err != nil {
			return err
		}
		if !r.OK {
			p := r.Problems[0]
			return &codedError{err: fmt.Errorf("the audit log of %s is not what was signed: first at record %d: %s", r.Node, p.Record, p.What), code: exitFailed,
				hint: "keep the directory as it is, and see who could write to it: swarmpurse audit show --from " + fmt.Sprint(max(p.Record-1, 0))}
		}
		if len(r.Peers) == 0 {
			a.hint("no peer's checkpoint was compared: name some with --peer, or wait until the node has witnesses")
		}
		return nil
	}
	return c
}

// auditSource is where a command reads a log from.
type auditSource struct {
	data, archive string
	peers         []string
}

func (s *auditSource) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.data, "data", "", "data `directory` of a stopped node")
	f.StringVar(&s.archive, "archive", "", "`file` that audit export --archive wrote")
	f.StringArrayVar(&s.peers, "peer", nil, "`address` of a peer's HTTP API, whose checkpoints are compared; repeatable")
	c.MarkFlagsMutuallyExclusive("data", "archive", "node")
}

// open gives a directory with the log, and peers to ask.
func (s *auditSource) open(a *app, cmd *cobra.Command) (dir string, peers []string, done func(), err error) {
	if s.data != "" {
		return filepath.Join(s.data, "audit"), s.peers, func() {}, nil
	}
	if dir, err = os.MkdirTemp("", "swarmpurse-audit-"); err != nil {
		return "", nil, nil, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	unpack := func(r io.Reader) error { return node.UnpackAudit(r, dir) }
	if s.archive != "" {
		err = withFile(s.archive, unpack)
	} else {
		peers, err = s.download(a, cmd, unpack)
	}
	if err != nil {
		done()
		return "", nil, nil, err
	}
	return dir, append(peers, s.peers...), done, nil
}

func withFile(path string, fn func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(f)
}

func (s *auditSource) download(a *app, cmd *cobra.Command, unpack func(io.Reader) error) (peers []string, err error) {
	client, ctx, done, err := a.client(cmd, -1)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := client.AuditArchive(ctx, unpack); err != nil {
		return nil, err
	}
	members, err := client.Members(ctx)
	for _, m := range members {
		if !m.Self && m.Status == "alive" && !m.Foreign && m.HTTP != "" {
			peers = append(peers, m.HTTP)
		}
	}
	return peers, err
}

// peerPatience is how long one peer is waited for.
const peerPatience = 5 * time.Second

// sightings asks peers what they keep of a node's log. Those that do not answer are named on stderr.
func (a *app) sightings(cmd *cobra.Command, peers []string, of string) (seen []api.AuditSighting) {
	for _, p := range peers {
		list, err := a.askPeer(cmd.Context(), p, of)
		if err != nil {
			fmt.Fprintf(a.stderr, "swarmpurse: peer %s: %v\n", clean(p), err)
			continue
		}
		for _, s := range list {
			// A peer may be named that the node names, too.
			if (of == "" || s.Of == of) && !slices.Contains(seen, s) {
				seen = append(seen, s)
			}
		}
	}
	return seen
}

func (a *app) askPeer(ctx context.Context, peer, of string) ([]api.AuditSighting, error) {
	c, err := a.dial(peer)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	list, err := c.AuditSightings(ctx, of)
	var gone *api.UnreachableError
	if errors.As(err, &gone) {
		err = gone.Err
	}
	return list, err
}

func printAuditReport(w *strings.Builder, r *api.AuditReport) {
	verdict := "whole: every record is what was signed"
	if !r.OK {
		verdict = "CHANGED"
	}
	fields(w,
		"node", clean(r.Node),
		"log", verdict,
		"records", fmt.Sprintf("%s to %s", count(r.From), count(max(r.Size-1, 0))),
		"checkpoints", fmt.Sprintf("%s checked, the last one of %s", count(int64(r.Heads)), instant(r.At)),
		"files", fmt.Sprintf("%s, %.1f MiB", plural(int64(r.Segments), "segment"), mib(r.Bytes)),
		"root", clean(r.Root),
		"key", clean(r.Key),
	)
	if len(r.Peers) > 0 {
		t := tables.New("peer", "→records", "at", "verdict")
		for _, p := range r.Peers {
			t.AppendRow(table.Row{clean(p.By), count(p.Size), instant(p.At), clean(p.Verdict)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
	if len(r.Problems) > 0 {
		t := tables.New("→record", "→to", "problem")
		for _, p := range r.Problems {
			t.AppendRow(table.Row{p.Record, p.Last, clean(p.What)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
}
