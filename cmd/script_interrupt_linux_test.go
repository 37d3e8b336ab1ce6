package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// Ctrl-C at a question about one of several arguments ends the command: those
// that follow are not begun, and nothing is said of Go's contexts.
func TestCtrlCAtAQuestionEndsAllArguments(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Like: sandbox.Harbor17})
	h := r.box.Host()
	for _, tt := range []struct {
		question, key string
		args          []string
	}{
		{"Create it, private? [y/N]", "\x03", []string{"push", "--ca-file", "ca.crt", "--from", "oci:image", h + "/one/app:1", h + "/two/app:1", h + "/demo/app:1"}},
		{"make these changes? [y/N]", "\x03", []string{"trust", "--for", "vicr", h, strings.Replace(h, "127.0.0.1", "localhost", 1)}},
	} {
		code, shown := r.atTerminal(t, tt.question, tt.key, tt.args...)
		if code != 130 || strings.Count(shown, tt.question) != 1 || strings.Contains(shown, "context canceled") {
			t.Errorf("%s: exit %d: %s", tt.args[0], code, shown)
		}
		if n := strings.Count(shown, "error:"); n != 1 {
			t.Errorf("%s: %d errors: %s", tt.args[0], n, shown)
		}
	}
}

// atTerminal runs vicr with a terminal of its own, and presses a key when the
// question stands there.
func (r *rig) atTerminal(t *testing.T, question, key string, args ...string) (code int, shown string) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer keys.Close() //nolint:errcheck // of the test
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "vicr", args...)
	c.Dir, c.Env = r.home, append(r.environ(), "TERM=dumb")
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	var seen bytes.Buffer
	pressed := false
	for b := make([]byte, 4096); ; {
		n, err := keys.Read(b)
		seen.Write(b[:n])
		if !pressed && strings.Contains(seen.String(), question) {
			pressed = true
			if _, err := keys.WriteString(key); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil { // EIO: the other side is closed
			break
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), seen.String()
}
