package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Event is one of GET /v1/events.
type Event struct {
	Kind   string // of EventKinds, or EventGap or EventBye, whose Record has only a Why
	Record AuditRecord
}

// maxEvent bounds a line of the stream, in bytes; a decision has some hundred.
const maxEvent = 1 << 20

// Follow hands what happens at the node to each, until ctx ends, the node goes or each returns an error, which is the one returned then. Kinds are of
// EventKinds. What happened before is not told.
func (c *Client) Follow(ctx context.Context, kinds []string, each func(Event) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/events?kinds="+url.QueryEscape(strings.Join(kinds, ",")), nil)
	if err != nil {
		return fmt.Errorf("node %s: %w", c.node, err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent))
		if err != nil {
			return &UnreachableError{Node: c.node, Err: fmt.Errorf("the answer broke off: %w", err)}
		}
		return c.readError(resp, data)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var e Event
	var bad error
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "":
			if e.Kind != "" {
				if bad != nil {
					return c.notOurs(resp, nil, "an event is not what a node says")
				}
				if err := each(e); err != nil {
					return err
				}
			}
			e, bad = Event{}, nil
		case strings.HasPrefix(line, "event: "):
			e.Kind = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			bad = json.Unmarshal([]byte(line[len("data: "):]), &e.Record)
		}
	}
	err = lines.Err()
	if err == nil {
		err = errors.New("it ended the stream")
	}
	return &UnreachableError{Node: c.node, Err: err}
}
