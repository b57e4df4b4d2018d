// Package promise says what the simulator's model of gossip takes for granted of memberlist, serf and package gossip
// with production's timers: who sees whom and after how long, how rows spread, and what that takes on the wire. The
// model works by these figures, and a test of this package holds them to real pools on loopback.
//
// It is pure. Package sim calls it.
package promise
