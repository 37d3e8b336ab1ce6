package cmd

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/json"
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
	ca, evil := testkit.NewCA(t), testkit.NewCA(t)
	leaf := ca.NewLeaf(t, testkit.SANs("registry.example.com"))
	host, err := ref.ParseHost("registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	pair := &clientFiles{Cert: leaf.PEM(), Key: leaf.KeyPEM(t)}
	flag := func(c *x509.Certificate) pki.Fingerprint { return pki.SHA256(c) }
	for name, tt := range map[string]struct {
		told   trustOptions
		asked  wish
		at     bool   // a terminal
		refuse string // "" if root makes it, as far as its rights go
	}{
		"what it was told":              {told: trustOptions{tools: "docker", fingerprint: flag(ca.Certificate)}},
		"the leaf's fingerprint":        {told: trustOptions{fingerprint: flag(leaf.Certificate)}, asked: wish{Chain: leaf.PEM()}},
		"a yes at the terminal":         {told: trustOptions{}, asked: wish{How: howAsked}, at: true},
		"whatever comes":                {told: trustOptions{acceptNew: true}, asked: wish{How: howAcceptNew}},
		"another registry":              {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{Host: "other.example.com"}, refuse: "another registry"},
		"another tool":                  {told: trustOptions{tools: "podman", fingerprint: flag(ca.Certificate)}, refuse: "other tools"},
		"no tool":                       {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{Tools: " "}, refuse: "no tools"},
		"an unknown tool":               {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{Tools: "docker,rm"}, refuse: "no tools"},
		"the system, unasked for":       {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{Tools: "system"}, refuse: "other tools"},
		"another CA":                    {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{CA: evil.PEM()}, refuse: "fingerprint"},
		"another CA, under that leaf":   {told: trustOptions{fingerprint: flag(leaf.Certificate)}, asked: wish{CA: evil.PEM(), Chain: leaf.PEM()}, refuse: "certificate"},
		"no certificate":                {told: trustOptions{acceptNew: true}, asked: wish{CA: []byte("x")}, refuse: "certificate"},
		"a dry run":                     {told: trustOptions{fingerprint: flag(ca.Certificate), dryRun: true}, refuse: "dry run"},
		"a client certificate":          {told: trustOptions{fingerprint: flag(ca.Certificate)}, asked: wish{Client: pair}, refuse: "client certificate"},
		"none, though it was told":      {told: trustOptions{fingerprint: flag(ca.Certificate), clientCert: "c", clientKey: "k"}, refuse: "client certificate"},
		"a yes where nobody was asked":  {told: trustOptions{}, asked: wish{How: howAsked}, refuse: "nobody was asked"},
		"a yes that was not the user's": {told: trustOptions{}, asked: wish{How: howFingerprint}, at: true, refuse: "nobody was asked"},
		"insecure without a yes":        {told: trustOptions{insecure: true}, refuse: "nobody was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, w := tt.told, tt.asked
			o.targets = []target{{host: host}}
			w.Host, w.Tools = cmp.Or(w.Host, host.String()), cmp.Or(w.Tools, "docker")
			if w.CA == nil {
				w.CA = ca.PEM()
			}
			var errs, done bytes.Buffer
			a := &app{env: Env{Stderr: &errs, Getenv: func(string) string { return "" }, Now: time.Now, Euid: 1000, Terminal: tt.at}}
			in, err := json.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			a.serve(t.Context(), o, bytes.NewReader(in), &done)
			if tt.refuse == "" { // this process is not root, so that it gets no further than being asked for it
				if !strings.Contains(errs.String(), "the part that needs root was not done") {
					t.Errorf("%s", errs.String())
				}
				return
			}
			if !strings.Contains(errs.String(), tt.refuse) || strings.Contains(errs.String(), "needs root") {
				t.Errorf("want a refusal with %q: %s", tt.refuse, errs.String())
			}
		})
	}
}

// With --accept-new alone root replaces no CA, whatever the user's part says.
func TestRootThatAcceptsWhatComesReplacesNothing(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	a := &app{env: Env{Getenv: func(string) string { return "" }}}
	var half trustOptions
	if err := a.agreed(trustOptions{acceptNew: true}, wish{CA: ca.PEM(), How: howFingerprint}, &half); err != nil {
		t.Fatal(err)
	}
	if !half.keep || half.how != howAcceptNew || half.fingerprint != pki.SHA256(ca.Certificate) {
		t.Errorf("%+v", half)
	}
}

// Whatever root was started to do, it does once.
func TestRootMakesEachTargetOnce(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	host, err := ref.ParseHost("registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(wish{Host: host.String(), Tools: "docker", CA: ca.PEM()})
	if err != nil {
		t.Fatal(err)
	}
	var errs, done bytes.Buffer
	a := &app{env: Env{Stderr: &errs, Getenv: func(string) string { return "" }, Now: time.Now, Euid: 1000}}
	o := trustOptions{targets: []target{{host: host}}, fingerprint: pki.SHA256(ca.Certificate)}
	a.serve(t.Context(), o, bytes.NewReader(append(in, in...)), &done)
	if got := done.String(); !strings.HasSuffix(got, "\n2\n") || !strings.Contains(errs.String(), "twice for one") {
		t.Errorf("%q: %s", got, errs.String())
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
	if m := a.machine(); m.Home != "" || m.Dirs.Config != "" || marksFile(m.Dirs) != "" || m.Podman.UserCerts != "" || m.BuildKit.UserConfig != "" || m.Notary != "" {
		t.Errorf("%+v", m)
	}
}
