package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

const backupHelp = `Write what of a node is worth keeping into a zip file, from the running node: the policy in force and its history, the audit log with its
proof, and how the budgets stood.

Rights are not in it, on purpose: what a node may spend changes with every call, and whoever put an older state back could spend twice. For the
same reason copies of a data directory are no backups: peers fence a node that comes back from one. See swarmpurse restore for what to do instead.`

const restoreHelp = `Unpack a backup into a new directory, prove its audit log, and say how to go on.

No node is started on what is unpacked: a node comes back with an EMPTY data directory, as a new generation, so that nothing is spent twice.

  One node was lost, others are there: start it with its name, --join and an empty --data. Policy, members and the figures of all budgets come from the
  others; what it held comes back by its guardians, or by swarmpurse members remove NAME --dead below four members.

  All nodes were lost: start one without --join, with an empty --data and --policy policy.yaml of the backup, then the others with --join. This is a new
  cluster: its windows begin with their whole amount and its grants with theirs, whatever was spent before. What the backup knew to be spent is listed: burn it
  (swarmpurse burn) before agents come back, or freeze the budget until its window turns. What was spent after the backup nobody knows.`

// Files of a backup.
const (
	backupAbout   = "about.json"
	backupPolicy  = "policy.yaml"
	backupHistory = "history.json"
	backupBudgets = "budgets.json"
	backupAudit   = "audit.tar"
)

// backupInfo says what a backup is of.
type backupInfo struct {
	Format   int       `json:"format"`
	Node     string    `json:"node"`
	Cluster  string    `json:"cluster"`
	At       time.Time `json:"at"`
	Revision int64     `json:"policy_revision"`
	Hash     string    `json:"policy_hash"`
	Audit    bool      `json:"audit"` // the log is in it
}

const (
	backupFormat = 1
	maxBackup    = 1 << 20 // bytes of each part but the log
	maxLog       = 16 << 30
)

func newBackupCommand(a *app) *cobra.Command {
	var out string
	c := a.withClient(&cobra.Command{
		Use:     "backup",
		Short:   "Keep a node's policy, history and audit log in a file",
		Long:    backupHelp,
		Example: `  swarmpurse backup --out n1-2026-11-30.zip`,
		Args:    cobra.NoArgs,
	})
	c.Flags().StringVar(&out, "out", "", "`file` to write; it must not exist")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if out == "" {
			return usageError("--out is missing: name a file to write")
		}
		client, ctx, done, err := a.client(cmd, -1)
		if err != nil {
			return err
		}
		defer done()
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		p, err := client.Policy(ctx)
		if err != nil {
			return err
		}
		history, err := client.PolicyHistory(ctx)
		if err != nil {
			return err
		}
		budgets, err := client.Budgets(ctx)
		if err != nil {
			return err
		}
		log, err := client.AuditStatus(ctx)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				_ = os.Remove(out) // half a backup is none
			}
		}()
		info := backupInfo{backupFormat, status.Node, status.Cluster, time.Now().UTC(), p.Revision, p.Hash, log.On}
		z := zip.NewWriter(f)
		add := func(name string, fill func(io.Writer) error) error {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: info.At})
			if err != nil {
				return err
			}
			return fill(w)
		}
		for _, part := range []struct {
			name string
			v    any
		}{{backupAbout, info}, {backupHistory, history}, {backupBudgets, budgets}} {
			if err := add(part.name, func(w io.Writer) error { return json.NewEncoder(w).Encode(part.v) }); err != nil {
				return err
			}
		}
		if err := add(backupPolicy, func(w io.Writer) error { _, err := io.WriteString(w, p.Source); return err }); err != nil {
			return err
		}
		if log.On {
			if err := add(backupAudit, func(w io.Writer) error {
				return client.AuditArchive(ctx, func(r io.Reader) error { _, err := io.Copy(w, r); return err })
			}); err != nil {
				return err
			}
			if log, err = client.AuditStatus(ctx); err != nil { // with what was written for the archive
				return err
			}
		}
		if err := z.Close(); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		a.hint("prove and unpack it with: swarmpurse restore %s --out DIR", out)
		return a.print(info, func(w *strings.Builder) {
			fields(w, "node", clean(info.Node), "policy", fmt.Sprintf("revision %d", info.Revision), "audit log", map[bool]string{true: count(log.Size-log.From) + " records", false: "none is kept"}[log.On], "file", clean(out))
		})
	}
	return c
}

// restored is what became of a backup.
type restored struct {
	backupInfo
	Dir   string           `json:"directory"`
	Log   *api.AuditReport `json:"audit_log,omitempty"`
	Spent []restoredBudget `json:"spent"`
}

// restoredBudget is what an instance had spent when the backup was made.
type restoredBudget struct {
	Instance string `json:"instance"`
	Token    string `json:"token"`
	Spent    int64  `json:"spent"`
	Limit    int64  `json:"limit"`
}

func newRestoreCommand(a *app) *cobra.Command {
	var out string
	c := a.withOutput(&cobra.Command{
		Use:     "restore FILE",
		Short:   "Unpack a backup, prove it, and say how to go on",
		Long:    restoreHelp,
		Example: `  swarmpurse restore n1-2026-11-30.zip --out ./n1-backup`,
		Args:    cobra.ExactArgs(1),
	})
	c.Flags().StringVar(&out, "out", "", "`directory` to unpack into; it must be empty, or not there")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if out == "" {
			return usageError("--out is missing: name a directory to unpack into")
		}
		z, err := zip.OpenReader(args[0])
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		defer z.Close()
		parts := map[string][]byte{}
		for _, name := range []string{backupAbout, backupPolicy, backupHistory, backupBudgets} {
			if parts[name], err = readPart(&z.Reader, name); err != nil {
				return fmt.Errorf("%s is no backup of swarmpurse, or not whole: %w", args[0], err)
			}
		}
		r := restored{Dir: out, Spent: []restoredBudget{}}
		var budgets []api.Budget
		if err := errors.Join(json.Unmarshal(parts[backupAbout], &r.backupInfo), json.Unmarshal(parts[backupBudgets], &budgets)); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if r.Format > backupFormat {
			return fmt.Errorf("%s was written by a later swarmpurse: it has format %d, this one reads %d", args[0], r.Format, backupFormat)
		}
		p, err := policy.Parse(backupPolicy, parts[backupPolicy])
		if err != nil {
			return err
		}
		if got := fmt.Sprintf("%x", p.Hash()); got != r.Hash {
			return fmt.Errorf("the policy in %s is not the one that was in force: its hash is %.12s, the node said %.12s", args[0], got, r.Hash)
		}
		for _, b := range budgets {
			for _, i := range b.Instances {
				if spent := int64(i.Swarm.Spent + i.Swarm.Reserved); spent > 0 {
					r.Spent = append(r.Spent, restoredBudget{i.Instance, b.Token, spent, int64(i.Limit)})
				}
			}
		}
		if err := emptyDir(out); err != nil {
			return err
		}
		for name, b := range parts {
			if err := os.WriteFile(filepath.Join(out, name), b, 0o600); err != nil {
				return err
			}
		}
		if r.Audit {
			log := filepath.Join(out, "audit")
			if err := os.Mkdir(log, 0o700); err != nil {
				return err
			}
			f, err := z.Open(backupAudit)
			if err != nil {
				return fmt.Errorf("%s: its audit log: %w", args[0], err)
			}
			err = node.UnpackAudit(io.LimitReader(f, maxLog), log)
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("%s: its audit log: %w", args[0], err)
			}
			report, err := node.VerifyAudit(log, "", nil)
			if err != nil {
				return err
			}
			r.Log = &report
		}
		if err := a.print(r, func(w *strings.Builder) { printRestored(w, &r) }); err != nil {
			return err
		}
		if r.Log != nil && !r.Log.OK {
			return fmt.Errorf("the audit log in it is not what the node signed: see swarmpurse audit verify --data %s", out)
		}
		return nil
	}
	return c
}

func readPart(z *zip.Reader, name string) ([]byte, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, 64*maxBackup+1))
	if err == nil && n > 64*maxBackup {
		err = fmt.Errorf("%s has more than %d bytes", name, 64*maxBackup)
	}
	return b.Bytes(), err
}

// emptyDir makes a directory, unless an empty one is there.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Mkdir(dir, 0o700)
	case err != nil:
		return err
	case len(entries) > 0:
		return &codedError{err: fmt.Errorf("%s is not empty: a backup is never put over what is there", dir), code: exitFailed, hint: "name a directory that does not exist"}
	}
	return nil
}

func printRestored(w *strings.Builder, r *restored) {
	log := "none was kept"
	if r.Log != nil {
		log = map[bool]string{true: "whole: every record is what was signed", false: "CHANGED"}[r.Log.OK] + fmt.Sprintf(", %s records", count(r.Log.Size-r.Log.From))
	}
	fields(w, "backup", fmt.Sprintf("of %s in %s at %s", clean(r.Node), clean(r.Cluster), instant(r.At)), "policy", fmt.Sprintf("revision %d: %s", r.Revision, clean(filepath.Join(r.Dir, backupPolicy))), "audit log", log)
	if len(r.Spent) > 0 {
		w.WriteString("\nSpent and reserved when it was made, in the swarm:\n")
		for _, s := range r.Spent {
			fmt.Fprintf(w, "  %s: %s of %s %s\n", clean(s.Instance), count(s.Spent), count(s.Limit), clean(s.Token))
		}
	}
	fmt.Fprintf(w, `
Start no node on this directory, nor on a copy of an old one: a node comes back with an empty --data, so that nothing is spent twice.
  Others of the swarm are there:  swarmpurse node --name %s --join HOST:7946 --data EMPTY …
  All were lost:                  swarmpurse node --name %s --policy %s --data EMPTY …
                                  and burn what was spent (above) before agents come back: swarmpurse burn --help
`, clean(cmp.Or(r.Node, "NAME")), clean(cmp.Or(r.Node, "NAME")), clean(filepath.Join(r.Dir, backupPolicy)))
}
