// Package bare is what the HTTP API is measured beside: a handler of net/http and encoding/json that reads and answers the same JSON and does
// nothing else, and a client that does as little as can be, so that it is servers that are compared. Benchmarks and swarmpurse bench use it;
// no node does.
package bare
