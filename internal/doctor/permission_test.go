package doctor_test

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// jwt is a token that nobody signed.
func jwt(payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte("{}")) + "." + enc([]byte(payload)) + "." + enc([]byte("x"))
}

// distribution is a registry without projects that takes dev with the canary:
// by HTTP Basic, or with tokens as given.
func distribution(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		known := user == "dev" && password == canary
		switch {
		case r.URL.Path == "/token" && known:
			io.WriteString(w, `{"token":"`+token+`"}`)
		case token == "" && !known, token != "" && r.Header.Get("Authorization") != "Bearer "+token:
			challenge := `Basic realm="x"`
			if token != "" {
				challenge = `Bearer realm="https://` + r.Host + `/token",service="x"`
			}
			w.Header().Set("Www-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v2/":
			io.WriteString(w, "{}")
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			io.WriteString(w, `{"tags":["1","2"]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func TestPermissionsOfOtherRegistries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		token string
		push  doctor.Verdict
		word  string
	}{
		"basic":      {"", doctor.Skip, "does not tell"},
		"opaque":     {"b3BhcXVl", doctor.Skip, "cannot be read"},
		"not a JWT":  {"a.b.c", doctor.Skip, "cannot be read"},
		"no access":  {jwt(`{"sub":"dev"}`), doctor.Skip, "cannot be read"},
		"all":        {jwt(`{"access":[{"type":"repository","name":"app","actions":["*"]}]}`), doctor.OK, "allowed"},
		"push":       {jwt(`{"access":[{"type":"repository","name":"app","actions":["pull","push"]}]}`), doctor.OK, "allowed"},
		"pull":       {jwt(`{"access":[{"type":"repository","name":"app","actions":["pull"]}]}`), doctor.Warn, "may not push"},
		"other repo": {jwt(`{"access":[{"type":"repository","name":"x","actions":["push"]}]}`), doctor.Warn, "may not push"},
		"nothing":    {jwt(`{"access":[]}`), doctor.Warn, "may not push"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{ca: testkit.NewCA(t), fsys: fstest.MapFS{}}
			w.front = testkit.NewFront(t, distribution(tt.token))
			w.host = w.front.Serve(t, w.ca.NewLeaf(t, testkit.SANs("127.0.0.1")).TLS()).Listener.Addr().String()
			w.o = options(t, w.fsys)
			w.trusting().as(t, "dev", canary)
			r := w.run(t, "/app:1")
			safe(t, r, tt.token)
			wants(t, r, "login", doctor.OK)
			wants(t, r, "project", doctor.Skip, "no projects")
			wants(t, r, "pull", doctor.OK, "2 tags")
			wants(t, r, "push", tt.push, tt.word)
		})
	}
}

func TestARegistryThatWantsAClientCertificate(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	client := ca.NewLeaf(t, testkit.Subject("ann")).TLS()
	s := httptest.NewUnstartedServer(distribution(""))
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.NewLeaf(t, testkit.SANs("127.0.0.1")).TLS()},
		ClientAuth:   tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12,
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	w := &world{ca: ca, host: s.Listener.Addr().String(), fsys: fstest.MapFS{}}
	w.o = options(t, w.fsys)
	w.trusting().as(t, "dev", canary)
	r := w.run(t, "/app")
	safe(t, r)
	wants(t, r, "tls", doctor.OK)
	wants(t, r, "api", doctor.Fail, "without a client certificate", "--client-cert FILE --client-key FILE")
	wants(t, r, "login", doctor.Skip, "since api failed")
	w.o.Wire.ClientCert = &client
	r = w.run(t, "/app")
	safe(t, r)
	wants(t, r, "api", doctor.OK, "accepted")
	wants(t, r, "login", doctor.OK)
	wants(t, r, "pull", doctor.OK)
}

func TestFoldersThatAreInTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).trusting().engine(t, docker28(), notFound)
	w.fsys["etc/docker/certs.d/"+w.host+"/client.cert"] = &fstest.MapFile{Data: w.ca.PEM()}
	w.fsys["etc/docker/certs.d/127.0.0.1/ca.crt"] = &fstest.MapFile{Data: w.ca.PEM()}
	r := w.run(t, "")
	safe(t, r)
	wants(t, r, "folders", doctor.Fail, "client.cert", "ls -la /etc/docker/certs.d/", "is nearly the name of this host")
	delete(w.fsys, "etc/docker/certs.d/"+w.host+"/client.cert")
	wants(t, w.run(t, ""), "folders", doctor.Warn, "is nearly the name of this host")
}

func TestSystemRootsThatCoverTheTokenServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t).trusting()
	wants(t, w.run(t, ""), "buildkit", doctor.Skip, "neither docker nor buildx")
	w.o.Machine.BuildKit.Found = true
	w.o.Machine.GOOS = "darwin"
	r := w.run(t, "")
	wants(t, r, "buildkit", doctor.Warn, "BUILDKIT_NO_CLIENT_TOKEN=1")
	if c := check(t, r, "buildkit"); strings.Contains(strings.Join(c.Remedy, ""), "SSL_CERT_FILE") {
		t.Errorf("SSL_CERT_FILE counts on Linux alone: %q", c.Remedy)
	}
}
