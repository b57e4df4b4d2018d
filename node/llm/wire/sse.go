package wire

import "bytes"

// MaxEvent bounds one server-sent event that is looked into. A longer one passes through unread.
const MaxEvent = 1 << 20

// Splitter cuts a stream of server-sent events at its blank lines, whatever pieces it arrives in.
// Nothing is lost: what it emits, put together, is what it was fed.
// (WHATWG HTML, "Server-sent events": lines end with CR LF, LF or CR.)
type Splitter struct {
	buf   []byte
	over  bool // the present event is too long: its pieces go out as they come
	blank bool // nothing on the present line yet
	cr    bool // the last byte was CR, which an LF may still belong to
	begun bool
}

// Feed takes the next bytes. emit gets each event with its final blank line; whole is false for the
// pieces of an event that is too long. The slice is the Splitter's own and valid during the call.
func (s *Splitter) Feed(p []byte, emit func(event []byte, whole bool)) {
	if !s.begun {
		s.begun, s.blank = true, true
	}
	from := 0
	for i, c := range p {
		end := false
		switch {
		case c == '\n' && s.cr: // the second half of a line end
			s.cr = false
		case c == '\n' || c == '\r':
			end, s.blank = s.blank, true
			s.cr = c == '\r'
		default:
			s.blank, s.cr = false, false
		}
		if end {
			s.emit(p[from:i+1], emit, true)
			from = i + 1
		}
	}
	if from < len(p) {
		s.hold(p[from:], emit)
	}
}

func (s *Splitter) hold(p []byte, emit func([]byte, bool)) {
	if s.over || len(s.buf)+len(p) > MaxEvent {
		if len(s.buf) > 0 {
			emit(s.buf, false)
			s.buf = s.buf[:0]
		}
		s.over = true
		emit(p, false)
		return
	}
	s.buf = append(s.buf, p...)
}

func (s *Splitter) emit(tail []byte, emit func([]byte, bool), whole bool) {
	switch {
	case s.over || len(s.buf)+len(tail) > MaxEvent:
		s.hold(tail, emit)
		s.over = false
	case len(s.buf) == 0:
		emit(tail, whole)
	default:
		s.buf = append(s.buf, tail...)
		emit(s.buf, whole)
		s.buf = s.buf[:0]
	}
}

// Rest emits what came after the last blank line: part of an event, or nothing.
func (s *Splitter) Rest(emit func([]byte, bool)) {
	if len(s.buf) > 0 {
		emit(s.buf, false)
		s.buf = s.buf[:0]
	}
}

// EventData returns the data of an event: its data lines joined by LF. into is reused.
func EventData(event, into []byte) []byte {
	into = into[:0]
	event = bytes.TrimPrefix(event, []byte("\xEF\xBB\xBF"))
	first := true
	for len(event) > 0 {
		n := bytes.IndexAny(event, "\r\n")
		line := event
		if n >= 0 {
			line, event = event[:n], event[n+1:]
		} else {
			event = nil
		}
		v, ok := bytes.CutPrefix(line, []byte("data"))
		if !ok || len(v) > 0 && v[0] != ':' {
			continue
		}
		v = bytes.TrimPrefix(bytes.TrimPrefix(v, []byte(":")), []byte(" "))
		if !first {
			into = append(into, '\n')
		}
		into, first = append(into, v...), false
	}
	return into
}
