package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes. They are a contract: see the help of swarmpurse.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitDenied = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end, the second one is the system's own and just ends.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for signals and os.Exit: args are without the program's name, data
// goes to stdout, everything else to stderr. The environment is the process's.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	code := exitFailed
	var coded *codedError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case !a.started: // cobra's own: an unknown command or flag, a wrong number of arguments
		code = exitUsage
	}
	report(stderr, err, a.named(hintOf(err)))
	if code == exitUsage && hintOf(err) == "" {
		fmt.Fprintf(stderr, "swarmpurse: hint: usage: %s; more: %s --help\n", cmd.UseLine(), cmd.CommandPath())
	}
	return code
}

// report prints an error as "swarmpurse: message" and, if it knows one, the next thing to try.
func report(stderr io.Writer, err error, hint string) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "swarmpurse: %s\n", clean(strings.TrimSuffix(line, "\n")))
	}
	if hint != "" {
		fmt.Fprintf(stderr, "swarmpurse: hint: %s\n", clean(hint))
	}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// codedError is an error with an exit code and perhaps a hint of its own.
type codedError struct {
	err  error
	code int
	hint string
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Hint is the error's own, or else that of what it wraps.
func (e *codedError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return hintOf(e.err)
}

// usageError says that the command line is wrong.
func usageError(format string, args ...any) error {
	return &codedError{err: fmt.Errorf(format, args...), code: exitUsage}
}
