package bare

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// The call that is asked about, and how it ends. Used is what it used of what it reserved.
const (
	Reserved  = 1200 + 600
	Used      = 1432
	admitBody = `{"tenant":"search","agent":"crawler-17","class":"standard","model":"gpt-4o","prompt_tokens":1200,"max_output_tokens":600}`
)

// Client asks over one connection of its own. It is for one goroutine.
type Client struct {
	conn   net.Conn
	in     *bufio.Reader
	admit  []byte
	out    []byte
	body   []byte
	answer []byte
}

// Dial connects by TCP.
func Dial(addr string) (*Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, in: bufio.NewReader(conn), admit: appendPost(nil, "/v1/admit", []byte(admitBody))}, nil
}

// Close closes the connection.
func (c *Client) Close() { _ = c.conn.Close() }

func appendPost(b []byte, path string, body []byte) []byte {
	b = fmt.Appendf(b, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body))
	return append(b, body...)
}

// Ask admits and settles a call, one request each. An answer that is not 200 is an error.
func (c *Client) Ask() error {
	if err := c.post(c.admit); err != nil {
		return err
	}
	_, rest, ok := bytes.Cut(c.answer, []byte(`"id":"`))
	id, _, ok2 := bytes.Cut(rest, []byte(`"`))
	if !ok || !ok2 {
		return fmt.Errorf("no id in %s", c.answer)
	}
	c.body = fmt.Appendf(c.body[:0], `{"id":"%s","used":{"compute":%d},"outcome":"ok"}`, id, Used)
	c.out = appendPost(c.out[:0], "/v1/settle", c.body)
	return c.post(c.out)
}

// maxAnswer bounds what is read.
const maxAnswer = 1 << 20

func (c *Client) post(req []byte) error {
	if _, err := c.conn.Write(req); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer: %s", line)
		}
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return err
			}
		}
	}
	if length < 0 || length > maxAnswer {
		return errors.New("answer without a length, or too long")
	}
	if cap(c.answer) < length {
		c.answer = make([]byte, length)
	}
	c.answer = c.answer[:length]
	_, err := io.ReadFull(c.in, c.answer)
	return err
}
