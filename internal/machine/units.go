package machine

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	unitLimit = 1 << 20 // bytes of a unit file or a file of variables
	mostDrops = 256     // drop-ins that are read of one unit
)

// unitFolders are where systemd looks for units, the first one first
// (systemd.unit(5), "Unit File Load Path").
func unitFolders() []string {
	return []string{
		"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system", "/lib/systemd/system",
	}
}

// A unit is what counts of a systemd service.
type unit struct {
	name     string
	fragment string
	dropIns  []string
	exec     []string // its ExecStart lines, variables unexpanded
	execFrom string   // the file that has them
	envFiles []string // without the dash in front
	env      []variable

	reload  bool // NeedDaemonReload
	mainPID int  // -1 if not known
}

// A variable is set in a unit file itself.
type variable struct{ name, value, from string }

// hasSystemd says that systemd runs, or that the tree's Docker is started by it.
func (m Machine) hasSystemd() bool {
	if m.Root == "" {
		return m.isDir("/run/systemd/system") // sd_booted(3)
	}
	return firstOf(m, "/usr/lib/systemd/system/docker.service", "/lib/systemd/system/docker.service", "/etc/systemd/system/docker.service") != ""
}

// unit is a service as systemd tells it, else as its files do.
func (m Machine) unit(o Options, name string) (unit, bool) {
	fromFiles, found := m.unitFiles(unitFolders(), name)
	if o.Show == nil {
		return fromFiles, found
	}
	properties, err := o.Show(name)
	if err != nil {
		return fromFiles, found
	}
	u, ok := shown(name, properties)
	if !ok {
		return fromFiles, found
	}
	// What is written in the files themselves is not among the properties.
	written := unit{}
	for _, p := range append([]string{u.fragment}, u.dropIns...) {
		if data, err := m.ReadFile(p, unitLimit); err == nil {
			written.apply(p, parseUnit(string(data)))
		}
	}
	u.execFrom, u.env = written.execFrom, written.env
	return u, true
}

// shown reads the properties as systemctl show prints them.
func shown(name string, p map[string]string) (unit, bool) {
	u := unit{
		name: name, fragment: tidy(linux, p["FragmentPath"]), dropIns: strings.Fields(p["DropInPaths"]),
		reload: p["NeedDaemonReload"] == "yes", mainPID: -1,
	}
	if pid, err := strconv.Atoi(p["MainPID"]); err == nil {
		u.mainPID = pid
	}
	rest := p["ExecStart"]
	for {
		_, after, ok := strings.Cut(rest, "argv[]=")
		if !ok {
			break
		}
		var line string
		line, rest, _ = strings.Cut(after, " ; ignore_errors=")
		u.exec = append(u.exec, line)
	}
	for f := range strings.SplitSeq(p["EnvironmentFiles"], ")") {
		f, _, _ = strings.Cut(f, " (ignore_errors=")
		if f = tidy(linux, strings.TrimSpace(f)); f != "" {
			u.envFiles = append(u.envFiles, f)
		}
	}
	return u, u.fragment != "" && len(u.exec) > 0
}

// unitFiles reads a unit and its drop-ins out of folders, the first of which
// counts most. A unit that is masked is none.
func (m Machine) unitFiles(folders []string, name string) (unit, bool) {
	u := unit{name: name, mainPID: -1}
	for _, dir := range folders {
		if to, err := m.ReadLink(dir + "/" + name); err == nil && to == "/dev/null" {
			return unit{}, false
		}
		data, err := m.ReadFile(dir+"/"+name, unitLimit)
		var not *NotRegularError
		switch {
		case errors.As(err, &not):
			return unit{}, false
		case err != nil:
			continue
		case len(data) == 0:
			return unit{}, false
		}
		u.fragment = dir + "/" + name
		u.apply(u.fragment, parseUnit(string(data)))
		break
	}
	if u.fragment == "" {
		return unit{}, false
	}
	for _, p := range m.dropIns(folders, name) {
		data, err := m.ReadFile(p, unitLimit)
		if err != nil {
			continue
		}
		u.dropIns = append(u.dropIns, p)
		u.apply(p, parseUnit(string(data)))
	}
	return u, len(u.exec) > 0
}

// dropIns are the paths of a unit's drop-ins in the order in which they count:
// by name, whatever folder they lie in.
func (m Machine) dropIns(folders []string, name string) []string {
	at := map[string]string{}
	for _, dir := range folders {
		entries, err := m.ReadDir(dir + "/" + name + ".d")
		if err != nil {
			continue
		}
		for _, e := range entries {
			if _, is := at[e.Name()]; !is && strings.HasSuffix(e.Name(), ".conf") {
				at[e.Name()] = dir + "/" + name + ".d/" + e.Name()
			}
		}
	}
	paths := make([]string, 0, len(at))
	for _, p := range at {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return paths[:min(len(paths), mostDrops)]
}

// A setting is one line of a unit file.
type setting struct{ key, value string }

// parseUnit reads the [Service] section (systemd.syntax(7)).
func parseUnit(s string) []setting {
	var out []setting
	service := false
	for _, line := range joined(s) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			service = line == "[Service]"
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && service {
			out = append(out, setting{strings.TrimSpace(key), strings.TrimSpace(value)})
		}
	}
	return out
}

// apply adds what a file says; an empty value forgets what came before.
func (u *unit) apply(from string, settings []setting) {
	for _, s := range settings {
		switch {
		case s.key == "ExecStart" && s.value == "":
			u.exec, u.execFrom = nil, ""
		case s.key == "ExecStart":
			u.exec, u.execFrom = append(u.exec, strings.TrimLeft(s.value, "-@:+!|")), from
		case s.key == "EnvironmentFile" && s.value == "":
			u.envFiles = nil
		case s.key == "EnvironmentFile":
			if p := tidy(linux, strings.Trim(strings.TrimPrefix(s.value, "-"), `"'`)); p != "" {
				u.envFiles = append(u.envFiles, p)
			}
		case s.key == "Environment" && s.value == "":
			u.env = nil
		case s.key == "Environment":
			for _, w := range words(s.value) {
				if name, value, ok := strings.Cut(w, "="); ok && isName(name) {
					u.env = append(u.env, variable{name, value, from})
				}
			}
		}
	}
}

// command is all that the unit starts, as one text.
func (u unit) command() string { return strings.Join(u.exec, " ; ") }

// reads says whether a file of variables is among those of the unit.
func (u unit) reads(file string) bool {
	return slices.ContainsFunc(u.envFiles, func(pattern string) bool {
		ok, err := path.Match(pattern, file)
		return pattern == file || err == nil && ok
	})
}

// validUnit says that a name can be given to systemctl as it is.
func validUnit(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !isNameByte(c, 1) && !strings.ContainsRune(".@-:", rune(c)) || c == '-' && i == 0 {
			return false
		}
	}
	return len(name) > 0 && len(name) < 256
}

func (m Machine) exists(p string) bool {
	_, err := m.Stat(p)
	return err == nil
}
