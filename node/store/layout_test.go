package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// layout1 unpacks a directory that swarmpurse wrote before there were guards (commit 995204e): 20 commits, in
// generation firstOfLayout1.
func layout1(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "testdata", "layout1.tar.gz")))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, b, dir, filepath.Base(h.Name))
	}
}

const firstOfLayout1 = 0x19ab697e87b29af

// TestOlderLayoutIsBroughtUpToDate: a directory of a version before guards opens with all that it holds, in its generation,
// takes guards from then on, and says to older versions that it is none of theirs any more.
func TestOlderLayoutIsBroughtUpToDate(t *testing.T) {
	want := map[string]string{"seats/charter": "c", "policy/current": "p", "meta/m": ""}
	for i := range 20 {
		want[fmt.Sprintf("accounts/account/pot/%02d", i)] = fmt.Sprint("account ", i)
	}
	for _, tt := range []struct {
		name    string
		between func(t *testing.T, dir string, marker []byte) // after the first start
	}{
		{"as it is", func(*testing.T, string, []byte) {}},
		{"cut short before its marker was written", func(t *testing.T, dir string, marker []byte) { writeFile(t, marker, dir, markerName) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := layout1(t)
			old := readFile(t, dir, markerName)
			var said bytes.Buffer
			o := options(dir)
			o.Logger = zerolog.New(&said)
			for start := range 3 {
				s, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				id := s.Identity()
				if id.Schema != Schema || id.Gen != firstOfLayout1 {
					t.Errorf("start %d: %+v", start, id)
				}
				if got := mustContents(t, s); !equal(got, want) {
					t.Errorf("start %d: it holds %v", start, got)
				}
				key := fmt.Sprintf("ward/%d", start)
				mustCommit(t, s, Write{Guards, key, []byte("g")})
				want["guards/"+key] = "g"
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if mark, err := decodeMarker(readFile(t, dir, markerName)); err != nil || mark.Schema != Schema || mark.Directory != id.Directory {
					t.Errorf("start %d: the marker is %+v, %v", start, mark, err)
				}
				if start == 0 {
					tt.between(t, dir, old)
				}
			}
			if n := strings.Count(said.String(), "layout of this version"); n != 1 || strings.Count(said.String(), "warn") > 0 {
				t.Errorf("said %d times: %s", n, said.String())
			}
			for key := range want {
				if strings.HasPrefix(key, "guards/") {
					delete(want, key)
				}
			}
		})
	}
}

// A directory of an older layout that is damaged is refused like any other, and left as it was.
func TestDamagedOlderLayoutIsRefused(t *testing.T) {
	dir := layout1(t)
	b := readFile(t, dir, dbName)
	b[bytes.LastIndex(b, []byte("account 19"))] ^= 1
	writeFile(t, b, dir, dbName)
	before := snapshot(t, dir)
	_, err := Open(options(dir))
	wantHint(t, "damaged", err, ErrCorrupt)
	if after := snapshot(t, dir); !equal(before, after) {
		t.Error("it was changed")
	}
}
