package main

import (
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"
)

// app is what every command is given: the streams, the environment and the common flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	output   string        // --output
	node     string        // --node
	keyFile  string        // --key
	ca       string        // --ca
	signWith string        // --sign-with
	timeout  time.Duration // --timeout

	// started tells errors of a command's work from errors of its command line.
	started bool
}

const rootHelp = `swarmpurse puts a small node beside every AI agent. The nodes share token budgets by gossip,
and each decides on its own, in microseconds, whether a call may run.

Data goes to stdout, everything else to stderr. Exit codes:
  0  yes: done, admitted, valid
  1  failed: the node or the file said no, or nobody answered
  2  usage: the command line is wrong
  3  the call was denied or deferred (admit)

` + callerHelp

func newRootCommand(a *app) *cobra.Command {
	// A command may have a hook of its own without losing the root's.
	cobra.EnableTraverseRunHooks = true
	root := &cobra.Command{
		Use:           "swarmpurse",
		Short:         "Shared token budgets for swarms of AI agents, with no server in the middle",
		Long:          rootHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "call", Title: "Calls:"},
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "operate", Title: "Operate:"},
	)
	group := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("run", newNodeCommand(a), newDemoCommand(a), newSimCommand(a), newBenchCommand(a))
	group("call", newAdmitCommand(a), newSettleCommand(a), newScoreCommand(a), newReleaseCommand(a))
	group("look", newBudgetsCommand(a), newMembersCommand(a), newExplainCommand(a), newReportCommand(a), newTopCommand(a), newAlertsCommand(a), newDashboardCommand(a), newReadyCommand(a), newAuditCommand(a))
	group("operate", newPolicyCommand(a), newMintCommand(a), newBurnCommand(a), newFreezeCommand(a), newUnfreezeCommand(a), newKeysCommand(a), newBackupCommand(a), newRestoreCommand(a))
	root.AddCommand(newVersionCommand(a), newManCommand(a))
	return root
}

// withOutput gives a command -o.
func (a *app) withOutput(c *cobra.Command) *cobra.Command {
	a.output = "text"
	c.Flags().VarP(outputFlag{&a.output}, "output", "o", "`format` of what goes to stdout: text or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// asksNode finds the commands in hints that ask a node.
var asksNode = regexp.MustCompile(`\bswarmpurse (settle|release|explain|budgets|members|policy show|audit show|keys show|keys gossip rotate)\b`)

// named has the commands in a hint ask the node that --node named; without it they ask the same one anyway.
func (a *app) named(hint string) string {
	if a.node == "" {
		return hint
	}
	return asksNode.ReplaceAllStringFunc(hint, func(command string) string { return command + " --node " + a.node })
}

// groupCommand makes a command that only holds others.
func groupCommand(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := ""
			for i, s := range cmd.Commands() {
				if i > 0 {
					names += ", "
				}
				names += s.Name()
			}
			if len(args) > 0 {
				return usageError("%s has no command %q: choose from %s", cmd.CommandPath(), args[0], names)
			}
			return usageError("%s wants a command: choose from %s", cmd.CommandPath(), names)
		},
	}
	c.AddCommand(sub...)
	return c
}

// outputFlag is "text" or "json".
type outputFlag struct{ to *string }

func (f outputFlag) String() string { return *f.to }
func (f outputFlag) Type() string   { return "format" }
func (f outputFlag) Set(s string) error {
	if s != "text" && s != "json" {
		return usageError("write text or json")
	}
	*f.to = s
	return nil
}
