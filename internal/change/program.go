package change

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// cleanPath is where programs look for others: root's own folders, never the user's.
const cleanPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ErrNoSudo says that there is no sudo here that could be trusted.
var ErrNoSudo = errors.New("there is no sudo here")

// A User is who a program runs as.
type User struct {
	Name, Home string
	UID, GID   uint32
	Groups     []uint32
}

// A UserError says why nobody can be run as.
type UserError struct {
	UID string // as given
	Why string
}

func (e *UserError) Error() string { return fmt.Sprintf("user %q: %s", e.UID, e.Why) }

// SudoUser finds who called sudo, by the number that sudo hands down. The
// system's own list of users decides on name and home. The error is a
// [*UserError].
func SudoUser(uid string) (*User, error) {
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != uid {
		return nil, &UserError{UID: uid, Why: "it is not the number of a user"}
	}
	if n == 0 {
		return nil, &UserError{UID: uid, Why: "it is root's own"}
	}
	found, err := user.LookupId(uid)
	if err != nil {
		return nil, &UserError{UID: uid, Why: "the system does not know it"}
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, &UserError{UID: uid, Why: "its group has no number"}
	}
	u := &User{Name: found.Username, Home: found.HomeDir, UID: uint32(n), GID: uint32(gid)}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, &UserError{UID: uid, Why: "its groups cannot be read"}
	}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			u.Groups = append(u.Groups, uint32(g))
		}
	}
	return u, nil
}

// Sudo returns the absolute path of sudo, found in the system's folders alone.
// The error is [ErrNoSudo].
func Sudo() (string, error) {
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"} {
		path := filepath.Join(dir, "sudo")
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&os.ModeSetuid != 0 {
			return path, nil
		}
	}
	return "", ErrNoSudo
}

// A Program is one to run: never through a shell, and with a clean environment.
type Program struct {
	Path           string   // absolute
	Args           []string // without the program's own name
	Env            []string // KEY=VALUE, besides PATH and who the user is
	User           *User    // nil: who runs us; another user's has no terminal
	Dir            string   // where it runs; "": the root folder
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Files          []*os.File    // that it has from number 3 on
	Grace          time.Duration // between asking it to end and ending it
}

// Run runs the program to its end and returns its exit code. When ctx ends the
// program is asked to end too, and is ended after Grace. The error is that of
// package exec when it could not be run, or the context's.
func Run(ctx context.Context, p Program) (code int, err error) {
	if !filepath.IsAbs(p.Path) {
		return 0, &os.PathError{Op: "exec", Path: p.Path, Err: errors.New("the path is not absolute")}
	}
	cmd := exec.CommandContext(ctx, p.Path, p.Args...) //nolint:gosec // absolute, and argv is a list
	cmd.Env = append([]string{cleanPath}, p.Env...)
	cmd.Dir = cmp.Or(p.Dir, string(filepath.Separator))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.ExtraFiles, cmd.WaitDelay = p.Files, p.Grace
	cmd.Cancel = func() error { return askToEnd(cmd.Process) }
	if p.User != nil {
		cmd.Env = append(cmd.Env, "HOME="+p.User.Home, "USER="+p.User.Name, "LOGNAME="+p.User.Name)
		if err := runAs(cmd, p.User); err != nil {
			return 0, err
		}
	}
	err = cmd.Run()
	if cerr := ctx.Err(); cerr != nil {
		return 0, cerr
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}
