package status

import (
	"strings"

	"github.com/vicr-cli/vicr/internal/shell"
)

// A Kind says what a [Finding] is about.
type Kind string

// The kinds of a [Finding].
const (
	KindGone        Kind = "gone"        // a file is not there
	KindChanged     Kind = "changed"     // a file holds something else
	KindMode        Kind = "mode"        // others can read or write what they must not, or not read what they have to
	KindOwner       Kind = "owner"       // a file belongs to somebody else
	KindUnread      Kind = "unread"      // a file cannot be read
	KindLeft        Kind = "left"        // a file that vicr untrust did not take back
	KindShadowed    Kind = "shadowed"    // a folder that the tool reads instead
	KindStray       Kind = "stray"       // a file beside ours that breaks the registry for the tool
	KindInsecure    Kind = "insecure"    // the tool is told not to verify the registry
	KindExpired     Kind = "expired"     // the CA
	KindExpiring    Kind = "expiring"    // the CA, in less than 14 days
	KindDiffers     Kind = "differs"     // the user's record and the machine's name different CAs
	KindInterrupted Kind = "interrupted" // a run was killed, or is under way
	KindDoubt       Kind = "doubt"       // the journal names something that vicr does not change here
	KindRestart     Kind = "restart"     // a process that runs since before the change
	KindUnrecorded  Kind = "unrecorded"  // a host that vicr knows nothing of
	KindUnseen      Kind = "unseen"      // a host that only root's journal may know

	KindRenew     Kind = "renew"             // the CA ends in less than 30 days
	KindRestarted Kind = "restart-not-known" // whether something was restarted cannot be seen
	KindNote      Kind = "note"              // worth knowing, and perhaps meant so
)

// A Finding is one thing that is not as it should be.
type Finding struct {
	Kind   Kind
	Path   string // may hold any byte; "" if it is about no file
	Text   string
	Remedy string // what to type
}

// Counts says whether all is not well because of it. The other kinds tell what
// may be so on purpose, or still has time.
func (f Finding) Counts() bool {
	switch f.Kind {
	case KindRenew, KindRestarted, KindNote:
		return false
	}
	return true
}

// again is the command that makes a tool's part, or all of it, as it was
// recorded. Where nothing is verified only the user knows how it was typed.
func (c *checker) again(r *registry, tool string) string {
	line := "vicr trust " + c.quote(r.Host)
	switch trusted := r.of(tool); {
	case trusted.Fingerprint != "":
		line += " --fingerprint " + c.quote(trusted.Fingerprint)
	case len(r.recorded) > 0 || len(r.Tools) > 0:
		line += " --insecure"
	}
	if tool != "" {
		line += " --for " + c.quote(tool)
	}
	return line + c.root()
}

// root is the flag that names the tree.
func (c *checker) root() string {
	if c.m.Root == "" {
		return ""
	}
	return " --root " + c.quote(c.m.Root)
}

// away is the command that moves something out of a tool's sight, and keeps it.
func (c *checker) away(path string) string {
	at := c.real(path)
	if c.m.GOOS == "windows" {
		return "move " + c.quote(at) + " " + c.quote(at+".away")
	}
	return c.sudo(path) + "mv " + c.quote(at) + " " + c.quote(at+".away")
}

// real is where a file of the machine is for who types a command.
func (c *checker) real(path string) string {
	if c.m.Root == "" {
		return path
	}
	return strings.TrimSuffix(c.m.Root, "/") + path
}

// sudo is what a normal user has to put before a command about a machine's file.
// On Windows nothing is: it counts where the terminal was started.
func (c *checker) sudo(path string) string {
	if c.m.GOOS == "windows" || c.m.Euid == 0 || c.m.Root != "" || c.m.Home != "" && strings.HasPrefix(path, c.m.Home+"/") {
		return ""
	}
	return "sudo "
}

// quote makes s one word of the shell that the machine's users type into.
func (c *checker) quote(s string) string { return shell.Word(c.m.GOOS, s) }
