//go:build unix && !(linux && (amd64 || arm64))

package node_test

import "errors"

func failDisk(string) error { return errors.New("disks are made to fail on Linux only") }
