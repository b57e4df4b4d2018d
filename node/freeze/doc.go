// Package freeze is what operators froze, as every node of the swarm keeps it: one last word for each instance, tenant and agent,
// merged by a total order, so that all nodes come to the same whatever way the words take. It is pure: package node keeps the
// words on disk and tells them to peers, package admit refuses calls by a View of them.
package freeze
