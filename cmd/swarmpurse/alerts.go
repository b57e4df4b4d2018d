package main

import (
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

func newAlertsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "alerts",
		Short: "Print alert rules for Prometheus",
		Long: `Print a rule file for Prometheus that goes with the metrics of this version: burn rates of the service levels that the
policy's classes state as their objective, budgets of which a fraction that the policy's alerts name is used, and nodes
that are cut off, lose their lease or hold rights that are stuck.

Write it to a file and name that under rule_files in Prometheus' configuration. Each alert says what to look at.`,
		Example: `  swarmpurse alerts > /etc/prometheus/swarmpurse.rules.yml
  promtool check rules /etc/prometheus/swarmpurse.rules.yml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := telemetry.AlertRules(node.Metrics())
			if err == nil {
				_, err = a.stdout.Write(b)
			}
			return err
		},
	}
}

func newDashboardCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "dashboard",
		Short: "Print a dashboard for Grafana",
		Long: `Print a dashboard for Grafana 10 or later, as JSON, made for the metrics of this version: decisions, refusals, budgets, service
levels and the swarm's health to begin with, and below them every metric, each with what it tells.

In Grafana: Dashboards, New, Import, and choose the Prometheus that scrapes the nodes. Every node has a dashboard of its own,
too, which needs neither: at /ui/ of its HTTP address.`,
		Example: `  swarmpurse dashboard > swarmpurse.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := telemetry.Dashboard(node.Metrics())
			if err == nil {
				_, err = a.stdout.Write(b)
			}
			return err
		},
	}
}
