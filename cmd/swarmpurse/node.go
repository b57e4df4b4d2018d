package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newNodeCommand holds the place of `swarmpurse node` until package node is wired to it.
func newNodeCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:    "node",
		Short:  "Run a node",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return errors.New("this build has no node in it") },
	}
}
