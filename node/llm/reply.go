package llm

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

const (
	// holdReply is how much of a JSON reply is held back until it is settled, so that whoever sees the
	// end of a reply sees the budgets settled. Longer replies stream.
	holdReply = 1 << 20

	// afterDone is how long the end of a stream may take after it said [DONE].
	afterDone = time.Second

	// headAfter is how long the head of a stream waits for its first event. A timer that is due sooner than all others wakes a thread that sleeps until
	// then, which costs more than the write that this saves; a node has one every 50 ms anyway.
	headAfter = 50 * time.Millisecond

	readSize = 32 << 10
)

// reply carries an upstream's reply to the client and settles. It ends the reservation on every path.
func (x *exchange) reply(ctx context.Context, resp *http.Response) {
	body, decoded, err := decodeBody(resp)
	if err != nil {
		x.settleWhole(outBroken)
		unavailable(http.StatusBadGateway, outBroken, "upstream_broken",
			"The upstream %q sent a reply whose encoding is broken.", x.up.Name).write(x.w, x.dialect)
		return
	}
	dropHopByHop(resp.Header) // and what only we may state: the decision's headers
	h := x.w.Header()
	for name, v := range resp.Header {
		h[name] = v
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if decoded || kind == "text/event-stream" {
		h.Del("Content-Length")
	}
	if kind == "text/event-stream" || !admit.Refuses(resp.StatusCode) {
		x.feedback(resp, nil) // of a refusal that is a document, its text counts, too
	}
	switch {
	case kind == "text/event-stream":
		x.stream(ctx, resp, body)
	default:
		x.document(ctx, resp, body, kind == "application/json" || strings.HasSuffix(kind, "+json"))
	}
}

// decodeBody undoes gzip, which we did not ask for but some upstreams send all the same.
func decodeBody(resp *http.Response) (io.Reader, bool, error) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") || resp.Body == http.NoBody || resp.Request.Method == http.MethodHead {
		return resp.Body, false, nil
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		return nil, false, err
	}
	resp.Header.Del("Content-Encoding")
	return z, true, nil
}

// status writes the status line and headers, once.
func (x *exchange) status(code int) {
	if !x.sent {
		x.sent = true
		x.w.WriteHeader(code)
	}
}

// write sends bytes to the client, unless it has gone. It never fails: the call goes on to its end.
func (x *exchange) write(p []byte) {
	if x.gone || len(p) == 0 {
		return
	}
	if x.ttfb == 0 {
		x.ttfb = time.Since(x.start)
	}
	if _, err := x.w.Write(p); err != nil {
		x.lost()
	}
}

func (x *exchange) flush() {
	if x.gone {
		return
	}
	if err := x.rc.Flush(); err != nil {
		x.lost()
	}
}

// headLater sends the head of a stream after a moment, if its first event has not come by then: with that it makes one write, and wakes the
// client once. What it returns ends that, and must be called before anything else is done to the client.
func (x *exchange) headLater(code int) (end func()) {
	var err error
	sent := make(chan struct{})
	t := time.AfterFunc(headAfter, func() {
		defer close(sent)
		x.status(code)
		err = x.rc.Flush()
	})
	ended := false
	return func() {
		if ended {
			return
		}
		if ended = true; t.Stop() {
			return
		}
		if <-sent; err != nil && !x.gone {
			x.lost()
		}
	}
}

// lost notes that the client has gone. From here on the upstream is only read to know the usage.
func (x *exchange) lost() {
	x.gone = true
	x.giveUp = time.AfterFunc(x.p.o.Drain.Time, func() { x.cancel(errDrained) })
}

// deadline bounds the next write to the client, to WriteTimeout or up to an eighth less: setting it anew for each piece of a stream would cost as much as writing it.
func (x *exchange) deadline() {
	if x.gone {
		return
	}
	if now := time.Now(); now.Sub(x.bounded) >= x.p.o.WriteTimeout/8 {
		x.bounded = now
		_ = x.rc.SetWriteDeadline(now.Add(x.p.o.WriteTimeout)) // not every writer has one
	}
}

// read reads the next piece, and bounds what is read for a client that has gone.
func (x *exchange) read(body io.Reader, buf []byte) (int, error) {
	n, err := body.Read(buf)
	if x.gone || x.r.Context().Err() != nil {
		x.gone = true
		if x.goneRead += int64(n); x.goneRead > x.p.o.Drain.Bytes && err == nil {
			x.cancel(errDrained)
			err = errDrained
		}
	}
	return n, err
}

// complete is the outcome of a reply that came to its end.
func (x *exchange) complete(status int) outcome {
	switch {
	case status >= 400:
		return outUpstream
	case x.gone:
		return outClientGone
	}
	return outOK
}

// incomplete ends a call whose reply broke off: what the upstream has done by then is not known.
func (x *exchange) incomplete(ctx context.Context) {
	out := outBroken
	if context.Cause(ctx) != nil {
		out = outCut
	}
	x.settleWhole(out)
	x.outcome = out
	x.p.o.Logger.Warn().Str("id", x.id).Str("upstream", x.up.Name).AnErr("cause", context.Cause(ctx)).Msg("the reply broke off")
	x.abort()
}

// document carries a reply that is not a stream of events.
func (x *exchange) document(ctx context.Context, resp *http.Response, body io.Reader, isJSON bool) {
	var finder wire.UsageFinder
	var held bytes.Buffer
	whole := true // held has all of the reply
	buf, free := x.p.buffer()
	defer free()
	var end error
	for end == nil {
		var n int
		n, end = x.read(body, buf)
		if n == 0 {
			continue
		}
		x.pace(n)
		if isJSON {
			_, _ = finder.Write(buf[:n])
			if held.Len()+n <= holdReply && whole {
				held.Write(buf[:n])
				continue
			}
		}
		whole = false
		x.deadline()
		x.status(resp.StatusCode)
		x.write(held.Bytes())
		held.Reset()
		x.write(buf[:n])
		x.flush()
	}
	if end != io.EOF {
		if !x.sent && !x.gone {
			x.brokeEarly(ctx)
			return
		}
		x.incomplete(ctx)
		return
	}
	if admit.Refuses(resp.StatusCode) {
		x.feedback(resp, held.Bytes())
	}
	x.settleDocument(resp.StatusCode, finder.Usage(), held.Bytes(), whole && isJSON)
	if held.Len() > 0 && x.r.Method != http.MethodHead {
		x.w.Header().Set("Content-Length", strconv.Itoa(held.Len()))
	}
	x.deadline()
	x.status(resp.StatusCode)
	x.write(held.Bytes())
	x.endWrite()
}

// endWrite sends what is still buffered and takes the deadline off again: the connection lives on.
func (x *exchange) endWrite() {
	x.flush()
	_ = x.rc.SetWriteDeadline(time.Time{})
	if x.gone && x.outcome == outOK {
		x.outcome = outClientGone
	}
}

// brokeEarly tells a client, to whom nothing was sent yet, that the reply broke off.
func (x *exchange) brokeEarly(ctx context.Context) {
	out := outBroken
	if context.Cause(ctx) != nil {
		out = outCut
	}
	x.settleWhole(out)
	h := x.w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag"} {
		h.Del(name)
	}
	e := unavailable(http.StatusBadGateway, out, "upstream_broken", "The upstream %q broke off in the middle of its reply.", x.up.Name)
	if cause := context.Cause(ctx); cause == errCallTimeout || cause == errShutdown {
		e = x.noReply(nil, cause, out)
	}
	e.write(x.w, x.dialect)
}

// settleDocument ends the reservation of a reply that came to its end.
func (x *exchange) settleDocument(status int, u *wire.Usage, body []byte, readable bool) {
	out := x.complete(status)
	switch {
	case u != nil:
		x.settle(out, *u, false)
	case status >= 400:
		x.release(out)
	case x.plan == nil:
		x.settle(out, wire.Usage{}, true) // a call without tokens: it costs what the policy says for one
	case x.ep == wire.Embeddings:
		x.settle(out, wire.Usage{PromptTokens: x.prompt()}, true)
	case readable && gjson.ValidBytes(body):
		v := gjson.ParseBytes(body)
		if s := v.Get("status").Str; x.ep == wire.Responses && (s == "queued" || s == "in_progress") {
			x.settleWhole(out) // it runs on in the background, and this call never hears what it used
			return
		}
		t := texts{c: x.p.o.Counter, ep: x.ep, model: x.plan.Model}
		t.add(v)
		x.settle(out, wire.Usage{PromptTokens: x.prompt(), CompletionTokens: t.total()}, true)
	default:
		x.settleWhole(out) // a success that we cannot read: nobody can say what it used
	}
}

// stream carries a reply of server-sent events, each as soon as it is whole.
func (x *exchange) stream(ctx context.Context, resp *http.Response, body io.Reader) {
	s := streamState{x: x}
	if x.plan != nil {
		s.texts = &texts{c: x.p.o.Counter, ep: x.ep, model: x.plan.Model}
		x.arrived = s.texts
	}
	x.deadline()
	head := x.headLater(resp.StatusCode)
	defer head()
	buf, free := x.p.buffer()
	defer free()
	var end error
	for end == nil {
		var n int
		n, end = x.read(body, buf)
		head()
		if n > 0 {
			x.pace(n)
			x.deadline()
			x.status(resp.StatusCode)
			s.split.Feed(buf[:n], s.event)
			x.flush()
		}
		if s.done && end == nil && s.after == nil {
			s.after = time.AfterFunc(afterDone, func() { x.cancel(nil) })
		}
	}
	if s.after != nil {
		s.after.Stop()
	}
	s.split.Rest(s.event)
	if end != io.EOF && !s.done {
		switch {
		case !x.sent && !x.gone:
			x.brokeEarly(ctx)
		case x.ended: // the usage came before: what is missing costs nothing
			x.abort()
		default:
			x.incomplete(ctx)
		}
		return
	}
	s.settle(resp.StatusCode)
	x.status(resp.StatusCode)
	x.endWrite()
}

// abort breaks a client's connection off, as the upstream broke ours, after the call was settled: it
// is the one way to tell a client that its reply is not whole.
func (x *exchange) abort() {
	if x.gone {
		return
	}
	if x.outcome == outOK {
		x.outcome = outBroken
	}
	panic(http.ErrAbortHandler)
}

// streamState is what is known of a stream so far.
type streamState struct {
	x      *exchange
	split  wire.Splitter
	data   []byte
	begun  string      // of Anthropic's, the usage that its first event tells
	usage  *wire.Usage // the last one seen
	done   bool        // [DONE] was seen
	failed bool        // an error event was seen
	blind  bool        // an event was too long to be looked into
	open   uint64      // choices that have begun, by index, and have not finished
	closed uint64      // those that have
	after  *time.Timer
	texts  *texts // what went through, for upstreams that tell no usage
}

// event looks into one event and passes it on.
func (s *streamState) event(event []byte, whole bool) {
	s.blind = s.blind || !whole
	if !whole || !s.look(event) {
		s.x.write(event)
	}
}

// look reports whether an event must be kept from the client.
func (s *streamState) look(event []byte) (drop bool) {
	s.data = wire.EventData(event, s.data)
	data := bytes.TrimSpace(s.data)
	if len(data) == 0 || data[0] != '{' {
		s.done = s.done || string(data) == "[DONE]"
		return false
	}
	v := gjson.ParseBytes(data)
	var e top
	e.read(v)
	if e.err.IsObject() || e.kind == "error" { // the second as OpenAI's responses have it
		s.failed = true
	}
	switch {
	case s.x.ep == wire.Messages:
		s.said(v)
		s.message(e.kind, v)
		return false
	case strings.HasPrefix(e.kind, "response."):
		s.said(v)
		s.response(e.kind, v.Get("response"))
		return false
	case s.x.ep == wire.Responses:
		s.said(v)
	}
	s.choices(e.choices)
	u := wire.ParseUsage(e.usage)
	if u == nil {
		return false
	}
	s.usage = u
	if s.x.plan == nil {
		return false
	}
	if c := e.choices; c.IsArray() && c.Get("#").Int() == 0 {
		// The chunk that include_usage asks for. It says the final amounts, so the client may know the
		// call as settled from here on.
		s.x.settle(s.x.complete(http.StatusOK), *u, false)
		return !s.x.plan.WantUsage
	}
	return false
}

// top is what the proxy looks at of every event of a chat, read in one pass: of a field that is repeated the first one.
type top struct {
	kind                string // its type
	err, choices, usage gjson.Result
}

func (e *top) read(v gjson.Result) {
	typed := false
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "type":
			if !typed {
				typed, e.kind = true, v.Str
			}
		case "error":
			first(&e.err, v)
		case "choices":
			first(&e.choices, v)
		case "usage":
			first(&e.usage, v)
		}
		return true
	})
}

func first(into *gjson.Result, v gjson.Result) {
	if !into.Exists() {
		*into = v
	}
}

// said keeps what an event says of the text of the answer.
func (s *streamState) said(v gjson.Result) {
	if s.texts != nil {
		s.texts.add(v)
	}
}

// choices notes which of a chunk's choices have finished, and what they say.
func (s *streamState) choices(list gjson.Result) {
	list.ForEach(func(_, c gjson.Result) bool {
		var d choice
		d.read(c)
		bit := uint64(1) << min(max(d.index, 0), 63)
		if d.finished {
			s.closed |= bit
		} else {
			s.open |= bit
		}
		if s.texts != nil && s.x.ep != wire.Responses {
			s.texts.say(&d)
		}
		return true
	})
}

// whole reports whether a stream said that it is complete. An upstream whose connection breaks may look like one that has ended.
func (s *streamState) whole() bool { return s.done || s.closed != 0 && s.open&^s.closed == 0 }

// message looks into an event of Anthropic's messages. At message_stop the client may know the call as settled.
func (s *streamState) message(kind string, v gjson.Result) {
	switch kind {
	case "message_start":
		s.begun = v.Get("message.usage").Raw
	case "message_delta":
		if u := wire.MessageUsage(gjson.Parse(s.begun), v.Get("usage")); u != nil {
			s.usage = u
		}
	case "message_stop":
		s.end()
	}
}

// response looks into an event of OpenAI's responses, of which the last tells the usage.
func (s *streamState) response(kind string, r gjson.Result) {
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		s.usage = wire.ParseUsage(r.Get("usage"))
		s.failed = s.failed || kind == "response.failed"
		s.end()
	}
}

// end settles a stream whose last event is about to be passed on, if it told its usage.
func (s *streamState) end() {
	s.done = true
	if s.usage != nil {
		s.x.settle(s.x.complete(http.StatusOK), *s.usage, false)
	}
}

// settle ends the reservation at the end of a stream.
func (s *streamState) settle(status int) {
	x := s.x
	out := x.complete(status)
	switch {
	case x.ended:
	case s.usage != nil && (s.whole() || s.texts == nil):
		x.settle(out, *s.usage, false)
	case status >= 400:
		x.release(out)
	case s.failed:
		x.settleWhole(outUpstream) // it had begun: what it did before it failed is not known
	case s.texts == nil:
		x.settle(out, wire.Usage{}, true)
	case !s.whole():
		x.settleWhole(outBroken) // what it has done since, or has told nobody of, is not known
	case s.blind:
		x.settleWhole(out) // not all of it was counted
	default:
		x.settle(out, wire.Usage{PromptTokens: x.prompt(), CompletionTokens: s.texts.total()}, true)
	}
}
