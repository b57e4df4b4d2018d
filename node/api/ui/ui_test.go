package ui_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api/ui"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/ui/"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	http.StripPrefix("/ui/", ui.Handler()).ServeHTTP(w, r)
	return w.Result()
}

// TestHandler: every file has its type and the headers that keep the page to itself, and is not sent twice.
func TestHandler(t *testing.T) {
	for path, kind := range map[string]string{
		"": "text/html", "index.html": "text/html", "app.js": "text/javascript", "base.css": "text/css", "icon.svg": "image/svg+xml",
	} {
		r := get(t, path)
		h := r.Header
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), kind) || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %d %v", path, r.StatusCode, h)
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%q: %s", path, csp)
		}
		if again := get(t, path, "If-None-Match", h.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%q again: %d", path, again.StatusCode)
		}
	}
	for _, path := range []string{"none.js", "../ui.go", "static/app.js", "ui.go", "app.js/"} {
		if r := get(t, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d", path, r.StatusCode)
		}
	}
}

// TestSources: nothing makes markup of data, nothing is inline, nothing is asked of another host, and whatever a file asks for is there.
func TestSources(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\(|new Function|localStorage|document\.cookie| style="| on\w+="|<style|javascript:`)
	hosts := regexp.MustCompile(`https?://[\w.-]+`)
	asks := regexp.MustCompile(`from "\./([\w.-]+)"|(?:src|href)="([\w.-]+)"`)
	files := os.DirFS("static")
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		if found := never.FindAll(b, -1); found != nil {
			t.Errorf("%s: %q", path, found)
		}
		for _, u := range hosts.FindAllString(string(b), -1) {
			if u != "http://www.w3.org" { // the name of SVG, which nobody asks for
				t.Errorf("%s: %s", path, u)
			}
		}
		for _, m := range asks.FindAllStringSubmatch(string(b), -1) {
			if _, err := fs.Stat(files, m[1]+m[2]); err != nil {
				t.Errorf("%s asks for %s: %v", path, m[1]+m[2], err)
			}
		}
		if len(b) > 16<<10 {
			t.Errorf("%s has %d bytes: a file has one subject", path, len(b))
		}
		if ext := filepath.Ext(path); !strings.HasPrefix(get(t, path).Header.Get("Content-Type"), map[string]string{".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg"}[ext]) {
			t.Errorf("%s has no type", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
