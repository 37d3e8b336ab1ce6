package change

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	case !r.may(exe), !r.wrote(t, pid):
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

// wrote says whether the process can be the one that wrote the file of its
// number: it runs as we do, was told of no other file, and sees this one. The
// file's time says nothing, for clocks are set and machines sleep.
func (r Reload) wrote(t *atomicfile.Tree, pid int) bool {
	proc := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !runsAs(string(status), os.Geteuid()) {
		return false
	}
	file, err := filepath.EvalSymlinks(t.Real(r.PIDFile))
	if err != nil {
		return false
	}
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	if named := pidFlag(strings.Split(string(argv), "\x00")); named != "" {
		if !filepath.IsAbs(named) {
			named = proc + "cwd/" + named
		}
		if !sameFile(named, file) {
			return false
		}
	}
	if _, err := os.Stat(proc + "root" + file); err != nil && os.Geteuid() != 0 {
		return true // only root sees into every process
	}
	return sameFile(proc+"root"+file, file)
}

// runsAs reads the real and the effective user of /proc/PID/status, as they are
// here: those of a user namespace beneath are its owner's.
func runsAs(status string, uid int) bool {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			f, want := strings.Fields(rest), strconv.Itoa(uid)
			return len(f) > 1 && f[0] == want && f[1] == want
		}
	}
	return false
}

// pidFlag is the file that dockerd was told to write its number to, "" if none.
func pidFlag(argv []string) (file string) {
	for i := 1; i < len(argv) && argv[i] != "--"; i++ {
		switch long, is := strings.CutPrefix(argv[i], "--pidfile="); {
		case is:
			file = long
		case (argv[i] == "--pidfile" || argv[i] == "-p") && i+1 < len(argv):
			i++
			file = argv[i]
		case len(argv[i]) > 2 && strings.HasPrefix(argv[i], "-p"):
			file = strings.TrimPrefix(argv[i][2:], "=")
		}
	}
	return file
}

func sameFile(a, b string) bool {
	is, err := os.Stat(a) //nolint:gosec // what a process names is only compared
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(is, other)
}
