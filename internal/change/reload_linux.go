package change

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// hangUp sends SIGHUP to the process; false when there is none. The process
// that gets the signal is the one whose executable was seen: where the kernel
// can it is held meanwhile, else it is looked at once more.
func hangUp(t *atomicfile.Tree, r Reload) (there bool, err error) {
	pid, err := r.pid(t)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	seen, err := r.look(t, pid)
	if err != nil || seen == "" {
		return false, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	held := err == nil
	if held {
		defer unix.Close(fd) //nolint:errcheck // only a handle on a process
	} else if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ESRCH) {
		return false, fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	again, err := r.look(t, pid)
	if err != nil || again != seen {
		return false, err // another one has its number
	}
	if held {
		err = unix.PidfdSendSignal(fd, unix.SIGHUP, nil, 0)
	}
	if !held || errors.Is(err, unix.ENOSYS) {
		err = unix.Kill(pid, unix.SIGHUP)
	}
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("signal %d: %w", pid, err)
	}
	return true, nil
}

// look says when the process began and what it runs; "" when there is none, or
// one that is not to be told: then the number is a left one.
func (r Reload) look(t *atomicfile.Tree, pid int) (string, error) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return "", nil
	case errors.Is(err, fs.ErrPermission):
		return "", r.refused(t, "it belongs to another user")
	case err != nil:
		return "", err
	case !r.may(exe):
		return "", nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	// The name, in brackets, may hold anything; the start is field 22.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const start = 22 - 3
	if len(fields) <= start {
		return "", r.refused(t, "it cannot be seen when it began")
	}
	return fields[start] + " " + exe, nil
}
