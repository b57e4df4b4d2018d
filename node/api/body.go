package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// maxDrain is how much of a body that is too large is read and thrown away, so that clients that
// write all before they read get their 413 instead of a broken connection.
const maxDrain = 16 << 20

// maxPooled keeps rare large bodies from staying in the pool for ever.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// readBody reads the body whole into buf, at most MaxBody bytes. Reading to its very end also makes
// net/http watch the connection, so that the context ends when the client hangs up in the queue.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, buf *[]byte) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, s.tooLarge(w, r)
	}
	b := (*buf)[:0]
	if need := int(r.ContentLength) + 1; need > cap(b) {
		b = make([]byte, 0, need)
	}
	defer func() { *buf = b }()
	// net/http waits for a body for ever.
	rc := http.NewResponseController(w)
	if r.ContentLength != 0 {
		s.setReadDeadline(rc, time.Now().Add(s.bodyTimeout))
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > MaxBody {
			return nil, s.tooLarge(w, r)
		}
		if err == io.EOF {
			if r.ContentLength != 0 {
				s.setReadDeadline(rc, time.Time{}) // or it would end the wait in the queue
			}
			return b, nil
		}
		if err != nil {
			w.Header().Set("Connection", "close")
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.metrics.refuse("body_slow")
				return nil, newError(http.StatusRequestTimeout, ErrCodeBodySlow, "", "the body did not arrive within %v", s.bodyTimeout)
			}
			return nil, badRequest(ErrCodeMalformed, "", "the body ended early, after %d bytes: %s", len(b), err.Error())
		}
	}
}

func (s *Server) setReadDeadline(rc *http.ResponseController, t time.Time) {
	if err := rc.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.Debug().Err(err).Msg("http: no read deadline")
	}
}

func (s *Server) tooLarge(w http.ResponseWriter, r *http.Request) error {
	s.metrics.refuse("body_size")
	s.setReadDeadline(http.NewResponseController(w), time.Now().Add(s.bodyTimeout))
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	w.Header().Set("Connection", "close")
	return newError(http.StatusRequestEntityTooLarge, ErrCodeBodySize, "", "the body is too large: at most %d bytes are allowed", MaxBody)
}

// jsonBody reads the body of a POST. It insists on the JSON media type, which no HTML form can send
// and which a page of another origin may not send without asking first.
func (s *Server) jsonBody(w http.ResponseWriter, r *http.Request, buf *[]byte) ([]byte, error) {
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !(strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")) {
			s.metrics.refuse("media_type")
			if ct == "" {
				ct = "missing"
			}
			return nil, newError(http.StatusUnsupportedMediaType, ErrCodeMedia, "",
				"the Content-Type is %s: send application/json (with curl: -H 'Content-Type: application/json', or --json instead of -d)", clip(ct, maxEchoLen))
		}
	}
	return s.readBody(w, r, buf)
}
