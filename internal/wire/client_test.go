package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// newClient makes a client's certificate below ca.
func newClient(t *testing.T, ca *testkit.Cert) *tls.Certificate {
	t.Helper()
	c := ca.NewLeaf(t, testkit.Subject("client"), testkit.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})).TLS()
	return &c
}

// A doorman is a server that asks for a client certificate, and remembers who
// showed which.
type doorman struct {
	*httptest.Server
	mu    sync.Mutex
	shown []string // common names; "" for none
}

func newDoorman(t *testing.T, c *tls.Config, h http.HandlerFunc) *doorman {
	t.Helper()
	d := &doorman{}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		d.mu.Lock()
		d.shown = append(d.shown, name)
		d.mu.Unlock()
		h(w, r)
	}))
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.TLS = c
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

func (d *doorman) sawOnly(t *testing.T, what, name string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.shown) == 0 {
		t.Errorf("%s: nobody came", what)
	}
	for _, s := range d.shown {
		if s != name {
			t.Errorf("%s: saw the certificate %q, want %q", what, s, name)
		}
	}
}

func TestARegistryThatDemandsAClientCertificate(t *testing.T) {
	t.Parallel()
	w, clients := newWorld(t), testkit.NewCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newDoorman(t, &tls.Config{
			Certificates: []tls.Certificate{w.cert}, MinVersion: version, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool(),
		}, echo)
		for what, tt := range map[string]struct {
			cert     *tls.Certificate
			fine     bool
			shown    bool
			insecure bool
		}{
			"none":             {},
			"none, unverified": {insecure: true},
			"the right one":    {cert: newClient(t, clients), fine: true},
			"a foreign one":    {cert: newClient(t, testkit.NewCA(t)), shown: true},
		} {
			for _, method := range []string{"GET", "POST"} {
				tr := w.transport(t, func(c *Config) {
					c.Host, c.ClientCert, c.InsecureSkipVerify = hostOf(t, s.Listener.Addr().String()), tt.cert, tt.insecure
				})
				err := do(tr, request(t, method, s.URL+"/", "")).err
				if tt.fine {
					if err != nil {
						t.Errorf("%s, %s: %v", tls.VersionName(version), what, err)
					}
					continue
				}
				wantKind(t, err, TLS)
				e, ok := errors.AsType[*ClientCertError](err)
				if !ok || !ClientCertRequired(err) || e.Shown != tt.shown {
					t.Errorf("%s, %s, %s: %v", tls.VersionName(version), what, method, err)
					continue
				}
				if (e.State != nil) != tt.insecure || tt.insecure && (e.State.Version != version || len(e.State.PeerCertificates) == 0) {
					t.Errorf("%s, %s: it showed %+v", tls.VersionName(version), what, e.State)
				}
				if !tt.shown && !strings.Contains(err.Error(), "the registry asks for a client certificate") {
					t.Error(err)
				}
			}
		}
		s.sawOnly(t, "the registry", "client")
	}
}

func TestTheClientCertificateIsForTheRegistryAlone(t *testing.T) {
	t.Parallel()
	w, clients := newWorld(t), testkit.NewCA(t)
	config := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{w.cert}, ClientAuth: tls.RequestClientCert}
	}
	for _, insecure := range []bool{false, true} {
		storage, realm := newDoorman(t, config(), echo), newDoorman(t, config(), echo)
		named := newDoorman(t, config(), echo)
		to := ""
		registry := newDoorman(t, config(), func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/away" {
				http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
				return
			}
			echo(rw, r)
		})
		namedURL := strings.Replace(named.URL, "127.0.0.1", "localhost", 1)
		tr := w.transport(t, func(c *Config) {
			c.Host, c.ClientCert = hostOf(t, registry.Listener.Addr().String()), newClient(t, clients)
			c.Realms, c.InsecureSkipVerify = []string{realm.URL, namedURL}, insecure
		})
		for _, u := range []string{registry.URL + "/", realm.URL + "/token", namedURL + "/token", storage.URL + "/blob"} {
			if a := get(t, tr, u); a.err != nil {
				t.Errorf("%s: %v", u, a.err)
			}
		}
		for _, to = range []string{storage.URL + "/blob", strings.Replace(storage.URL, "127.0.0.1", "localhost", 1) + "/blob"} {
			if a := get(t, tr, registry.URL+"/away"); a.err != nil || a.body != "GET /blob " {
				t.Errorf("%s: %+v", to, a)
			}
		}
		registry.sawOnly(t, "the registry", "client")
		realm.sawOnly(t, "the token service of the same name", "client")
		named.sawOnly(t, "a token service of another name", "")
		storage.sawOnly(t, "storage elsewhere", "")
	}
}

func TestAServerThatAsksAndGoesOnWithoutIsNoFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("a long answer ", 1<<10)
	s := newDoorman(t, &tls.Config{Certificates: []tls.Certificate{w.cert}, ClientAuth: tls.RequestClientCert},
		func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(rw, long)
		})
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, s.Listener.Addr().String()) })
	if a := get(t, tr, s.URL+"/"); a.err != nil || a.status != http.StatusBadRequest || a.body != long {
		t.Errorf("%v, status %d, %d bytes", a.err, a.status, len(a.body))
	}
}

// The pages are nginx 1.22.1's.
func TestNginxSaysItInAPage(t *testing.T) {
	t.Parallel()
	w, clients := newWorld(t), testkit.NewCA(t)
	for text, shown := range map[string]bool{"No required SSL certificate was sent": false, "The SSL certificate error": true} {
		page := "<html>\r\n<head><title>400 " + text + "</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>" +
			text + "</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
		answer := func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(rw, page)
		}
		for _, asks := range []bool{true, false} {
			config := &tls.Config{Certificates: []tls.Certificate{w.cert}}
			if asks {
				config.ClientAuth = tls.RequestClientCert
			}
			s := newDoorman(t, config, answer)
			tr := w.transport(t, func(c *Config) {
				c.Host = hostOf(t, s.Listener.Addr().String())
				if shown {
					c.ClientCert = newClient(t, clients)
				}
			})
			a := get(t, tr, s.URL+"/v2/")
			if !asks {
				if a.err != nil || a.body != page {
					t.Errorf("a page of a server that never asked: %+v", a)
				}
				continue
			}
			wantKind(t, a.err, TLS)
			if e, ok := errors.AsType[*ClientCertError](a.err); !ok || e.Shown != shown {
				t.Errorf("%s: %v", text, a.err)
			}
		}
	}
}

func TestAProxyOverHTTPSIsNotShownTheClientCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := newDoorman(t, &tls.Config{Certificates: []tls.Certificate{w.cert}, ClientAuth: tls.RequestClientCert}, echo)
	to := mustURL(t, proxy.URL)
	tr := w.transport(t, func(c *Config) {
		c.ClientCert, c.Proxy = newClient(t, w.ca), func(*http.Request) (*url.URL, error) { return to, nil }
	})
	wantKind(t, get(t, tr, w.server.URL+"/").err, ProxyRefused)
	if len(proxy.shown) != 0 {
		t.Errorf("the proxy saw %q", proxy.shown)
	}
}
