package trust_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

const (
	ownDir    = "/home/ann/.config/vicr/certs.d/"
	dockerDir = "/etc/docker/certs.d/"
)

// anchors wants no error.
func anchors(t *testing.T, m machine.Machine, h ref.Host) (*x509.CertPool, trust.Sources) {
	t.Helper()
	s := trust.Anchors(m, h)
	pool, err := s.All()
	if err != nil {
		t.Fatal(err)
	}
	return pool, s.Sources
}

func verifies(pool *x509.CertPool, leaf *testkit.Cert, name string) bool {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name})
	return err == nil
}

func TestAnchorsAreThoseOfVicrAndOfDockersFoldersForTheHost(t *testing.T) {
	t.Parallel()
	own, docker, dockerPort, other := testkit.NewCA(t), testkit.NewCA(t), testkit.NewCA(t), testkit.NewCA(t)
	fsys := files(map[string]string{
		ownDir + "registry.corp_443_/ca.crt":         string(own.PEM()),
		dockerDir + "registry.corp/any name.crt":     string(docker.PEM()),
		dockerDir + "registry.corp:443/ca.crt":       string(dockerPort.PEM()),
		dockerDir + "registry.corp:443/client.cert":  string(other.PEM()),
		dockerDir + "registry.corp:443/readme.pem":   string(other.PEM()),
		dockerDir + "registry.corp:5000/ca.crt":      string(other.PEM()),
		dockerDir + "other.corp/ca.crt":              string(other.PEM()),
		ownDir + "registry.corp_5000_/ca.crt":        string(other.PEM()),
		"/home/ann/.config/vicr/certs.d/another.crt": string(other.PEM()),
	})
	m := look(machine.Options{FS: fsys})
	for _, typed := range []string{"registry.corp", "registry.corp:443", "Registry.Corp"} {
		pool, s := anchors(t, m, host(t, typed))
		for _, ca := range []*testkit.Cert{own, docker, dockerPort} {
			if !verifies(pool, ca.NewLeaf(t, testkit.SANs("registry.corp")), "registry.corp") {
				t.Errorf("%s: a CA of the host is not trusted", typed)
			}
		}
		if verifies(pool, other.NewLeaf(t, testkit.SANs("registry.corp")), "registry.corp") {
			t.Errorf("%s: the CA of another host, or a file that is no CA's, is trusted", typed)
		}
		want := []string{ownDir + "registry.corp_443_/ca.crt", dockerDir + "registry.corp/any name.crt", dockerDir + "registry.corp:443/ca.crt"}
		if !slices.Equal(s.Files, want) || len(s.Ignored) > 0 {
			t.Errorf("%s: made of %q, ignored %q", typed, s.Files, s.Ignored)
		}
		prints := []pki.Fingerprint{pki.SHA256(own.Certificate), pki.SHA256(docker.Certificate), pki.SHA256(dockerPort.Certificate)}
		if !slices.Equal(s.Fingerprints, prints) {
			t.Errorf("%s: fingerprints %v, want %v", typed, s.Fingerprints, prints)
		}
	}
	pool, s := anchors(t, m, ref.Host{})
	if len(s.Files) > 0 || verifies(pool, other.NewLeaf(t, testkit.SANs("h")), "h") {
		t.Error("no host has anchors of its own")
	}
}

func TestAnchorsOfWindowsAndMac(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	for name, tt := range map[string]struct{ goos, path string }{
		"windows engine": {"windows", `C:\ProgramData\docker\certs.d\registry.corp5000\ca.crt`},
		"windows own":    {"windows", `C:\Users\ann\AppData\Roaming\vicr\certs.d\registry.corp_5000_\ca.crt`},
		"mac docker":     {"darwin", "/Users/ann/.docker/certs.d/registry.corp:5000/ca.crt"},
		"mac own":        {"darwin", "/Users/ann/Library/Application Support/vicr/certs.d/registry.corp_5000_/ca.crt"},
	} {
		m := look(machine.Options{GOOS: tt.goos, FS: files(map[string]string{tt.path: string(ca.PEM())})})
		if _, s := anchors(t, m, host(t, "registry.corp:5000")); !slices.Equal(s.Files, []string{tt.path}) {
			t.Errorf("%s: made of %q, want %q", name, s.Files, tt.path)
		}
	}
}

func TestFilesThatAreNoCAsAreSkippedAndNamed(t *testing.T) {
	t.Parallel()
	good, second := testkit.NewCA(t), testkit.NewCA(t)
	dir := dockerDir + "registry.corp:5000/"
	fsys := files(map[string]string{
		dir + "ca.crt":      string(testkit.Bundle(good, second)),
		dir + "twice.crt":   string(good.PEM()),
		dir + "empty.crt":   "",
		dir + "garbage.crt": "garbage",
		dir + "huge.crt":    string(good.PEM()) + strings.Repeat("\n", 1<<20),
		dir + "key.crt":     string(good.PEM()) + string(good.KeyPEM(t)),
		dir + "folder.crt/": "",
		dir + "\x1b[2J.crt": "garbage",
	})
	pool, s := anchors(t, look(machine.Options{FS: fsys}), host(t, "registry.corp:5000"))
	for _, ca := range []*testkit.Cert{good, second} {
		if !verifies(pool, ca.NewLeaf(t, testkit.SANs("h.corp")), "h.corp") {
			t.Error("a good CA suffers from its neighbours")
		}
	}
	if want := []string{dir + "ca.crt", dir + "twice.crt"}; !slices.Equal(s.Files, want) || len(s.Fingerprints) != 2 {
		t.Errorf("made of %q with %d fingerprints", s.Files, len(s.Fingerprints))
	}
	if len(s.Ignored) != 6 {
		t.Fatalf("ignored %d files: %q", len(s.Ignored), s.Ignored)
	}
	all := strings.Join(s.Ignored, "\n")
	for _, name := range []string{"empty.crt", "garbage.crt", "huge.crt", "key.crt", "folder.crt", `\x1b[2J.crt`} {
		if !strings.Contains(all, name+`": `) {
			t.Errorf("%s is not named with a reason: %s", name, all)
		}
	}
	if strings.Contains(all, "\x1b") {
		t.Error("a file name steers the terminal")
	}
}

func TestFolderWithTooManyFilesIsReadInPart(t *testing.T) {
	t.Parallel()
	ca := string(certificatePEM(t))
	content := map[string]string{}
	for i := range 150 {
		content[dockerDir+"registry.corp:5000/"+strings.Repeat("a", i+1)+".crt"] = ca
	}
	_, s := anchors(t, look(machine.Options{FS: files(content)}), host(t, "registry.corp:5000"))
	if len(s.Files) != 100 || len(s.Ignored) != 1 {
		t.Errorf("%d files read, ignored %q", len(s.Files), s.Ignored)
	}
}

func certificatePEM(t *testing.T) []byte {
	t.Helper()
	return pki.EncodePEM(certificate(t, "ca.crt"))
}

// denied refuses to open what is beneath a folder.
type denied struct {
	fstest.MapFS
	dir string
}

func (d denied) Open(name string) (fs.File, error) {
	if name == d.dir || strings.HasPrefix(name, d.dir+"/") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Open(name)
}

// ReadDir and ReadFile of the map would go around Open.
func (d denied) ReadDir(name string) ([]fs.DirEntry, error) {
	if _, err := d.Open(name); err != nil {
		return nil, err
	}
	return d.MapFS.ReadDir(name)
}

func (d denied) ReadFile(name string) ([]byte, error) {
	if _, err := d.Open(name); err != nil {
		return nil, err
	}
	return d.MapFS.ReadFile(name)
}

func TestFolderThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	fsys := denied{files(map[string]string{dockerDir + "registry.corp:5000/ca.crt": "x"}), "etc/docker/certs.d/registry.corp:5000"}
	m := look(machine.Options{FS: fsys})
	if _, s := anchors(t, m, host(t, "registry.corp:5000")); len(s.Files) != 0 || len(s.Ignored) != 1 {
		t.Errorf("made of %q, ignored %q", s.Files, s.Ignored)
	}
	p := plan(t, m, trust.Request{Host: host(t, "registry.corp:5000"), Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}})
	if len(p.Machine) != 1 || len(p.Replaces) != 0 || len(p.Notes) != 2 {
		t.Errorf("planned %v, notes %v, replaces %v", p.Machine, p.Notes, p.Replaces)
	}
	if r, err := trust.RecordedAnchor(m, host(t, "registry.corp:5000")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("recorded %+v, %v", r, err)
	}
}

func TestSystemPoolHoldsNothingOfOurs(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	m := look(machine.Options{FS: files(map[string]string{ownDir + "registry.corp_443_/ca.crt": string(ca.PEM())})})
	pool, _ := anchors(t, m, host(t, "registry.corp"))
	leaf := ca.NewLeaf(t, testkit.SANs("registry.corp"))
	system, err := trust.System()
	if err != nil {
		t.Fatal(err)
	}
	if !verifies(pool, leaf, "registry.corp") || verifies(system, leaf, "registry.corp") {
		t.Error("an anchor of one host is trusted for all, or nowhere")
	}
}

func TestWhatIsPlannedIsTrustedOnceWritten(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	single := testkit.NewSelfSigned(t, testkit.SANs("127.0.0.1"))
	for name, tt := range map[string]struct {
		anchor pki.Anchor
		server tls.Certificate
	}{
		"a CA":   {pki.Anchor{Cert: ca.Certificate}, ca.NewLeaf(t, testkit.SANs("127.0.0.1")).TLS()},
		"a leaf": {pki.Anchor{Cert: single.Certificate, Leaf: true}, single.TLS()},
	} {
		for _, tool := range []trust.Tool{trust.ToolVicr, trust.ToolDocker} {
			t.Run(name+" for "+string(tool), func(t *testing.T) {
				t.Parallel()
				l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{tt.server}, MinVersion: tls.VersionTLS12})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close() //nolint:errcheck // the listener of a test
				h := host(t, l.Addr().String())
				p := plan(t, look(machine.Options{}), trust.Request{Host: h, Anchor: tt.anchor, Tools: []trust.Tool{tool}})
				written := files(nil)
				for _, s := range append(p.User, p.Machine...) {
					written[machine.Name(s.Path)] = &fstest.MapFile{Data: s.Data, Mode: s.Mode}
				}
				before, _ := anchors(t, look(machine.Options{}), h)
				after, _ := anchors(t, look(machine.Options{FS: written}), h)
				if err := shake(t, l, before); err == nil {
					t.Error("trusted before the plan was applied")
				}
				if err := shake(t, l, after); err != nil {
					t.Errorf("not trusted after: %v", err)
				}
			})
		}
	}
}

// shake makes one TLS handshake with l.
func shake(t *testing.T, l net.Listener, roots *x509.CertPool) error {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close() //nolint:errcheck // the connection of a test
		_ = c.(*tls.Conn).HandshakeContext(t.Context())
	}()
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		err = c.Close()
	}
	<-done
	return err
}

func TestRecordedAnchorIsVicrsElseDockers(t *testing.T) {
	t.Parallel()
	one, two, docker := testkit.NewCA(t), testkit.NewCA(t), testkit.NewCA(t)
	m := look(machine.Options{FS: files(map[string]string{
		ownDir + "registry.corp_443_/ca.crt":   string(testkit.Bundle(one, two)),
		dockerDir + "registry.corp:443/ca.crt": string(docker.PEM()),
		dockerDir + "only.corp:443/ca.crt":     string(docker.PEM()),
		ownDir + "broken.corp_443_/ca.crt":     "garbage",
	})})
	var bad *pki.BundleError
	r, err := trust.RecordedAnchor(m, host(t, "registry.corp"))
	if err != nil || r.Tool != trust.ToolVicr || !r.Holds(two.Certificate) || r.Holds(docker.Certificate) {
		t.Errorf("recorded anchor of vicr's is %+v, %v", r, err)
	}
	r, err = trust.RecordedAnchor(m, host(t, "only.corp"))
	if err != nil || r.Tool != trust.ToolDocker || !r.Holds(docker.Certificate) {
		t.Errorf("recorded anchor of Docker's is %+v, %v", r, err)
	}
	if r, err := trust.RecordedAnchor(m, host(t, "new.corp")); err != nil || !r.IsZero() {
		t.Errorf("a new host has the anchor %+v, %v", r, err)
	}
	if _, err := trust.RecordedAnchor(m, host(t, "broken.corp")); !errors.As(err, &bad) {
		t.Errorf("a broken record gives %v", err)
	}
}

func TestTreeHasDockersAnchorsAlone(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	root := t.TempDir()
	if runtime.GOOS == "windows" {
		t.Skip("a file name of Linux has a colon")
	}
	for _, path := range []string{dockerDir + "registry.corp:5000/ca.crt", ownDir + "registry.corp_5000_/ca.crt"} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := machine.Look(machine.Options{GOOS: "linux", Home: "/home/ann", Root: root})
	if _, s := anchors(t, m, host(t, "registry.corp:5000")); !slices.Equal(s.Files, []string{dockerDir + "registry.corp:5000/ca.crt"}) {
		t.Errorf("made of %q", s.Files)
	}
}

func TestMachinePathsAreThosePlanned(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"registry.corp", "registry.corp:5000", "[2001:db8::2]:443"} {
		m, h := look(machine.Options{}), host(t, typed)
		p := plan(t, m, trust.Request{Host: h, Anchor: pki.Anchor{Cert: certificate(t, "ca.crt")}})
		got := trust.MachinePaths(m, h)
		for _, path := range paths(p.Machine) {
			if !slices.Contains(got, path) {
				t.Errorf("%s: %q is planned and not among %q", typed, path, got)
			}
		}
		for _, path := range got {
			if strings.HasPrefix(path, "/home/") || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".yaml") {
				t.Errorf("%s: %q is the user's, or not of this registry alone", typed, path)
			}
		}
	}
	if got := trust.MachinePaths(look(machine.Options{}), ref.Host{}); got != nil {
		t.Errorf("no host has %q", got)
	}
	for goos, home := range map[string]string{"darwin": "/Users", "windows": `C:\Users`} {
		for _, path := range trust.MachinePaths(look(machine.Options{GOOS: goos}), host(t, "registry.corp")) {
			if strings.HasPrefix(path, home) {
				t.Errorf("%s has %q", goos, path)
			}
		}
	}
}

func TestInMachineSaysWhetherRootHasSomethingToTakeBack(t *testing.T) {
	t.Parallel()
	const journal, ca = "/var/lib/vicr/", dockerDir + "registry.corp:443/ca.crt"
	for name, tt := range map[string]struct {
		content map[string]string
		want    bool
	}{
		"journal and file": {map[string]string{journal: "", ca: "x"}, true},
		"insecure":         {map[string]string{journal: "", "/etc/docker/daemon.json": `{"insecure-registries":["registry.corp"]}`}, true},
		"insecure another": {map[string]string{journal: "", "/etc/docker/daemon.json": `{"insecure-registries":["my.registry.corp","registry.corp:5000"]}`}, false},
		"insecure by flag": {map[string]string{journal: "", "/etc/default/docker": `DOCKER_OPTS="--insecure-registry registry.corp:443"`}, true},
		"drop-in":          {map[string]string{journal: "", "/etc/containers/registries.conf.d/50-vicr-registry.corp_443_.conf": "x"}, true},
		"k3s":              {map[string]string{journal: "", "/etc/rancher/k3s/vicr-registry.corp_443_.crt": "x"}, true},
		"no journal":       {map[string]string{ca: "x"}, false},
		"no file":          {map[string]string{journal: ""}, false},
		"another host":     {map[string]string{journal: "", dockerDir + "other.corp/ca.crt": "x"}, false},
		"another file":     {map[string]string{journal: "", dockerDir + "registry.corp/other.crt": "x"}, false},
	} {
		if got := trust.InMachine(look(machine.Options{FS: files(tt.content)}), host(t, "registry.corp")); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
