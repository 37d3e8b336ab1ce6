package cmd

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// The user's process may be made to say anything: root makes what root was told
// on its own command line, and nothing else.
func TestRootMakesOnlyWhatItWasTold(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	host, err := ref.ParseHost("registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	told := trustOptions{targets: []target{{host: host}}, tools: "docker"}
	good := wish{Host: host.String(), Tools: "docker", CA: ca.PEM(), Fingerprint: pki.SHA256(ca.Certificate).String()}
	for name, spoil := range map[string]func(*trustOptions, *wish){
		"another registry":        func(_ *trustOptions, w *wish) { w.Host = "other.example.com" },
		"another tool":            func(_ *trustOptions, w *wish) { w.Tools = "docker,podman" },
		"no tool":                 func(_ *trustOptions, w *wish) { w.Tools = "" },
		"an unknown tool":         func(_ *trustOptions, w *wish) { w.Tools = "docker,rm" },
		"the system, unasked for": func(o *trustOptions, w *wish) { o.tools, w.Tools = "", "system" },
		"no fingerprint":          func(_ *trustOptions, w *wish) { w.Fingerprint = "" },
		"another fingerprint":     func(_ *trustOptions, w *wish) { w.Fingerprint = pki.SHA256(testkit.NewCA(t).Certificate).String() },
		"no certificate":          func(_ *trustOptions, w *wish) { w.CA = []byte("x") },
		"a dry run":               func(o *trustOptions, _ *wish) { o.dryRun = true },
		"a client certificate":    func(_ *trustOptions, w *wish) { w.Cert, w.Key = "/etc/hostname", "/etc/shadow" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, w := told, good
			spoil(&o, &w)
			a := &app{env: Env{Stderr: io.Discard, Getenv: func(string) string { return "" }, Now: time.Now, Euid: 1000}}
			if code := exitCode(a.fulfil(t.Context(), o, w)); code != codeUsage && code != codeUntrusted {
				t.Errorf("exit code %d, want a refusal", code)
			}
		})
	}
	if err := told.covers(trustOptions{tools: good.Tools}); err != nil {
		t.Errorf("what root was told: %v", err)
	}
}

func TestEachWishGetsAnAnswerAndNoiseGetsNone(t *testing.T) {
	t.Parallel()
	foreign, err := json.Marshal(wish{Host: "\x1b[2Jother.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"nothing": {"", ""},
		"noise":   {"}}}}", ""},
		"two":     {string(foreign) + string(foreign), "2\n2\n"},
		"endless": {`{"Host":"` + strings.Repeat("x", maxWish), ""},
	} {
		var out, errs bytes.Buffer
		a := &app{env: Env{Stderr: &errs, Getenv: func(string) string { return "" }}}
		a.serve(t.Context(), trustOptions{}, strings.NewReader(tt.in), &out)
		if out.String() != tt.want || strings.Contains(errs.String(), "\x1b") {
			t.Errorf("%s: %q, %q", name, out.String(), errs.String())
		}
	}
}

// Under sudo nothing of the user's is looked at, wherever variables point.
func TestRootLooksIntoNobodysHome(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sudo")
	}
	const nobody = 65534 // of every system that has a list of users
	a := &app{env: Env{Euid: 0, Getenv: func(name string) string {
		return map[string]string{
			"SUDO_UID": strconv.Itoa(nobody), "HOME": "/home/ann", "DOCKER_CONFIG": "/home/ann/d", "DOCKER_HOST": "unix:///home/ann/s",
		}[name]
	}}}
	if o := a.lookFor(""); o.Home != "" || o.Getenv != nil || o.DockerHost != "" || o.LookPath != nil || o.UserID != nobody {
		t.Errorf("%+v", o)
	}
	if m := a.machine(); m.Home != "" || m.Dirs.Config != "" || marksFile(m) != "" || m.Podman.UserCerts != "" || m.BuildKit.UserConfig != "" || m.Notary != "" {
		t.Errorf("%+v", m)
	}
}
