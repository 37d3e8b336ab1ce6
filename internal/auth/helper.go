package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

const (
	helperPrefix = "docker-credential-"
	helperLimit  = 30 * time.Second
	maxHelperOut = 1 << 20 // bytes

	// helperGrace is how long the pipes of a helper that was ended may stay
	// open: a child of its own can hold them.
	helperGrace = time.Second
)

// helperName is what may stand behind docker-credential-: with a slash in it,
// the name would be a path, and no PATH would be searched.
var helperName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`) })

// A helper is a program that keeps credentials, spoken to in the protocol of
// docker-credential-helpers.
type helper struct {
	name  string
	path  string // absolute
	env   []string
	limit time.Duration // for one call
}

// openHelper finds the program of the helper called name.
func (s *Store) openHelper(name string) (*helper, error) {
	fail := func(why string, err error) (*helper, error) {
		return nil, &HelperError{Helper: name, Why: why, Err: err}
	}
	if len(name) > 64 || !helperName().MatchString(name) {
		return fail("this is not the name of a helper: only a-z, 0-9, dot, hyphen and underscore can stand in one", nil)
	}
	if s.options.LookPath == nil {
		return fail("its program was not found", nil)
	}
	path, err := s.options.LookPath(helperPrefix + name)
	switch {
	case err != nil:
		return fail("its program "+helperPrefix+name+" was not found", err)
	case !filepath.IsAbs(path):
		return fail("its program was found only relative to the current folder", nil)
	}
	env := s.options.HelperEnv
	if env == nil {
		env = []string{} // nil would mean all of this process's
	}
	return &helper{name: name, path: path, env: env, limit: s.helperLimit}, nil
}

// get returns the zero Credentials if the helper has none.
func (h *helper) get(ctx context.Context, key string) (Credentials, error) {
	c, err := call(ctx, h, func(p client.ProgramFunc) (*credentials.Credentials, error) { return client.Get(p, key) })
	switch {
	case errors.Is(err, errNotKept):
		return Credentials{}, nil
	case err != nil:
		return Credentials{}, err
	case c.Username == tokenUser:
		return Credentials{IdentityToken: c.Secret}, nil
	}
	return Credentials{Username: c.Username, Password: c.Secret}, nil
}

func (h *helper) store(ctx context.Context, key string, c Credentials) error {
	kept := &credentials.Credentials{ServerURL: key, Username: c.Username, Secret: c.Password}
	if c.IdentityToken != "" {
		kept.Username, kept.Secret = tokenUser, c.IdentityToken
	}
	_, err := call(ctx, h, func(p client.ProgramFunc) (struct{}, error) { return struct{}{}, client.Store(p, kept) })
	return err
}

func (h *helper) erase(ctx context.Context, key string) error {
	_, err := call(ctx, h, func(p client.ProgramFunc) (struct{}, error) { return struct{}{}, client.Erase(p, key) })
	return err
}

// list returns the keys under which the helper keeps something.
func (h *helper) list(ctx context.Context) (map[string]string, error) {
	return call(ctx, h, client.List)
}

// errNotKept is what call returns when the helper says that it has nothing.
var errNotKept = errors.New("not kept")

// call runs one action. The errors of package client have the output of the
// program in them, which may be a secret: they end here.
func call[T any](ctx context.Context, h *helper, action func(client.ProgramFunc) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	p := &program{ctx: ctx, cancel: cancel, helper: h}
	out, err := action(func(args ...string) client.Program {
		p.args = args
		return p
	})
	switch {
	case err == nil:
		return out, nil
	case credentials.IsErrCredentialsNotFound(err):
		return out, errNotKept
	case p.err != nil:
		return out, p.err
	}
	return out, &HelperError{Helper: h.name, Why: "its answer is not what the protocol of helpers says"}
}

// A program is one run of a helper.
type program struct {
	ctx    context.Context
	cancel context.CancelFunc
	helper *helper
	args   []string
	in     io.Reader
	err    *HelperError // why the run failed
}

// Input is what the program reads.
func (p *program) Input(in io.Reader) { p.in = in }

// Output runs the program. What it writes to stderr is dropped: it may be anything.
func (p *program) Output() ([]byte, error) {
	out := &capped{left: maxHelperOut, over: p.cancel}
	cmd := exec.CommandContext(p.ctx, p.helper.path, p.args...) //nolint:gosec // absolute, and its name was checked
	cmd.Env = p.helper.env
	cmd.Stdin = p.in
	cmd.Stdout = out
	cmd.WaitDelay = helperGrace
	err := cmd.Run()
	if err == nil && out.left >= 0 {
		return out.buf.Bytes(), nil
	}
	p.err = &HelperError{Helper: p.helper.name, Why: p.why(out, err), Err: p.ctx.Err()}
	return out.buf.Bytes(), p.err
}

func (p *program) why(out *capped, err error) string {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case out.left < 0:
		return "it answered more than 1 MiB"
	case errors.Is(p.ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer in %s", p.helper.limit)
	case p.ctx.Err() != nil:
		return "interrupted"
	case exited && exit.Exited():
		return fmt.Sprintf("it failed with exit status %d", exit.ExitCode())
	}
	return "it could not be run to its end"
}

var errOver = errors.New("too much")

// A capped buffer takes so many bytes and then ends what writes to it.
type capped struct {
	buf  bytes.Buffer
	left int // negative: there was more
	over func()
}

func (c *capped) Write(b []byte) (int, error) {
	if len(b) > c.left {
		c.left = -1
		c.over()
		return 0, errOver
	}
	c.left -= len(b)
	return c.buf.Write(b)
}
