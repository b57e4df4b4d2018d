package standin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest reads requests of every kind: each is refused with a status of its own, or asks for no more than the bounds allow.
func FuzzRequest(f *testing.F) {
	kinds := []string{"chat/completions", "completions", "embeddings", "messages", "responses"}
	f.Add(0, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"n":2,"max_tokens":9,"stream":true}`, "7", "3")
	f.Add(1, `{"model":"davinci","prompt":["a","b"],"user":"u","metadata":{"standin_output_tokens":5}}`, "", "")
	f.Add(2, `{"model":"e","input":[[1,2],[3]],"dimensions":16,"encoding_format":"base64"}`, "", "0")
	f.Add(3, `{"model":"claude-x","max_tokens":1e9,"messages":[]}`, "1048576", "-1")
	f.Add(4, `{"model":"gpt-4o","input":"x","max_output_tokens":9223372036854775807,"n":128}`, "x", "")
	s, err := New(Options{Counter: counter})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind int, body, output, after string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header[HeaderOutput], r.Header[HeaderBreak], r.Header[HeaderError] = []string{output}, []string{after}, []string{after}
		if len(after)%2 == 0 {
			r.Header.Del(HeaderError)
		}
		q, err := s.read(r, kinds[uint(kind)%uint(len(kinds))])
		if err != nil {
			var no *badRequest
			if !errors.As(err, &no) || no.status < 400 || no.status > 599 {
				t.Fatalf("%v", err)
			}
			return
		}
		if q.model == "" || len(q.model) > 256 || len(q.tenant) > 256 || q.prompt < 0 || q.output < 0 || q.choices < 0 || q.output*int64(q.choices) > maxTotal ||
			q.inputs < 0 || q.inputs > 2048 || q.dimensions < 1 || q.dimensions > 4096 || q.breakAfter < -1 || q.stallAfter < -1 {
			t.Fatalf("%+v", q)
		}
	})
}
