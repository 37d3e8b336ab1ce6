package probe_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loopback = "127.0.0.1"

// harbor answers as every Harbor does.
func harbor(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v2/" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("Www-Authenticate", `Bearer realm="https://`+r.Host+`/service/token",service="harbor-registry"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// portal answers every path with a page.
func portal(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("<!doctype html><title>true</title>"))
}

func TestHostReportsAHarbor(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	leaf := ca.NewLeaf(t, testkit.SANs(loopback))
	front := testkit.NewFront(t, http.HandlerFunc(harbor))
	server := front.Serve(t, leaf.TLS(ca))
	h := hostOf(t, server.URL)
	r, err := probe.Host(t.Context(), h, probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Host != h || r.Verdict != probe.PrivateCA || !r.Registry || r.Status != http.StatusUnauthorized {
		t.Errorf("%+v", r)
	}
	if r.Realm != server.URL+"/service/token" || r.Service != "harbor-registry" || r.APIVersion != "registry/2.0" || !strings.HasPrefix(r.Challenge, "Bearer ") {
		t.Errorf("realm %q, service %q, version %q, challenge %q", r.Realm, r.Service, r.APIVersion, r.Challenge)
	}
	if len(r.Chain) != 2 || !r.Chain[0].Equal(leaf.Certificate) || !r.Chain[1].Equal(ca.Certificate) || r.TLSVersion != tls.VersionTLS13 {
		t.Errorf("%d certificates, TLS %#x", len(r.Chain), r.TLSVersion)
	}
	if r.CertErr == nil || r.CertErr.Problem != pki.UnknownIssuer {
		t.Errorf("certificate: %v", r.CertErr)
	}
	seen := front.Seen(nil)
	if len(seen) != 1 || seen[0].Header.Get("Authorization") != "" {
		t.Errorf("the server saw %+v", seen)
	}
}

func TestVerdictOnCertificates(t *testing.T) {
	t.Parallel()
	ca, old := testkit.NewCA(t), testkit.NewCA(t, testkit.Expired())
	san := testkit.SANs(loopback)
	for name, c := range map[string]struct {
		cert   *testkit.Cert
		system *testkit.Cert
		page   bool // no registry
		want   probe.Verdict
	}{
		"public":                    {cert: ca.NewLeaf(t, san), system: ca, want: probe.Public},
		"public, not a registry":    {cert: ca.NewLeaf(t, san), system: ca, page: true, want: probe.NotRegistry},
		"private CA":                {cert: ca.NewLeaf(t, san), system: old, want: probe.PrivateCA},
		"private, not a registry":   {cert: ca.NewLeaf(t, san), page: true, want: probe.NotRegistry},
		"self-signed":               {cert: testkit.NewSelfSigned(t, san), want: probe.SelfSigned},
		"self-signed CA":            {cert: testkit.NewCA(t, san), want: probe.SelfSigned},
		"wrong name":                {cert: ca.NewLeaf(t, testkit.SANs("a.corp", "192.0.2.1")), want: probe.WrongName},
		"wrong name, public":        {cert: ca.NewLeaf(t, testkit.SANs("a.corp")), system: ca, want: probe.WrongName},
		"wrong name, expired":       {cert: ca.NewLeaf(t, testkit.SANs("a.corp"), testkit.Expired()), want: probe.WrongName},
		"wrong name, no registry":   {cert: ca.NewLeaf(t, testkit.SANs("a.corp")), page: true, want: probe.WrongName},
		"common name only":          {cert: ca.NewLeaf(t, testkit.Subject(loopback)), system: ca, want: probe.CommonNameOnly},
		"expired":                   {cert: ca.NewLeaf(t, san, testkit.Expired()), system: ca, want: probe.Expired},
		"expired, self-signed":      {cert: testkit.NewSelfSigned(t, san, testkit.Expired()), want: probe.Expired},
		"not yet valid":             {cert: ca.NewLeaf(t, san, testkit.NotYetValid()), want: probe.NotYetValid},
		"root of the system is old": {cert: old.NewLeaf(t, san), system: old, want: probe.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := http.HandlerFunc(harbor)
			if c.page {
				handler = portal
			}
			server := testkit.NewFront(t, handler).Serve(t, c.cert.TLS())
			o := probe.Options{}
			if c.system != nil {
				o.System = c.system.Pool()
			}
			r, err := probe.Host(t.Context(), hostOf(t, server.URL), o)
			if err != nil {
				t.Fatal(err)
			}
			public := c.system == ca && (c.want == probe.Public || c.want == probe.NotRegistry)
			if r.Verdict != c.want || r.Registry == c.page || (r.CertErr == nil) != public {
				t.Errorf("%q, registry %v, %v; want %q", r.Verdict, r.Registry, r.CertErr, c.want)
			}
		})
	}
}

func TestHostJudgesByTheClockItIsGiven(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	server := testkit.NewFront(t, http.HandlerFunc(harbor)).Serve(t, ca.NewLeaf(t, testkit.SANs(loopback)).TLS())
	later := func() time.Time { return time.Now().AddDate(20, 0, 0) }
	r, err := probe.Host(t.Context(), hostOf(t, server.URL), probe.Options{System: ca.Pool(), Now: later})
	if err != nil || r.Verdict != probe.Expired {
		t.Errorf("%q, %v", r.Verdict, err)
	}
}

func TestVerdictOnAnswers(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	cert := ca.NewLeaf(t, testkit.SANs(loopback)).TLS()
	elsewhere := testkit.NewFront(t, http.HandlerFunc(harbor))
	far := elsewhere.Serve(t, cert)
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				http.NotFound(w, r)
				return
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	v1 := func(version, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/_ping" {
				http.NotFound(w, r)
				return
			}
			if version != "" {
				w.Header().Set("X-Docker-Registry-Version", version)
			}
			_, _ = w.Write([]byte(body))
		}
	}
	const api, jsonType = "Docker-Distribution-Api-Version", "application/json"
	for name, c := range map[string]struct {
		handler  http.HandlerFunc
		want     probe.Verdict
		registry bool
		realm    string
	}{
		"open registry":            {answer(200, "{}", api, "registry/2.0"), probe.Public, true, ""},
		"no version header":        {answer(200, "{}\n", "Content-Type", jsonType+"; charset=utf-8"), probe.Public, true, ""},
		"basic":                    {answer(401, "", "Www-Authenticate", `Basic realm="Registry Realm"`), probe.Public, true, "Registry Realm"},
		"401 without a challenge":  {answer(401, ""), probe.NotRegistry, false, ""},
		"401 for a browser":        {answer(401, "", "Www-Authenticate", "Negotiate"), probe.NotRegistry, false, ""},
		"forbidden":                {answer(403, "", api, "registry/2.0"), probe.Public, true, ""},
		"other JSON":               {answer(200, `{"ok":true}`, "Content-Type", jsonType), probe.NotRegistry, false, ""},
		"page":                     {portal, probe.NotRegistry, false, ""},
		"nothing":                  {answer(404, ""), probe.NotRegistry, false, ""},
		"endless JSON":             {answer(200, strings.Repeat(" ", 1<<20), "Content-Type", jsonType), probe.NotRegistry, false, ""},
		"not implemented":          {answer(501, ""), probe.Public, false, ""}, // a failure tells nothing
		"V1, by header":            {v1("0.9.1", "{}"), probe.OnlyV1, false, ""},
		"V1, by body":              {v1("", "true"), probe.OnlyV1, false, ""},
		"V1 path with a page":      {v1("", "<html>true"), probe.NotRegistry, false, ""},
		"V1 and V2":                {answer(200, "{}", api, "registry/2.0", "X-Docker-Registry-Version", "0.9"), probe.Public, true, ""},
		"leads to another host":    {answer(302, "", "Location", far.URL+"/v2/"), probe.NotRegistry, false, ""},
		"leads to http":            {answer(302, "", "Location", "http://127.0.0.1/v2/"), probe.NotRegistry, false, ""},
		"leads in a circle":        {answer(307, "", "Location", "/v2/"), probe.NotRegistry, false, ""},
		"huge challenge":           {answer(401, "", "Www-Authenticate", `Bearer realm="`+strings.Repeat("x", 32<<10)), probe.Public, true, strings.Repeat("x", 4<<10-len(`Bearer realm="`))},
		"challenge with an escape": {answer(401, "", "Www-Authenticate", `Bearer realm="a\"b", service=s`), probe.Public, true, `a"b`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testkit.NewFront(t, c.handler).Serve(t, cert)
			r, err := probe.Host(t.Context(), hostOf(t, server.URL), probe.Options{System: ca.Pool()})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != c.want || r.Registry != c.registry || r.Realm != c.realm {
				t.Errorf("%q, registry %v, status %d, realm %.60q; want %q", r.Verdict, r.Registry, r.Status, r.Realm, c.want)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(elsewhere.Seen(nil)); n != 0 {
			t.Errorf("%d requests went to another host", n)
		}
	})
}

func TestPlainHTTPIsSaidOnlyWhenTheServerSaysIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    probe.Verdict
	}{
		"registry": {harbor, probe.PlainHTTP},
		"page":     {portal, probe.NotRegistry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testkit.NewFront(t, c.handler).Serve(t)
			r, err := probe.Host(t.Context(), hostOf(t, server.URL), probe.Options{})
			if err != nil || r.Verdict != c.want || r.Chain != nil || r.CertErr != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// F1: a peer that breaks TLS and answers in the clear hopes for a fall-back.
func TestABrokenHandshakeIsNoPlainHTTP(t *testing.T) {
	t.Parallel()
	evil := testkit.NewEvil(t, "", testkit.ResetTLS("HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 0\r\n\r\n"))
	r, err := probe.Host(t.Context(), hostOf(t, "http://"+evil.Addr()), probe.Options{Sleep: noSleep})
	if wire.KindOf(err) != wire.Unreachable || r.Verdict != "" {
		t.Fatalf("%q, %v", r.Verdict, err)
	}
	if got := evil.Received(); strings.Contains(string(got), "HTTP/1") {
		t.Errorf("a request went out in the clear: %q", got)
	}
}

func TestHostErrorsAreThoseOfWire(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, c := range map[string]struct {
		address string
		want    wire.Kind
	}{
		"nobody listens":               {closed.URL, wire.Unreachable},
		"no TLS, no http":              {"http://" + testkit.NewEvil(t, "", testkit.ReplyOnce("SSH-2.0-OpenSSH_9.2\r\n")).Addr(), wire.TLS},
		"silent":                       {"http://" + testkit.NewEvil(t, "", testkit.Swallow).Addr(), wire.Silent},
		"speaks http once and no more": {"http://" + testkit.NewEvil(t, "", testkit.ReplyOnce("HTTP/1.1 400 Bad Request\r\n")).Addr(), wire.NotHTTPS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := probe.Host(t.Context(), hostOf(t, c.address), probe.Options{Timeout: 500 * time.Millisecond, Sleep: noSleep})
			if wire.KindOf(err) != c.want {
				t.Errorf("%q: %v", wire.KindOf(err), err)
			}
		})
	}
}

func TestHostNoticesThatTheCertificateChanged(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	shown := []tls.Certificate{ca.NewLeaf(t, testkit.SANs(loopback)).TLS(), ca.NewLeaf(t, testkit.SANs(loopback)).TLS()}
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(harbor))
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		n := min(int(asked.Add(1)), len(shown))
		return &tls.Config{Certificates: shown[n-1 : n]}, nil
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // one handshake is broken off
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := probe.Host(t.Context(), hostOf(t, server.URL), probe.Options{})
	var pin *wire.PinError
	if !errors.As(err, &pin) {
		t.Error(err)
	}
}

func TestHostObeysItsContext(t *testing.T) {
	t.Parallel()
	silent := testkit.NewEvil(t, "", testkit.Swallow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := probe.Host(ctx, hostOf(t, "http://"+silent.Addr()), probe.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func hostOf(t *testing.T, address string) ref.Host {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ref.ParseHost(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestARegistryThatDemandsAClientCertificateIsRecognised(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("<center>No required SSL certificate was sent</center>"))
	}
	for name, c := range map[string]struct {
		auth    tls.ClientAuthType
		version uint16
		handler http.HandlerFunc
		asks    bool
	}{
		"TLS 1.2":                 {tls.RequireAnyClientCert, tls.VersionTLS12, harbor, true},
		"TLS 1.3":                 {tls.RequireAnyClientCert, tls.VersionTLS13, harbor, true},
		"nginx":                   {tls.RequestClientCert, tls.VersionTLS13, page, true},
		"one that can do without": {tls.RequestClientCert, tls.VersionTLS13, harbor, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(c.handler)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = &tls.Config{
				Certificates: []tls.Certificate{ca.NewLeaf(t, testkit.SANs(loopback)).TLS()},
				ClientAuth:   c.auth, MinVersion: c.version, MaxVersion: c.version,
			}
			s.StartTLS()
			t.Cleanup(s.Close)
			r, err := probe.Host(t.Context(), hostOf(t, s.URL), probe.Options{Sleep: noSleep})
			if err != nil {
				t.Fatal(err)
			}
			if r.ClientCert != c.asks || r.Verdict != probe.PrivateCA || len(r.Chain) != 1 || r.TLSVersion != c.version || r.Registry == c.asks {
				t.Errorf("%+v", r)
			}
		})
	}
}
