package change

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/shell"
)

const (
	effectLimit  = 60 * time.Second // for one program, or one reload until it is taken
	checkLimit   = 20 * time.Second // for one program that judges a file
	programGrace = 5 * time.Second
	maxOutput    = 64 << 10 // bytes of a program's output that are looked at
	shownOutput  = 400      // bytes of it that an error shows
	checkPrefix  = "check-" // in the journal's folder: a file that is being judged
	checkFile    = "{}"     // stands for it
)

// A ProgramError says that a program failed.
type ProgramError struct {
	Argv   []string
	Code   int    // its exit code; -1 when it did not come to its end
	Output string // how it began; as foreign as any
	Err    error  // why it did not come to its end
}

func (e *ProgramError) Error() string {
	why := fmt.Sprintf("exit code %d", e.Code)
	if e.Err != nil {
		why = e.Err.Error()
	}
	if out := strings.TrimSpace(e.Output); out != "" {
		why += fmt.Sprintf(": %q", out)
	}
	return fmt.Sprintf("%s: %s", commandLine(e.Argv), why)
}

func (e *ProgramError) Unwrap() error { return e.Err }

// head keeps the beginning of what is written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	if room := maxOutput - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// program runs argv for at most limit and returns what it wrote. The error is
// a [*ProgramError], or the context's.
func program(ctx context.Context, argv []string, limit time.Duration) (output string, err error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out head
	code, err := Run(within, Program{Path: argv[0], Args: argv[1:], Stdout: &out, Stderr: &out, Grace: programGrace})
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well; what it started goes on
		err = nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return "", cerr
	}
	output = out.String()
	if err == nil && code == 0 {
		return output, nil
	}
	failed := &ProgramError{Argv: argv, Code: code, Output: output[:min(len(output), shownOutput)], Err: err}
	if err != nil {
		failed.Code = -1
	}
	return output, failed
}

// judge lets the programs of the plan look at the new bytes of the files. One
// that is not there, takes too long, or does not know how, has no say.
func (s *session) judge(ctx context.Context, works []work) error {
	for _, w := range works {
		for _, step := range w.steps {
			if len(step.Check) == 0 {
				continue
			}
			if err := s.judgeOne(ctx, step.Check, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) judgeOne(ctx context.Context, check []string, w work) (err error) {
	path := s.path(checkPrefix + filepath.Base(w.record.Path))
	if err := s.tree.Write(path, w.after, journalMode); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.tree.Remove(path)) }()
	argv := make([]string, len(check))
	for i, word := range check {
		argv[i] = strings.ReplaceAll(word, checkFile, s.tree.Real(path))
	}
	output, err := program(ctx, argv, s.checkLimit)
	var failed *ProgramError
	if errors.As(err, &failed) { // the other words are a running process's, and may be a secret
		failed.Argv = argv[:min(len(argv), 2)]
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), strings.Contains(output, "unknown flag"):
		return nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil
	}
	return err
}

// effect makes files count. When they are taken back, line says what was done.
func (s *session) effect(ctx context.Context, host string, step Step, back bool) (line string, err error) {
	if step.Op == OpRun {
		return s.runProgram(ctx, *step.Run, back)
	}
	ctx, cancel := context.WithTimeout(ctx, s.effectLimit)
	defer cancel()
	r, there := *step.Reload, false
	err = atomicfile.Mutate(func() (err error) { there, err = hangUp(s.tree, r); return err })
	if err == nil && there && s.settled != nil {
		err = s.settled(ctx, host, r)
	}
	if err != nil {
		return "", fmt.Errorf("reload %s: %w", r.Name, err)
	}
	if !there {
		return r.Name + " does not run: the files count when it starts", nil
	}
	return step.String(), nil
}

func (s *session) runProgram(ctx context.Context, c Command, back bool) (line string, err error) {
	argv := c.Argv
	if back {
		argv = c.undo()
	}
	var output string
	err = atomicfile.Mutate(func() (err error) { output, err = program(ctx, argv, s.effectLimit); return err })
	var failed *ProgramError
	if back && c.Gone != "" && errors.As(err, &failed) && failed.Code > 0 && strings.Contains(output, c.Gone) {
		err = nil
	}
	if back && errors.Is(err, fs.ErrNotExist) {
		// What it kept up to date went with it.
		return argv[0] + " is gone: it is not run", nil
	}
	return "run " + commandLine(argv), err
}

// command is what does by hand what the step does when files are taken back.
func (s Step) command() string {
	if s.Op == OpReload {
		return "kill -HUP $(cat " + shell.Word(runtime.GOOS, s.Reload.PIDFile) + ")"
	}
	return commandLine(s.Run.undo())
}

// undoLine says what the step does when files are taken back.
func (s Step) undoLine() string {
	if s.Op == OpReload {
		return s.String()
	}
	return "run " + commandLine(s.Run.undo())
}

// sameEffect says whether two steps do the same.
func sameEffect(a, b Step) bool {
	return a.Tool == b.Tool && a.String() == b.String() && a.command() == b.command()
}

func commandLine(argv []string) string { return shell.Line(runtime.GOOS, argv) }
