package traces

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Options of a Tracer.
type Options struct {
	Endpoint string // as ParseEndpoint takes it; "": nothing is traced

	Node, Cluster, Zone, Version string
}

// An Endpoint is where spans go.
type Endpoint struct {
	GRPC   bool
	Secure bool   // by TLS
	Host   string // host:port
	Path   string // of HTTP
}

// ParseEndpoint reads http://host:port or https://host:port, with a path or with /v1/traces understood, for OTLP by HTTP, and
// grpc://host:port or grpcs://host:port for OTLP by gRPC, the latter with TLS. Headers, certificates, compression and time limits
// are those of the environment (OTEL_EXPORTER_OTLP_HEADERS and so on).
func ParseEndpoint(s string) (Endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{GRPC: strings.HasPrefix(u.Scheme, "grpc"), Secure: strings.HasSuffix(u.Scheme, "s"), Host: u.Host, Path: u.Path}
	switch u.Scheme {
	case "http", "https", "grpc", "grpcs":
	default:
		return Endpoint{}, fmt.Errorf("%q does not begin with http://, https://, grpc:// or grpcs://", s)
	}
	switch {
	case u.Hostname() == "":
		return Endpoint{}, fmt.Errorf("%q names no host", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return Endpoint{}, errors.New("the URL must have no user, query or fragment; keys go into OTEL_EXPORTER_OTLP_HEADERS")
	case e.GRPC && strings.Trim(e.Path, "/") != "":
		return Endpoint{}, fmt.Errorf("%q has a path, which OTLP by gRPC has not", s)
	}
	if u.Port() == "" {
		port := "4318"
		if e.GRPC {
			port = "4317"
		}
		e.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if !e.GRPC && strings.Trim(e.Path, "/") == "" {
		e.Path = "/v1/traces"
	}
	return e, nil
}

// FromEnvironment is the endpoint that OpenTelemetry's standard environment names, in the form that ParseEndpoint takes; "" for none.
func FromEnvironment(getenv func(string) string) (string, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return "", nil
	}
	if x := getenv("OTEL_TRACES_EXPORTER"); x != "" && x != "otlp" {
		return "", fmt.Errorf("OTEL_TRACES_EXPORTER=%s: this node knows otlp and none", x)
	}
	own := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint == "" {
		return "", nil
	}
	switch p := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p {
	case "", "http/protobuf":
		if own == "" { // the general one is a base
			endpoint = strings.TrimSuffix(endpoint, "/") + "/v1/traces"
		}
		return endpoint, nil
	case "grpc":
		if _, rest, ok := strings.Cut(endpoint, "://"); ok {
			secure := ""
			if strings.HasPrefix(endpoint, "https:") {
				secure = "s"
			}
			endpoint = rest
			return "grpc" + secure + "://" + endpoint, nil
		}
		return "grpcs://" + endpoint, nil // without a scheme it is secure
	default:
		return "", fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: this node knows http/protobuf and grpc", p)
	}
}
