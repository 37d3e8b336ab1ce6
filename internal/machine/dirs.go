package machine

import (
	"path"
	"strings"
)

const (
	linux   = "linux"
	darwin  = "darwin"
	windows = "windows"
)

// Dirs are vicr's own folders. One is "" if the place of it is not known,
// because there is no home folder.
type Dirs struct {
	Config       string // settings, and the CAs that vicr itself trusts
	Data         string // the image store lies in it
	State        string // journal of user-level changes
	Cache        string // what may be deleted at any time
	MachineState string // journal of machine-level changes
}

// DirsOf says where vicr's own folders are: by the XDG variables where they
// are set, else where the platform keeps such things. Relative values count as
// not set (XDG Base Directory Specification 0.8, "Basics"). It opens nothing.
func DirsOf(o Options) Dirs {
	env := o.dir
	home := func(elem ...string) string {
		return within(o.GOOS, o.home(), elem...)
	}
	var d Dirs
	switch o.GOOS {
	case windows:
		local := first(env("LocalAppData"), home("AppData", "Local"))
		d = Dirs{
			Config:       within(o.GOOS, first(env("AppData"), home("AppData", "Roaming")), "vicr"),
			Data:         within(o.GOOS, local, "vicr"),
			State:        within(o.GOOS, local, "vicr", "state"),
			Cache:        within(o.GOOS, local, "vicr", "cache"),
			MachineState: join(o.GOOS, first(env("ProgramData"), `C:\ProgramData`), "vicr"),
		}
	case darwin:
		support := home("Library", "Application Support")
		d = Dirs{
			Config:       within(o.GOOS, support, "vicr"),
			Data:         within(o.GOOS, support, "vicr"),
			State:        within(o.GOOS, support, "vicr", "state"),
			Cache:        within(o.GOOS, home("Library", "Caches"), "vicr"),
			MachineState: "/Library/Application Support/vicr",
		}
	default:
		d = Dirs{
			Config:       within(o.GOOS, home(".config"), "vicr"),
			Data:         within(o.GOOS, home(".local", "share"), "vicr"),
			State:        within(o.GOOS, home(".local", "state"), "vicr"),
			Cache:        within(o.GOOS, home(".cache"), "vicr"),
			MachineState: "/var/lib/vicr",
		}
	}
	d.Config = first(within(o.GOOS, env("XDG_CONFIG_HOME"), "vicr"), d.Config)
	d.Data = first(within(o.GOOS, env("XDG_DATA_HOME"), "vicr"), d.Data)
	d.State = first(within(o.GOOS, env("XDG_STATE_HOME"), "vicr"), d.State)
	d.Cache = first(within(o.GOOS, env("XDG_CACHE_HOME"), "vicr"), d.Cache)
	if o.Root != "" {
		d.MachineState = "/var/lib/vicr"
	}
	return d
}

// dir is the folder that a variable names, "" if it names none.
func (o Options) dir(variable string) string {
	if o.Getenv == nil {
		return ""
	}
	return tidy(o.GOOS, o.Getenv(variable))
}

func (o Options) home() string { return tidy(o.GOOS, o.Home) }

// within is join for a folder that may be unknown.
func within(goos, dir string, elem ...string) string {
	if dir == "" {
		return ""
	}
	return join(goos, append([]string{dir}, elem...)...)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func absolute(goos, p string) bool {
	if goos != windows {
		return strings.HasPrefix(p, "/")
	}
	p = strings.ReplaceAll(p, "/", `\`)
	return strings.HasPrefix(p, `\\`) || len(p) >= 3 && p[1] == ':' && p[2] == '\\'
}

// tidy is the shortest form of an absolute path, and "" for any other.
func tidy(goos, p string) string {
	switch {
	case !absolute(goos, p):
		return ""
	case goos != windows:
		return path.Clean(p)
	}
	p = strings.ReplaceAll(p, `\`, "/")
	share := ""
	if strings.HasPrefix(p, "//") {
		share = `\`
	}
	return share + strings.ReplaceAll(path.Clean(p), "/", `\`)
}
