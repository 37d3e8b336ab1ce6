//go:build unix

package atomicfile_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var group sync.WaitGroup
	var holders atomic.Int32
	for range 8 {
		group.Go(func() {
			for n := range 8 {
				lock, err := atomicfile.Lock(t.Context(), path, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold it", n)
				}
				release := lock.Unlock
				if n%2 == 0 {
					release = lock.Remove
				}
				runtime.Gosched()
				holders.Add(-1)
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestASharedLockIsHeldBesideOthersThatShareIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	take := func(lock func(context.Context, string, time.Duration) (*atomicfile.HeldLock, error)) (release func(), busy bool) {
		t.Helper()
		held, err := lock(t.Context(), path, 0)
		if _, busy := errors.AsType[*atomicfile.LockedError](err); busy {
			return nil, true
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := held.Unlock(); err != nil {
				t.Error(err)
			}
		}, false
	}
	one, busy := take(atomicfile.LockShared)
	two, busyToo := take(atomicfile.LockShared)
	if busy || busyToo {
		t.Fatal("a shared lock was not shared")
	}
	one()
	if _, busy := take(atomicfile.Lock); !busy {
		t.Fatal("a lock was given that somebody shares")
	}
	two()
	alone, busy := take(atomicfile.Lock)
	if busy {
		t.Fatal("a lock was not given that nobody shares any more")
	}
	if _, busy := take(atomicfile.LockShared); !busy {
		t.Fatal("a lock was shared that somebody has alone")
	}
	alone()
	// Who had it alone before is not who has it now.
	one, _ = take(atomicfile.LockShared)
	defer one()
	var locked *atomicfile.LockedError
	if _, err := atomicfile.Lock(t.Context(), path, 0); !errors.As(err, &locked) || locked.PID != 0 {
		t.Errorf("it is said to be held by %v", err)
	}
}

func TestLockWaitsAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	held, err := atomicfile.Lock(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	var locked *atomicfile.LockedError
	if _, err := atomicfile.Lock(t.Context(), path, time.Millisecond); !errors.As(err, &locked) || locked.Path != path {
		t.Errorf("held by another: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(5*time.Millisecond, cancel)
	if _, err := atomicfile.Lock(ctx, path, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := held.Unlock(); err != nil {
		t.Error(err)
	}
	if lock, err := atomicfile.Lock(t.Context(), path, 0); err != nil || lock.Remove() != nil {
		t.Errorf("free again: %v", err)
	}
	wantNames(t, filepath.Dir(path))
}

func TestLockOfAKilledProcessIsFree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	cmd := helper(t, "holder", path, "")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	var locked *atomicfile.LockedError
	if _, err := atomicfile.Lock(t.Context(), path, 0); !errors.As(err, &locked) {
		t.Errorf("while it lives: %v", err)
	}
	if err := cmd.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	lock, err := atomicfile.Lock(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
}
