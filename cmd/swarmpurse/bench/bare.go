package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"

	"github.com/swarmpurse/swarmpurse/node/api/bare"
)

// addresses are where the bare servers listen.
type addresses struct{ HTTP, GRPC, Upstream string }

const addressFile = "bare.json"

// ServeBare serves what a node is measured beside, and the provider behind its proxy, and writes where into a file of dir. It ends with ctx.
func ServeBare(ctx context.Context, dir string) error {
	var at addresses
	var ends []func()
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	failed := make(chan error, 3)
	serve := func(addr *string, f func(net.Listener) error) error {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*addr = ln.Addr().String()
		go func() { failed <- f(ln) }()
		return nil
	}
	for addr, h := range map[*string]http.Handler{&at.HTTP: bare.Handler(), &at.Upstream: http.HandlerFunc(stream)} {
		s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
		ends = append(ends, func() { _ = s.Close() })
		if err := serve(addr, s.Serve); err != nil {
			return err
		}
	}
	g := grpc.NewServer()
	pb.RegisterRateLimitServiceServer(g, bareLimits{})
	ends = append(ends, g.Stop)
	if err := serve(&at.GRPC, g.Serve); err != nil {
		return err
	}
	if err := tell(dir, addressFile, at); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// tell writes a file of dir that whoever reads it finds whole.
func tell(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	name = filepath.Join(dir, name)
	return errors.Join(os.WriteFile(name+".new", b, 0o600), os.Rename(name+".new", name))
}

const proxyFile = "proxy.json"

// ServeBareProxy serves the standard library's reverse proxy to a provider, and writes where into a file of dir. It ends with ctx.
func ServeBareProxy(ctx context.Context, dir, provider string) error {
	to, err := url.Parse(provider)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.MaxIdleConnsPerHost, t.DisableCompression = nil, maxCallers, true
	defer t.CloseIdleConnections()
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: t, FlushInterval: -1,
	}}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := tell(dir, proxyFile, ln.Addr().String()); err != nil {
		return err
	}
	if err = s.Serve(ln); errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// bareLimits answers all requests alike.
type bareLimits struct {
	pb.UnimplementedRateLimitServiceServer
}

func (bareLimits) ShouldRateLimit(context.Context, *pb.RateLimitRequest) (*pb.RateLimitResponse, error) {
	return &pb.RateLimitResponse{OverallCode: pb.RateLimitResponse_OK, Statuses: []*pb.RateLimitResponse_DescriptorStatus{{
		Code: pb.RateLimitResponse_OK, CurrentLimit: &pb.RateLimitResponse_RateLimit{Name: "tenant-month", RequestsPerUnit: 1}, LimitRemaining: 1,
	}}}, nil
}

// How the provider streams: a while until the first token, then one after the other.
const (
	thinks  = 50 * time.Millisecond
	between = 5 * time.Millisecond
	chunks  = 30
)

// stream answers like a provider's chat completions, and says in the first chunk when the request came and when that chunk was written, by the
// machine's clock: what is left of a caller's time is the way there and back.
func stream(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	var body struct {
		Model string `json:"model"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	time.Sleep(thinks)
	chunk := func(text string) {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":%q,\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", body.Model, text)
		w.(http.Flusher).Flush()
	}
	chunk(fmt.Sprintf("%s%d,%d;", mark, came.UnixNano(), time.Now().UnixNano()))
	for range chunks - 1 {
		time.Sleep(between)
		chunk(" word")
	}
	fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":%q,\"choices\":[],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n",
		body.Model, chunks, 200+chunks)
}

const mark = "at="

// readMark finds the two times in a chunk.
func readMark(s string) (came, wrote time.Time, ok bool) {
	_, rest, ok := strings.Cut(s, mark)
	list, _, ok2 := strings.Cut(rest, ";")
	a, b, ok3 := strings.Cut(list, ",")
	x, err := strconv.ParseInt(a, 10, 64)
	y, err2 := strconv.ParseInt(b, 10, 64)
	return time.Unix(0, x), time.Unix(0, y), ok && ok2 && ok3 && err == nil && err2 == nil
}
