package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Questions go to standard error, so that a result can be piped on. They are
// plain lines: they work on a serial console and under script(1) too.

// confirm asks a question whose answer is no unless the user says yes.
func (a *app) confirm(ctx context.Context, question string) (bool, error) {
	answer, err := a.askText(ctx, question+" [y/N]")
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", err
}

func (a *app) askText(ctx context.Context, question string) (string, error) {
	_, _ = fmt.Fprintf(a.env.Stderr, "%s ", escaped(question))
	return wait(ctx, func() (string, error) { return readLine(a.env.Stdin) })
}

// askSecret shows nothing of what is typed. The echo is off before the question
// stands there, so that not even a pasted password is seen.
func (a *app) askSecret(ctx context.Context, question string) (secret string, err error) {
	in, ok := a.env.Stdin.(*os.File)
	if !ok {
		return "", errors.New("standard input is no terminal")
	}
	fd := int(in.Fd()) //nolint:gosec // a file descriptor fits an int
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("the terminal: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, a.env.Stderr}, "")
	secret, err = wait(ctx, func() (string, error) { return t.ReadPassword(escaped(question) + " ") })
	if errors.Is(err, io.EOF) { // Ctrl-C is a character here
		err = errSignal{os.Interrupt}
	}
	return secret, err
}

// wait ends early when ctx does. The read then stays behind; the process ends.
func wait(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := read()
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// readLine reads up to the end of one line and not a byte further.
func readLine(r io.Reader) (string, error) {
	const limit = 64 << 10 // bytes
	var line []byte
	b := make([]byte, 1)
	for len(line) < limit {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[:n]...)
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return string(line), nil
		}
		if err != nil {
			return "", fmt.Errorf("standard input: %w", err)
		}
	}
	return "", errors.New("standard input: the line is too long")
}
