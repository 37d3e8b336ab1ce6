package cmd

import (
	"slices"
	"strings"
	"testing"
)

func TestIsPlugin(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"docker-vicr": true, "/root/.docker/cli-plugins/docker-vicr": true, "docker-vicr.exe": true, "vicr": false, "/usr/bin/vicr": false, "docker-vicr2": false, "": false,
	} {
		if isPlugin(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}

// What docker hands to a plugin, and what of it is vicr's.
func TestArgumentsFromDocker(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"vicr trust h":             "trust h",
		"vicr":                     "",
		"vicr vicr":                "vicr",
		"vicr --help":              "--help",
		"help vicr trust":          "help trust",
		"--config /c help vicr":    "help DOCKER_CONFIG=/c",
		"__complete vicr tr":       "__complete tr",
		"trust h":                  "trust h",
		"push vicr":                "push vicr",
		"-D vicr ls":               "--debug ls",
		"--debug=true vicr ls":     "--debug ls",
		"--log-level info vicr ls": "ls",
		"-l=info vicr ls":          "ls",
		"--config /c vicr ls":      "ls DOCKER_CONFIG=/c",
		"--config=/c vicr ls":      "ls DOCKER_CONFIG=/c",
		"-H tcp://e:1 vicr ls":     "ls DOCKER_HOST=tcp://e:1",
		"-Htcp://e:1 vicr ls":      "ls DOCKER_HOST=tcp://e:1",
		"--host tcp://e:1 vicr ls": "ls DOCKER_HOST=tcp://e:1",
		"--context far vicr ls":    "ls DOCKER_CONTEXT=far", // and no host of the environment
		"-c far --config /c vicr ls --format json": "ls --format json DOCKER_CONFIG=/c DOCKER_CONTEXT=far",
		"-H tcp://e:1 -H tcp://f:1 vicr ls":        "error",
		"-H tcp://e:1 --host tcp://e:1 vicr ls":    "ls DOCKER_HOST=tcp://e:1",
		"--tlsverify vicr ls":                      "error",
		"--tlscacert /ca vicr ls":                  "error",
		"vicr --tlsverify":                         "--tlsverify",
		"--config":                                 "--config",
	} {
		e := Env{Getenv: func(name string) string { return map[string]string{"DOCKER_HOST": "unix:///old"}[name] }, Environ: []string{"A=b", "DOCKER_HOST=unix:///old"}}
		args, e, err := fromDocker(strings.Fields(in), e)
		var added []string
		for _, v := range e.Environ {
			if v != "A=b" && v != "DOCKER_HOST=unix:///old" {
				added = append(added, v)
				name, value, _ := strings.Cut(v, "=")
				if e.Getenv(name) != value {
					t.Errorf("%s: %s is %q", in, name, e.Getenv(name))
				}
			}
		}
		slices.Sort(added)
		got := strings.Join(append(args, added...), " ")
		if err != nil {
			if got = "error"; exitCode(err) != 2 {
				t.Errorf("%s: exit %d", in, exitCode(err))
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
		if strings.Contains(want, "DOCKER_CONTEXT") && (e.Getenv("DOCKER_HOST") != "" || slices.Contains(e.Environ, "DOCKER_HOST=unix:///old")) {
			t.Errorf("%s: the host of the environment counts still", in)
		}
	}
}

func TestHintsOfThePlugin(t *testing.T) {
	t.Parallel()
	a := &app{plugin: true}
	for in, want := range map[string]string{
		"vicr login h":                     "docker vicr login h",
		"make it: vicr project create h/p": "make it: docker vicr project create h/p",
		"sudo /x/docker-vicr trust h":      "sudo /x/docker-vicr trust h",
		"what vicr: says":                  "what vicr: says",
	} {
		if got := a.typed(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := new(app).typed("vicr login h"); got != "vicr login h" {
		t.Errorf("without docker: %q", got)
	}
}
