// Package shadow holds what a candidate revision would have decided on calls against what the stable one did. It draws on nothing and changes
// nothing: it evaluates rules, costs, limits, places and routes, with the rights and prices that the stable decision saw. What depends on how
// rights and prices would have moved under the candidate it cannot know, and says so: see [Result.Assumed].
//
// The package is pure. Who calls it: the node, off the path of calls.
package shadow
