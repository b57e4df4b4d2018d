package ui_test

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// checks are what a page is asked about itself: see there.
//
//go:embed testdata/checks.js
var checks string

// TestPage looks at the dashboard of a real swarm as users do: on a desktop and on a phone, light and dark, by keyboard, through a cut and to the end of
// its node.
func TestPage(t *testing.T) {
	open := browser(t)
	s := startSwarm(t)
	// The guard is for other tests: here it must not end what is to be looked at.
	trial := map[string]string{"canary": "50%", "by": "agent", "bake": "10m", "deny_rate": "+90%", "p99_wait": "+90%"}
	if _, err := s.nodes[0].ApplyPolicy(t.Context(), api.ApplyRequest{Source: source(2, 40_000), Rollout: trial, By: hostile, Why: "more for all"}); err != nil {
		t.Fatal(err)
	}
	s.load()
	base := s.nodes[0].HTTPAddr()
	both := []*tab{open(), open()}
	for i, v := range []view{desktop, phone} {
		b := both[i]
		b.set(v)
		b.do(chromedp.Navigate(base + "/ui"))
		eval[any](b, checks)
		b.wait("calls are shown", `document.querySelectorAll("#calls [data-explain]").length > 20`)
		b.wait("a transfer is shown", `document.querySelector("#transfers .kind.transfer") !== null`)
		b.wait("four holders are shown", `document.querySelectorAll("#budgets .holders tbody tr").length === 4`)
		b.wait("a candidate is shown", `document.querySelector("#policy .candidate") !== null`)
		b.wait("a class has a latency", `document.querySelector("#classes tbody tr td:nth-child(5)").textContent !== "–"`)
		b.wait("a reason of refusals is shown", `document.querySelectorAll("#rates .reasons th").length > 0`)
		shows(b)
		for _, v := range []view{v, v.other()} {
			b.set(v)
			b.shoot(v.name)
			for _, w := range eval[[]string](b, "check.contrast()") {
				t.Errorf("%s: %s", v.name, w)
			}
		}
		b.set(v)
		for _, w := range append(eval[[]string](b, "check.names()"), eval[[]string](b, "check.width()")...) {
			t.Errorf("%s: %s", v.name, w)
		}
		b.quiet(base)
	}
	t.Run("times", func(t *testing.T) { times(t, both[0]) })
	t.Run("keyboard", func(t *testing.T) { keyboard(t, both[0]) })
	t.Run("shadow", func(t *testing.T) { shadow(t, s, both) })
	t.Run("cut", func(t *testing.T) { cuts(t, s, both) })
	for _, b := range both {
		b.quiet(base)
	}
	t.Run("end", func(t *testing.T) {
		if err := s.drain(0); err != nil {
			t.Error(err)
		}
		both[0].wait("the page says that its node is gone", `document.querySelector("#banner").textContent.includes("No connection") && document.title.startsWith("⚠")`)
	})
}

// times checks that no time is told as 5 min 60 s.
func times(t *testing.T, b *tab) {
	eval[any](b, `void import("/ui/format.js").then((m) => { globalThis.format = m; })`)
	b.wait("the module", `globalThis.format !== undefined`)
	for ms, want := range map[int]string{
		50: "0.1 s", 1500: "1.5 s", 9949: "9.9 s", 9960: "10 s", 59_400: "59 s", 59_700: "1 min", 200_000: "3 min 20 s", 359_700: "6 min", 599_900: "10 min", 660_000: "11 min",
		3_599_900: "1 h", 7_200_000: "2 h", 200_000_000: "2 d",
	} {
		if got := eval[string](b, fmt.Sprintf("format.span(%d)", ms)); got != want {
			t.Errorf("%d ms are told as %s, want %s", ms, got, want)
		}
	}
}

// shows checks that the page shows what the node says.
func shows(b *tab) {
	b.t.Helper()
	for selector, want := range map[string][]string{
		"#who":       {"n1 of ui", "zone a", "live"},
		"#swarm":     {"zone a", "zone b", "n1", "n2", "n3", "n4", "this node"},
		"#budgets":   {"pool", "30K", "hard", "provider", "4,000/s, burst 16,000", "tenant-day/research", "soft 25%", "velocity", "issued", "price", "Rights by node", "tenant-day/" + hostile},
		"#classes":   {"interactive", "batch", "of 100 ms", "of 2 s", "of 99%"},
		"#rates":     {"admitted", "refused", "Why, in the last minute"},
		"#calls":     {"search / agent-", hostile + " / agent-", "</b>", "interactive"},
		"#transfers": {" → n1"},
		"#policy":    {"Revision 1", "Revision 2 is tried on 50% by agent", "stable", "candidate", "refused", "fast", "25% by tenant", "ads", "cooler", "temperature 0.3", "as-it-is", "too few calls yet"},
	} {
		text := eval[string](b, `document.querySelector("`+selector+`").textContent`)
		for _, w := range want {
			if !strings.Contains(text, w) {
				b.t.Errorf("%s does not show %q: %s", selector, w, text)
			}
		}
	}
	if n := eval[int](b, `document.querySelectorAll("img:not([src='icon.svg']), main b b, [onerror]").length`); n != 0 {
		b.t.Errorf("%d elements are made of names", n)
	}
	if title := eval[string](b, "document.title"); title != "n1 · swarmpurse" {
		b.t.Errorf("the title is %q", title)
	}
}

// shadow: a revision that is only looked at, here one under which nothing may run, is shown with what it would have decided otherwise; a call that
// differs has its path.
func shadow(t *testing.T, s *swarm, both []*tab) {
	if _, err := s.nodes[0].ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{Revision: 2, By: hostile}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.nodes[0].ApplyPolicy(t.Context(), api.ApplyRequest{Source: source(3, 1), Rollout: map[string]string{"shadow": "true"}, By: hostile, Why: "would it hurt?"}); err != nil {
		t.Fatal(err)
	}
	for i, v := range []view{desktop, phone} {
		b := both[i]
		if eval[string](b, `document.querySelector("#pause").getAttribute("aria-pressed")`) == "true" {
			eval[any](b, `document.querySelector("#pause").click()`)
		}
		b.wait("calls differ, and are counted", `document.querySelector("#policy .differs [data-explain]") !== null && document.querySelector("#policy").textContent.includes("What differs")`)
		text := eval[string](b, `document.querySelector("#policy").textContent`)
		for _, w := range []string{"Revision 3 is only looked at", "would it hurt?", "would have been refused", "What differs", "decision", " instead of "} {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the policy's part does not show %q: %s", v.name, w, text)
			}
		}
		for _, w := range slices.Concat(eval[[]string](b, "check.contrast()"), eval[[]string](b, "check.names()"), eval[[]string](b, "check.width()")) {
			t.Errorf("%s: %s", v.name, w)
		}
		b.shoot("shadow-" + v.name)
		// The list moves on each second, and may have lost the call between the two: then with another one.
		until(t, "the path of a call that differs is shown", func() bool {
			eval[any](b, `document.querySelector("#policy .differs [data-explain]")?.focus()`)
			b.press(enterKey)
			return eval[bool](b, `document.querySelector("#explain").open`)
		})
		b.press(escKey)
		b.wait("it is closed", `!document.querySelector("#explain").open`)
	}
}

// keyboard: Tab reaches all that a mouse does, Enter and Escape do what they should, and a call's whole path is found by choosing it
// and by its id.
func keyboard(t *testing.T, b *tab) {
	const admitted = `document.querySelector("#calls .call .admit") !== null`
	for paused := false; !paused; paused = paused && eval[bool](b, admitted) { // on a busy machine all calls that are shown may be refused ones
		if eval[string](b, `document.querySelector("#pause").getAttribute("aria-pressed")`) == "true" {
			b.press(enterKey)
		}
		b.wait("a call is admitted", admitted)
		eval[any](b, `document.querySelector("#pause").focus()`)
		b.press(enterKey) // what is drawn stays as it is
		b.wait("it is paused", `document.querySelector("#pause").getAttribute("aria-pressed") === "true" && document.querySelector("#who").textContent.includes("paused")`)
		paused = true
	}
	want := eval[int](b, "check.number()")
	eval[any](b, "document.activeElement.blur(); getSelection().removeAllRanges(); check.seen.clear()")
	b.press(strings.Repeat(tabKey, want+5))
	if missed := eval[[]string](b, "check.missed()"); len(missed) > 0 || want < 40 {
		t.Errorf("of %d the keyboard does not reach %q", want, missed)
	}

	id := eval[string](b, `(() => { const c = [...document.querySelectorAll("#calls .call")].find((c) => c.querySelector(".admit")); c.focus(); return c.dataset.explain; })()`)
	b.press(enterKey)
	b.wait("its path is shown", `document.querySelector("#explain").open && document.querySelectorAll("#explain .path > li").length >= 4`)
	text := eval[string](b, `document.querySelector("#explain").textContent`)
	for _, w := range []string{id, "Asked for by", "Matched all", "admit", "Reserved", "tenant-day/", "provider", "gpt-4o", "revision "} {
		if !strings.Contains(text, w) {
			t.Errorf("the path does not show %q: %s", w, text)
		}
	}
	b.shoot("explain")
	for _, w := range eval[[]string](b, "check.contrast(document.querySelector('#explain'))") {
		t.Error(w)
	}
	b.press(escKey)
	const closed = `!document.querySelector("#explain").open`
	b.wait("the dialog is closed, and the call has the focus again", closed+` && document.activeElement.dataset.explain === "`+id+`"`)

	eval[any](b, `document.querySelector("#find-id").focus()`)
	b.press(id + enterKey)
	b.wait("a call is found by its id", `document.querySelector("#explain").open && document.querySelector("#explain .path") !== null`)
	b.press(escKey)
	b.wait("it is closed again", closed)
	eval[any](b, `document.querySelector("#find-id").select()`)
	b.press("n2.nobodyknows" + enterKey)
	b.wait("of another node's it says where to ask", `document.querySelector("#explain").open && document.querySelector("#explain a[href$='/ui/#call=n2.nobodyknows']") !== null`)
	b.press(escKey)
	b.wait("it is closed once more", closed)

	eval[any](b, `document.querySelector("#map-of").focus()`)
	b.press(downKey)
	eval[any](b, `document.querySelector("[data-node=n2]").focus()`)
	b.press(enterKey)
	eval[any](b, `document.querySelector("#pause").focus()`)
	b.press(enterKey)
	b.wait("a node and an instance are chosen", `document.querySelector("#swarm .note") !== null && document.querySelector("#swarm .note").textContent.includes("generation") && document.querySelector(".instance.chosen .pick").textContent === "provider"`)
}

// cuts: a partition is seen at a glance, on both sizes, and that it is over, too.
func cuts(t *testing.T, s *swarm, both []*tab) {
	s.cut(true)
	for i, b := range both {
		b.wait("the cut shows", `document.querySelector("#banner").textContent.includes("Cut: 2 of 4 nodes") && document.querySelectorAll(".far [data-node]").length === 2`)
		if far := eval[[]string](b, `[...document.querySelectorAll(".far [data-node]")].map((n) => n.dataset.node)`); !slices.Equal(far, []string{"n3", "n4"}) {
			t.Errorf("out of reach: %v", far)
		}
		text := eval[string](b, `document.querySelector("#banner").textContent`)
		if !strings.Contains(text, "All of zone b is out of reach") || !strings.Contains(text, "n1 goes on with the rights on this side") {
			t.Errorf("the banner says %q", text)
		}
		if title := eval[string](b, "document.title"); !strings.HasPrefix(title, "⚠ CUT") {
			t.Errorf("the title is %q", title)
		}
		// It is on the screen without scrolling.
		if at := eval[float64](b, `(scrollTo(0, 0), document.querySelector("#banner").getBoundingClientRect().bottom)`); at > 700 {
			t.Errorf("the banner ends at %v", at)
		}
		v := []view{desktop, phone}[i]
		b.shoot("cut-" + v.name)
		for _, w := range append(eval[[]string](b, "check.contrast()"), eval[[]string](b, "check.width()")...) {
			t.Errorf("%s: %s", v.name, w)
		}
	}
	s.cut(false)
	for _, b := range both {
		b.wait("the cut is over", `!document.querySelector("#banner").textContent.includes("Cut") && document.querySelectorAll(".near [data-node]").length === 4`)
	}
}

// TestKey: a node that wants a key says so with 401; the page asks for one, keeps it in the tab alone and sends it with what it asks.
func TestKey(t *testing.T) {
	open := browser(t)
	s := startSwarm(t)
	node, err := url.Parse(s.nodes[0].HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(node)
	behind.FlushInterval = -1
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") && r.Header.Get("Authorization") != "Bearer sesame" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"message":"this node asks for a key","type":"authentication_error","code":"no_key","param":null}}`))
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(front.CloseClientConnections)
	b := open()
	b.set(phone)
	b.do(chromedp.Navigate(front.URL + "/ui/"))
	b.wait("it asks for a key", `!document.querySelector("#key").hidden && document.activeElement.id === "key-text"`)
	b.shoot("key")
	b.press("wrong" + enterKey)
	b.wait("a wrong key is told", `document.querySelector("#key-why").textContent.includes("does not do")`)
	b.press("sesame" + enterKey)
	b.wait("with the key it is live", `document.querySelector("#key").hidden && document.querySelectorAll("#swarm [data-node]").length === 4 && document.querySelector("#who").textContent.includes("live")`)
	if where := eval[string](b, `JSON.stringify([sessionStorage.length, localStorage.length, document.cookie, location.href])`); where != `[1,0,"","`+front.URL+`/ui/"]` {
		t.Errorf("the key is kept in %s", where)
	}
}
