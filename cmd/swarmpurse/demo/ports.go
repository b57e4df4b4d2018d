package demo

import (
	"fmt"
	"io"
	"net"
)

// FreePorts lets the kernel choose n ports on loopback that are free for TCP and UDP alike. They are
// all held until all are chosen; another program may still take one before it is used, so the caller
// must be ready to choose again.
func FreePorts(n int) (addrs []string, err error) {
	var held []io.Closer
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range 20 * n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue // taken for UDP: it stays held, so that it is not chosen again
		}
		held = append(held, u)
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("no %d ports on 127.0.0.1 are free for both TCP and UDP", n)
}
