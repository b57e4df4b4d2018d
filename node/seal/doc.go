// Package seal is how nodes sign what they say, and check what others say they said. It has four forms:
//
//   - a letter: what a node says to one peer, or to whoever hears it, under one signature of its sender ([Signer.Letter]);
//   - signed rows: some rows of one holder under one signature of that holder, which travel on from node to node, whole or in part
//     ([Signer.Rows]). Who passes them on cannot change them;
//   - a start: that a process has begun on the node's directory, and after which other one ([Signer.Start]). One that has heard of another
//     while it goes on proves that the directory was copied;
//   - the seal of a push/pull, whose parts nodes of versions without signatures read, too ([Signer.State]).
//
// [Book] is what a node knows of its peers' keys, and what it has read of theirs already. A key is bound to the directory that it was
// made with: the first one that is heard of a (name, directory) stays. What does not fit is refused with a [Refusal], which names a
// [Reason]; nothing else comes of it.
//
// The package is pure: times and chance are arguments. A Book is safe for concurrent use, a Signer too.
package seal
