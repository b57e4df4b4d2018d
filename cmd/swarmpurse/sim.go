package main

import (
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const simHelp = `Run a swarm of up to tens of thousands of nodes in this process, on virtual time and from one seed, with
the very code that decides in production: the same seed gives the same run, event by event.

A scenario says how many nodes there are, who calls, what goes wrong, which policy is in force, and which
bounds a run must keep to pass. Some ship with this program (swarmpurse sim list); others are YAML files
(swarmpurse sim schema is their JSON Schema). Each run is compared with a central bucket that knows all at
once (omniscient: the best there could be), a static even split, counters that are gossiped, and nodes that
each apply the whole limit alone.

Invariants are checked after every event: rights are conserved, no hard limit is overspent, no reservation
ends twice or never. Exit code 1 means that one did not hold, or that a bound was not kept.`

const simExamples = `  swarmpurse sim list
  swarmpurse sim run partition --out report
  swarmpurse sim run steady --policy mine.yaml --nodes 500
  swarmpurse sim compare flash-crowd --policy present.yaml --policy next.yaml
  swarmpurse sim sweep steady --over network.loss=0%,1%,5%,20% --figure goodput,bytes`

func newSimCommand(a *app) *cobra.Command {
	c := groupCommand("sim", "Try policies on a simulated swarm, before production",
		newSimListCommand(a), newSimShowCommand(a), newSimRunCommand(a), newSimCompareCommand(a), newSimSweepCommand(a), newSimSoakCommand(a), newSimSchemaCommand(a))
	c.Long, c.Example = simHelp, simExamples
	return c
}

func newSimSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(scenario.Schema())
			return err
		},
	}
}
