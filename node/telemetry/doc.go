// Package telemetry is what a node tells of itself: Prometheus metrics under swarmpurse_, and its log.
//
// It owns the names, types, help texts and labels of all metrics (Names is the list that documents and
// dashboards are made from), the guard that keeps the number of series bounded, and the way lines of
// libraries become zerolog events. It never decides anything, never reads the ledger or the network by
// itself (a Source is asked at scrape time), and has no globals: the registry is an argument.
//
// The node makes one Metrics at start and hands it to the parts that have something to count; the
// admission path calls Decision, which allocates nothing.
package telemetry
