package trust

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/shell"
)

// subject is what is trusted, as it is typed.
func (p *planner) subject() string {
	if p.r.Network.IsValid() {
		return p.r.Network.Masked().String()
	}
	return p.r.Host.String()
}

// trustCommand is what makes one tool trust the host where it is typed; "" for
// all that were set up for it.
func (p *planner) trustCommand(t Tool) string {
	c := "vicr trust " + p.quote(p.subject())
	switch {
	case p.r.Insecure:
		c += " --insecure"
	case p.r.Anchor.Cert != nil:
		c += " --fingerprint " + pki.SHA256(p.r.Anchor.Cert).String()
	}
	if p.r.Client != nil {
		c += " --client-cert CERT --client-key KEY"
	}
	if t != "" {
		c += " --for " + string(t)
	}
	if p.m.Root != "" {
		c += " --root " + p.quote(p.m.Root)
	}
	return c
}

// caSource is a file that holds the CA once the plan is applied.
func (p *planner) caSource() string {
	for _, s := range p.out.User {
		if s.Tool == string(ToolVicr) && strings.HasSuffix(s.Path, caFile) {
			return p.quote(s.Path)
		}
	}
	return "FILE"
}

// A restart is what makes a service read a file that it reads at its start alone.
type restart struct {
	words string           // as it is typed; "" if nothing has to be done
	runs  []change.Command // the same for --restart; none if that cannot be
}

// restartOf restarts systemd units; service is what to type without systemd.
func (p *planner) restartOf(what, service string, systemd bool, units ...string) restart {
	if p.m.Root != "" {
		return restart{} // nothing runs there
	}
	if !systemd || len(units) == 0 {
		return restart{words: service}
	}
	var r restart
	program := systemctl(p.m)
	var typed []string
	for _, u := range units {
		typed = append(typed, "systemctl restart "+p.quote(strings.TrimSuffix(u, ".service")))
		if program != "" {
			argv := []string{program, "restart", unitName(u)}
			r.runs = append(r.runs, change.Command{What: "restart " + what + " (" + u + ")", Argv: argv, Undo: argv})
		}
	}
	r.words = strings.Join(typed, " && ")
	return r
}

func unitName(u string) string { return strings.TrimSuffix(u, ".service") + ".service" }

// systemctl is where the program lies, "" if it is not seen.
func systemctl(m machine.Machine) string {
	for _, path := range []string{"/usr/bin/systemctl", "/bin/systemctl"} {
		if info, err := m.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// typed is what of a restart stays to be typed by hand.
func (p *planner) typed(r restart) string {
	if p.r.Restart && len(r.runs) > 0 {
		return ""
	}
	return r.words
}

// restart plans it after the files of the tool, if it was asked for.
func (p *planner) restart(t Tool, l level, r restart) {
	if !p.r.Restart {
		return
	}
	for _, c := range r.runs {
		p.add(l, change.Step{Tool: string(t), Op: change.OpRun, Run: &c})
	}
}

// quote makes s one word of the shell that the machine's users type into.
func (p *planner) quote(s string) string { return shell.Word(p.m.GOOS, s) }

// plain shows foreign text without what could steer a terminal.
func plain(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
