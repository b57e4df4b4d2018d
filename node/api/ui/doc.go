// Package ui is the dashboard at /ui/: files that are embedded in the binary and used as they are, no step builds them. What
// they show they ask the node for that served them, through its HTTP API, which is package api's; this package owns the
// files and the headers that they are served with.
package ui
