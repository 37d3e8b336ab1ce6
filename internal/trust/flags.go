package trust

import (
	"fmt"
	"slices"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
)

const onCommandLine = "the command line of dockerd"

// A flagPlace is where a --insecure-registry of dockerd's is written.
type flagPlace struct {
	values   []string
	path     string // "" when it is only seen in the argv
	line     int
	variable string // "" where it cannot be edited: a unit file is no shell
}

func (f flagPlace) where() string {
	switch {
	case f.path == "":
		return onCommandLine
	case f.line == 0:
		return f.path
	}
	return fmt.Sprintf("%s:%d", f.path, f.line)
}

// flags are the places of the flag, none if dockerd has it neither now nor at
// its next start.
func (p *planner) flags(e engine) []flagPlace {
	var all []flagPlace
	for _, f := range e.daemon.FlagFiles {
		data, err := p.m.ReadFile(f.Path, maxConfig)
		if err != nil {
			continue
		}
		if f.Variable == "" {
			all = append(all, flagPlace{values: e.daemon.InsecureFlags, path: f.Path, line: lineOf(data, "--insecure-registry")})
			continue
		}
		values, line, err := edit.ShellFlags(data, f.Variable)
		switch {
		case err != nil && lineOf(data, "--insecure-registry") > 0:
			all = append(all, flagPlace{values: e.daemon.InsecureFlags, path: f.Path, line: lineOf(data, "--insecure-registry")})
		case err == nil && len(values) > 0:
			all = append(all, flagPlace{values: values, path: f.Path, line: line, variable: f.Variable})
		}
	}
	if len(all) == 0 && len(e.daemon.InsecureFlags) > 0 {
		all = append(all, flagPlace{values: e.daemon.InsecureFlags})
	}
	return all
}

func (p *planner) flagged(e engine) bool { return len(p.flags(e)) > 0 }

// onePlace is the file whose flag can be added to. It returns a [*ConflictError].
func onePlace(e engine, flags []flagPlace, listed []string) (flagPlace, error) {
	place := flags[0]
	if i := slices.IndexFunc(flags, func(f flagPlace) bool { return f.variable == "" }); i >= 0 {
		place = flags[i]
	}
	conflict := &ConflictError{Flag: place.values, Where: place.where()}
	if listed != nil { // an empty list conflicts as well
		conflict.File = e.config
		return place, conflict
	}
	if place.variable == "" {
		return place, conflict
	}
	return place, nil
}

// editFlags adds to the flag where it is, and never a list to daemon.json.
func (p *planner) editFlags(e engine, f flagPlace) {
	l := p.of(e.user)
	unit := e.daemon.Unit
	if unit == "" {
		unit = "docker.service"
	}
	service := "service docker restart"
	if f.path == "/etc/conf.d/docker" {
		service = "rc-service docker restart"
	}
	r := p.restartOf("Docker", service, e.daemon.Systemd, unit)
	if e.user {
		r = restart{words: "systemctl --user restart docker"}
	}
	r = afterFailure(r)
	for _, name := range p.names() {
		p.add(l, change.Step{
			Tool: string(ToolDocker), Path: f.path, Op: change.OpEdit, DirMode: l.mode,
			Edit: &edit.Edit{Format: edit.Shell, Key: f.variable, Value: name}, Restart: p.typed(r),
		})
	}
	p.restart(ToolDocker, l, r)
	if e.daemon.NeedsReload {
		p.note(ToolDocker, f.path, "a unit file of "+unit+" was changed since systemd read it: systemctl daemon-reload makes that count too")
	}
}

// afterFailure forgets first that a unit failed to start: systemd refuses to
// start one that failed too often.
func afterFailure(r restart) restart {
	if len(r.runs) == 0 {
		return r
	}
	var runs []change.Command
	for _, c := range r.runs {
		argv := []string{c.Argv[0], "reset-failed", c.Argv[len(c.Argv)-1]}
		runs = append(runs, change.Command{What: "forget failed starts (" + argv[2] + ")", Argv: argv, Undo: argv}, c)
	}
	r.runs = runs
	return r
}

// remarks notes what is strange in a daemon.json though it can be read.
func (p *planner) remarks(path string) {
	for _, n := range remarksOf(p.m, path) {
		p.note(n.Tool, n.Path, n.Text)
	}
}

func remarksOf(m machine.Machine, path string) []Note {
	data, err := m.ReadFile(path, maxConfig)
	if err != nil || path == "" {
		return nil
	}
	remarks, err := edit.LintDaemonJSON(data)
	if err != nil {
		return []Note{{Tool: ToolDocker, Path: path, Text: plain(err.Error())}}
	}
	var notes []Note
	for _, r := range remarks {
		text := plain(r.Text)
		if r.Line > 0 {
			text = fmt.Sprintf("line %d: %s", r.Line, text)
		}
		notes = append(notes, Note{Tool: ToolDocker, Path: path, Text: text})
	}
	return notes
}
