package ui_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// must is set where a test that does not run is a failure, as in CI.
const must = "SWARMPURSE_CI"

// chromium finds the browser; without one the test is skipped.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv(must) != "" {
		t.Fatalf("%s is set, and there is no Chromium: apt-get install chromium", must)
	}
	t.Skip("no Chromium here: apt-get install chromium, to have the dashboard looked at")
	return ""
}

// view is a size and a scheme of colours.
type view struct {
	name          string
	width, height int64
	scheme        string
}

var (
	desktop = view{"desktop-light", 1440, 900, "light"}
	phone   = view{"phone-dark", 390, 844, "dark"}
)

func (v view) other() view {
	if v.scheme == "light" {
		v.scheme = "dark"
	} else {
		v.scheme = "light"
	}
	v.name, _, _ = strings.Cut(v.name, "-")
	v.name += "-" + v.scheme
	return v
}

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex // guards the rest
	wrong []string   // what the console says
	asked map[string]int
}

// browser starts Chromium, and returns what opens a page in it.
func browser(t *testing.T) func() *tab {
	t.Helper()
	path := chromium(t)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium has none for root
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	first, _ := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		_ = chromedp.Cancel(first)
		cancel()
	})
	// What is run first in a context makes its browser or page, which end with the context that is given: so it is this one.
	if err := chromedp.Do(first, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return func() *tab {
		t.Helper()
		b := &tab{t: t, asked: map[string]int{}}
		ctx, cancel := chromedp.NewContext(first, chromedp.WithListener(b.heard)) // it enables what is heard
		t.Cleanup(cancel)
		b.ctx = ctx
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func (b *tab) heard(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type != "log" && e.Type != "debug" && e.Type != "info" {
			for _, a := range e.Args {
				b.wrong = append(b.wrong, fmt.Sprintf("console.%s: %s %s", e.Type, a.Value, a.Description))
			}
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.wrong = append(b.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		b.asked[e.Request.URL]++
	}
}

// quiet fails if the console said anything, or if something was asked of another host than base.
func (b *tab) quiet(base string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		b.t.Error("the console says: ", w)
	}
	for u := range b.asked {
		if !strings.HasPrefix(u, base+"/") && u != "about:blank" {
			b.t.Error("asked of another host: ", u)
		}
	}
	if len(b.asked) < 10 {
		b.t.Errorf("only %v were asked for: this does not see what is", b.asked)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) set(v view) {
	b.t.Helper()
	if v.width < 600 {
		b.do(chromedp.EmulateViewport(v.width, v.height, chromedp.EmulateMobile, chromedp.EmulateTouch))
	} else {
		b.do(chromedp.EmulateViewport(v.width, v.height))
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.t.Fatal(err)
	}
}

// eval runs JavaScript in the page.
func eval[T any](b *tab, js string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.t.Fatalf("%v: %s", err, js)
	}
	return v
}

// wait waits until JavaScript says true; if it never does, it tells what the page shows.
func (b *tab) wait(what, js string) {
	b.t.Helper()
	come := false
	defer func() {
		if !come {
			b.t.Log(eval[string](b, "document.body.innerText"))
		}
	}()
	until(b.t, what, func() bool {
		come = eval[bool](b, js)
		if !come {
			time.Sleep(100 * time.Millisecond)
		}
		return come
	})
}

// press sends keys.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

const (
	tabKey   = kb.Tab
	enterKey = kb.Enter
	escKey   = kb.Escape
	downKey  = kb.ArrowDown
)

// shoot keeps a picture of the whole page, in -outputdir with go test -artifacts.
func (b *tab) shoot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
