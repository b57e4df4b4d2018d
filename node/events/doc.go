// Package events holds the last events of a node for those who follow them as they happen, as GET /v1/events does.
//
// What is published while nobody follows is dropped at once, for the price of one atomic load. Everything is bounded: how
// many events are kept, how long each is, how many of a kind a second, how many followers there are. Nobody who publishes
// ever waits for a follower: one that falls behind by more than is kept loses its place.
//
// It knows neither what an event says nor how it reaches its reader. Package node publishes, node/api serves.
package events
