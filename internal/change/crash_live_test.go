//go:build unix

package change_test

import (
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
)

// shared is the plan of one of several hosts that edit a file.
func shared(root, host string) change.Plan {
	return change.Plan{writeStep(certAt(host), host, 0o644), editStep(host), reloadStep(), runStep(root)}
}

// liveCases are commands that edit a file, tell a daemon, and run programs.
// Whenever they are killed, in the end the daemon believes what the file says,
// and the program that ran last is the right one.
func liveCases() []crashCase {
	none := func(*testing.T, *change.Journal) {}
	hosts := func(hosts ...string) func(*testing.T, *change.Journal) {
		return func(t *testing.T, j *change.Journal) {
			t.Helper()
			for _, h := range hosts {
				apply(t, j, h, shared(j.Root(), h))
			}
		}
	}
	return []crashCase{
		{name: "tell", verb: "insecure", prepare: none, again: "insecure", live: true},
		{name: "tell and roll back", verb: "insecure-unproven", prepare: none, live: true},
		{name: "tell beside another host", verb: "shared", prepare: hosts(hostB), again: "shared", live: true},
		{name: "untell", verb: "undo", again: "undo", live: true, prepare: func(t *testing.T, j *change.Journal) {
			t.Helper()
			apply(t, j, hostA, insecure(j.Root(), hostA))
		}},
		{name: "untell beside another host", verb: "undo", again: "undo", live: true, prepare: hosts(hostA, hostB)},
	}
}

// wake starts the machine's daemon, if it has one.
func (s scene) wake(t *testing.T, root string) {
	t.Helper()
	if s.live {
		startDaemon(t, s.bin, root)
	}
}

// elsewhere makes a command that names files of the machine comparable with
// that of another machine.
func elsewhere(c *change.Command, root string) {
	if c == nil {
		return
	}
	for _, argv := range [][]string{c.Argv, c.Undo} {
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], root, "ROOT")
		}
	}
}
