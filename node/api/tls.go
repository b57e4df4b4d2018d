package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// TLSFiles are a certificate with its chain and its key, PEM both. They are read again when they change.
type TLSFiles struct{ Cert, Key string }

// reloadEvery is how often, at the most, files are looked at: at handshakes.
const reloadEvery = time.Second

// certificate is what a door shows of itself.
type certificate struct {
	files TLSFiles
	log   zerolog.Logger
	now   func() time.Time

	present atomic.Pointer[tls.Certificate]
	failing atomic.Bool
	looked  atomic.Int64 // Unix ns

	mu   sync.Mutex // guards the rest
	seen [2]stamp   // of what present was read from
	said string     // the last failure, which is said once
}

// stamp tells one version of a file from another; also where a link is changed to point to another file, as Kubernetes does it.
type stamp struct {
	at   time.Time
	size int64
	info fs.FileInfo
}

func (s stamp) same(t stamp) bool {
	return s.at.Equal(t.at) && s.size == t.size && s.info != nil && t.info != nil && os.SameFile(s.info, t.info)
}

func loadCertificate(files TLSFiles) (*certificate, error) {
	c := &certificate{files: files, now: time.Now}
	seen, err := c.stamps()
	if err != nil {
		return nil, err
	}
	cert, err := files.load()
	if err != nil {
		return nil, err
	}
	c.seen = seen
	c.present.Store(cert)
	c.looked.Store(time.Now().UnixNano())
	return c, nil
}

func (f TLSFiles) load() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &cert, nil
}

func (c *certificate) stamps() (s [2]stamp, err error) {
	for i, file := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size(), info}
	}
	return s, nil
}

// get gives the certificate of a handshake, and looks at the files if nobody has for a second. While they cannot be used the last
// good one is shown.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := c.now().UnixNano()
	if was := c.looked.Load(); now-was >= int64(reloadEvery) && c.looked.CompareAndSwap(was, now) {
		c.reload()
	}
	return c.present.Load(), nil
}

func (c *certificate) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stamps()
	if err == nil && seen[0].same(c.seen[0]) && seen[1].same(c.seen[1]) {
		c.failing.Store(false)
		c.said = ""
		return
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = c.files.load()
	}
	c.failing.Store(err != nil)
	if err != nil {
		if c.said != err.Error() {
			c.said = err.Error()
			c.log.Error().Err(err).Str("certificate", c.files.Cert).Str("key", c.files.Key).Time("until", c.present.Load().Leaf.NotAfter).
				Msg("http: the new certificate cannot be used: the last one stays until both files belong together")
		}
		return
	}
	c.seen, c.said = seen, ""
	c.present.Store(cert)
	c.log.Info().Str("certificate", c.files.Cert).Time("until", cert.Leaf.NotAfter).Msg("http: the certificate was read again")
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"http/1.1"}, // see DESIGN.md
	}
}

// tlsHint says what to do about an error of certificate files.
func tlsHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "--tls-cert and --tls-key name PEM files: the certificate with its chain, and its key"
	case errors.Is(err, fs.ErrPermission):
		return "the node's user must be able to read both files"
	}
	return "both files are PEM, and the key belongs to the first certificate: compare with openssl x509 -noout -pubkey -in CERT and openssl pkey -pubout -in KEY"
}

func tlsError(addr string, err error) error {
	return &ListenError{addr, fmt.Errorf("the certificate cannot be used: %w", err), tlsHint(err)}
}
