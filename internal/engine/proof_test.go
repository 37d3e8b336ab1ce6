package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
)

const host = "192.0.2.2:5443"

// answers are what engines said to POST /images/create of an image that does
// not exist. NAME and TAG stand for the parts of the random name, H for host.
func answers() []struct {
	what    string
	status  int
	message string
	want    engine.Verdict
} {
	const (
		resolve = `failed to resolve reference "H/NAME:TAG": `
		head    = `failed to do request: Head "https://H/v2/NAME/manifests/TAG": `
	)
	return []struct {
		what    string
		status  int
		message string
		want    engine.Verdict
	}{
		{"20.10, untrusted CA", 500, `Get "https://H/v2/": x509: certificate signed by unknown authority`, engine.NotTrusted},
		{"containerd store, untrusted CA", 500, resolve + head + `tls: failed to verify certificate: x509: certificate signed by unknown authority`, engine.NotTrusted},
		{"20.10, basic", 500, `Head "https://H/v2/NAME/manifests/TAG": no basic auth credentials`, engine.Trusted},
		{"containerd store, basic", 500, resolve + `pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`, engine.Trusted},
		{"20.10, basic, bogus user", 500, `unauthorized: authentication required`, engine.Trusted},
		{"containerd store, basic, bogus user", 500, `unknown: ` + resolve + `unexpected status from HEAD request to https://H/v2/NAME/manifests/TAG: 401 Unauthorized`, engine.Trusted},
		{"20.10, no repository", 404, `manifest for H/NAME:TAG not found: manifest unknown: manifest unknown`, engine.Trusted},
		{"containerd store, no repository", 404, resolve + `H/NAME:TAG: not found`, engine.Trusted},
		{"20.10, token", 404, `pull access denied for H/NAME, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`, engine.Trusted},
		{"containerd store, token", 404, `pull access denied for H/NAME, repository does not exist or may require 'docker login'`, engine.Trusted},
		{"20.10, token, bogus user", 500, `Head "https://H/v2/NAME/manifests/TAG": unauthorized`, engine.Trusted},
		{"containerd store, token, bogus user", 500, "error from registry: unauthorized\nunauthorized", engine.Trusted},
		{"containerd store before 29.5, token server", 500, resolve + `failed to authorize: failed to fetch anonymous token: Get "https://192.0.2.2:5447/token?scope=repository%3ANAME%3Apull&service=reg-token": tls: failed to verify certificate: x509: certificate signed by unknown authority`, engine.NotTrusted},
		{"containerd store before 29.5, logged in, token server", 500, resolve + `failed to authorize: failed to fetch oauth token: Post "https://192.0.2.2:5447/token": tls: failed to verify certificate: x509: certificate signed by unknown authority`, engine.NotTrusted},
		{"containerd store, token refused", 500, resolve + `failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://192.0.2.2:5447/token: 401 Unauthorized`, engine.Trusted},
		{"20.10, wrong name", 500, `Get "https://H/v2/": x509: certificate is valid for 192.0.2.99, not 192.0.2.2`, engine.NotTrusted},
		{"containerd store, wrong name", 500, resolve + head + `tls: failed to verify certificate: x509: certificate is valid for 192.0.2.99, not 192.0.2.2`, engine.NotTrusted},
		{"plain HTTP", 500, `Get "https://H/v2/": http: server gave HTTP response to HTTPS client`, engine.NotTrusted},
		{"closed port", 500, `Get "https://H/v2/": dial tcp 192.0.2.2:5443: connect: connection refused`, engine.Unreachable},
		{"absent host", 500, resolve + head + `dial tcp 192.0.2.77:5443: connect: no route to host`, engine.Unreachable},
		{"20.10, swallowed", 500, `Get "https://H/v2/": context deadline exceeded`, engine.Unreachable},
		{"20.10, swallowed later", 500, `Get "https://H/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, engine.Unreachable},
		{"containerd store, swallowed", 500, resolve + head + `dial tcp 192.0.2.88:5443: i/o timeout`, engine.Unreachable},
		{"unknown name", 500, `Get "https://H/v2/": dial tcp: lookup registry.test on 10.0.0.1:53: no such host`, engine.Unreachable},
		{"containerd store, garbage in certs.d", 500, resolve + `unable to load CA cert "/etc/docker/certs.d/H/bad.crt"`, engine.DirFault},
		{"20.10, certificate without key", 500, `missing key junk.key for client certificate junk.cert. Note that CA certificates should use the extension .crt`, engine.DirFault},
		{"containerd store, certificate without key", 500, resolve + `failed to load X509 key pair: tls: found a certificate rather than a key in the PEM for the private key`, engine.DirFault},
		{"key without certificate", 500, `Missing client certificate junk.cert for key junk.key`, engine.DirFault},
		{"podman, untrusted CA", 200, `initializing source docker://H/NAME:TAG: pinging container registry H: Get "https://H/v2/": x509: certificate signed by unknown authority`, engine.NotTrusted},
		{"podman, trusted", 200, `initializing source docker://H/NAME:TAG: reading manifest TAG in H/NAME: unauthorized: authentication required`, engine.Trusted},
		{"20.10, IPv6 literal", 400, `invalid reference format`, engine.Unknown},
		{"words of nobody", 500, `the moon is full`, engine.Unknown},
		{"a port that holds 401", 500, `read tcp 192.0.2.1:54014->192.0.2.2:5443: connection reset by peer`, engine.Unknown},
	}
}

func TestProveTrustJudgesByTheEnginesWords(t *testing.T) {
	t.Parallel()
	for _, a := range answers() {
		for _, host := range []string{host, "certificate.denied.example:401", "x509.example"} {
			t.Run(a.what+" as "+host, func(t *testing.T) {
				t.Parallel()
				f := newFake(t, false)
				f.instead["/images/create"] = func(w http.ResponseWriter, r *http.Request) bool {
					name, tag := strings.TrimPrefix(r.FormValue("fromImage"), host+"/"), r.FormValue("tag")
					message := strings.NewReplacer("NAME", name, "TAG", tag, "H/", host+"/", " H:", " "+host+":").Replace(a.message)
					if r.Header.Get("X-Registry-Auth") != "" {
						message = "credentials were sent"
					}
					if a.status == http.StatusOK {
						fmt.Fprintf(w, `{"status":"Trying to pull %s"}{"errorDetail":{"message":%q},"error":%q}`, name, message, message)
					} else {
						refuse(w, a.status, message)
					}
					return true
				}
				p, err := f.open(t, engine.Options{}).ProveTrust(t.Context(), host)
				if err != nil || p.Verdict != a.want {
					t.Errorf("%s: %q (%v), want %s", p.Verdict, p.Message, err, a.want)
				}
				if want := strings.HasSuffix(a.what, "token server"); p.TokenFault != want {
					t.Errorf("fault of the token request: %t, want %t", p.TokenFault, want)
				}
			})
		}
	}
}

func TestProveTrustNeverAsksForTheSameNameTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	asked := map[string]int{}
	f.instead["/images/create"] = func(w http.ResponseWriter, r *http.Request) bool {
		asked[r.FormValue("fromImage")+":"+r.FormValue("tag")]++
		refuse(w, http.StatusNotFound, "manifest unknown")
		return true
	}
	e := f.open(t, engine.Options{})
	for range 10 {
		_, err := e.ProveTrust(t.Context(), host)
		must(t, err)
	}
	if len(asked) != 10 {
		t.Errorf("it asked for %v", asked)
	}
	for name := range asked {
		if !strings.HasPrefix(name, host+"/vicr-proof-") {
			t.Errorf("it asked for %s", name)
		}
	}
}

// A registry may have an image for whatever it is asked.
func TestProveTrustLeavesNothingOfARegistryThatHasEverything(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]string{
		"begins to pull": `{"status":"Pulling from x","id":"y"}`,
		"pulled":         `{"status":"Download complete"}`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			f.instead["/images/create"] = func(w http.ResponseWriter, r *http.Request) bool {
				f.mu.Lock()
				f.names[r.FormValue("fromImage")+":"+r.FormValue("tag")] = "sha256:x"
				f.mu.Unlock()
				fmt.Fprint(w, answer)
				return true
			}
			p, err := f.open(t, engine.Options{}).ProveTrust(t.Context(), host)
			if err != nil || p.Verdict != engine.Trusted {
				t.Errorf("%s (%v)", p.Verdict, err)
			}
			if len(f.names) != 0 {
				t.Errorf("%v was left behind", f.names)
			}
		})
	}
}

func TestProveTrustOfAnEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	f.instead["/images/create"] = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	_, err := f.open(t, engine.Options{}).ProveTrust(t.Context(), host)
	if _, ok := errors.AsType[*engine.UnavailableError](err); !ok {
		t.Errorf("got %v", err)
	}
	f = newFake(t, false)
	f.instead["/images/create"] = func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, "garbage")
		return true
	}
	p, err := f.open(t, engine.Options{}).ProveTrust(t.Context(), host)
	if err != nil || p.Verdict != engine.Unknown {
		t.Errorf("%s: %q (%v)", p.Verdict, p.Message, err)
	}
}
