// Package cmd is the command line: words, flags, prompts, colours, progress
// and exit codes. Each command file wires the rooms under internal/ and holds
// no logic of its own. It is the only package that prints.
package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/vicr-cli/vicr/internal/change"
)

// An Env is what a process has from outside. Tests hand in their own.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	// Environ is the whole environment, as credential helpers and contexts get it.
	Environ []string
	// Terminal says whether questions can be asked: standard input and
	// standard error are terminals.
	Terminal bool
	// Shown says whether standard output is a terminal.
	Shown bool
	// Euid is the effective user ID. 0 may change what is the machine's: root,
	// and on Windows an elevated process; there it is -1 for all others.
	Euid int
	// Program is what this program was called as; under the name of a plugin
	// of docker it is one.
	Program string
	// Executable is the absolute path of this program.
	Executable string
	Now        func() time.Time
	// Dropped are the variables that were set and do not count under sudo.
	Dropped []string
}

// OS is the environment of this process.
func OS() Env {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	return Env{
		Dropped:    dropUnderSudo(),
		Program:    programName(),
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		Getenv:     os.Getenv,
		Environ:    os.Environ(),
		Terminal:   isTerminal(os.Stdin) && isTerminal(os.Stderr),
		Shown:      isTerminal(os.Stdout),
		Euid:       euid(),
		Executable: exe,
		Now:        time.Now,
	}
}

func programName() string {
	if len(os.Args) == 0 {
		return ""
	}
	return os.Args[0]
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) } //nolint:gosec // a file descriptor fits an int

// errSignal is the cause of a context that a signal ended.
type errSignal struct{ sig os.Signal }

func (e errSignal) Error() string { return "interrupted" }

// Main runs the command line args and returns the exit code.
func Main(args []string, e Env) int {
	noDump()
	keepMemory(usualMemory)
	ctx, stop := withSignals(context.Background())
	defer stop()
	a := &app{env: e, args: args}
	if isPlugin(e.Program) {
		if done, code := a.asPlugin(); done {
			return code
		}
		args = a.args
	}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if cerr := a.closeArchives(); err == nil {
		err = cerr
	}
	if err != nil {
		var s errSignal
		if errors.As(context.Cause(ctx), &s) && !is[*change.RollbackError](err) {
			err = s // what was under way was put back
		}
		a.fail(err)
	}
	return exitCode(err)
}

// withSignals ends the context at the first signal; a second one ends the
// process as it would without us. A terminal that is gone counts as SIGTERM,
// unless it was said (nohup) that it does not matter.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(ch, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		select {
		case sig := <-ch:
			signal.Stop(ch)
			if sig == syscall.SIGHUP {
				sig = syscall.SIGTERM
			}
			cancel(errSignal{sig})
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel(nil)
	}
}
