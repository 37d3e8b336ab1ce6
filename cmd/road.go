package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpproxy"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// tlsFlags say, for one run, how a registry's identity is judged.
type tlsFlags struct {
	caFile     string
	skipVerify bool
	plainHTTP  bool
}

func (t *tlsFlags) register(s *pflag.FlagSet) { t.registerAs(s, "", "the registry") }

// registerAs is register with something before the names of the flags.
func (t *tlsFlags) registerAs(s *pflag.FlagSet, prefix, registry string) {
	s.StringVar(&t.caFile, prefix+"ca-file", "", "trust the CAs in this `file` for "+registry+", and no others")
	s.BoolVar(&t.skipVerify, prefix+"insecure-skip-verify", false, "do not verify who "+registry+" is")
	s.BoolVar(&t.plainHTTP, prefix+"plain-http", false, "speak plain HTTP to "+registry)
}

func (t tlsFlags) check() error {
	if t.plainHTTP && (t.skipVerify || t.caFile != "") {
		return usagef("--plain-http leaves nothing to verify: use it without --insecure-skip-verify and --ca-file")
	}
	return nil
}

// road is the way to one registry: the verified transport with the user's
// credentials on it.
type road struct {
	host   ref.Host
	base   *url.URL
	wire   *wire.Transport
	auth   *auth.Transport
	policy auth.Policy

	anonymous bool   // nobody is logged in
	user      string // who is, where that is known
}

// road opens the way to h with the credentials that the user keeps.
func (a *app) road(ctx context.Context, h ref.Host, t tlsFlags) (*road, error) {
	creds, _, err := a.credentials().Get(ctx, h)
	if err != nil {
		return nil, err
	}
	return a.roadWith(h, t, creds, nil)
}

// roadWith opens the way to h with credentials that may not be kept yet.
// change adjusts what the user marked for this host; it may be nil.
func (a *app) roadWith(h ref.Host, t tlsFlags, creds auth.Credentials, change func(*auth.Mark)) (*road, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	m := machine.LookForCerts(a.lookFor(""))
	c, err := a.trusting(m, h, t.caFile)
	if err != nil {
		return nil, err
	}
	marks, err := auth.LoadMarks(marksFile(m.Dirs))
	if err != nil {
		return nil, err
	}
	mark := marks.Of(h)
	if change != nil {
		change(&mark)
	}
	c, err = a.withClientCert(m, h, c)
	if err != nil {
		return nil, err
	}
	c.PlainHTTP, c.InsecureSkipVerify = t.plainHTTP, t.skipVerify
	policy := auth.Policy{Realm: mark.Realm, AllowClear: mark.Clear, Unverified: t.skipVerify}
	c.Realms = policy.Origins(h)
	w := wire.New(c)
	if mark.Clear && (t.plainHTTP || t.skipVerify) && !creds.IsZero() {
		a.warn("the password for %s travels where others can read it", h)
	}
	return &road{
		host: h, base: w.Base(), wire: w, auth: auth.NewTransport(w, w.Base(), creds, policy), policy: policy, anonymous: creds.IsZero(), user: creds.Username,
	}, nil
}

// trusting is the way to h by the anchors of --ca-file alone, or by those that
// this machine has for it.
func (a *app) trusting(m machine.Machine, h ref.Host, caFile string) (wire.Config, error) {
	if caFile == "" {
		anchors := trust.Anchors(m, h)
		for _, ignored := range anchors.Ignored {
			a.warn("ignored: %s", ignored)
		}
		return a.anchored(h, anchors), nil
	}
	certs, err := a.readBundle(caFile)
	if err != nil {
		return wire.Config{}, err
	}
	c := a.wireConfig(h)
	c.Roots = x509.NewCertPool()
	for _, cert := range certs {
		c.Roots.AddCert(cert)
	}
	return c, nil
}

// anchored is the way to h by anchors. The system's are read only if h's own do
// not do: that takes longer than all else before the first byte.
func (a *app) anchored(h ref.Host, anchors trust.Roots) wire.Config {
	c := a.wireConfig(h)
	if c.Roots = anchors.Own(); c.Roots != nil {
		c.AllRoots = anchors.All
	}
	return c
}

// trustedWire is the way to h by what this machine trusts, without credentials.
func (a *app) trustedWire(m machine.Machine, h ref.Host) (wire.Config, error) {
	return a.withClientCert(m, h, a.anchored(h, trust.Anchors(m, h)))
}

// withClientCert adds the client certificate that was installed for h, if any.
func (a *app) withClientCert(m machine.Machine, h ref.Host, c wire.Config) (wire.Config, error) {
	pair, found, err := trust.ClientPair(m, h)
	if err != nil {
		a.warn("ignored: %s", err)
		return c, nil
	}
	if !found {
		return c, nil
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return c, fmt.Errorf("the client certificate for %s cannot be used", h)
	}
	c.ClientCert = &cert
	return c, nil
}

// readSmall reads a file that the user named for a flag, or standard input for "-".
func (a *app) readSmall(flag, name string) ([]byte, error) {
	const limit = 1 << 20 // bytes; a bundle of all public CAs has a quarter of that
	r := a.env.Stdin
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the user names the file
		if err != nil {
			return nil, usagef("%s: %s", flag, plainPath(err))
		}
		defer f.Close() //nolint:errcheck // only read
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, usagef("%s: %s", flag, plainPath(err))
	}
	if len(data) > limit {
		return nil, usagef("%s: %s is larger than 1 MiB", flag, name)
	}
	return data, nil
}

// readBundle reads certificates from a file, or from standard input for "-".
func (a *app) readBundle(name string) ([]*x509.Certificate, error) {
	data, err := a.readSmall("--ca-file", name)
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseBundle(data)
	if err != nil {
		return nil, fmt.Errorf("--ca-file %s: %w", name, err)
	}
	return certs, nil
}

// plainPath drops the name of the system call from an error about a file.
func plainPath(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

func (a *app) wireConfig(h ref.Host) wire.Config {
	c := wire.Config{
		Host:      h,
		UserAgent: wire.UserAgent(version),
		Proxy:     a.proxy(),
		Silence:   a.flags.timeout,
	}
	c.Waiting = func(w wire.Wait) {
		a.note("%s answered status %d and is asked again in %s", w.Host, w.Status, w.For.Round(100*time.Millisecond))
	}
	if a.flags.debug {
		c.Trace = func(x wire.Exchange) {
			a.say("vicr: debug: %s %s %d %s", x.Method, x.URL, x.Status, x.Duration.Round(time.Millisecond))
		}
	}
	return c
}

func (a *app) proxy() func(*http.Request) (*url.URL, error) {
	get := func(name string) string {
		if v := a.env.Getenv(name); v != "" {
			return v
		}
		return a.env.Getenv(strings.ToLower(name))
	}
	c := httpproxy.Config{HTTPProxy: get("HTTP_PROXY"), HTTPSProxy: get("HTTPS_PROXY"), NoProxy: get("NO_PROXY")}
	p := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return p(r.URL) }
}

// machine is what is here, but for what systemd says of it.
func (a *app) machine() machine.Machine { return machine.Look(a.lookFor("")) }

// dirs are vicr's own folders. Nothing is looked at to know them.
func (a *app) dirs() machine.Dirs { o, _ := a.lookOptions(""); return machine.DirsOf(o) }

// wholeMachine also asks systemd how services are started.
func (a *app) wholeMachine(root string) machine.Machine {
	o := a.lookFor(root)
	if root == "" && runtime.GOOS == "linux" {
		o.Show = showUnit
	}
	return machine.Look(o)
}

func (a *app) lookFor(root string) machine.Options {
	o, sudo := a.lookOptions(root)
	if !sudo {
		host, _, err := engine.Resolve(a.engineFrom())
		if o.DockerHost = host; err != nil {
			o.NoHost = err.Error()
		}
	}
	return o
}

// lookOptions is [app.lookFor] without the engine in use, for which files are read.
// Under sudo there is none.
func (a *app) lookOptions(root string) (o machine.Options, sudo bool) {
	o = machine.Options{
		GOOS: runtime.GOOS, Root: root, Home: a.home(), Euid: uidOn(runtime.GOOS, a.env.Euid), Getenv: a.env.Getenv, LookPath: exec.LookPath,
	}
	if u, err := change.SudoUser(a.env.Getenv("SUDO_UID")); a.underSudo() && err == nil {
		// What is the user's is done as the user: root looks into nobody's home,
		// and asks no engine that the user points it to.
		o.Home, o.UserID, o.Getenv, o.LookPath = "", int(u.UID), nil, nil
		return o, true
	}
	if o.Euid == 0 {
		o.LookPath = nil // root runs what it finds
	}
	return o, false
}

// uidOn is the user ID that tools go by. On Windows, elevated or not, there is
// none, and they look in the same places.
func uidOn(goos string, euid int) int {
	if goos == "windows" {
		return -1
	}
	return euid
}

// showUnit asks systemd for the properties of a unit, in systemctl's own form.
func showUnit(unit string) (map[string]string, error) {
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out bytes.Buffer
	code, err := change.Run(ctx, change.Program{
		Path: "/usr/bin/systemctl", Args: []string{"show", "--no-pager", unit}, Stdout: &out, Grace: time.Second,
	})
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("systemctl show %s: exit code %d", unit, code)
	}
	properties := map[string]string{}
	for l := range strings.Lines(out.String()) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "="); ok {
			properties[name] = value
		}
	}
	return properties, nil
}

// home is the user's own folder, as the environment or else the system says;
// "" if neither does.
func (a *app) home() string {
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	if h := a.env.Getenv(name); filepath.IsAbs(h) {
		return h
	}
	if u, err := user.LookupId(strconv.Itoa(a.env.Euid)); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	return ""
}

// needHome fails where nothing says whose settings are meant.
func (a *app) needHome() error {
	if a.home() == "" {
		return &usageError{text: "neither HOME nor the system's list of users says where your home is", hint: "say where it is, as in HOME=/home/me vicr ..."}
	}
	return nil
}

// marksFile has what the user allowed at login, "" without a home.
func marksFile(dirs machine.Dirs) string {
	if dirs.Config == "" {
		return ""
	}
	return filepath.Join(dirs.Config, "hosts.json")
}

// dockerDir is docker's own configuration folder.
func (a *app) dockerDir() string {
	if d := a.env.Getenv("DOCKER_CONFIG"); d != "" {
		return d
	}
	return filepath.Join(a.home(), ".docker")
}

func (a *app) credentials() *auth.Store {
	return auth.OpenStore(auth.Options{
		Dir:        a.dockerDir(),
		AuthConfig: a.env.Getenv("DOCKER_AUTH_CONFIG"),
		AuthFile:   a.env.Getenv("REGISTRY_AUTH_FILE"),
		HelperEnv:  a.env.Environ,
		LookPath:   exec.LookPath,
	})
}
