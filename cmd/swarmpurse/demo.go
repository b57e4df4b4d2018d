package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newDemoCommand holds the place of `swarmpurse demo` until it is wired.
func newDemoCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:    "demo",
		Short:  "Run a swarm on this machine",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return errors.New("this build has no demo in it") },
	}
}
