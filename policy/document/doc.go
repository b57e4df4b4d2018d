// Package document reads YAML documents strictly: every mistake is reported with its place in the file and with
// advice, and the fields of a document and its JSON Schema come from one table. Package policy reads policies with
// it, sim/scenario scenarios. It knows nothing of what either mean.
//
// It is pure, and what it costs to read a document from elsewhere is bounded.
package document
