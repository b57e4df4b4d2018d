package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

func newPolicyCommand(a *app) *cobra.Command {
	return groupCommand("policy", "Check, apply, try and show policies", newPolicyCheckCommand(a), newPolicyTestCommand(a), newPolicyDiffCommand(a), newPolicyApplyCommand(a), newPolicyShowCommand(a),
		newPolicyActCommand(a, promoteCommand), newPolicyActCommand(a, pauseCommand), newPolicyActCommand(a, resumeCommand), newPolicyActCommand(a, rollBackCommand),
		newPolicyHistoryCommand(a))
}

// checkResult is what `policy check -o json` says of one file.
type checkResult struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`
	Revision int64     `json:"revision,omitempty"`
	Budgets  int       `json:"budgets,omitempty"`
	Errors   []finding `json:"errors"`
	More     int       `json:"more_errors,omitempty"` // left out
	Warnings []finding `json:"warnings"`
}

type finding struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`

	text string // file:line:column: message
}

func newPolicyCheckCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check policy documents, without a node",
		Long: `Check policy documents; - is stdin. Mistakes and warnings go to stderr as file:line:column: message.
Exit code 0 means that all are valid; warnings do not change it.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			results, wrong := make([]checkResult, 0, len(files)), 0
			for _, file := range files {
				r, _ := a.checkPolicy(file)
				results = append(results, r)
				if !r.OK {
					wrong++
				}
			}
			if a.output != "json" {
				for _, r := range results {
					r.complain(a.stderr)
				}
			}
			if err := a.print(results, func(w *strings.Builder) {
				for _, r := range results {
					if r.OK {
						fmt.Fprintf(w, "%s: valid, revision %d, budgets: %d, warnings: %d\n", clean(r.File), r.Revision, r.Budgets, len(r.Warnings))
					}
				}
			}); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d files are not valid", wrong, len(files))
			}
			return nil
		},
	}
	return a.withOutput(c)
}

// checkPolicy reads, parses and checks one file. The source is that of a valid document.
func (a *app) checkPolicy(file string) (r checkResult, src []byte) {
	r = checkResult{File: file, Errors: []finding{}, Warnings: []finding{}}
	if file == "-" {
		r.File = "stdin"
	}
	src, err := a.readFile(file, policy.MaxSource)
	if err != nil {
		r.Errors = append(r.Errors, finding{Message: err.Error(), text: err.Error()})
		return r, nil
	}
	p, err := policy.Parse(r.File, src)
	if err != nil {
		var all *policy.Errors
		if !errors.As(err, &all) {
			r.Errors = append(r.Errors, finding{Message: err.Error(), text: err.Error()})
			return r, nil
		}
		for _, e := range all.List {
			r.Errors = append(r.Errors, finding{e.Pos.Line, e.Pos.Column, e.Message, e.Advice, e.Error()})
		}
		r.More = all.More
		return r, nil
	}
	r.OK, r.Revision, r.Budgets = true, p.Revision(), len(p.Budgets())
	for _, w := range policy.Check(p) {
		r.Warnings = append(r.Warnings, finding{Line: w.Pos.Line, Column: w.Pos.Column, Message: w.Message, text: w.String()})
	}
	return r, src
}

// complain prints findings as compilers do, so that editors find the place.
func (r checkResult) complain(stderr io.Writer) {
	for _, f := range append(r.Errors[:len(r.Errors):len(r.Errors)], r.Warnings...) {
		fmt.Fprintln(stderr, clean(f.text))
	}
	if r.More > 0 {
		fmt.Fprintf(stderr, "%s: %d more mistakes\n", clean(r.File), r.More)
	}
}

func newPolicyShowCommand(a *app) *cobra.Command {
	var raw bool
	c := a.withClient(&cobra.Command{
		Use:   "show",
		Short: "Show the policy that a node runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if raw && a.output == "json" {
				return usageError("--raw and -o json contradict each other: choose one")
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			p, err := client.Policy(ctx)
			if err != nil {
				return err
			}
			if raw {
				_, err := io.WriteString(a.stdout, p.Source)
				return err
			}
			return a.printPolicy(p)
		},
	})
	c.Flags().BoolVar(&raw, "raw", false, "print the document alone")
	return c
}

func (a *app) printPolicy(p api.Policy) error {
	return a.print(p, func(w *strings.Builder) {
		fields(w, "revision", fmt.Sprint(p.Revision), "hash", clean(p.Hash), "since", instant(p.Since), "by", clean(p.By),
			"warnings", clean(strings.Join(p.Warnings, "; ")), "signers", signersShown(p.Signers))
		printTrial(w, p.Trial)
		printExperiments(w, "", p.Experiments)
		w.WriteByte('\n')
		for line := range strings.Lines(p.Source) {
			w.WriteString(clean(strings.TrimRight(line, "\r\n")) + "\n")
		}
	})
}
