package machine

import (
	"strings"
	"testing"
	"testing/fstest"
)

func FuzzUnit(f *testing.F) {
	for _, seed := range []string{
		"", "[Service]\nExecStart=\nExecStart=-/usr/bin/dockerd $A ${B} \\\n# no\n  --insecure-registry x\n", "[Service]\nEnvironmentFile=-/etc/[\nEnvironment=\"A=b",
		"[Service]\nExecStart=/bin/sh -c 'docker\\", "\\\n\\\n", "[Service]\nExecStart=$${A$",
	} {
		f.Add(seed, "A='x\n")
	}
	f.Fuzz(func(t *testing.T, text, variables string) {
		fsys := fstest.MapFS{
			"run/systemd/system/x":                       {Data: nil},
			"usr/lib/systemd/system/docker.service":      {Data: []byte(text)},
			"etc/systemd/system/docker.service.d/x.conf": {Data: []byte(variables)},
			"etc/default/docker":                         {Data: []byte(variables)},
			"etc/init.d/docker":                          {Data: []byte(text)},
			"etc/os-release":                             {Data: []byte(variables)},
			"root/.kube/config":                          {Data: []byte(text)},
			"root/.docker/buildx/instances/x":            {Data: []byte(variables)},
		}
		for _, root := range []string{"", "/srv"} {
			d := Look(Options{GOOS: linux, Home: "/root", Root: root, FS: fsys}).Docker.Daemon
			for _, file := range d.FlagFiles {
				if !strings.HasPrefix(file.Path, "/") {
					t.Errorf("%q", file.Path)
				}
			}
		}
		shown("docker.service", map[string]string{"ExecStart": text, "EnvironmentFiles": variables, "FragmentPath": variables, "DropInPaths": text, "MainPID": variables})
	})
}

func FuzzArgv(f *testing.F) {
	f.Add("dockerd\x00--config-file\x00", "7 (dockerd) S 1 "+strings.Repeat("1 ", 20))
	f.Add("-H\x00-p=\x00--=\x00-\x00--insecure-registry=,", "7 ) (")
	f.Fuzz(func(t *testing.T, argv, stat string) {
		parsed := parseFlags(strings.Split(argv, "\x00"))
		for _, v := range parsed.insecure {
			if v == "" || strings.Contains(v, ",") {
				t.Errorf("value %q", v)
			}
		}
		expand(words(argv), func(name string) string { return name })
		assigned([]byte(argv), "A")
		parseStat(stat)
		Look(Options{GOOS: linux, FS: fstest.MapFS{
			"proc/7/stat":    {Data: []byte(stat)},
			"proc/7/cmdline": {Data: []byte(argv)},
			"proc/7/status":  {Data: []byte(stat + "\nUid:\t0\t0\n")},
			"proc/7/cgroup":  {Data: []byte(argv)},
		}})
	})
}

func FuzzContainerd(f *testing.F) {
	f.Add("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a:/b\"\n")
	f.Add("[plugins.cri]\nregistry = []")
	f.Fuzz(func(t *testing.T, text string) {
		c := Look(Options{GOOS: linux, FS: fstest.MapFS{"etc/containerd/config.toml": {Data: []byte(text)}}}).Containerd
		if c.Problem == "" && c.Version == 0 || !strings.HasPrefix(c.CertsDir, "/") {
			t.Errorf("got %+v", c)
		}
	})
}

func TestWordsAreThoseOfAShell(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`a  b`: "a|b", `'a b' "c d"`: "a b|c d", `a\ b`: "a b", `'a\'`: `a\`, `""`: "", `"a\"b"`: `a"b`, `a"b`: "ab", "a\\": `a\`, "": "",
	} {
		if got := strings.Join(words(text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestNameOfAProcessMayHoldAnything(t *testing.T) {
	t.Parallel()
	p, ok := parseStat("7 (a) (dockerd) S) S 3 " + strings.Repeat("0 ", 17) + "55 0\n")
	if !ok || p.PID != 7 || p.comm != "a) (dockerd) S" || p.parent != 3 || p.Start != 55 || p.UID != -1 {
		t.Errorf("got %+v, %v", p, ok)
	}
	for _, s := range []string{"", "7", "7 (x", "7 )x(", "x (a) S 1", "7 (a) Z 1 " + strings.Repeat("0 ", 30)} {
		if p, ok := parseStat(s); ok {
			t.Errorf("%q: %+v", s, p)
		}
	}
}
