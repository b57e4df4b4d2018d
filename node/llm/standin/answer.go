package standin

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strings"
)

// words are one token each, in every encoding, wherever they stand.
var words = [...]string{
	" the", " of", " and", " to", " in", " is", " that", " for", " it", " as", " was", " with", " be",
	" by", " on", " not", " he", " his", " but", " at", " are", " this", " have", " from", " or", " had",
}

// Text returns a text of exactly n tokens; it is the part of a longer one that begins at token from.
func Text(from, n int64) string {
	var b strings.Builder
	b.Grow(int(n) * 5)
	for i := from; i < from+n; i++ {
		b.WriteString(words[i*7%int64(len(words))])
	}
	return b.String()
}

type usage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

func (q *request) usage() *usage {
	if q.noUsage {
		return nil
	}
	out := q.output * int64(q.choices)
	return &usage{q.prompt, out, q.prompt + out}
}

func (q *request) finish() string {
	if q.cut {
		return "length"
	}
	return "stop"
}

// reply is an answer or a chunk of one.
type reply struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   *usage `json:"usage,omitempty"`
}

type message struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type choice struct {
	Index   int      `json:"index"`
	Message *message `json:"message,omitempty"`
	Delta   any      `json:"delta,omitempty"`
	Text    *string  `json:"text,omitempty"`
	Finish  *string  `json:"finish_reason"`
}

// created is fixed: an answer depends on its request only.
const created = 1_700_000_000

// answer sends a whole answer.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, q *request, kind, id string) bool {
	texts := make([]strings.Builder, q.choices)
	if !s.generate(r.Context(), q, func(c int, from, n int64) { texts[c].WriteString(Text(from, n)) }) {
		return false
	}
	v := reply{ID: id, Object: "text_completion", Created: created, Model: q.model, Usage: q.usage()}
	finish := q.finish()
	for i := range texts {
		c := choice{Index: i, Finish: &finish}
		text := texts[i].String()
		if kind == "chat/completions" {
			v.Object = "chat.completion"
			c.Message = &message{Role: "assistant", Content: text}
		} else {
			c.Text = &text
		}
		v.Choices = append(v.Choices, c)
	}
	writeJSON(w, http.StatusOK, v)
	return true
}

// stream sends an answer in server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, q *request, kind, id string) bool {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	rc := http.NewResponseController(w)
	send := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		// An error means that the client has gone: the request's context then ends too.
		_, _ = w.Write(append(append([]byte("data: "), b...), "\n\n"...))
		_ = rc.Flush()
	}
	chat := kind == "chat/completions"
	v := reply{ID: id, Object: "text_completion", Created: created, Model: q.model}
	if chat {
		v.Object = "chat.completion.chunk"
		for i := range q.choices {
			v.Choices = []any{choice{Index: i, Delta: message{Role: "assistant"}}}
			send(v)
		}
	}
	part := func(i int, text string, finish *string) {
		c := choice{Index: i, Finish: finish}
		switch {
		case !chat:
			c.Text = &text
		case finish != nil:
			c.Delta = struct{}{}
		default:
			c.Delta = message{Content: text}
		}
		v.Choices = []any{c}
		send(v)
	}
	if !s.generate(r.Context(), q, func(i int, from, n int64) { part(i, Text(from, n), nil) }) {
		return false
	}
	finish := q.finish()
	for i := range q.choices {
		part(i, "", &finish)
	}
	if q.usageChunk && !q.noUsage {
		v.Choices, v.Usage = []any{}, q.usage()
		send(v)
	}
	_, err := w.Write([]byte("data: [DONE]\n\n"))
	return err == nil
}

// embed answers with vectors that depend on nothing but their place.
func (s *Server) embed(w http.ResponseWriter, r *http.Request, q *request) bool {
	if !sleep(r.Context(), s.o.FirstToken) {
		return false
	}
	vector := make([]float32, q.dimensions)
	raw := make([]byte, 0, 4*q.dimensions)
	for i := range vector {
		vector[i] = float32(1 / math.Sqrt(float64(q.dimensions)))
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(vector[i]))
	}
	data := make([]map[string]any, q.inputs)
	for i := range data {
		data[i] = map[string]any{"object": "embedding", "index": i, "embedding": vector}
		if q.base64 {
			data[i]["embedding"] = base64.StdEncoding.EncodeToString(raw)
		}
	}
	v := map[string]any{"object": "list", "model": q.model, "data": data}
	if !q.noUsage {
		v["usage"] = map[string]int64{"prompt_tokens": q.prompt, "total_tokens": q.prompt}
	}
	writeJSON(w, http.StatusOK, v)
	return true
}
