package doctor_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const notFound = "pull access denied for NO, repository does not exist or may require 'docker login'"

// A story is a world and what is asked of it.
type story struct {
	path           string
	cert           []testkit.CertOption // of what is served
	plain, unknown bool                 // plain HTTP; a CA that is not installed
	user, password string               // "": the right one
	info           map[string]any       // of an engine; nil: none is here
	says           string               // that engine, of every pull
	change         func(*world)
	failed         int
}

func (s story) world(t *testing.T) *world {
	t.Helper()
	var w *world
	if s.plain {
		w = newPlainWorld(t)
	} else {
		w = newWorld(t, s.cert...)
	}
	if !s.plain && !s.unknown {
		w.trusting()
	}
	if s.user != "" {
		password := s.password
		if password == "" {
			password = w.password(s.user)
		}
		w.as(t, s.user, password)
	}
	if s.info != nil {
		w.engine(t, s.info, s.says)
	}
	if s.change != nil {
		s.change(w)
	}
	return w
}

func docker28() map[string]any {
	return map[string]any{"ServerVersion": "28.2.2", "Driver": "overlay2"}
}

func certificateStories(t *testing.T) map[string]story {
	t.Helper()
	other, here := testkit.NewCA(t), testkit.SANs("127.0.0.1")
	return map[string]story{
		"unknown ca": {
			unknown: true, user: "dev", password: canary, failed: 2,
			info: docker28(), says: `Get "https://HOST/v2/": x509: certificate signed by unknown authority`,
		},
		"another ca":       {unknown: true, failed: 2, change: func(w *world) { w.install("ca.crt", other) }},
		"wrong name":       {cert: []testkit.CertOption{testkit.SANs("other.example", "*.example", "\x1b[2J")}, failed: 1},
		"common name only": {cert: []testkit.CertOption{testkit.Subject("127.0.0.1")}, failed: 1},
		"expired":          {cert: []testkit.CertOption{here, testkit.Expired()}, failed: 1},
		"not yet valid":    {cert: []testkit.CertOption{here, testkit.NotYetValid()}, failed: 1},
		"ends soon":        {cert: []testkit.CertOption{here, testkit.Validity(time.Now().Add(-time.Hour), time.Now().Add(72*time.Hour+time.Minute))}},
		"weak key":         {cert: []testkit.CertOption{here, testkit.WeakKey(t)}, failed: 1},
		"wrong clock": {failed: 1, change: func(w *world) {
			w.o.Now = func() time.Time { return time.Now().AddDate(-20, 0, 0) }
		}},
	}
}

func roadStories() map[string]story {
	return map[string]story{
		"healthy":       {path: "/demo/hello", user: "dev", info: docker28(), says: notFound}, // demo has no repository yet
		"healthy image": {path: "/library/ubuntu:14.04", user: "dev", info: docker28(), says: notFound},
		"http on https": {
			path: "/library/hello", plain: true, user: "dev", password: canary, failed: 2,
			info: docker28(), says: "http: server gave HTTP response to HTTPS client",
		},
		"no login":       {path: "/demo", failed: 1},
		"wrong password": {path: "/demo", user: "dev", password: canary, failed: 1},
		"no project":     {path: "/none/x", user: "dev", failed: 1},
		"no push":        {path: "/library", user: "dev"},
		"realm elsewhere": {path: "/demo", user: "dev", failed: 1, change: func(w *world) {
			w.front.Always(testkit.On("", "/v2/"), testkit.Fault{Status: http.StatusUnauthorized, Header: http.Header{
				"Www-Authenticate": {`Bearer realm="https://evil.example/token?x=` + canary + `",service="harbor-registry"`},
			}})
		}},
		"token bug": {
			user: "dev", failed: 1,
			info: map[string]any{
				"ServerVersion": "library-import", "Driver": "overlayfs", "DriverStatus": [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
			},
			says: `failed to resolve reference: failed to authorize: failed to fetch anonymous token: Get "https://HOST/service/token": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
		},
		"no registry": {failed: 1, change: func(w *world) {
			w.front.Always(testkit.On("", "/"), testkit.Fault{Status: http.StatusOK, Body: "<html>welcome</html>"})
		}},
		"sick registry": {path: "/demo/x", user: "dev", failed: 1, change: func(w *world) {
			w.front.Always(testkit.On("", "/"), testkit.Fault{Status: http.StatusBadGateway})
		}},
	}
}

// TestReports compares whole reports.
func TestReports(t *testing.T) {
	t.Parallel()
	stories := roadStories()
	maps.Copy(stories, certificateStories(t))
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := s.world(t)
			r := w.run(t, s.path)
			safe(t, r, w.password("dev"), w.password("admin"))
			if r.Failed() != s.failed {
				t.Errorf("%d checks failed, not %d", r.Failed(), s.failed)
			}
			golden(t, strings.ReplaceAll(name, " ", "-"), text(w, r))
		})
	}
}

func TestADeadHostTakesItsTimeAndNoMore(t *testing.T) {
	t.Parallel()
	silent := testkit.NewEvil(t, "", testkit.Swallow)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // accepts nothing
	for name, tt := range map[string]struct {
		host string
		dead func(*doctor.Options)
		at   string // the check that fails
	}{
		"silent":          {silent.Addr(), func(*doctor.Options) {}, "scheme"},
		"never accepts":   {l.Addr().String(), func(*doctor.Options) {}, "scheme"},
		"packets vanish":  {"192.0.2.1", func(o *doctor.Options) { o.Dial = hanging }, "tcp"},
		"no name server":  {"registry.example", func(o *doctor.Options) { o.Resolver = names{hang: true} }, "dns"},
		"stuck for ever":  {"127.0.0.1:1", func(o *doctor.Options) { o.Free = func(string) (uint64, error) { select {} } }, "space"},
		"engine is stuck": {silent.Addr(), func(o *doctor.Options) { o.Machine.Docker.Socket = stuckSocket(t) }, "scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{host: tt.host, o: options(t, nil)}
			w.o.Each, w.o.Whole = quick, 4*quick
			tt.dead(&w.o)
			begin := time.Now()
			r := w.run(t, "/demo/x")
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			safe(t, r)
			if c := check(t, r, tt.at); c.Verdict != doctor.Fail {
				t.Errorf("%+v", c)
			}
			if name == "silent" {
				golden(t, "dead-host", text(w, r))
			}
		})
	}
}

func TestTheWholeEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	w := &world{host: "192.0.2.1", o: options(t, nil)}
	w.o.Whole, w.o.Dial = quick, hanging
	begin := time.Now()
	r := w.run(t, "")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	safe(t, r)
	if c := check(t, r, "tcp"); c.Verdict != doctor.Fail {
		t.Errorf("%+v", c)
	}
}

func TestAPasswordThatIsWrongIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		path  string
		fault testkit.Fault
	}{
		"refused":  {"/service/token", testkit.Fault{}},
		"sick":     {"/service/token", testkit.Fault{Status: http.StatusBadGateway}},
		"torn":     {"/service/token", testkit.Fault{Early: true, Act: testkit.Cut}},
		"repeated": {"/service/token", testkit.Fault{Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "no \x1b[2J " + canary}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).trusting()
			w.as(t, "dev", canary)
			if tt.fault.Status != 0 || tt.fault.Early {
				w.front.Always(func(r *http.Request) bool {
					return r.URL.Path == tt.path && r.Header.Get("Authorization") != ""
				}, tt.fault)
			}
			r := w.run(t, "/demo/x")
			safe(t, r)
			if c := check(t, r, "login"); c.Verdict != doctor.Fail {
				t.Errorf("%+v", c)
			}
			if n := w.passwords(); n != 1 {
				t.Errorf("%d requests had a password", n)
			}
		})
	}
}

func TestNoPasswordGoesWhereNobodyIsVerified(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]story{
		"unknown ca": {unknown: true, user: "dev"},
		"plain http": {plain: true, user: "dev"},
		"wrong name": {cert: []testkit.CertOption{testkit.SANs("other.example")}, user: "dev"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := s.world(t)
			r := w.run(t, "/demo/x")
			safe(t, r, w.password("dev"))
			if n := w.passwords(); n != 0 {
				t.Errorf("%d requests had a password", n)
			}
		})
	}
}

func TestTheOrderIsThatOfTheRoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t).trusting()
	var got []string
	for _, c := range w.run(t, "/demo/x").Checks {
		got = append(got, c.Name)
	}
	want := "address dns proxy tcp scheme tls ca api realm credentials login project pull push engine engine_store buildkit folders insecure space environment"
	if s := strings.ReplaceAll(strings.Join(got, "|"), " ", "_"); strings.ReplaceAll(s, "|", " ") != want {
		t.Error(got)
	}
}

func TestForeignBytesAreEscaped(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\r\n\u202e\x9b"
	w := newWorld(t).trusting().engine(t, map[string]any{"ServerVersion": evil, "Driver": evil, "DockerRootDir": evil}, evil)
	w.as(t, "dev"+"\u202e", canary)
	w.o.Dropped = []string{"LD_" + evil}
	w.o.Environ = []string{"PATH=" + evil}
	safe(t, w.run(t, "/demo/x"))
}

func stuckSocket(t *testing.T) string {
	t.Helper()
	path := fmt.Sprintf("%s/e.sock", t.TempDir())
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}
