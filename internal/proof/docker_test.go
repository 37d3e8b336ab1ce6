package proof_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	noCredentials = "no basic auth credentials"
	unknownCA     = "x509: certificate signed by unknown authority"
)

func TestAFaultOfTheTokenRequestIsSaid(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{
		unknownCA: false,
		`failed to authorize: failed to fetch anonymous token: Get "https://192.0.2.2:5447/token": tls: failed to verify certificate: ` + unknownCA: true,
	} {
		_, err := proof.Docker(t.Context(), proof.Target{Socket: testkit.EngineSaying(t, message, nil)}, host(t, "registry.example:5000"))
		e, ok := errors.AsType[*proof.Error](err)
		if !ok || e.TokenFault != want || strings.Contains(err.Error(), "token server") != want {
			t.Errorf("%q: %v", message, err)
		}
	}
}

// slow is an engine that takes its list over after a few looks.
func slow(before, after []string) func() map[string]any {
	var looks atomic.Int32
	return func() map[string]any {
		if looks.Add(1) < 4 {
			return testkit.Insecure(before...)
		}
		return testkit.Insecure(after...)
	}
}

func TestDockerInsecureWaitsForTheEnginesList(t *testing.T) {
	t.Parallel()
	const h = "registry.example:5000"
	for what, tt := range map[string]struct {
		hosts         []string
		before, after []string
		says          string
		want          bool
		proven        []bool
		refused       bool
		asked         int
	}{
		"added":                         {hosts: []string{h}, after: []string{h}, says: noCredentials, want: true, proven: []bool{true}, asked: 1},
		"added, words of the fall-back": {hosts: []string{h}, after: []string{h}, says: "read tcp 192.0.2.1:1->192.0.2.2:2: read: connection reset by peer", want: true, proven: []bool{true}, asked: 1},
		"added, not reached":            {hosts: []string{h}, after: []string{h}, says: "dial tcp: no route to host", want: true, proven: []bool{false}, asked: 1},
		"added, cannot be asked for":    {hosts: []string{"[2001:db8::2]:5000"}, after: []string{"[2001:db8::2]:5000"}, says: "invalid reference format", want: true, proven: []bool{false}, asked: 1},
		"added, still refused":          {hosts: []string{h}, after: []string{h}, says: unknownCA, want: true, refused: true, asked: 1},
		"two names":                     {hosts: []string{"registry.example", "registry.example:443"}, after: []string{"registry.example", "registry.example:443"}, says: noCredentials, want: true, proven: []bool{true, true}, asked: 2},
		"a network":                     {hosts: []string{"192.0.2.7/24"}, after: []string{"192.0.2.0/24"}, want: true, proven: []bool{true}},
		"removed":                       {hosts: []string{h, "10.0.0.0/8"}, before: []string{h, "10.0.0.0/8"}, after: []string{"other:1"}},
		"what no engine removes":        {hosts: []string{"127.0.0.0/8", "::1/128"}, before: []string{"::1/128"}, after: []string{"::1/128"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			asked := 0
			socket := testkit.EngineInfo(t, slow(tt.before, tt.after), tt.says, func(string) { asked++ })
			facts, err := proof.DockerInsecure(t.Context(), socket, tt.hosts, tt.want)
			if e, ok := errors.AsType[*proof.Error](err); ok != tt.refused || ok && e.Stale || !ok && err != nil {
				t.Fatal(err)
			}
			if len(facts) != len(tt.proven) || asked != tt.asked {
				t.Fatalf("%+v, asked %d times", facts, asked)
			}
			for i, f := range facts {
				if f.Proven != tt.proven[i] || f.Host != tt.hosts[i] {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// The three at once, as each takes all of its 5 s.
func TestAnEngineThatStaysAsItIs(t *testing.T) {
	t.Parallel()
	const h = "registry.example:5000"
	config := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(config, []byte(`{"insecure-registries": ["-a:1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	engine := func(list ...string) string {
		return testkit.EngineInfo(t, func() map[string]any { return testkit.Insecure(list...) }, noCredentials, nil)
	}
	without, with := engine(), engine(h)
	m := machine.Machine{Docker: machine.Docker{Socket: with, ConfigFile: config, Daemon: machine.Daemon{PIDFile: "/run/docker.pid"}}}
	var all sync.WaitGroup
	for words, ask := range map[string]func(context.Context) error{
		`"registry.example:5000" is not in its list`: func(ctx context.Context) error {
			_, err := proof.DockerInsecure(ctx, without, []string{h}, true)
			return err
		},
		`"registry.example:5000" is still in its list`: func(ctx context.Context) error {
			_, err := proof.DockerInsecure(ctx, with, []string{h}, false)
			return err
		},
		`is ["registry.example:5000"], not ["-a:1"]`: func(ctx context.Context) error {
			return proof.Settled(ctx, m, change.Reload{PIDFile: "/run/docker.pid"})
		},
	} {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ended early: %v", err)
			}
			start := time.Now()
			err := ask(t.Context())
			if e, ok := errors.AsType[*proof.Error](err); !ok || !e.Stale || !strings.Contains(e.Message, words) {
				t.Errorf("%v, want %s", err, words)
			}
			if took := time.Since(start); took < 4*time.Second || took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	all.Wait()
}

func TestDockerInsecureWithoutAnEngine(t *testing.T) {
	t.Parallel()
	for _, socket := range []string{"", filepath.Join(t.TempDir(), "none.sock")} {
		facts, err := proof.DockerInsecure(t.Context(), socket, []string{"registry.example"}, true)
		if err != nil || len(facts) != 1 || facts[0].Proven {
			t.Errorf("%q: %+v, %v", socket, facts, err)
		}
	}
}

func TestSettledWaitsForWhatTheFileSays(t *testing.T) {
	t.Parallel()
	const pidFile = "/run/docker.pid"
	for what, tt := range map[string]struct {
		file          string // "-": none
		before, after []string
		fails         bool
		untold        bool // the engine need not be asked
	}{
		"added":               {file: `{"insecure-registries": ["a:1"]}`, after: []string{"a:1"}},
		"taken away":          {file: `{"insecure-registries": []}`, before: []string{"a:1"}},
		"written otherwise":   {file: `{"insecure-registries": ["http://a:1", "HTTPS://b", "10.1.2.3/8", "a:1", "127.0.0.0/8"]}`, after: []string{"b", "10.0.0.0/8", "a:1"}},
		"an engine since 28":  {file: `{"insecure-registries": ["a:1"]}`, before: []string{"::1/128"}, after: []string{"a:1", "::1/128"}},
		"one before that":     {file: `{"insecure-registries": ["a:1", "::1/128"]}`, after: []string{"a:1"}},
		"the key is not here": {file: `{}`, before: []string{"a:1"}, after: []string{"a:1"}, untold: true},
		"no file":             {file: "-", before: []string{"a:1"}, after: []string{"a:1"}, untold: true},
		"broken":              {file: `{`, fails: true, untold: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			config := filepath.Join(t.TempDir(), "daemon.json")
			if tt.file != "-" {
				if err := os.WriteFile(config, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			looks, next := 0, slow(tt.before, tt.after)
			socket := testkit.EngineInfo(t, func() map[string]any { looks++; return next() }, "", nil)
			rootful := machine.Machine{Docker: machine.Docker{Socket: socket, Daemon: machine.Daemon{PIDFile: pidFile, ConfigFile: config}}}
			rootless := machine.Machine{Docker: machine.Docker{Variants: []machine.Variant{
				{Kind: machine.Snap}, {Kind: machine.Rootless, Socket: socket, ConfigFile: config, Daemon: machine.Daemon{PIDFile: pidFile}},
			}}}
			for _, m := range []machine.Machine{rootful, rootless} {
				err := proof.Settled(t.Context(), m, change.Reload{PIDFile: pidFile})
				if (err != nil) != tt.fails || (looks == 0) != tt.untold {
					t.Errorf("%v, after %d looks", err, looks)
				}
			}
			looks = 0
			for _, r := range []change.Reload{{}, {PIDFile: "/run/crio.pid"}} {
				if err := proof.Settled(t.Context(), rootful, r); err != nil || looks != 0 {
					t.Errorf("another program: %v, %d looks", err, looks)
				}
			}
		})
	}
}

func TestSettledWithoutAnEngineIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, pid := filepath.Join(dir, "daemon.json"), filepath.Join(dir, "docker.pid")
	if err := os.WriteFile(config, []byte(`{"insecure-registries": ["a:1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead.sock") // what a killed engine leaves
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, socket := range []string{"", filepath.Join(dir, "none.sock"), dead} {
		for _, number := range []string{"", "x", "4194305\n"} { // more than Linux gives out
			if err := os.WriteFile(pid, []byte(number), 0o600); err != nil {
				t.Fatal(err)
			}
			m := machine.Machine{Docker: machine.Docker{Socket: socket, Daemon: machine.Daemon{PIDFile: pid, ConfigFile: config}}}
			start := time.Now()
			if err := proof.Settled(t.Context(), m, change.Reload{PIDFile: pid}); err != nil || time.Since(start) > 4*time.Second {
				t.Errorf("socket %q, number %q: %v after %s", socket, number, err, time.Since(start))
			}
		}
	}
}

// One that runs and does not answer yet is waited for.
func TestSettledWaitsForAnEngineThatRuns(t *testing.T) {
	t.Parallel()
	dead := filepath.Join(t.TempDir(), "dead.sock")
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		more  fstest.MapFS
		waits bool
	}{
		"it runs":                 {fstest.MapFS{"run/docker.pid": {Data: []byte("77\n")}, "proc/77": {Mode: fs.ModeDir}}, true},
		"it does not":             {fstest.MapFS{"run/docker.pid": {Data: []byte("77\n")}}, false},
		"nothing says its number": {fstest.MapFS{"proc/77": {Mode: fs.ModeDir}}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tt.more["etc/docker/daemon.json"] = &fstest.MapFile{Data: []byte(`{"insecure-registries": ["a:1"]}`)}
			m := machine.Machine{FS: tt.more, Docker: machine.Docker{
				Socket: dead, Daemon: machine.Daemon{PIDFile: "/run/docker.pid", ConfigFile: "/etc/docker/daemon.json"},
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := proof.Settled(ctx, m, change.Reload{PIDFile: "/run/docker.pid"}); errors.Is(err, context.DeadlineExceeded) != tt.waits || !tt.waits && err != nil {
				t.Errorf("%v, want a wait: %t", err, tt.waits)
			}
		})
	}
}
