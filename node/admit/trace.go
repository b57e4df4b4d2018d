package admit

import "encoding/hex"

// ParseTrace reads a W3C traceparent header. One that is missing or malformed is none, as the standard has it.
func ParseTrace(header string) (t Trace) {
	// version "-" trace id "-" parent id "-" flags; a later version may have more after another "-".
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(header) < size || header[2] != '-' || header[35] != '-' || header[52] != '-' ||
		header[:2] == "ff" || len(header) > size && (header[:2] == "00" || header[size] != '-') {
		return Trace{}
	}
	for _, part := range []string{header[:2], header[3:35], header[36:52], header[53:55]} {
		for i := range len(part) {
			if c := part[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return Trace{}
			}
		}
	}
	_, _ = hex.Decode(t.ID[:], []byte(header[3:35]))
	_, _ = hex.Decode(t.Span[:], []byte(header[36:52]))
	if t.ID == [16]byte{} || t.Span == [8]byte{} {
		return Trace{}
	}
	var flags [1]byte
	_, _ = hex.Decode(flags[:], []byte(header[53:55]))
	t.Quiet = flags[0]&1 == 0
	return t
}
