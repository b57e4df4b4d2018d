package standin

import (
	"encoding/json"
	"net/http"
	"strings"
)

// The stand-in's answers to OpenAI's responses and to Anthropic's messages: one output, with the events that clients need to put a stream together.

// events sends server-sent events with names.
func events(w http.ResponseWriter) func(name string, v any) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	rc := http.NewResponseController(w)
	return func(name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		// An error means that the client has gone: the request's context then ends too.
		_, _ = w.Write([]byte("event: " + name + "\ndata: " + string(b) + "\n\n"))
		_ = rc.Flush()
	}
}

// respond answers a call of OpenAI's responses.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, q *request, id string) bool {
	message := func(text string) map[string]any {
		return map[string]any{"id": "msg_" + id, "type": "message", "role": "assistant", "status": "completed",
			"content": []any{map[string]any{"type": "output_text", "text": text, "annotations": []any{}}}}
	}
	response := func(status string, output ...any) map[string]any {
		v := map[string]any{"id": "resp_" + id, "object": "response", "created_at": created, "status": status, "model": q.model, "output": output}
		if output == nil {
			v["output"] = []any{}
		}
		if status == "in_progress" {
			return v
		}
		if q.cut {
			v["status"], v["incomplete_details"] = "incomplete", map[string]any{"reason": "max_output_tokens"}
		}
		if !q.noUsage {
			v["usage"] = map[string]any{"input_tokens": q.prompt, "output_tokens": q.output, "total_tokens": q.prompt + q.output,
				"input_tokens_details": map[string]any{"cached_tokens": 0}, "output_tokens_details": map[string]any{"reasoning_tokens": 0}}
		}
		return v
	}
	var all strings.Builder
	if !q.stream {
		if !s.generate(r.Context(), q, func(_ int, from, n int64) { all.WriteString(Text(from, n)) }) {
			return false
		}
		writeJSON(w, http.StatusOK, response("completed", message(all.String())))
		return true
	}
	seq, raw := 0, events(w)
	send := func(name string, v map[string]any) {
		v["type"], v["sequence_number"] = name, seq
		seq++
		raw(name, v)
	}
	part := func(name string, v map[string]any) {
		v["item_id"], v["output_index"], v["content_index"] = "msg_"+id, 0, 0
		send(name, v)
	}
	send("response.created", map[string]any{"response": response("in_progress")})
	send("response.output_item.added", map[string]any{"output_index": 0, "item": message("")})
	if !s.generate(r.Context(), q, func(_ int, from, n int64) {
		text := Text(from, n)
		all.WriteString(text)
		part("response.output_text.delta", map[string]any{"delta": text})
	}) {
		return false
	}
	part("response.output_text.done", map[string]any{"text": all.String()})
	send("response.output_item.done", map[string]any{"output_index": 0, "item": message(all.String())})
	end := response("completed", message(all.String()))
	send("response."+end["status"].(string), map[string]any{"response": end})
	return true
}

// message answers a call of Anthropic's messages.
func (s *Server) message(w http.ResponseWriter, r *http.Request, q *request, id string) bool {
	stop := "end_turn"
	if q.cut {
		stop = "max_tokens"
	}
	message := func(stop any, text ...any) map[string]any {
		v := map[string]any{"id": "msg_" + id, "type": "message", "role": "assistant", "model": q.model, "content": text,
			"stop_reason": stop, "stop_sequence": nil}
		if text == nil {
			v["content"] = []any{}
		}
		return v
	}
	var all strings.Builder
	if !q.stream {
		if !s.generate(r.Context(), q, func(_ int, from, n int64) { all.WriteString(Text(from, n)) }) {
			return false
		}
		v := message(stop, map[string]any{"type": "text", "text": all.String()})
		if !q.noUsage {
			v["usage"] = map[string]any{"input_tokens": q.prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": q.output}
		}
		writeJSON(w, http.StatusOK, v)
		return true
	}
	raw := events(w)
	send := func(name string, v map[string]any) {
		v["type"] = name
		raw(name, v)
	}
	begin := message(nil)
	if !q.noUsage {
		begin["usage"] = map[string]any{"input_tokens": q.prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
	}
	send("message_start", map[string]any{"message": begin})
	send("content_block_start", map[string]any{"index": 0, "content_block": map[string]any{"type": "text", "text": ""}})
	if !s.generate(r.Context(), q, func(_ int, from, n int64) {
		send("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "text_delta", "text": Text(from, n)}})
	}) {
		return false
	}
	send("content_block_stop", map[string]any{"index": 0})
	end := map[string]any{"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}}
	if !q.noUsage {
		end["usage"] = map[string]any{"output_tokens": q.output}
	}
	send("message_delta", end)
	send("message_stop", map[string]any{})
	return true
}

// countTokens answers how many tokens a call of Anthropic's messages would have.
func (s *Server) countTokens(w http.ResponseWriter, r *http.Request) {
	q, err := s.read(r, "count_tokens")
	if err != nil {
		s.fail(w, r.Header.Get(HeaderTenant), "", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]int64{"input_tokens": s.o.Counter.Messages(q.model, q.body)})
}
