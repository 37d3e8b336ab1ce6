//go:build unix

package proof

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// A fakeTool is a script that writes down how it was called, and says something.
type fakeTool struct{ dir, path string }

func newTool(t *testing.T, name, says, ends string) fakeTool {
	t.Helper()
	f := fakeTool{dir: t.TempDir()}
	f.path = filepath.Join(f.dir, name)
	f.write(t, "says", says)
	script := "#!/bin/sh\nd=" + f.dir + "\n{ echo \"$0 $*\"; env | sort; echo; } >>$d/calls\ntest -z \"$CONTAINERS_CONF\" || cat $CONTAINERS_CONF >$d/conf\ncat $d/says >&2\n" + ends + "\n"
	f.write(t, name, script)
	return f
}

// write makes a file while no process is started, which would hold it open.
func (f fakeTool) write(t *testing.T, name, data string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(data), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (f fakeTool) calls(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, s string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const refused = `pinging container registry H: Get "https://H/v2/": x509: certificate signed by unknown authority`

// says is what the programs said to a name that no registry has (podman 4.3.1,
// skopeo 1.9.3, buildah 1.28.2, ctr 1.6.20 and 2.4.2).
func said() map[string]map[string]engine.Verdict {
	return map[string]map[string]engine.Verdict{
		"skopeo": {
			`time="x" level=fatal msg="Error parsing image name \"docker://H/a/b:c\": ` + refused + `"`:                                                     engine.NotTrusted,
			`time="x" level=fatal msg="Error parsing image name \"docker://H/a/b:c\": reading manifest c in H/a/b: unauthorized: authentication required"`:  engine.Trusted,
			`msg="reading manifest c in H/a/b: errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required"`:         engine.Trusted,
			`level=fatal msg="Error parsing image name \"docker://[2001:db8::2]:5000/a/b:c\": invalid reference format"`:                                    engine.Unknown,
			`loading registries configuration: loading drop-in registries configuration "/etc/containers/registries.conf.d/x.conf": toml: line 1: expected`: engine.DirFault,
			`level=fatal msg="open /etc/containers/certs.d/H/client.key: permission denied"`:                                                                engine.Unknown,
			`pinging container registry H: Get "https://H/v2/": dial tcp 192.0.2.2:5000: connect: connection refused`:                                       engine.Unreachable,
		},
		"podman": {
			`Error: initializing source docker://H/a/b:c: ` + refused:                                                engine.NotTrusted,
			`Error: initializing source docker://H/a/b:c: reading manifest c in H/a/b: manifest unknown`:             engine.Trusted,
			`cannot set up namespace using newuidmap: exec: "newuidmap": executable file not found in $PATH`:         engine.Unknown,
			`Error: missing key client.key for client certificate client.cert. Note that CA certificates should use`: engine.DirFault,
		},
		"buildah": {`initializing source docker://H/a/b:c: ` + refused: engine.NotTrusted},
		"ctr": {
			`ctr: failed to resolve reference "H/a/b:c": failed to do request: Head "https://H/v2/a/b/manifests/c": x509: certificate signed by unknown authority`:       engine.NotTrusted,
			`ctr: failed to resolve image: failed to do request: Head "https://H/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`: engine.NotTrusted,
			`ctr: failed to resolve reference "H/a/b:c": pulling from host H failed with status code [manifests c]: 401 Unauthorized`:                                    engine.Trusted,
			`ctr: failed to resolve image: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`:  engine.Trusted,
			`ctr: failed to resolve image: server message: insufficient_scope: authorization failed`:                                                                     engine.Trusted,
			`ctr: failed to resolve image: unable to load CA cert "/etc/containerd/certs.d/H/bad.crt"`:                                                                   engine.DirFault,
			`ctr: failed to dial "/run/containerd/containerd.sock": context deadline exceeded`:                                                                           engine.Unreachable,
			`flag provided but not defined: -hosts-dir`: engine.Unknown,
		},
	}
}

// asked asks the tool of this name the way that it is asked.
func asked(t *testing.T, name string, f fakeTool, h ref.Host) ([]Fact, error) {
	t.Helper()
	home := t.TempDir()
	m := machine.Machine{Home: home} // Euid 0: a podman that leaves no process
	if name == "ctr" {
		m.Containerd = machine.Containerd{Socket: "/run/c.sock", CertsDir: "/etc/containerd/certs.d"}
		return containerd(t.Context(), m, h, []string{"/nowhere", f.dir})
	}
	m.Podman.Programs = map[string]string{name: f.path}
	return Podman(t.Context(), m, h, nil)
}

func TestProgramsAreJudgedByTheirWords(t *testing.T) {
	t.Parallel()
	for name, all := range said() {
		for text, want := range all {
			for _, code := range []string{"0", "1", "125"} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f := newTool(t, name, strings.ReplaceAll(text, "H", "registry.example:5000"), "exit "+code)
					facts, err := asked(t, name, f, parse(t, "registry.example:5000"))
					e, no := errors.AsType[*Error](err)
					switch {
					case want == engine.NotTrusted || want == engine.DirFault:
						if !no || e.Message == "" || e.Host != "registry.example:5000" {
							t.Errorf("%q: %v", text, err)
						}
					case err != nil || len(facts) != 1 || facts[0].Host != "registry.example:5000":
						t.Errorf("%q: %+v, %v", text, facts, err)
					case facts[0].Proven != (want == engine.Trusted || want == engine.Unknown && code == "0"):
						t.Errorf("%q, code %s: %+v", text, code, facts)
					case facts[0].Why == "":
						t.Errorf("%q: no reason", text)
					}
				})
			}
		}
	}
}

// scratch is the folder that podman and buildah keep everything in.
var scratch = regexp.MustCompile(`/tmp/\.vicr-[0-9a-f]{16}\.tmp`)

const contained = "--root SCRATCH/root --runroot SCRATCH/run --storage-driver vfs "

func TestHowProgramsAreAsked(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"skopeo":  "inspect --no-creds docker://NAME",
		"podman":  contained + "pull -q NAME",
		"buildah": contained + "pull --policy=always NAME",
		"ctr":     "--address /run/c.sock images pull --hosts-dir /etc/containerd/certs.d NAME",
	} {
		f := newTool(t, name, "unauthorized", "exit 1")
		facts, err := asked(t, name, f, parse(t, "registry.example"))
		if err != nil || len(facts) != 2 || facts[0].Host != "registry.example" || facts[1].Host != "registry.example:443" {
			t.Fatalf("%s: %+v, %v", name, facts, err)
		}
		calls := strings.Split(strings.TrimSpace(f.calls(t)), "\n\n")
		if len(calls) != 2 {
			t.Fatalf("%s: %q", name, calls)
		}
		for i, call := range calls {
			line, env, _ := strings.Cut(scratch.ReplaceAllString(call, "SCRATCH"), "\n")
			before, after, _ := strings.Cut(strings.ReplaceAll(want, "NAME", "\x00"), "\x00")
			image, ok := strings.CutPrefix(line, f.path+" "+before)
			if !ok || after != "" || !strings.HasPrefix(image, facts[i].Host+"/vicr-proof-") {
				t.Errorf("%s: called as %q", name, line)
			}
			for v := range strings.Lines(env) {
				v = strings.TrimSuffix(v, "\n")
				if strings.HasPrefix(want, contained) && (v == "CONTAINERS_CONF=SCRATCH/containers.conf" || v == "XDG_RUNTIME_DIR=SCRATCH") {
					continue
				}
				if key, _, _ := strings.Cut(v, "="); key != "PATH" && key != "PWD" && key != "HOME" && key != "_" && key != "OLDPWD" && key != "SHLVL" {
					t.Errorf("%s got %q", name, v)
				}
			}
			if strings.Contains(env, "\nHOME=") == (name == "ctr") && !strings.HasPrefix(env, "HOME=") {
				t.Errorf("%s: HOME in %q", name, env)
			}
		}
	}
}

// A registry may have an image for whatever it is asked.
func TestWhatAProgramPulledIsForgotten(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"podman": "rmi", "buildah": "rmi", "ctr": "--address /run/c.sock images rm", "skopeo": ""} {
		f := newTool(t, name, "", "exit 0")
		facts, err := asked(t, name, f, parse(t, "registry.example:5000"))
		if err != nil || len(facts) != 1 || !facts[0].Proven {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
		calls := strings.Split(strings.TrimSpace(f.calls(t)), "\n\n")
		if want == "" {
			if len(calls) != 1 {
				t.Errorf("%s: %q", name, calls)
			}
			continue
		}
		first, _, _ := strings.Cut(calls[0], "\n")
		image := first[strings.LastIndexByte(first, ' ')+1:]
		if name != "ctr" {
			calls[len(calls)-1] = scratch.ReplaceAllString(calls[len(calls)-1], "SCRATCH")
			want = contained + want
		}
		if len(calls) != 2 || !strings.HasPrefix(calls[1], f.path+" "+want+" "+image+"\n") {
			t.Errorf("%s: %q", name, calls)
		}
	}
}

// However they end, nothing of what podman and buildah made stays.
func TestProgramsThatKeepSomethingDoItInAFolderThatGoes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"podman", "buildah"} {
		for what, ends := range map[string]string{
			"refuses": "mkdir -p $XDG_RUNTIME_DIR/root/vfs/dir; touch $XDG_RUNTIME_DIR/root/vfs/dir/x; echo x509: >&2; exit 125", "hangs": `case "$*" in *pull*) exec sleep 60;; esac`,
		} {
			f := newTool(t, name, "", ends)
			m := machine.Machine{Euid: 1000, Podman: machine.PodmanFamily{Programs: map[string]string{name: f.path}}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := Podman(ctx, m, parse(t, "registry.example:5000"), nil); err == nil {
				t.Errorf("%s %s: no error", name, what)
			}
			calls := f.calls(t)
			dir := scratch.FindString(calls)
			if dir == "" {
				t.Fatalf("%s %s: no folder in %q", name, what, calls)
			}
			if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s %s: the folder is there still: %v", name, what, err)
			}
			conf, err := os.ReadFile(filepath.Join(f.dir, "conf"))
			if err != nil || strings.Count(string(conf), `"`+dir+`/state"`) != 3 || !strings.Contains(string(conf), `lock_type = "file"`) {
				t.Errorf("%s %s: containers.conf is %q, %v", name, what, conf, err)
			}
			// As a user podman leaves a process that has to be ended.
			if got := strings.Contains(calls, "--storage-driver vfs system migrate\n"); got != (name == "podman") {
				t.Errorf("%s %s: system migrate: %v", name, what, got)
			}
		}
	}
	f := newTool(t, "podman", "unauthorized", "exit 1")
	m := machine.Machine{Podman: machine.PodmanFamily{Programs: map[string]string{"podman": f.path}}}
	facts, err := Podman(t.Context(), m, parse(t, "registry.example:5000"), &change.User{})
	if err != nil || len(facts) != 1 || facts[0].Proven || facts[0].Why == "" || f.calls(t) != "" {
		t.Errorf("as another user: %+v, %v", facts, err)
	}
}

func TestSkopeoIsAskedBeforePodmanAndBuildah(t *testing.T) {
	t.Parallel()
	at := map[string]string{"skopeo": "/s", "podman": "/p", "buildah": "/b", "crio": "/c"}
	for _, want := range []string{"skopeo", "podman", "buildah", ""} {
		q, why := podmanQuestion(machine.Machine{Podman: machine.PodmanFamily{Programs: at}})
		if q.tool != want || (why == "") != (want != "") || q.path != at[want] {
			t.Errorf("%+v, %q, want %s", q, why, want)
		}
		delete(at, want)
	}
}

func TestWhatCannotBeAskedProvesNothing(t *testing.T) {
	t.Parallel()
	f := newTool(t, "ctr", "unauthorized", "exit 1")
	h := parse(t, "registry.example:5000")
	c := machine.Containerd{Socket: "/run/c.sock", CertsDir: "/etc/containerd/certs.d"}
	programs := machine.PodmanFamily{Programs: map[string]string{"skopeo": filepath.Join(f.dir, "none")}}
	for what, ask := range map[string]func() ([]Fact, error){
		"podman in a machine": func() ([]Fact, error) {
			return Podman(t.Context(), machine.Machine{Podman: machine.PodmanFamily{Machine: true, Programs: map[string]string{"podman": f.path}}}, h, nil)
		},
		"no program": func() ([]Fact, error) { return Podman(t.Context(), machine.Machine{}, h, nil) },
		"a tree": func() ([]Fact, error) {
			return Podman(t.Context(), machine.Machine{Root: f.dir, Podman: programs}, h, nil)
		},
		"a program that is gone": func() ([]Fact, error) { return Podman(t.Context(), machine.Machine{Podman: programs}, h, nil) },
		"no socket":              func() ([]Fact, error) { return containerd(t.Context(), machine.Machine{}, h, []string{f.dir}) },
		"no ctr":                 func() ([]Fact, error) { return containerd(t.Context(), machine.Machine{Containerd: c}, h, nil) },
		"not root": func() ([]Fact, error) {
			return containerd(t.Context(), machine.Machine{Euid: 1000, Containerd: c}, h, []string{f.dir})
		},
	} {
		facts, err := ask()
		if err != nil || len(facts) != 1 || facts[0].Proven || facts[0].Why == "" {
			t.Errorf("%s: %+v, %v", what, facts, err)
		}
	}
	if calls := f.calls(t); calls != "" {
		t.Errorf("it was called: %s", calls)
	}
}

func TestAProgramThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	f := newTool(t, "skopeo", "x509: it said", "exec sleep 60")
	q := question{tool: "skopeo", path: f.path}
	start := time.Now()
	p, err := q.ask(t.Context(), "registry.example", 200*time.Millisecond)
	if err != nil || p.Verdict != engine.Unreachable {
		t.Errorf("%+v, %v", p, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := q.ask(ctx, "registry.example", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended by its caller: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestOfLongOutputTheEndIsKept(t *testing.T) {
	t.Parallel()
	f := newTool(t, "skopeo", "", "head -c 3000000 /dev/zero | tr '\\0' a; printf '\\377x509: the end'")
	p, err := question{tool: "skopeo", path: f.path}.ask(t.Context(), "registry.example", time.Minute)
	if err != nil || p.Verdict != engine.NotTrusted || !strings.HasSuffix(p.Message, "aax509: the end") || len(p.Message) > maxWords {
		t.Errorf("%s: %d bytes, %.40q, %v", p.Verdict, len(p.Message), p.Message, err)
	}
	var out tail
	for _, n := range []int{1, maxOutput - 1, maxOutput, 3 * maxOutput, 7} {
		if k, err := out.Write([]byte(strings.Repeat("x", n))); k != n || err != nil {
			t.Errorf("%d of %d (%v)", k, n, err)
		}
		if got := len(out.String()); got > maxOutput {
			t.Errorf("%d bytes are kept", got)
		}
	}
}

// Under sudo the machine's home is the user's.
func TestHomeOfAnotherUserIsNotGivenToAProgramOfOurs(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if got := homeOf(machine.Machine{Euid: os.Geteuid(), Home: home}); len(got) != 1 || got[0] != "HOME="+home {
		t.Errorf("own: %q", got)
	}
	for _, h := range homeOf(machine.Machine{Euid: os.Geteuid() + 1, Home: home}) {
		if h == "HOME="+home {
			t.Errorf("of another: %q", h)
		}
	}
}

func TestTheLastLineIsShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "one": "one", "Trying...\r\nError: refused\n\n": "Error: refused", "a\n b \n": "b",
	} {
		if got := strings.TrimSpace(words(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
