package main

import (
	"archive/zip"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

const auditExportHelp = `Write an audit log, or a part of it, in one of four forms:

  (none)               one JSON record on a line
  --archive            the log itself, as a tar file that swarmpurse audit verify --archive proves anywhere
  --trace              a workload for swarmpurse sim: a CSV of the calls, with the tokens that the provider counted, or else what
                       the caller stated. Refused calls are in it too: they are demand
  --incident FROM TO   a zip file for the review of an incident: decisions and ends, policies, members, all other acts, metrics
                       minute by minute and of now, and the proof of the log. FROM and TO are times as in 2026-01-02T15:04:05Z, or how long ago as in 1h

The log is read from the node, or with --data or --archive-file as by swarmpurse audit verify.`

func newAuditExportCommand(a *app) *cobra.Command {
	var from auditSource
	var archive, trace, incident bool
	var out string
	c := a.withClient(&cobra.Command{
		Use:   "export [FROM TO]",
		Short: "Write an audit log as JSON lines, as an archive, as a workload for sim, or for the review of an incident",
		Long:  auditExportHelp,
		Example: `  swarmpurse audit export --trace --out calls.csv && swarmpurse sim run trace-replay --set workload.0.trace=calls.csv
  swarmpurse audit export --incident 2h 1h --out incident.zip`,
		Args: cobra.MaximumNArgs(2),
	})
	f := c.Flags()
	f.StringVar(&from.data, "data", "", "data `directory` of a stopped node")
	f.StringVar(&from.archive, "archive-file", "", "`file` that audit export --archive wrote")
	f.StringArrayVar(&from.peers, "peer", nil, "`address` of a peer's HTTP API, whose checkpoints are compared; repeatable")
	f.BoolVar(&archive, "archive", false, "the log itself, as a tar file")
	f.BoolVar(&trace, "trace", false, "a workload for swarmpurse sim, as CSV")
	f.BoolVar(&incident, "incident", false, "what a review of the time FROM to TO needs, as a zip file")
	f.StringVar(&out, "out", "", "`file` to write (default: standard output)")
	c.MarkFlagsMutuallyExclusive("archive", "trace", "incident")
	c.MarkFlagsMutuallyExclusive("data", "archive-file", "node")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if incident != (len(args) == 2) || len(args) == 1 {
			return usageError("--incident needs a FROM and a TO, and nothing else takes any")
		}
		var begin, end time.Time
		if incident {
			var err error
			now := time.Now()
			if begin, err = moment("incident", args[0], now); err != nil {
				return err
			}
			if end, err = moment("incident", args[1], now); err != nil {
				return err
			}
			if !begin.Before(end) {
				return usageError("--incident: %s is not before %s", args[0], args[1])
			}
		}
		return a.write(out, func(w io.Writer) error {
			if archive && from.data == "" && from.archive == "" {
				return a.copyArchive(cmd, w)
			}
			if archive {
				return usageError("--archive is of a running node: the directory itself can be copied")
			}
			dir, peers, done, err := from.open(a, cmd)
			if err != nil {
				return err
			}
			defer done()
			switch {
			case trace:
				return writeTrace(w, dir)
			case incident:
				seen := a.sightings(cmd, peers, node.AuditName(dir))
				return a.writeIncident(cmd, w, dir, begin, end, seen, from.data == "" && from.archive == "")
			}
			return writeLines(w, dir, func(*api.AuditRecord) bool { return true })
		})
	}
	return c
}

// write gives fn standard output, or a file that is there only if all went well.
func (a *app) write(out string, fn func(io.Writer) error) error {
	if out == "" {
		return fn(a.stdout)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fn(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	return nil
}

func (a *app) copyArchive(cmd *cobra.Command, w io.Writer) error {
	client, ctx, done, err := a.client(cmd, -1)
	if err != nil {
		return err
	}
	defer done()
	return client.AuditArchive(ctx, func(r io.Reader) error {
		_, err := io.Copy(w, r)
		return err
	})
}

func writeLines(w io.Writer, dir string, want func(*api.AuditRecord) bool) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var failed error
	err := node.ReadAudit(dir, func(r *api.AuditRecord) bool {
		if want(r) {
			failed = enc.Encode(r)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// traced is one call of a workload.
type traced struct {
	id                   string
	at                   time.Time
	tenant, agent, class string
	model                string
	prompt, output       int64
}

// writeTrace writes the calls of a log as a workload.
func writeTrace(w io.Writer, dir string) error {
	var calls []traced
	ends := map[string]*api.AuditUsage{}
	if err := node.ReadAudit(dir, func(r *api.AuditRecord) bool {
		switch {
		case r.Kind == "end" && r.Usage != nil:
			ends[r.ID] = r.Usage
		case r.Kind == "decision" && len(calls) < workload.MaxRows:
			c := traced{r.ID, r.At, r.Tenant, r.Agent, r.Class, r.Model, r.Prompt, r.MaxOutput}
			if c.prompt == 0 && c.output == 0 && len(r.Draws) > 0 {
				c.prompt = int64(r.Draws[0].Amount) // it stated tokens outright
			}
			calls = append(calls, c)
		}
		return true
	}); err != nil {
		return err
	}
	if len(calls) == 0 {
		return errors.New("the log has no decisions: see audit.decisions in the policy")
	}
	slices.SortStableFunc(calls, func(a, b traced) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	out := csv.NewWriter(w)
	_ = out.Write([]string{"time", "tenant", "agent", "class", "model", "prompt", "output"})
	for i := range calls {
		c := &calls[i]
		if u := ends[c.id]; u != nil {
			c.prompt, c.output = u.Prompt, u.Output
		}
		_ = out.Write([]string{
			c.at.UTC().Format("2006-01-02 15:04:05.000"), word(c.tenant), word(c.agent), word(c.class), word(c.model),
			strconv.FormatInt(min(c.prompt, workload.MaxTokens), 10), strconv.FormatInt(min(c.output, workload.MaxTokens), 10),
		})
	}
	out.Flush()
	return out.Error()
}

// word is a name as a trace takes it.
func word(s string) string {
	if len(s) > workload.MaxWord {
		s = s[:workload.MaxWord]
	}
	return clean(s)
}

// writeIncident writes what a review needs.
func (a *app) writeIncident(cmd *cobra.Command, w io.Writer, dir string, begin, end time.Time, seen []api.AuditSighting, online bool) error {
	report, err := node.VerifyAudit(dir, "", seen)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	add := func(name string, fn func(io.Writer) error) error {
		f, err := z.Create(name)
		if err != nil {
			return err
		}
		return fn(f)
	}
	object := func(v any) func(io.Writer) error {
		return func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(v)
		}
	}
	within := func(kinds ...string) func(*api.AuditRecord) bool {
		return func(r *api.AuditRecord) bool {
			return !r.At.Before(begin) && r.At.Before(end) && slices.Contains(kinds, r.Kind)
		}
	}
	parts := []struct {
		name  string
		kinds []string
	}{
		{"decisions.jsonl", []string{"decision", "end"}},
		{"policies.jsonl", []string{"policy"}},
		{"members.jsonl", []string{"member", "start", "stop"}},
		{"acts.jsonl", []string{"mint", "burn", "freeze", "transfer", "claim", "gap", "alarm"}},
	}
	counts := map[string]int{}
	var last *api.AuditRecord // the policy that was in force when it began
	if err := node.ReadAudit(dir, func(r *api.AuditRecord) bool {
		if !r.At.Before(begin) && r.At.Before(end) {
			key := r.Kind
			if r.Kind == "decision" {
				key += " " + r.Decision + " " + r.Code
			}
			counts[key]++
		}
		if r.At.Before(begin) && r.Kind == "policy" && r.Hash != "" && (r.What == "applied" || r.What == "in force at the start") {
			c := *r
			last = &c
		}
		return true
	}); err != nil && report.OK {
		return err
	}
	err = add("summary.json", object(struct {
		Node   string           `json:"node"`
		From   time.Time        `json:"from"`
		To     time.Time        `json:"to"`
		Whole  bool             `json:"log_is_whole"`
		Counts map[string]int   `json:"records"`
		Policy *api.AuditRecord `json:"policy_when_it_began,omitempty"`
	}{report.Node, begin.UTC(), end.UTC(), report.OK, counts, last}))
	for _, p := range parts {
		if err == nil {
			err = add(p.name, func(w io.Writer) error { return writeLines(w, dir, within(p.kinds...)) })
		}
	}
	if err == nil {
		err = add("metrics.csv", func(w io.Writer) error { return writeSamples(w, dir, within("metrics")) })
	}
	if err == nil {
		err = add("verify.json", object(report))
	}
	if err == nil {
		err = add("checkpoints.json", object(seen))
	}
	if err == nil && online {
		err = a.addNow(cmd, add, object)
	}
	return errors.Join(err, z.Close())
}

// writeSamples writes the metrics that the log has noted, a line for each series and time.
func writeSamples(w io.Writer, dir string, wanted func(*api.AuditRecord) bool) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"time", "series", "value"})
	err := node.ReadAudit(dir, func(r *api.AuditRecord) bool {
		if !wanted(r) {
			return true
		}
		at := r.At.Format("2006-01-02 15:04:05.000")
		for _, s := range r.Samples {
			_ = out.Write([]string{at, s.Series, strconv.FormatFloat(s.Value, 'g', -1, 64)})
		}
		return true
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// addNow adds what a running node says of itself.
func (a *app) addNow(cmd *cobra.Command, add func(string, func(io.Writer) error) error, object func(any) func(io.Writer) error) error {
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return err
	}
	defer done()
	metrics, err := client.Metrics(ctx)
	if err != nil {
		return fmt.Errorf("the node's metrics: %w", err)
	}
	members, err := client.Members(ctx)
	if err != nil {
		return err
	}
	p, err := client.Policy(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		add("metrics.txt", func(w io.Writer) error { _, err := w.Write(metrics); return err }),
		add("members-now.json", object(members)),
		add("policy-now.yaml", func(w io.Writer) error { _, err := io.WriteString(w, p.Source); return err }),
	)
}
