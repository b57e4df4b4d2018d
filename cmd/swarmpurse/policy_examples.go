package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/rehearse"
	"github.com/swarmpurse/swarmpurse/policy"
)

const testSuffix = ".test.yaml"

// testResult is what `policy test -o json` says of one file.
type testResult struct {
	File   string     `json:"file"`
	Policy string     `json:"policy"`
	OK     bool       `json:"ok"`
	Errors []string   `json:"errors,omitempty"` // of the file or its policy
	Tests  []testCase `json:"tests"`
}

type testCase struct {
	Name     string   `json:"name"`
	Line     int      `json:"line"`
	OK       bool     `json:"ok"`
	Decision string   `json:"decision,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Wrong    []string `json:"wrong,omitempty"`
}

func newPolicyTestCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run the tests that stand beside policies, without a node",
		Long: `Run tests of policies: given a call, is this decided? The tests of policy.yaml stand beside it in policy.test.yaml; name
either. Each call is decided by a node of its own that has all of the swarm's rights:

  tests:
    - name: large models are not for batch
      used: {gpu-pool: 95%, tenant-day/search: 9M}    # spent before
      call: {tenant: search, class: batch, model: gpt-4, prompt_tokens: 1200, max_output_tokens: 600}
      expect: {decision: defer, code: headroom}

A call has the fields of POST /v1/admit. What may be expected: decision (admit, degrade, defer, deny, error), code, class, rules,
reserved (by instance, all of them), upstream, model and max_output_tokens (of a call that is changed), flags (all that are on), experiment
(small-model=mini, or none), reason (a part of it). The file may also say policy (another file), zone and upstreams (of the node).
Budgets of upstreams are used and reserved as all others: a call goes to the first upstream that has room.
Exit code 0 means that all pass.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			results, wrong, all := make([]testResult, 0, len(files)), 0, 0
			for _, file := range files {
				r := a.testPolicy(file)
				results = append(results, r)
				if all += len(r.Tests); len(r.Errors) > 0 {
					all, wrong = all+1, wrong+1
				}
				for _, t := range r.Tests {
					if !t.OK {
						wrong++
					}
				}
			}
			if a.output != "json" {
				for _, r := range results {
					for _, e := range r.Errors {
						fmt.Fprintln(a.stderr, clean(e))
					}
					for _, t := range r.Tests {
						for _, w := range t.Wrong {
							fmt.Fprintf(a.stderr, "%s:%d: %s: %s\n", clean(r.File), t.Line, clean(t.Name), clean(w))
						}
						if !t.OK && t.Reason != "" {
							fmt.Fprintf(a.stderr, "%s:%d: %s: decided was %s: %s\n", clean(r.File), t.Line, clean(t.Name), t.Decision, clean(t.Reason))
						}
					}
				}
			}
			if err := a.print(results, func(w *strings.Builder) {
				for _, r := range results {
					if r.OK {
						fmt.Fprintf(w, "%s: %d tests pass\n", clean(r.File), len(r.Tests))
					}
				}
			}); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d tests fail", wrong, all)
			}
			return nil
		},
	}
	return a.withOutput(c)
}

// testPolicy runs the tests of one file.
func (a *app) testPolicy(file string) (r testResult) {
	named := file
	if !strings.HasSuffix(file, testSuffix) {
		file = strings.TrimSuffix(file, filepath.Ext(file)) + testSuffix
	}
	r = testResult{File: file, Tests: []testCase{}}
	fail := func(err error) testResult {
		r.Errors = append(r.Errors, strings.Split(err.Error(), "\n")...)
		return r
	}
	src, err := a.readFile(file, policy.MaxSource)
	if _, there := os.Stat(named); errors.Is(err, fs.ErrNotExist) && named != file && there == nil {
		return fail(fmt.Errorf("%s has no tests: there is no %s beside it; swarmpurse policy test --help shows how one is written", named, filepath.Base(file)))
	}
	if err != nil {
		return fail(err)
	}
	f, err := rehearse.Parse(file, src)
	if err != nil {
		return fail(err)
	}
	if r.Policy = strings.TrimSuffix(file, testSuffix) + ".yaml"; f.Policy != "" {
		if r.Policy = f.Policy; !filepath.IsAbs(f.Policy) {
			r.Policy = filepath.Join(filepath.Dir(file), f.Policy)
		}
	}
	doc, err := a.readFile(r.Policy, policy.MaxSource)
	if err != nil {
		return fail(err)
	}
	p, err := policy.Parse(r.Policy, doc)
	if err != nil {
		return fail(err)
	}
	r.OK = true
	for _, o := range f.Run(p) {
		r.Tests = append(r.Tests, testCase{o.Name, o.Pos.Line, len(o.Wrong) == 0, o.Decision, o.Reason, o.Wrong})
		r.OK = r.OK && len(o.Wrong) == 0
	}
	return r
}
