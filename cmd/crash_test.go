//go:build faults && unix

package cmd_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const crashFirst = 3 // first points of pairs, at most

// Killed before or after any system call that changes something, a command
// leaves nothing torn. Given again it ends well, with nothing left behind, and
// can be taken back; also if it is killed that second time.
//
// So does one whose system calls fail, one of them or all from one on: of a disk
// that is broken, full, or shared out.
//
// One that is interrupted puts back what it did.
//
// All states of the disk are taken. Of the pairs, which are tens of thousands,
// and of errors and signals a run takes some; with FAULTS=full all of them.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	r, start := newCrashRig(t), time.Now()
	t.Run("in", func(t *testing.T) {
		for _, c := range crashCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := newCrashScene(t, r, c)
				t.Run("killed", s.killedOnce)
				t.Run("killed twice", s.killedTwice)
				t.Run("refused", s.refusedOnce)
				t.Run("refused from then on", s.refusedForGood)
				t.Run("interrupted", s.interrupted)
			})
		}
	})
	took := time.Since(start)
	t.Logf("%d kills and %d other runs in %.1f s: %.0f kills a second",
		r.kills.Load(), r.runs.Load(), took.Seconds(), float64(r.kills.Load())/took.Seconds())
}

// A crashScene is a case with what lies there before and after an undisturbed run.
type crashScene struct {
	crashCase
	*crashRig
	start         string // the home before
	total         int    // crash points of the command
	before, after crashPicture
	seen          sync.Map // as text, pictures of homes that are known to end well
}

func newCrashScene(t *testing.T, r *crashRig, c crashCase) *crashScene {
	t.Helper()
	s := &crashScene{crashCase: c, crashRig: r, start: crashHome(t)}
	if c.put != nil {
		c.put(t, s.start)
	}
	for _, command := range c.before {
		r.vicr(t, s.start, command)
	}
	if c.cut != nil {
		c.cut(t, s.start)
	}
	s.before = pictureOf(t, s.start)
	end := cloneHome(t, s.start)
	ops := filepath.Join(t.TempDir(), "ops")
	s.total = r.points(t, end, c.command, "VICR_OP_LOG="+ops)
	wantOrder(t, ops)
	s.after = pictureOf(t, end)
	s.after.wantWhole(t, s.after, s.after)
	return s
}

// killedAt returns a home where the command was killed.
func (s *crashScene) killedAt(t *testing.T, from string, k int) (string, crashPicture) {
	t.Helper()
	home := cloneHome(t, from)
	s.kill(t, home, s.command, k)
	torn := pictureOf(t, home)
	torn.wantWhole(t, s.before, s.after)
	torn.wantPairs(t)
	return home, torn
}

// endsWell gives the command again, and takes it back.
func (s *crashScene) endsWell(t *testing.T, home string) {
	t.Helper()
	s.vicr(t, home, s.command)
	wantPicture(t, "given again", pictureOf(t, home), s.after)
	if s.back != "" {
		s.vicr(t, home, s.back)
		wantPicture(t, "taken back", pictureOf(t, home), s.before)
	}
}

func (s *crashScene) killedOnce(t *testing.T) {
	t.Logf("%d points", s.total)
	full := os.Getenv("FAULTS") == "full"
	for k := 1; k <= s.total; k++ {
		if !full && k%2 == 0 && k < s.total {
			continue // the disk is as before the next call
		}
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			t.Parallel()
			home, torn := s.killedAt(t, s.start, k)
			if _, seen := s.seen.LoadOrStore(torn.String(), true); seen && !full {
				return // as after the change before
			}
			if s.back != "" { // also at once
				direct := cloneHome(t, home)
				s.vicr(t, direct, s.back)
				wantPicture(t, "taken back at once", pictureOf(t, direct), s.before)
			}
			if s.next != "" {
				other := cloneHome(t, home)
				s.vicr(t, other, s.next)
				pictureOf(t, other).wantTidy(t)
			}
			s.endsWell(t, home)
		})
	}
}

func (s *crashScene) killedTwice(t *testing.T) {
	step1, step2 := s.total/crashFirst+1, 10
	if os.Getenv("FAULTS") == "full" {
		step1, step2 = 1, 1
	}
	for k1 := 1; k1 <= s.total; k1 += step1 {
		t.Run(strconv.Itoa(k1), func(t *testing.T) {
			t.Parallel()
			first, _ := s.killedAt(t, s.start, k1)
			n := s.points(t, cloneHome(t, first), s.command)
			for k2 := 1 + k1%step2; k2 <= n; k2 += step2 {
				t.Run(strconv.Itoa(k2), func(t *testing.T) {
					home, torn := s.killedAt(t, first, k2)
					if _, seen := s.seen.LoadOrStore(torn.String(), true); !seen {
						s.endsWell(t, home)
					}
				})
			}
		})
	}
}
