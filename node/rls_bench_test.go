package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// bare answers all requests alike: what the library costs.
type bare struct {
	pb.UnimplementedRateLimitServiceServer
}

func (bare) ShouldRateLimit(context.Context, *pb.RateLimitRequest) (*pb.RateLimitResponse, error) {
	return &pb.RateLimitResponse{OverallCode: pb.RateLimitResponse_OK, Statuses: []*pb.RateLimitResponse_DescriptorStatus{{
		Code: pb.RateLimitResponse_OK, CurrentLimit: &pb.RateLimitResponse_RateLimit{Name: "huge", RequestsPerUnit: 1}, LimitRemaining: 1,
	}}}, nil
}

// BenchmarkRateLimitService is a request of one descriptor to a node, in memory and with its audit log at the default, beside a bare handler of the same
// library, in turns in one run: at 1, 32 and 128 callers on one connection. go test ./node -run '^$' -bench RateLimitService -benchtime 20000x
func BenchmarkRateLimitService(b *testing.B) {
	n, err := Open(b.Context(), Options{Name: "n1", Cluster: "bench", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	if _, err := n.ApplyPolicy(b.Context(), api.ApplyRequest{Source: []byte(gateDoc), By: "bench"}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() { stop(); <-ended }()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterRateLimitServiceServer(s, bare{})
	go func() { _ = s.Serve(ln) }()
	defer s.Stop()
	dial := func(addr string) pb.RateLimitServiceClient {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		return pb.NewRateLimitServiceClient(conn)
	}
	doors := []pb.RateLimitServiceClient{dial(n.GRPCAddr()), dial(ln.Addr().String())}
	in := &pb.RateLimitRequest{Domain: "llm", HitsAddend: 1, Descriptors: []*ratelimit.RateLimitDescriptor{desc("tenant=a model=huge", "")}}
	const turn = 500 // requests
	for _, callers := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var took [2][]time.Duration
			var all [2]time.Duration
			for done := 0; done < b.N; done += turn {
				for k, c := range doors {
					times := make([]time.Duration, turn)
					var next atomic.Int64
					var wg sync.WaitGroup
					begin := time.Now()
					for range callers {
						wg.Go(func() {
							for i := next.Add(1) - 1; i < turn; i = next.Add(1) - 1 {
								at := time.Now()
								out, err := c.ShouldRateLimit(b.Context(), in)
								if times[i] = time.Since(at); err != nil || out.OverallCode != pb.RateLimitResponse_OK {
									b.Error(out, err)
								}
							}
						})
					}
					wg.Wait()
					all[k] += time.Since(begin)
					took[k] = append(took[k], times...)
				}
			}
			b.ReportMetric(0, "ns/op")
			for k, name := range []string{"node", "bare"} {
				slices.Sort(took[k])
				q := len(took[k])
				b.ReportMetric(float64(q)/all[k].Seconds(), name+"-req/s")
				b.ReportMetric(float64(took[k][q/2].Microseconds()), name+"-p50-µs")
				b.ReportMetric(float64(took[k][q*99/100].Microseconds()), name+"-p99-µs")
			}
			b.ReportMetric(100*float64(all[1])/float64(all[0]), "%-of-bare")
		})
	}
}
