package llm

import (
	"context"
	"io"
	"time"
)

// pace holds a call up before n more bytes of it pass, until the budgets of bytes that it draws on allow them. It breaks nothing off: from half of
// the call's time on, and for a client that has gone, bytes pass at once and are owed. Safe for concurrent use.
func (x *exchange) pace(n int) {
	if x.id == "" || n <= 0 || x.unpaced.Load() {
		return
	}
	ctx, stop := context.WithDeadline(x.r.Context(), x.start.Add(x.p.o.CallTimeout/2))
	defer stop()
	begin := time.Now()
	if !x.p.o.Admitter.Pace(ctx, x.id, int64(n)) {
		x.unpaced.Store(true)
		return
	}
	x.p.m.paced.Add(float64(n))
	x.p.m.pause.Add(time.Since(begin).Seconds())
}

// pacedBody paces what a client uploads.
type pacedBody struct {
	io.ReadCloser
	x *exchange
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.pace(n)
	return n, err
}
