package main

import (
	"fmt"
	"io"
	"os"
)

// readFile reads a file, or stdin for "-", of at most limit bytes.
func (a *app) readFile(name string, limit int64) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(src)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes, which is the most that is read", name, limit)
	}
	return src, nil
}
