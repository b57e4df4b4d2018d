package audit

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Archive writes a log as a tar file, which can be unpacked and verified anywhere. What was not signed when d was made is not in it.
func (d *Dir) Archive(w io.Writer) error {
	tw := tar.NewWriter(w)
	add := func(name string, most int64) error {
		f, err := os.Open(filepath.Join(d.path, name))
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		size := info.Size()
		if most >= 0 {
			size = min(size, most)
		}
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: fileMode, Size: size, ModTime: info.ModTime(), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err = io.CopyN(tw, f, size)
		return err
	}
	if err := add(keyName, -1); err != nil {
		return err
	}
	if p := d.pruned; p != nil { // as it was when d was made
		b := p.encode()
		if err := tw.WriteHeader(&tar.Header{Name: prunedName, Mode: fileMode, Size: int64(len(b)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := tw.Write(b); err != nil {
			return err
		}
	}
	for _, s := range d.segs {
		if s.bytes == 0 {
			continue
		}
		hashes := int64(-1)
		if s.end >= 0 {
			hashes = (tlog.StoredHashCount(s.end) - tlog.StoredHashCount(s.first)) * tlog.HashSize
		}
		if err := errors.Join(add(segName(s.first)+segSuffix, s.bytes), add(segName(s.first)+hashSuffix, hashes)); err != nil {
			return err
		}
	}
	return tw.Close()
}

// Unpack writes the files of an archive into a directory that exists, at most so many bytes.
func Unpack(r io.Reader, dir string, most int64) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the archive: %w", err)
		}
		name := filepath.Base(h.Name)
		_, seg := firstOf(name)
		if first, ok := strings.CutSuffix(name, hashSuffix); ok {
			_, seg = firstOf(first + segSuffix)
		}
		if name != h.Name || h.Typeflag != tar.TypeReg || !seg && name != keyName && name != prunedName {
			return fmt.Errorf("the archive holds %.80q, which is no file of an audit log", h.Name)
		}
		if most -= h.Size; most < 0 {
			return errors.New("the archive is too large")
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, tr)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}
