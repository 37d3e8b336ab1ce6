package machine_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestDirsFollowThePlatform(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		o    machine.Options
		want machine.Dirs
	}{
		"linux": {
			machine.Options{GOOS: "linux", Home: "/home/ann"},
			machine.Dirs{
				Config: "/home/ann/.config/vicr", Data: "/home/ann/.local/share/vicr",
				State: "/home/ann/.local/state/vicr", Cache: "/home/ann/.cache/vicr", MachineState: "/var/lib/vicr",
			},
		},
		"linux with XDG": {
			machine.Options{GOOS: "linux", Home: "/home/ann", Getenv: env("XDG_CONFIG_HOME", "/x/c", "XDG_DATA_HOME", "/x/d/", "XDG_STATE_HOME", "/x/s", "XDG_CACHE_HOME", "/x/k")},
			machine.Dirs{Config: "/x/c/vicr", Data: "/x/d/vicr", State: "/x/s/vicr", Cache: "/x/k/vicr", MachineState: "/var/lib/vicr"},
		},
		"relative XDG counts as not set": {
			machine.Options{GOOS: "linux", Home: "/home/ann", Getenv: env("XDG_CONFIG_HOME", "c", "XDG_DATA_HOME", "../d", "XDG_STATE_HOME", "~/s", "XDG_CACHE_HOME", ".")},
			machine.Dirs{
				Config: "/home/ann/.config/vicr", Data: "/home/ann/.local/share/vicr",
				State: "/home/ann/.local/state/vicr", Cache: "/home/ann/.cache/vicr", MachineState: "/var/lib/vicr",
			},
		},
		"no home": {
			machine.Options{GOOS: "linux"},
			machine.Dirs{MachineState: "/var/lib/vicr"},
		},
		"mac": {
			machine.Options{GOOS: "darwin", Home: "/Users/ann"},
			machine.Dirs{
				Config: "/Users/ann/Library/Application Support/vicr", Data: "/Users/ann/Library/Application Support/vicr",
				State: "/Users/ann/Library/Application Support/vicr/state", Cache: "/Users/ann/Library/Caches/vicr",
				MachineState: "/Library/Application Support/vicr",
			},
		},
		"windows": {
			machine.Options{GOOS: "windows", Home: `C:\Users\ann`},
			machine.Dirs{
				Config: `C:\Users\ann\AppData\Roaming\vicr`, Data: `C:\Users\ann\AppData\Local\vicr`,
				State: `C:\Users\ann\AppData\Local\vicr\state`, Cache: `C:\Users\ann\AppData\Local\vicr\cache`, MachineState: `C:\ProgramData\vicr`,
			},
		},
		"windows with variables": {
			machine.Options{GOOS: "windows", Home: `C:\Users\ann`, Getenv: env("AppData", `\\files\ann\AppData`, "LocalAppData", `D:\ann`, "ProgramData", `D:\PD`, "XDG_CACHE_HOME", `E:\cache`)},
			machine.Dirs{
				Config: `\\files\ann\AppData\vicr`, Data: `D:\ann\vicr`, State: `D:\ann\vicr\state`, Cache: `E:\cache\vicr`, MachineState: `D:\PD\vicr`,
			},
		},
		"untidy values": {
			machine.Options{GOOS: "linux", Home: "/home//ann/", Getenv: env("XDG_CONFIG_HOME", "/x/../c/./", "XDG_DATA_HOME", "//x/d")},
			machine.Dirs{
				Config: "/c/vicr", Data: "/x/d/vicr",
				State: "/home/ann/.local/state/vicr", Cache: "/home/ann/.cache/vicr", MachineState: "/var/lib/vicr",
			},
		},
		"untidy values on windows": {
			machine.Options{GOOS: "windows", Home: `C:/Users\ann\`, Getenv: env("AppData", `\\files/x/..\ann\`, "ProgramData", `D:\`)},
			machine.Dirs{
				Config: `\\files\ann\vicr`, Data: `C:\Users\ann\AppData\Local\vicr`,
				State: `C:\Users\ann\AppData\Local\vicr\state`, Cache: `C:\Users\ann\AppData\Local\vicr\cache`, MachineState: `D:\vicr`,
			},
		},
		"a tree": {
			machine.Options{GOOS: "darwin", Root: "/srv/image", Getenv: env("XDG_STATE_HOME", "/x/s")},
			machine.Dirs{State: "/x/s/vicr", MachineState: "/var/lib/vicr"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := machine.DirsOf(tt.o); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			tt.o.FS = tree()
			if got := machine.Look(tt.o).Dirs; got != tt.want {
				t.Errorf("Look has other folders: %+v", got)
			}
		})
	}
}
