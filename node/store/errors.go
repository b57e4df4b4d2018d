package store

import (
	"errors"
	"fmt"
)

// Kinds of failure; test with errors.Is. Every error of Open also has a Hint.
var (
	ErrUnusable = errors.New("data directory cannot be used")        // permissions, not a directory, read-only
	ErrLocked   = errors.New("data directory is in use")             // another process holds it
	ErrCorrupt  = errors.New("data directory is damaged")            // bytes are not what was written
	ErrGone     = errors.New("database is gone")                     // not empty, and no database in it
	ErrForeign  = errors.New("data directory of another node")       // other node, cluster or directory
	ErrNewer    = errors.New("data directory of a newer version")    // Schema above ours
	ErrTooLarge = errors.New("too large for the store")              // a bound of this package
	ErrClosed   = errors.New("store is closed")                      //
	ErrFailed   = errors.New("store has failed and takes no writes") // see Commit
)

// Error is what Open, Commit and the reads return about the data directory.
type Error struct {
	Kind error  // one of the kinds above
	Path string // the file or directory that it is about
	What string // what is wrong, with numbers
	Help string // what to do
	Err  error  // the cause, or nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Path, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Hint says what to do about it, in one sentence.
func (e *Error) Hint() string { return e.Help }

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// startOver is the hint for every case in which the data cannot be trusted any more.
func startOver(dir string) string {
	return fmt.Sprintf("restore the whole directory from the disk that failed, or move %s away to start as a new generation: "+
		"rights that the old one held come back by its guardians or an operator", dir)
}
