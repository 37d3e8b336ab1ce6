//go:build unix

package change_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
)

func TestRunHandsOverArgumentsAndACleanEnvironment(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code, err := change.Run(t.Context(), change.Program{Path: "/usr/bin/env", Env: []string{"LANG=C"}, Stdout: &out})
	if err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	lines := strings.Fields(out.String())
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i], _, _ = strings.Cut(l, "=")
	}
	slices.Sort(names)
	if names = slices.DeleteFunc(names, func(s string) bool { return s == "PWD" }); !slices.Equal(names, []string{"LANG", "PATH"}) {
		t.Errorf("the environment is %q", lines)
	}
	out.Reset()
	args := []string{"%s|", "a b", "$HOME", "`id`", "*"}
	if _, err := change.Run(t.Context(), change.Program{Path: "/usr/bin/printf", Args: args, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if want := "a b|$HOME|`id`|*|"; out.String() != want {
		t.Errorf("the arguments came as %q, want %q", out.String(), want)
	}
}

func TestRunReturnsTheExitCode(t *testing.T) {
	t.Parallel()
	code, err := change.Run(t.Context(), change.Program{Path: "/bin/sh", Args: []string{"-c", "exit 11"}})
	if code != 11 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if _, err := change.Run(t.Context(), change.Program{Path: "sh"}); err == nil {
		t.Error("a program was looked for in PATH")
	}
	if _, err := change.Run(t.Context(), change.Program{Path: "/no/such/program"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if _, err := change.Run(t.Context(), change.Program{Path: "/bin/sh", Args: []string{"-c", "kill -9 $$"}}); err == nil {
		t.Error("a killed program ended well")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	deaf := []string{"-c", "trap '' TERM; while :; do :; done"}
	_, err := change.Run(ctx, change.Program{Path: "/bin/sh", Args: deaf, Grace: 50 * time.Millisecond})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestRunAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	u := &change.User{Name: "somebody", Home: "/home/somebody", UID: 1234, GID: 4321, Groups: []uint32{4321, 77}}
	var out bytes.Buffer
	script := `id -u; id -g; id -G; echo "$HOME $USER $LOGNAME"`
	if _, err := change.Run(t.Context(), change.Program{Path: "/bin/sh", Args: []string{"-c", script}, User: u, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if want := "1234\n4321\n4321 77\n/home/somebody somebody somebody\n"; out.String() != want {
		t.Errorf("it ran as %q, want %q", out.String(), want)
	}
}

func TestSudoUserIsOneThatTheSystemKnows(t *testing.T) {
	t.Parallel()
	for _, uid := range []string{"", "0", "-1", "+1", "01", "1000x", "1e3", "4294967296", "4294967294", "root", " 1"} {
		var refused *change.UserError
		if u, err := change.SudoUser(uid); !errors.As(err, &refused) || refused.UID != uid {
			t.Errorf("%q is %+v, %v", uid, u, err)
		}
	}
	u, err := change.SudoUser("1") // daemon, on every Unix
	if err != nil || u.UID != 1 || u.Name == "" || u.Home == "" {
		t.Errorf("%+v, %v", u, err)
	}
}
