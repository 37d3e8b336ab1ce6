package doctor_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestTargetsAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"registry.corp":                 "registry.corp  ",
		"Registry.Corp:5000":            "registry.corp:5000  ",
		"registry.corp/":                "registry.corp  ",
		"registry.corp/demo":            "registry.corp demo ",
		"registry.corp/demo/app":        "registry.corp demo/app ",
		"registry.corp/demo/app:1.0":    "registry.corp demo/app 1.0",
		"registry.corp/demo/app:latest": "registry.corp demo/app latest",
		"registry/demo/a/b":             "registry demo/a/b ",
		"[2001:db8::1]:5000/demo":       "[2001:db8::1]:5000 demo ",
		"":                              "error",
		"https://registry.corp":         "error",
		"dev:pw@registry.corp":          "error",
		"registry.corp/Demo":            "error",
		"registry.corp/../x":            "error",
		"registry.corp/demo/app:a b":    "error",
		"\x1b[2J":                       "error",
	} {
		got := "error"
		if target, err := doctor.ParseTarget(in); err == nil {
			got = target.Host.String() + " " + target.Path + " " + target.Tag
		} else if bad := (*ref.Error)(nil); !errors.As(err, &bad) {
			t.Errorf("%q: %v", in, err)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// lookAt runs the checks of a host that nothing answers for.
func lookAt(t *testing.T, typed string, change func(*doctor.Options)) doctor.Report {
	t.Helper()
	w := &world{host: typed, o: options(t, fstest.MapFS{})}
	w.o.Each = quick
	w.o.Resolver = names{addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	w.o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	if change != nil {
		change(&w.o)
	}
	r := w.run(t, "")
	safe(t, r)
	return r
}

// wants holds a check against its verdict and words that are in it.
func wants(t *testing.T, r doctor.Report, name string, v doctor.Verdict, words ...string) {
	t.Helper()
	c := check(t, r, name)
	all := c.Seen + "\n" + strings.Join(c.Remedy, "\n")
	if c.Verdict != v {
		t.Errorf("%s is %s, not %s: %s", name, c.Verdict, v, all)
	}
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("%s: %q is not in\n%s", name, word, all)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for typed, tt := range map[string]struct {
		v    doctor.Verdict
		word string
	}{
		"registry.corp":      {doctor.OK, "port 443, which https means"},
		"registry.corp:5000": {doctor.OK, "port 5000"},
		"Registry.Corp":      {doctor.OK, `typed as "Registry.Corp": hosts are lower case`},
		"localhost":          {doctor.OK, "localhost"},
		"registry":           {doctor.Warn, "vicr doctor registry:443"},
		"registry:443":       {doctor.OK, "registry:443"},
	} {
		wants(t, lookAt(t, typed, nil), "address", tt.v, tt.word)
	}
}

func TestDNS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		host  string
		names names
		v     doctor.Verdict
		words []string
	}{
		"found":     {"registry.corp", names{addrs: []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}, doctor.OK, []string{"192.0.2.1, 2001:db8::1"}},
		"none":      {"registry.corp", names{}, doctor.Fail, []string{"no address"}},
		"no name":   {"registry.corp", names{err: &net.DNSError{IsNotFound: true, Server: "192.0.2.53:53"}}, doctor.Fail, []string{"there is no host named registry.corp", "192.0.2.53:53", "getent hosts"}},
		"refused":   {"registry.corp", names{err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, doctor.Fail, []string{"no name server answers", "/etc/resolv.conf"}},
		"silent":    {"registry.corp", names{hang: true}, doctor.Fail, []string{"no name server answers"}},
		"odd":       {"registry.corp", names{err: errors.New("\x1b[2J")}, doctor.Fail, []string{`\x1b[2J`}},
		"literal":   {"192.0.2.1", names{err: errors.New("asked")}, doctor.Skip, []string{"an address itself"}},
		"literal 6": {"[2001:db8::1]:5000", names{err: errors.New("asked")}, doctor.Skip, []string{"an address itself"}},
	} {
		r := lookAt(t, tt.host, func(o *doctor.Options) { o.Resolver = tt.names })
		t.Run(name, func(t *testing.T) { wants(t, r, "dns", tt.v, tt.words...) })
	}
}

func proxyOf(t *testing.T, address string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return http.ProxyURL(u)
}

func TestProxy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		proxy func(*http.Request) (*url.URL, error)
		env   string
		v     doctor.Verdict
		word  string
	}{
		"none":     {nil, "", doctor.OK, "HTTPS_PROXY is not set"},
		"excluded": {nil, "https_proxy=http://p:3128", doctor.OK, "NO_PROXY"},
		"set":      {proxyOf(t, "http://ann:"+canary+"@proxy.example:3128"), "", doctor.OK, "http://proxy.example:3128 by HTTPS_PROXY, with a login that is not shown"},
		"bad":      {func(*http.Request) (*url.URL, error) { return nil, errors.New(canary) }, "", doctor.Fail, "not the address of a proxy"},
	} {
		r := lookAt(t, "registry.corp", func(o *doctor.Options) { o.Wire.Proxy, o.Environ = tt.proxy, []string{tt.env} })
		t.Run(name, func(t *testing.T) {
			wants(t, r, "proxy", tt.v, tt.word)
			if name == "set" {
				wants(t, r, "dns", doctor.Skip, "the proxy looks names up")
				wants(t, r, "tcp", doctor.Fail, "the proxy proxy.example:3128", "NO_PROXY=registry.corp")
			}
		})
	}
}

func TestAProxyThatRefuses(t *testing.T) {
	t.Parallel()
	for status, word := range map[int]string{
		http.StatusProxyAuthRequired: "wants a login",
		http.StatusBadGateway:        "does not let this host through: status 502",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer s.Close()
		r := lookAt(t, "registry.example", func(o *doctor.Options) {
			o.Each, o.Dial = 0, nil
			o.Wire.Proxy = proxyOf(t, strings.Replace(s.URL, "://", "://ann:"+canary+"@", 1))
		})
		wants(t, r, "scheme", doctor.Fail, word)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	for err, word := range map[error]string{
		syscall.ECONNREFUSED: "nothing listens", syscall.EHOSTUNREACH: "no way", syscall.ENETUNREACH: "no way",
		context.DeadlineExceeded: "no answer within", syscall.ECONNRESET: "cut", errors.New("\x1b[2J"): `\x1b`,
	} {
		r := lookAt(t, "registry.corp", func(o *doctor.Options) {
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
		})
		wants(t, r, "tcp", doctor.Fail, word)
		wants(t, r, "login", doctor.Skip, "since tcp failed")
	}
}

func TestWhatSpeaksNoTLS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		manner testkit.Manner
		word   string
	}{
		"ssh":       {testkit.ReplyOnce("SSH-2.0-OpenSSH_9.2\r\n"), "makes no TLS"},
		"downgrade": {testkit.ResetTLS("HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"), "the connection was cut"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evil := testkit.NewEvil(t, "", tt.manner)
			w := &world{host: evil.Addr(), o: options(t, fstest.MapFS{})}
			w.as(t, "dev", canary)
			r := w.run(t, "/demo/x")
			safe(t, r)
			wants(t, r, "scheme", doctor.Fail, tt.word)
			if evil.Knows(canary) {
				t.Error("it knows the password")
			}
		})
	}
}

func TestRealms(t *testing.T) {
	t.Parallel()
	other := testkit.NewCA(t)
	for name, tt := range map[string]struct {
		realm   func(*world) string
		covered bool
		marked  bool
		v       doctor.Verdict
		words   []string
	}{
		"clear":       {func(w *world) string { return "http://" + w.host + "/service/token" }, false, false, doctor.Fail, []string{"over plain HTTP"}},
		"no address":  {func(*world) string { return "::" }, false, false, doctor.Fail, []string{"no address"}},
		"with a user": {func(w *world) string { return "https://u:" + canary + "@" + w.host + "/t" }, false, false, doctor.Fail, []string{"no credentials go"}},
		"agreed":      {tokens(t, other), true, true, doctor.OK, []string{"another host, as agreed at login", "certificate verifies"}},
		"not covered": {tokens(t, other), false, true, doctor.Fail, []string{"do not cover it", "realm.crt"}},
		"not agreed":  {tokens(t, other), true, false, doctor.Fail, []string{"which nobody agreed to", "--realm https://localhost:"}},
		"dead":        {func(*world) string { return "https://localhost:1/t" }, true, true, doctor.Fail, []string{"nothing listens"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).trusting()
			realm := tt.realm(w)
			w.front.Always(testkit.On("", "/v2/"), testkit.Fault{Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {`Bearer realm="` + realm + `"`}}})
			if tt.covered {
				w.install("realm.crt", other)
			}
			if tt.marked {
				u, _ := url.Parse(realm)
				w.o.Marks = auth.Marks{w.host: {Realm: u.Scheme + "://" + u.Host}}
			}
			r := w.run(t, "")
			safe(t, r)
			wants(t, r, "realm", tt.v, tt.words...)
		})
	}
}

// tokens starts a token service at another host name.
func tokens(t *testing.T, ca *testkit.Cert) func(*world) string {
	t.Helper()
	s := testkit.NewFront(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"token":"x"}`) })).
		Serve(t, ca.NewLeaf(t, testkit.SANs("localhost")).TLS())
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return func(*world) string { return "https://localhost:" + port + "/token" }
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	helper := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	helper("good", `echo '{"ServerURL":"h","Username":"dev","Secret":"`+canary+`"}'`)
	helper("empty", `echo "credentials not found in native keychain"; exit 1`)
	helper("fails", `echo "`+canary+`"; exit 3`)
	helper("hangs", `exec sleep 60`)
	look := func(name string) (string, error) {
		p := filepath.Join(dir, name)
		_, err := os.Stat(p)
		return p, err
	}
	entry := `{"auths":{"registry.corp":{"auth":"ZGV2OnBhNTUtY2FuYXJ5LXdvcmQ="}}}` // dev and the canary
	for name, tt := range map[string]struct {
		config, env, file string
		v                 doctor.Verdict
		words             []string
	}{
		"none":           {"", "", "", doctor.Warn, []string{"nobody is logged in", "vicr login registry.corp"}},
		"config":         {entry, "", "", doctor.OK, []string{`"dev", from config.json`}},
		"environment":    {entry, entry, "", doctor.OK, []string{`"dev", from DOCKER_AUTH_CONFIG`}},
		"auth file":      {entry, "", entry, doctor.OK, []string{`"dev", from REGISTRY_AUTH_FILE`}},
		"helper":         {`{"credsStore":"good"}`, "", "", doctor.OK, []string{`"dev", from helper good`}},
		"empty helper":   {`{"credsStore":"empty"}`, "", "", doctor.Warn, []string{"nobody is logged in"}},
		"helper fails":   {`{"credsStore":"fails"}`, "", "", doctor.Fail, []string{"exit status 3", "docker-credential-fails list"}},
		"helper hangs":   {`{"credsStore":"hangs"}`, "", "", doctor.Fail, []string{"no answer within"}},
		"helper missing": {`{"credsStore":"none"}`, "", "", doctor.Fail, []string{"was not found"}},
		"broken":         {`{"auths":`, "", "", doctor.Fail, []string{"not valid JSON"}},
	} {
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(tt.config), 0o600); err != nil {
			t.Fatal(err)
		}
		o := auth.Options{Dir: home, AuthConfig: tt.env, LookPath: look, HelperEnv: os.Environ()}
		if tt.file != "" {
			o.AuthFile = filepath.Join(home, "auth.json")
			if err := os.WriteFile(o.AuthFile, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants(t, lookAt(t, "registry.corp", func(d *doctor.Options) { d.Credentials = auth.OpenStore(o) }), "credentials", tt.v, tt.words...)
		})
	}
	r := lookAt(t, "registry.corp", func(o *doctor.Options) { o.Credentials, o.NoCredentials = nil, "not looked at" })
	wants(t, r, "credentials", doctor.Skip, "not looked at")
}

func TestSpace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		free uint64
		err  error
		v    doctor.Verdict
		word string
	}{
		"enough":  {6 << 30, nil, doctor.OK, "6 GiB free"},
		"little":  {4 << 30, nil, doctor.Warn, "df -h /home/ann"},
		"none":    {0, nil, doctor.Warn, "0 MiB free"},
		"unknown": {0, syscall.EIO, doctor.OK, "not known"},
	} {
		r := lookAt(t, "registry.corp", func(o *doctor.Options) {
			o.Machine.FS = fstest.MapFS{"home/ann/x": &fstest.MapFile{}}
			o.Free = func(string) (uint64, error) { return tt.free, tt.err }
		})
		t.Run(name, func(t *testing.T) { wants(t, r, "space", tt.v, tt.word) })
	}
	r := lookAt(t, "registry.corp", func(o *doctor.Options) { o.Machine.FS, o.Free = nil, nil })
	if c := check(t, r, "space"); !strings.Contains(c.Seen, "free") {
		t.Errorf("the real one: %+v", c)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*doctor.Options)
		v      doctor.Verdict
		words  []string
	}{
		"clean":     {func(o *doctor.Options) { o.Environ = []string{"PATH=/bin", "HOME=/home/ann"} }, doctor.OK, []string{"nothing"}},
		"flags":     {func(o *doctor.Options) { o.Environ = []string{"VICR_FORMAT=" + canary} }, doctor.OK, []string{"VICR_FORMAT"}},
		"file":      {func(o *doctor.Options) { o.Environ = []string{"SSL_CERT_FILE=/gone"} }, doctor.Warn, []string{"cannot be read", "unset SSL_CERT_FILE"}},
		"folder":    {func(o *doctor.Options) { o.Environ = []string{"SSL_CERT_DIR=/x"} }, doctor.Warn, []string{"unset SSL_CERT_DIR"}},
		"debug":     {func(o *doctor.Options) { o.Environ = []string{"GODEBUG=x509sha1=1"} }, doctor.Warn, []string{"GODEBUG"}},
		"path":      {func(o *doctor.Options) { o.Environ = []string{"PATH=/bin:."} }, doctor.Warn, []string{"PATH has a folder"}},
		"sudo":      {func(o *doctor.Options) { o.Sudo, o.Dropped = true, []string{"VICR_QUIET", "LD_PRELOAD"} }, doctor.Warn, []string{"not read under sudo: LD_PRELOAD, VICR_QUIET"}},
		"sudoproxy": {func(o *doctor.Options) { o.Sudo, o.Environ = true, []string{"HTTPS_PROXY=http://" + canary} }, doctor.Warn, []string{"came along with sudo"}},
	} {
		r := lookAt(t, "registry.corp", tt.change)
		t.Run(name, func(t *testing.T) { wants(t, r, "environment", tt.v, tt.words...) })
	}
}
