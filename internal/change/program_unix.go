//go:build unix

package change

import (
	"os"
	"os/exec"
	"syscall"
)

func askToEnd(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// runAs makes the program another user's, without a way back to root: in a
// session of its own it cannot type into the terminal that root goes on using
// (CVE-2005-4890 is of that kind).
func runAs(cmd *exec.Cmd, u *User) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}}
	return nil
}
