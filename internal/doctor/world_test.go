package doctor_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files")

const canary = "pa55-canary-word"

// A world is a registry on loopback and a machine that looks at it.
type world struct {
	host  string
	front *testkit.Front
	ca    *testkit.Cert
	users []sandbox.User
	fsys  fstest.MapFS
	o     doctor.Options
}

// newWorld serves a sandbox with a certificate of the test's own.
func newWorld(t *testing.T, opts ...testkit.CertOption) *world {
	t.Helper()
	w := &world{ca: testkit.NewCA(t)}
	if len(opts) == 0 {
		opts = []testkit.CertOption{testkit.SANs("127.0.0.1")}
	}
	leaf := w.ca.NewLeaf(t, opts...)
	w.serve(t, leaf.TLS(w.ca))
	return w
}

func newPlainWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	w.serve(t)
	return w
}

func (w *world) serve(t *testing.T, cert ...tls.Certificate) {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Options{PlainHTTP: len(cert) == 0})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	w.users = box.Users()
	w.front = testkit.NewFront(t, box.Handler())
	w.host = w.front.Serve(t, cert...).Listener.Addr().String()
	w.fsys = fstest.MapFS{"home/ann": &fstest.MapFile{Mode: os.ModeDir | 0o700}}
	w.o = options(t, w.fsys)
}

// options are those of a user ann who has logged in nowhere.
func options(t *testing.T, fsys fstest.MapFS) doctor.Options {
	t.Helper()
	return doctor.Options{
		Machine: machine.Machine{
			GOOS: "linux", Euid: 1000, Home: "/home/ann", FS: fsys,
			Dirs: machine.DirsOf(machine.Options{GOOS: "linux", Home: "/home/ann"}),
		},
		Credentials: auth.OpenStore(auth.Options{Dir: t.TempDir()}),
		Free:        func(string) (uint64, error) { return 100 << 30, nil },
	}
}

// trusting installs the world's CA for vicr itself.
func (w *world) trusting() *world { return w.install("ca.crt", w.ca) }

// install lays a CA into vicr's folder for the host.
func (w *world) install(name string, ca *testkit.Cert) *world {
	h, _ := ref.ParseHost(w.host)
	w.fsys["home/ann/.config/vicr/certs.d/"+h.Folder()+"/"+name] = &fstest.MapFile{Data: ca.PEM(), Mode: 0o644}
	return w
}

// as logs a user in, into a docker folder of its own.
func (w *world) as(t *testing.T, user, password string) *world {
	t.Helper()
	h, err := ref.ParseHost(w.host)
	if err != nil {
		t.Fatal(err)
	}
	s := auth.OpenStore(auth.Options{Dir: t.TempDir()})
	if _, err := s.Put(t.Context(), h, auth.Credentials{Username: user, Password: password}); err != nil {
		t.Fatal(err)
	}
	w.o.Credentials = s
	return w
}

func (w *world) password(user string) string {
	for _, u := range w.users {
		if u.Name == user {
			return u.Password
		}
	}
	return ""
}

// engine gives the machine a docker engine that says message to every pull.
func (w *world) engine(t *testing.T, info map[string]any, message string) *world {
	t.Helper()
	socket := testkit.EngineInfo(t, func() map[string]any { return info }, message, nil)
	w.o.Machine.Docker = machine.Docker{
		Found: true, Evidence: "socket", CertsDir: "/etc/docker/certs.d", ConfigFile: "/etc/docker/daemon.json", Socket: socket,
	}
	return w
}

func (w *world) run(t *testing.T, path string) doctor.Report {
	t.Helper()
	target, err := doctor.ParseTarget(w.host + path)
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Run(t.Context(), target, w.o)
}

func check(t *testing.T, r doctor.Report, name string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s", name)
	return doctor.Check{}
}

// text is a report as it is compared: what differs from run to run is named.
func text(w *world, r doctor.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		b.WriteString(string(c.Verdict) + " " + c.Name + ": " + c.Seen + "\n")
		for _, l := range c.Remedy {
			b.WriteString("    " + l + "\n")
		}
	}
	s := b.String()
	_, port, _ := net.SplitHostPort(w.host)
	for _, r := range []struct{ pattern, with string }{
		{regexp.QuoteMeta(w.host), "HOST"},
		{`127\.0\.0\.1_` + port + `_`, "FOLDER"},
		{`\b` + port + `\b`, "PORT"},
		{`([0-9A-F]{2}:){31}[0-9A-F]{2}`, "FINGERPRINT"},
		{`\b[0-9a-f]{64}\b`, "FINGERPRINT"},
		{`\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?`, "DATE"},
		{`\b\d{3,4} days`, "N days"},
		{`vicr-proof-\w+/\w+:\w+`, "NO-IMAGE"},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.with)
	}
	return s
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s (%v)\n--- got\n%s--- want\n%s", path, err, got, want)
	}
}

// safe holds a report against what must never be in one.
func safe(t *testing.T, r doctor.Report, secrets ...string) {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(secrets, canary) {
		if s != "" && strings.Contains(string(data), s) {
			t.Errorf("the report has a secret in it: %s", data)
		}
	}
	for _, c := range r.Checks {
		for _, s := range append([]string{c.Seen}, c.Remedy...) {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x9b || r == 0x202e }) {
				t.Errorf("%s steers the terminal: %q", c.Name, s)
			}
		}
		if bad := c.Verdict == doctor.Warn || c.Verdict == doctor.Fail; bad != (len(c.Remedy) > 0) {
			t.Errorf("%s is %s and has the remedy %q", c.Name, c.Verdict, c.Remedy)
		}
		if c.Remedy == nil || c.Seen == "" {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
}

// passwords is how many requests had one in them.
func (w *world) passwords() int {
	return len(w.front.Seen(func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") }))
}

// A names is a resolver of one answer.
type names struct {
	addrs []netip.Addr
	err   error
	hang  bool
}

func (n names) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	if n.hang {
		<-ctx.Done()
		return nil, &net.DNSError{Err: ctx.Err().Error(), IsTimeout: true}
	}
	return n.addrs, n.err
}

func hanging(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

const quick = 300 * time.Millisecond
