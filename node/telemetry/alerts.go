package telemetry

import _ "embed"

//go:embed alerts.yaml
var alertRules []byte

// AlertRules is a rule file for Prometheus, made for the metrics of a node. The caller must not change it.
func AlertRules() []byte { return alertRules }
