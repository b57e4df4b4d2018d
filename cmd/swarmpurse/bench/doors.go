package bench

import (
	"context"
	"fmt"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmpurse/swarmpurse/node/api/bare"
	"github.com/swarmpurse/swarmpurse/node/client"
)

// pairs are what is measured by rate. All are asked about one call, which draws on a budget of all and on one of its tenant.
func (b *bed) pairs() (list []pair) {
	for _, callers := range b.o.Callers {
		for _, p := range []pair{
			{group: "http", ways: []way{httpWay("node", b.http), httpWay("bare net/http", b.bare.HTTP)}, target: 80},
			{group: "grpc", ways: []way{grpcWay("node", b.grpc), grpcWay("bare grpc-go", b.bare.GRPC)}, target: 80},
			{group: "socket", ways: append([]way{socketWay("node", b.socket)}, b.redisWays()...), target: 100},
		} {
			if b.o.wants(p.group) {
				p.ways[0].pid = b.pid("n1")
				for i := range p.ways[1:] {
					p.ways[i+1].pid = b.pid(map[bool]string{true: "redis", false: "bare"}[p.group == "socket"])
				}
				p.callers = callers
				if len(p.ways) == 1 {
					p.target = 0
				}
				list = append(list, p)
			}
		}
	}
	return list
}

// socketWay is package client over the node's --socket: all callers share one connection.
func socketWay(name, addr string) way {
	var shared *client.Client
	var users int
	return way{name: name, count: 2, caller: func() (func() error, func(), error) {
		if shared == nil {
			c, err := client.New(addr, client.Options{})
			if err != nil {
				return nil, nil, err
			}
			shared = c
		}
		c := shared
		users++
		done := func() {
			if users--; users == 0 {
				shared.Close()
				shared = nil
			}
		}
		ctx := context.Background()
		call := client.Call{Tenant: "search", Agent: "crawler-17", Class: "standard", Model: "gpt-4o", PromptTokens: 1200, MaxOutputTokens: 600}
		spent := map[string]int64{"compute": bare.Used}
		return func() error {
			a, err := c.Admit(ctx, call)
			if err != nil {
				return err
			}
			if !a.Admitted() {
				return fmt.Errorf("%v: %s", a.Decision, a.Reason)
			}
			_, err = c.Settle(ctx, client.Settlement{ID: a.ID, Used: spent, Outcome: "ok"})
			return err
		}, done, nil
	}}
}

// httpWay is a loop over a connection of its own, with as little work as can be, so that it is the servers that are compared.
func httpWay(name, addr string) way {
	return way{name: name, count: 2, caller: func() (func() error, func(), error) {
		c, err := bare.Dial(addr)
		if err != nil {
			return nil, nil, err
		}
		return c.Ask, c.Close, nil
	}}
}

// grpcWay asks Envoy's rate limit service about one descriptor, all callers over one connection, as Envoy does.
func grpcWay(name, addr string) way {
	var shared *grpc.ClientConn
	var users int
	return way{name: name, count: 1, caller: func() (func() error, func(), error) {
		if shared == nil {
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, nil, err
			}
			shared = conn
		}
		c := pb.NewRateLimitServiceClient(shared)
		users++
		done := func() {
			if users--; users == 0 {
				_ = shared.Close()
				shared = nil
			}
		}
		in := &pb.RateLimitRequest{Domain: "llm", HitsAddend: 1, Descriptors: []*ratelimit.RateLimitDescriptor{{Entries: []*ratelimit.RateLimitDescriptor_Entry{
			{Key: "tenant", Value: "search"}, {Key: "model", Value: "gpt-4o"},
		}}}}
		return func() error {
			out, err := c.ShouldRateLimit(context.Background(), in)
			if err == nil && out.OverallCode != pb.RateLimitResponse_OK {
				err = fmt.Errorf("answer: %v", out.OverallCode)
			}
			return err
		}, done, nil
	}}
}
