package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

var update = flag.Bool("update", false, "write the golden files")

// dump writes a page's words and tables.
func dump(p *Page) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s\n%s\n", p.Title, p.Lead, p.Verdict())
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "\n%s\n", t.Title)
		for _, c := range t.Columns {
			fmt.Fprintf(&b, "%s | ", c.Head)
		}
		b.WriteByte('\n')
		for _, r := range t.Rows {
			for _, c := range r {
				fmt.Fprintf(&b, "%s%s | ", c.Text, map[int]string{1: " (good)", -1: " (bad)"}[c.Mood])
			}
			b.WriteByte('\n')
		}
	}
	return bytes.ReplaceAll(b.Bytes(), []byte(" \n"), []byte("\n"))
}

// TestGolden holds tables, JSON and CSV to files that a person has read: go test ./sim/report -update.
func TestGolden(t *testing.T) {
	for name, p := range map[string]*Page{"run": Run(small()), "broken": Run(broken()), "compare": Compare(pair()), "sweep": sweep().Page()} {
		files := map[string][]byte{name + ".txt": dump(p)}
		if name != "broken" {
			data, err := p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			files[name+".json"] = data
			for _, s := range p.sheets {
				files[name+"-"+s.name+".csv"] = s.bytes()
			}
		}
		for file, got := range files {
			path := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(path, got, 0o666); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not what testdata has; got\n%s", file, got)
			}
		}
	}
}

// TestSameBytes: the same result gives the same files.
func TestSameBytes(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		if err := Run(partition(3)).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(a)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		x, err := os.ReadFile(filepath.Join(a, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs from one time to the next", f.Name())
		}
		if strings.HasSuffix(f.Name(), ".png") {
			if _, err := png.Decode(bytes.NewReader(x)); err != nil {
				t.Errorf("%s: %v", f.Name(), err)
			}
		}
	}
	for _, want := range []string{"report.html", "result.json", "figures.csv", "tenants.csv", "panel-rights.csv", "panel-rights.png", "panel-price.png"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s, only %v", want, names)
		}
	}
}

// nasty is a run with names that would break a page that did not escape them.
func nasty() *result.Result {
	r := small()
	const evil = `</svg></style><script src="x">&"'` + "\x1b]0;"
	r.Scenario, r.Description = evil, evil
	r.Panels[0].ID, r.Panels[0].Title, r.Panels[0].Unit, r.Panels[0].Lines[0].Name = "../../"+evil, evil, evil, evil
	r.Systems[0].Tenants[0].Name, r.Marks[0].Kind, r.Marks[1].Text = evil, evil, evil
	return r
}

// TestHTML: the page is well-formed, runs nothing, and names nothing outside itself.
func TestHTML(t *testing.T) {
	for name, p := range map[string]*Page{"run": Run(partition(1)), "broken": Run(broken()), "compare": Compare(pair()), "sweep": sweep().Page(), "nasty": Run(nasty())} {
		var b bytes.Buffer
		if err := p.HTML(&b); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(strings.ReplaceAll(b.String(), "\x1b", "")))
		var open []string
		elements := map[string]int{}
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				open = append(open, tok.Name.Local)
				elements[tok.Name.Local]++
				for _, a := range tok.Attr {
					if slices.Contains([]string{"src", "href", "srcset", "action", "data"}, a.Name.Local) || strings.Contains(a.Value, "url(") || strings.HasPrefix(a.Name.Local, "on") {
						t.Errorf("%s: <%s %s=%q>", name, tok.Name.Local, a.Name.Local, a.Value)
					}
				}
			case xml.EndElement:
				open = open[:len(open)-1]
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: not closed: %v", name, open)
		}
		for _, banned := range []string{"script", "link", "iframe", "img", "image", "object", "embed", "base"} {
			if elements[banned] > 0 {
				t.Errorf("%s: has <%s>", name, banned)
			}
		}
		if elements["svg"] != len(p.Charts) || elements["svg"] == 0 {
			t.Errorf("%s: %d charts, %d drawings", name, len(p.Charts), elements["svg"])
		}
		for _, banned := range []string{"http:", "https:", "@import", "url("} {
			if strings.Contains(b.String(), banned) {
				t.Errorf("%s: contains %q", name, banned)
			}
		}
		if !strings.Contains(b.String(), "prefers-color-scheme: dark") {
			t.Errorf("%s: knows no dark paper", name)
		}
	}
}

// TestNastyFiles: a panel's name cannot lead out of the directory.
func TestNastyFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Run(nasty()).Write(dir); err != nil {
		t.Fatal(err)
	}
	outside, err := filepath.Glob(filepath.Join(dir, "..", "..", "*"))
	if err != nil || len(outside) != 1 {
		t.Errorf("%v, %v", outside, err)
	}
}

func line(name string, values ...float64) result.Line {
	return result.Line{Name: name, Values: values}
}

// TestOddResults: whatever is missing or has no value, a page is made.
func TestOddResults(t *testing.T) {
	at := []time.Duration{0}
	for name, r := range map[string]*result.Result{
		"empty":          {},
		"panel of none":  {Panels: []result.Panel{{ID: "x"}}, Marks: []result.Mark{{At: time.Second, Kind: "crash"}}},
		"one moment":     {Panels: []result.Panel{{ID: "x", At: at, Lines: []result.Line{line("a", 5)}}}},
		"no values":      {Panels: []result.Panel{{ID: "x", At: at, Lines: []result.Line{line("a", nan), line("b")}}}},
		"stack of none":  {Panels: []result.Panel{{ID: "x", At: at, Stack: true, Lines: []result.Line{line("a", nan)}}}},
		"below zero":     {Panels: []result.Panel{{ID: "x", At: at, Lines: []result.Line{line("a", -5), line("b", -1e-9)}}}},
		"many, no value": {Panels: []result.Panel{{ID: "x", At: at, Lines: make([]result.Line, 20)}}},
		"huge and many":  {Panels: []result.Panel{{ID: "x", At: at, Stack: true, Lines: slices.Repeat([]result.Line{line("a", 1e18)}, 20)}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []*Page{Run(r), Compare([]*result.Result{r, r, small()}), (&Sweep{Over: "x", Values: []string{"a"}, Runs: []*result.Result{r}, Figures: sweep().Figures}).Page()} {
				if err := p.Write(t.TempDir()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	good := small()
	good.Bounds = good.Bounds[:2]
	for _, c := range []struct {
		page *Page
		ok   bool
		want string
	}{
		{Run(good), true, "OK"},
		{Run(small()), false, "FAILED: bound wait_p99 of interactive <= 250 ms, got 310 ms"},
		{Run(broken()), false, `FAILED: invariant "conservation of rights" did not hold`},
		{Compare([]*result.Result{good, broken(), small()}), false, "FAILED in 2 ways"},
		{Compare([]*result.Result{small(), good}), false, "FAILED: run 1: bound wait_p99 of interactive <= 250 ms, got 310 ms"}, // a later one that is well does not hide it
	} {
		if c.page.OK != c.ok || c.page.Verdict() != c.want {
			t.Errorf("%v %q, want %v %q", c.page.OK, c.page.Verdict(), c.ok, c.want)
		}
	}
}
