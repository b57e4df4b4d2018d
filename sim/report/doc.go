// Package report shows what simulations came to: tables, charts over time, one self-contained HTML page, and
// the same as PNG, JSON and CSV.
//
// It is given results and decides nothing: whether a run passed stands in the result. A Page holds what is shown
// of one run, of a comparison or of a sweep; the command line prints its tables, and Write puts the rest into a
// directory. The same results give the same bytes.
package report
