package atomicfile

import (
	"errors"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

const (
	openNoBlock  = 0
	openNoFollow = 0
	modesCount   = false // permissions are lists there, which files inherit
	renamesOpen  = false
)

func ownerOf(fs.FileInfo) (Owner, bool) { return Owner{}, false }

func foreign(path string, _ fs.FileInfo) (bool, error) {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return false, &fs.PathError{Op: "owner", Path: path, Err: err}
	}
	if sd == nil {
		return true, nil // nobody's
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return false, &fs.PathError{Op: "owner", Path: path, Err: err}
	}
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return false, &fs.PathError{Op: "owner", Path: path, Err: err}
	}
	return foreignSID(owner.String(), me.User.Sid.String()), nil
}

func linksOf(fs.FileInfo) uint64 { return 1 }

// syncFolder does nothing: NTFS keeps the order of changes of names by itself.
func syncFolder(*os.File) error { return nil }

// tryLock takes the lock of an open file, alone or beside others that share it;
// false when somebody has it who does not. It locks one byte far behind the end,
// since locked bytes cannot be read by others.
func tryLock(f *os.File, shared bool) (bool, error) {
	how := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		how |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := &windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxInt32}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		how, 0, 1, 0, at)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
}
