// Package faultdisk makes the calls fail by which a process writes files, as a failing disk does, and tells of
// each such call before it happens. The kernel hands the calls over (seccomp's user notification), so what is tried
// is the real file, the real kernel, and bbolt as it is, which takes no file but an *os.File.
//
// It is for tests, on Linux; they skip when ErrNotPermitted says so. Nothing is ever taken back: the filter ends
// with the thread or the process.
package faultdisk
