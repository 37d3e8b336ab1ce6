package cmd

import (
	"strings"

	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/shell"
	"github.com/vicr-cli/vicr/internal/trust"
)

// How the part that takes other rights is typed: behind sudo, and on Windows in
// a terminal that has an administrator's rights from its start on.

// inAdminTerminal says where such a command is typed.
const inAdminTerminal = "in a terminal started as administrator"

// whoMay is who changes what is the machine's.
func whoMay(goos string) string {
	if goos == "windows" {
		return "an administrator"
	}
	return "root"
}

// restHint says that a command is left to be typed.
func restHint(goos, command string) string {
	hint := "the rest needs " + whoMay(goos)
	if goos == "windows" {
		hint += "; type " + inAdminTerminal
	}
	return hint + ": " + command
}

// withRights is argv to be pasted where it has the rights.
func withRights(goos string, argv []string) string {
	if goos != "windows" {
		return "sudo " + shell.Line(goos, argv)
	}
	program := argv[0]
	if shell.Word(goos, program) != program {
		program = "vicr" // PowerShell runs no quoted word
	}
	return shell.Line(goos, append([]string{program}, argv[1:]...))
}

// rootLine is the command for the machine's half. It reads the CA from a file
// that is here; without one it asks the registry again.
func rootLine(goos, exe string, r trusting) string {
	file := knownCA(r)
	switch {
	case r.o.insecure:
		return withRights(goos, append([]string{exe}, offlineArgs(r, "")...))
	case file != "" && goos == "windows": // PowerShell knows no <
		return withRights(goos, append([]string{exe}, offlineArgs(r, file)...))
	case file != "":
		return withRights(goos, append([]string{exe}, offlineArgs(r, "-")...)) + " < " + shell.Word(goos, file)
	}
	return withRights(goos, append([]string{
		exe, "trust", r.target.String(), "--for", strings.Join(toolNames(install.Tools(r.planned, install.Machine)), ","),
		"--fingerprint", pki.SHA256(r.request.Anchor.Cert).String(),
	}, alsoAsked(r)...))
}

// knownCA is a file that holds the CA, "" if none is known.
func knownCA(r trusting) string {
	for _, s := range r.planned.User {
		if s.Tool == string(trust.ToolVicr) && !s.Secret {
			return s.Path
		}
	}
	if r.o.caFile == "" || r.o.caFile == "-" {
		return ""
	}
	return absolute(r.o.caFile) // the command may be typed in another folder
}

// unseenHint says who is told what is recorded for the whole machine.
func unseenHint(goos, command string) string {
	const what = "what is recorded for the whole machine is for "
	if goos == "windows" {
		return what + "an administrator to read; type " + inAdminTerminal + ": vicr " + command
	}
	return what + "root to read: sudo vicr " + command
}

// permissionHint says how to see who may write in a folder.
func permissionHint(goos, dir string) string {
	const machines = " does it where the folder is the machine's"
	if goos == "windows" {
		return "icacls " + shell.Word(goos, dir) + " shows who may write there; the same command " + inAdminTerminal + machines
	}
	return "ls -ld " + shell.Word(goos, dir) + " shows who may write there; sudo vicr" + machines
}
