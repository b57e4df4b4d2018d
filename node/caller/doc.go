// Package caller knows who calls: it looks keys up that requests carry, holds each to its limits, and fixes what the calls that it
// makes may say of themselves. The doors of a node (the HTTP API, the proxy) share it. It reads no clock, logs nothing, and never
// shows or keeps a key.
package caller
