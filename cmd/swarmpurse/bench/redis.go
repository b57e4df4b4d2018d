package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/swarmpurse/swarmpurse/node/api/bare"
)

// The check of a gateway with Redis, on a budget of all and on one of a tenant: a script that looks at both, and books on both what the
// call may use; after it another books the difference.
const (
	admitScript = `local a,b=tonumber(redis.call('GET',KEYS[1]) or '0'),tonumber(redis.call('GET',KEYS[2]) or '0') local n=tonumber(ARGV[1]) ` +
		`if a+n>tonumber(ARGV[2]) or b+n>tonumber(ARGV[2]) then return 0 end redis.call('INCRBY',KEYS[1],n) redis.call('INCRBY',KEYS[2],n) return 1`
	settleScript = `redis.call('INCRBY',KEYS[1],ARGV[1]) redis.call('INCRBY',KEYS[2],ARGV[1]) return 1`
	redisLimit   = "1000000000000000"
)

// redisWays are Redis with a connection for each caller, as most clients have it, and with one that all share, which pipelines by itself.
func (b *bed) redisWays() []way {
	if b.redis == "" {
		return nil
	}
	return []way{
		{name: "redis, a connection each", count: 2, caller: func() (func() error, func(), error) { return redisCaller(b.redis, nil) }},
		redisShared(b.redis),
	}
}

func redisShared(addr string) way {
	var shared *redisConn
	users := 0
	return way{name: "redis, pipelined", count: 2, caller: func() (func() error, func(), error) {
		if shared == nil {
			c, err := dialRedis(addr)
			if err != nil {
				return nil, nil, err
			}
			shared = c
		}
		users++
		ask, _, err := redisCaller(addr, shared)
		return ask, func() {
			if users--; users == 0 {
				shared.close()
				shared = nil
			}
		}, err
	}}
}

// redisCaller makes a caller over a connection, nil for one of its own.
func redisCaller(addr string, c *redisConn) (func() error, func(), error) {
	done := func() {}
	if c == nil {
		var err error
		if c, err = dialRedis(addr); err != nil {
			return nil, nil, err
		}
		done = c.close
	}
	admit := command("EVALSHA", c.admitSHA, "2", "budget:pool", "budget:tenant-month:search", strconv.Itoa(bare.Reserved), redisLimit)
	settle := command("EVALSHA", c.settleSHA, "2", "budget:pool", "budget:tenant-month:search", strconv.Itoa(bare.Used-bare.Reserved))
	w := make(chan redisReply, 1)
	one := func(cmd []byte) error {
		r := c.do(cmd, w)
		if r.err == nil && r.text != ":1" {
			r.err = fmt.Errorf("redis answers %q", r.text)
		}
		return r.err
	}
	return func() error {
		if err := one(admit); err != nil {
			return err
		}
		return one(settle)
	}, done, nil
}

// command is a command as Redis reads it.
func command(args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// redisConn is a connection whose commands are put together as they come, like those of package client.
type redisConn struct {
	conn                net.Conn
	admitSHA, settleSHA string
	wake                chan struct{}
	ended               chan struct{}

	mu      sync.Mutex // guards below
	out     []byte
	waiting []chan redisReply // in the order of their commands
	err     error
}

type redisReply struct {
	text string
	err  error
}

func dialRedis(addr string) (*redisConn, error) {
	conn, err := net.Dial("unix", addr)
	if err != nil {
		return nil, err
	}
	c := &redisConn{conn: conn, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.write()
	go c.read()
	w := make(chan redisReply, 1)
	for script, sha := range map[string]*string{admitScript: &c.admitSHA, settleScript: &c.settleSHA} {
		r := c.do(command("SCRIPT", "LOAD", script), w)
		if r.err != nil {
			c.close()
			return nil, r.err
		}
		*sha = r.text
	}
	return c, nil
}

func (c *redisConn) close() { c.end(net.ErrClosed) }

func (c *redisConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.ended)
	_ = c.conn.Close()
	for _, w := range c.waiting {
		w <- redisReply{err: err}
	}
	c.waiting = nil
}

func (c *redisConn) do(cmd []byte, w chan redisReply) redisReply {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return redisReply{err: c.err}
	}
	c.out = append(c.out, cmd...)
	c.waiting = append(c.waiting, w)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return <-w
}

func (c *redisConn) write() {
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.ended:
			return
		}
		c.mu.Lock()
		several := len(c.waiting) > 1
		c.mu.Unlock()
		if several {
			runtime.Gosched() // others may have something to say, too
		}
		c.mu.Lock()
		b := c.out
		c.out = spare[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(b); err != nil {
			c.end(err)
			return
		}
		spare = b
	}
}

func (c *redisConn) read() {
	in := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		text, err := readReply(in)
		c.mu.Lock()
		if err != nil || len(c.waiting) == 0 {
			c.mu.Unlock()
			if err == nil {
				err = errors.New("redis says what nobody asked")
			}
			c.end(err)
			return
		}
		w := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.mu.Unlock()
		r := redisReply{text: text}
		if strings.HasPrefix(text, "-") {
			r.err = errors.New("redis: " + text[1:])
		}
		w <- r
	}
}

// readReply reads an integer or an error with its sign, or a short string.
func readReply(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[0] != '$' {
		if string(line) == ":1" {
			return ":1", nil // allocates nothing
		}
		return string(line), nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 0 || n > 1<<10 {
		return "", fmt.Errorf("redis answers %q", line)
	}
	b := make([]byte, n+2)
	_, err = io.ReadFull(in, b)
	return string(b[:n]), err
}
