package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/node/caller"
)

// TestDoors: a node has several addresses at once. Those for its own machine are free and in clear; at the others, gRPC's too, TLS is spoken
// and keys are asked for.
func TestDoors(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca := apitest.WriteCert(t, api.TLSFiles{Cert: cert, Key: key}, "n1")
	reg := prometheus.NewRegistry()
	n, err := Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "unix:" + filepath.Join(dir, "n.sock") + ",127.0.0.1:0,0.0.0.0:0", GRPC: "0.0.0.0:0",
		TLSCert: cert, TLSKey: key, Drain: time.Second, Registry: reg, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	source := gateDoc + "callers:\n"
	for name, more := range map[string]string{"a": "tenant: a", "ops": "operator: true", "slow": "tenant: a, rate: 1/h, burst: 1"} {
		source += fmt.Sprintf("  - {name: %s, key: \"sha256:%x\", %s}\n", name, caller.Hash("sp_"+name), more)
	}
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(source), By: "test"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	trust := &tls.Config{RootCAs: ca}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "socket:") {
			network, addr = "unix", filepath.Join(dir, "n.sock")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
	defer client.CloseIdleConnections()
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", n.doors[i].Addr().(*net.TCPAddr).Port) }
	for _, tt := range []struct {
		url, key string
		status   int // 0: no answer
	}{
		{"http://socket", "", 200}, {"http://" + at(1), "", 200}, {"https://" + at(1), "", 0}, {"https://" + at(2), "", 401}, {"https://" + at(2), "sp_a", 200},
		{"https://" + at(2), "sp_b", 401}, {"http://" + at(2), "sp_a", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", tt.url+"/v1/budgets", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.key != "" {
			req.Header.Set("Authorization", "Bearer "+tt.key)
		}
		got := 0
		resp, err := client.Do(req)
		if err == nil {
			got = resp.StatusCode
			_ = resp.Body.Close()
		}
		if got != tt.status {
			t.Errorf("%s with the key %q: %d, %v; want %d", tt.url, tt.key, got, err, tt.status)
		}
	}
	if want := "https://"; !strings.HasPrefix(n.HTTPAddr(), want) {
		t.Errorf("peers are told %s", n.HTTPAddr())
	}

	_, port, _ := net.SplitHostPort(n.GRPCAddr())
	dial := func(c credentials.TransportCredentials) *grpc.ClientConn {
		conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(c))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	conn := dial(credentials.NewTLS(trust))
	ask := func(c *grpc.ClientConn, key, tenant string) (pb.RateLimitResponse_Code, codes.Code) {
		ctx := t.Context()
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
		}
		out, err := pb.NewRateLimitServiceClient(c).ShouldRateLimit(ctx, &pb.RateLimitRequest{
			Domain: "llm", HitsAddend: 1, Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant="+tenant+" model=huge", "")},
		})
		return out.GetOverallCode(), status.Code(err)
	}
	const none = pb.RateLimitResponse_UNKNOWN
	for _, tt := range []struct {
		name, key, tenant string
		answer            pb.RateLimitResponse_Code
		code              codes.Code
	}{
		{"no key", "", "a", none, codes.Unauthenticated},
		{"an unknown key", "sp_b", "a", none, codes.Unauthenticated},
		{"a tenant's own", "sp_a", "a", pb.RateLimitResponse_OK, codes.OK},
		{"another's: over its limit, as an error would let the call by", "sp_a", "b", pb.RateLimitResponse_OVER_LIMIT, codes.OK},
		{"an operator's, before many tenants", "sp_ops", "b", pb.RateLimitResponse_OK, codes.OK},
		{"a key's first request", "sp_slow", "a", pb.RateLimitResponse_OK, codes.OK},
		{"a key's second request in an hour", "sp_slow", "a", none, codes.ResourceExhausted},
	} {
		if answer, code := ask(conn, tt.key, tt.tenant); answer != tt.answer || code != tt.code {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, answer, code, tt.answer, tt.code)
		}
	}
	if _, code := ask(dial(insecure.NewCredentials()), "sp_a", "a"); code != codes.Unavailable {
		t.Errorf("without TLS: %v", code)
	}
	if h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health, which needs no key: %v, %v", h, err)
	}
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, f := range fs {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "code" || l.GetName() == "result" {
					seen[f.GetName()+" "+l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
		if f.GetName() == "swarmpurse_tls_certificate_expiry_seconds" {
			seen["certificate"] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if seen["swarmpurse_ratelimit_requests_total unauthenticated"] != 2 || seen["swarmpurse_ratelimit_descriptors_total forbidden"] != 1 || seen["certificate"] < float64(time.Now().Unix()) {
		t.Errorf("%v", seen)
	}
}
