//go:build faults && unix

package cmd_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	refusedPoints = 5 // of each command and kind, at most

	exitRolledBack = 9
	exitIncomplete = 10
	exitInt        = 130
	exitTerm       = 143
)

// crashErrors are what a disk says that is broken, full, or shared out.
func crashErrors() map[string]string {
	return map[string]string{
		"EIO":    "input/output error",
		"ENOSPC": "no space left on device",
		"EDQUOT": "disk quota exceeded",
	}
}

// refusals calls f for each error at each point.
func (s *crashScene) refusals(t *testing.T, f func(t *testing.T, k int, fault string)) {
	t.Helper()
	s.each(t, []string{"EIO", "ENOSPC", "EDQUOT"}, f)
}

// each calls f for each fault at each point with FAULTS=full, and else at some
// with one fault after the other.
func (s *crashScene) each(t *testing.T, faults []string, f func(t *testing.T, k int, fault string)) {
	t.Helper()
	step, full := s.total/refusedPoints+1, os.Getenv("FAULTS") == "full"
	if full {
		step = 1
	}
	for k := 1; k <= s.total; k += step {
		for i, fault := range faults {
			if !full && (k/step)%len(faults) != i {
				continue
			}
			t.Run(strconv.Itoa(k)+" "+fault, func(t *testing.T) {
				t.Parallel()
				f(t, k, fault)
			})
		}
	}
}

// One refused system call: the command is done all the same, or all is as before.
func (s *crashScene) refusedOnce(t *testing.T) {
	s.refusals(t, func(t *testing.T, k int, fault string) {
		t.Helper()
		home := cloneHome(t, s.start)
		code, said := s.refuse(t, home, strconv.Itoa(k), fault)
		torn := pictureOf(t, home)
		torn.wantWhole(t, s.before, s.after)
		if code != exitIncomplete {
			torn.wantPairs(t)
		}
		torn.wantNoTemp(t)
		if !s.keeps {
			s.wantSettled(t, code, said, torn)
		}
		s.endsWell(t, home)
	})
}

// The disk refuses everything from then on, also what would put things back:
// nothing is torn, and the next run puts it in order.
func (s *crashScene) refusedForGood(t *testing.T) {
	s.refusals(t, func(t *testing.T, k int, fault string) {
		t.Helper()
		home := cloneHome(t, s.start)
		code, said := s.refuse(t, home, strconv.Itoa(k)+"-", fault)
		torn := pictureOf(t, home)
		torn.wantWhole(t, s.before, s.after)
		if code != exitIncomplete {
			torn.wantPairs(t)
		}
		if (code == 0 || code == exitRolledBack) && !s.keeps {
			s.wantSettled(t, code, said, torn)
		}
		s.endsWell(t, home)
	})
}

// A signal ends the command as one does that was refused, or comes too late.
func (s *crashScene) interrupted(t *testing.T) {
	codes := map[string]int{"INT": exitInt, "TERM": exitTerm, "HUP": exitTerm}
	s.each(t, []string{"INT", "TERM", "HUP"}, func(t *testing.T, k int, signal string) {
		t.Helper()
		home := cloneHome(t, s.start)
		code, said := s.run(t, home, s.command, "VICR_SIGNAL_AT="+strconv.Itoa(k), "VICR_SIGNAL="+signal)
		if code != 0 && code != codes[signal] {
			t.Errorf("exit %d:\n%s", code, said)
		}
		torn := pictureOf(t, home)
		torn.wantWhole(t, s.before, s.after)
		torn.wantPairs(t)
		torn.wantNoTemp(t)
		if !s.keeps {
			s.wantSettled(t, code, said, torn)
		}
		s.endsWell(t, home)
	})
}

// refuse runs the command with an error at a point; it has to be named.
func (s *crashScene) refuse(t *testing.T, home, at, fault string) (code int, said string) {
	t.Helper()
	code, said = s.run(t, home, s.command, "VICR_FAULT_AT="+at, "VICR_FAULT_ERR="+fault)
	switch {
	case code == crashKilled:
		t.Fatal("killed")
	case code != 0 && !strings.Contains(said, crashErrors()[fault]):
		t.Errorf("exit %d, and the error is not named:\n%s", code, said)
	case strings.Contains(said, "-D shows each request"):
		t.Errorf("nothing is said of the disk:\n%s", said)
	case s.password != "" && strings.Contains(said, s.password), strings.Contains(said, "PRIVATE KEY"):
		t.Errorf("a secret is told:\n%s", said)
	}
	return code, said
}

// wantSettled fails unless all that is not vicr's own book-keeping is as the
// exit code says: as before or as after the command, and not something between.
// An untrust that could not take back all says so and is finished by the next run.
func (s *crashScene) wantSettled(t *testing.T, code int, said string, is crashPicture) {
	t.Helper()
	what, is, before, after := "exit "+strconv.Itoa(code), is.machine(), s.before.machine(), s.after.machine()
	switch {
	case code == 0:
		wantPicture(t, what, is, after)
	case code == exitIncomplete && strings.HasPrefix(s.command, "untrust"):
		if !strings.Contains(said, "incomplete") {
			t.Errorf("half done, and it says:\n%s", said)
		}
	case code == exitIncomplete, code == exitRolledBack, !maps.Equal(is, after):
		wantPicture(t, what, is, before)
	}
}

// machine is the picture without the journal and the folders that are made for
// it, and without locks, which are free when nobody holds them.
func (p crashPicture) machine() crashPicture {
	rest := crashPicture{}
	for path, f := range p {
		ours := strings.Contains(path+"/", "/vicr/") || strings.HasSuffix(path, ".lock") || filepath.Base(path) == ".vicr-*journal"
		if !ours && !slices.Contains([]string{"state", "tree/var", "tree/var/lib", "docker"}, path) {
			rest[path] = f
		}
	}
	return rest
}

// wantNoTemp fails if a temporary file was left, which may hold secrets.
func (p crashPicture) wantNoTemp(t *testing.T) {
	t.Helper()
	for path := range p {
		if base := filepath.Base(path); strings.HasPrefix(base, ".vicr-") && strings.HasSuffix(base, ".tmp") {
			t.Errorf("left behind: %s", path)
		}
	}
}
