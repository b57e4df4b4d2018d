package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

// Proxy is what the proxy adds to a streaming call: of the way of the request to the provider and of the first token back, without the time
// that the provider takes.
type Proxy struct {
	Callers  int     `json:"callers"`
	Calls    int64   `json:"calls"`
	Prompt   int64   `json:"prompt_tokens"`
	Direct   Times   `json:"direct"`
	Through  Times   `json:"through_the_proxy"`
	Added    Times   `json:"added"`
	Bare     Times   `json:"added_by_a_bare_reverse_proxy"` // of the standard library, which looks into nothing: what one more hop costs on this machine
	Counting Times   `json:"counting_the_prompt"`           // alone, as the proxy does it near a limit: no part of what is added, since the budgets here are ample
	Target   Times   `json:"target"`
	Whole    float64 `json:"whole_stream_added_p50_us"`
}

// Times are in microseconds.
type Times struct {
	P50us float64 `json:"p50_us"`
	P99us float64 `json:"p99_us"`
}

func (t Times) above(u Times) Times { return Times{t.P50us - u.P50us, t.P99us - u.P99us} }

func timesOf(h *hdrhistogram.Histogram) Times { return Times{micros(h, 50), micros(h, 99)} }

// proxyShares is how many shares of the time a turn of the proxy has: its calls are slow.
const proxyShares = 2

const proxyModel = "gpt-4o"

// prompt is of 200 tokens, as the counter has it, with what a chat adds.
func prompt(c *llm.Counter) (body string, tokens int64) {
	const word = " budget"
	for n := 150; ; n++ {
		body = fmt.Sprintf(`{"model":%q,"stream":true,"max_tokens":64,"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"Say what a%s is."}]}`,
			proxyModel, strings.Repeat(word, n))
		if tokens = c.Chat(proxyModel, body); tokens >= 200 {
			return body, tokens
		}
	}
}

// measureProxy has streams go straight and through the proxy, in turns.
func (b *bed) measureProxy(ctx context.Context, turns int, long time.Duration) (*Proxy, error) {
	counter := llm.NewCounter()
	body, tokens := prompt(counter)
	p := &Proxy{Callers: proxyAt, Prompt: tokens, Target: Times{500, 2000}}
	counting := newTimes()
	for begin := time.Now(); time.Since(begin) < min(long, time.Second); {
		at := time.Now()
		counter.Chat(proxyModel, body)
		_ = counting.RecordValue(int64(time.Since(at)))
	}
	p.Counting = timesOf(counting)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: proxyAt, DisableCompression: true}}
	defer client.CloseIdleConnections()
	urls := [...]string{
		"http://" + b.bare.Upstream + "/v1/chat/completions",
		"http://" + b.http + "/t/search/a/crawler-17/openai/v1/chat/completions",
		"http://" + b.proxy + "/v1/chat/completions",
	}
	var ways, wholes [len(urls)]*hdrhistogram.Histogram
	for k := range urls {
		ways[k], wholes[k] = newTimes(), newTimes()
	}
	for n := -1; n < turns; n++ {
		for k := range urls {
			i := (k + max(n, 0)) % len(urls)
			if err := p.turn(ctx, client, urls[i], body, long, func(way, whole time.Duration) {
				if n >= 0 {
					_ = ways[i].RecordValue(int64(way))
					_ = wholes[i].RecordValue(int64(whole))
					p.Calls++
				}
			}); err != nil {
				return nil, fmt.Errorf("%s: %w", []string{"straight to the provider", "through the proxy", "through a bare reverse proxy"}[i], err)
			}
		}
	}
	p.Direct, p.Through = timesOf(ways[0]), timesOf(ways[1])
	p.Added = timesOf(ways[1]).above(p.Direct)
	p.Bare = timesOf(ways[2]).above(p.Direct)
	p.Whole = micros(wholes[1], 50) - micros(wholes[0], 50)
	return p, nil
}

// turn has all callers make calls for so long, at least one each.
func (p *Proxy) turn(ctx context.Context, c *http.Client, url, body string, long time.Duration, note func(way, whole time.Duration)) error {
	var all sync.WaitGroup
	var mu sync.Mutex // guards errs, and is held for note
	var errs error
	begin := time.Now()
	for i := range p.Callers {
		all.Go(func() {
			// Calls that begin in step would meet in the proxy in step, too.
			pause := time.NewTimer(time.Duration(i) * thinks / time.Duration(p.Callers))
			defer pause.Stop()
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			for {
				way, whole, err := streamOnce(ctx, c, url, body)
				mu.Lock()
				if err != nil {
					errs = errors.Join(errs, err)
				} else {
					note(way, whole)
				}
				mu.Unlock()
				if err != nil || time.Since(begin) >= long {
					return
				}
			}
		})
	}
	all.Wait()
	return errs
}

// streamOnce makes a call and reads its stream to the end.
func streamOnce(ctx context.Context, c *http.Client, url, body string) (way, whole time.Duration, err error) {
	begin := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sk-bench")
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	line, err := in.ReadSlice('\n')
	first := time.Now()
	came, wrote, ok := readMark(string(line))
	if resp.StatusCode != http.StatusOK || !ok {
		return 0, 0, errors.Join(fmt.Errorf("status %s: %.200s", resp.Status, line), err)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		return 0, 0, err
	}
	if !bytes.Contains(rest, []byte("[DONE]")) {
		return 0, 0, errors.New("the stream ends in its middle")
	}
	return first.Sub(begin) - wrote.Sub(came), time.Since(begin), nil
}
