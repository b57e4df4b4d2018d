// Package traces tells an OpenTelemetry collector what became of calls: spans over OTLP, by HTTP or gRPC. It is off unless an
// endpoint is set; a nil *Tracer does nothing.
//
// It owns the names of spans and attributes: those of OpenTelemetry's semantic conventions [Conventions] for generative AI, HTTP and
// servers, and our own under swarmpurse. It never tells prompts, completions or headers, and never makes a call wait: what a full
// queue has no room for is dropped, and counted. Whose trace a call belongs to is W3C trace context; whether it is recorded is said by
// whoever began the trace, else by OTEL_TRACES_SAMPLER.
//
// The node makes one Tracer at start; its decisions and the proxy's calls are told to it.
package traces
