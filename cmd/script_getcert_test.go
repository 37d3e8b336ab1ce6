package cmd_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// openWith starts a Harbor that shows chain and gives out body as its CA.
func openWith(t *testing.T, chain tls.Certificate, body []byte) (host string) {
	t.Helper()
	s, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/systeminfo/getcert") {
			s.Handler().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(body)
	}))
	front.TLS = &tls.Config{Certificates: []tls.Certificate{chain}, MinVersion: tls.VersionTLS12}
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(func() {
		front.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return front.Listener.Addr().String()
}

// What administrators lay down for download is not always the CA, and each time
// the words say what it is. Trust falls back on the chain where it can.
func TestWhatIsGivenOutAsTheCA(t *testing.T) {
	t.Parallel()
	ca, stranger := testkit.NewCA(t, testkit.Subject("the CA")), testkit.NewCA(t, testkit.Subject("a stranger"))
	leaf := ca.NewLeaf(t, testkit.SANs("127.0.0.1"), testkit.Subject("the registry"))
	ended := testkit.NewCA(t, testkit.Subject("an ended CA"), testkit.Validity(time.Now().AddDate(-3, 0, 0), time.Date(2024, 5, 6, 7, 8, 0, 0, time.UTC)))
	below := ended.NewLeaf(t, testkit.SANs("127.0.0.1"), testkit.Subject("below it"))
	old := ended.NewLeaf(t, testkit.SANs("127.0.0.1"), testkit.Subject("a VIC appliance"),
		testkit.Validity(time.Now().AddDate(-3, 0, 0), time.Date(2024, 5, 6, 7, 8, 0, 0, time.UTC)))
	alone, both := leaf.TLS(), leaf.TLS(ca)
	key := append(ca.PEM(), ca.KeyPEM(t)...)
	page := []byte("<!doctype html><html></html>")
	for _, tt := range []struct {
		name  string
		chain tls.Certificate
		body  []byte
		code  int
		words []string
	}{
		{"the served one", alone, leaf.PEM(), 3, []string{
			"the CA that HOST gives out: ", "the registry\" is the one that is served, not that of the CA which issued it",
			"hint: ask the administrator for the CA's certificate, not the server's",
		}},
		{"the served one, beside a chain", both, leaf.PEM(), 0, []string{"what HOST gives out for download is not its CA; taken from the chain instead"}},
		{"several", alone, testkit.Bundle(leaf, stranger, ca), 0, []string{"HOST gives out 3 certificates; the one that vouches for it is taken", "from getcert", "CN=the CA"}},
		{"several, and not the one", alone, testkit.Bundle(leaf, stranger), 3, []string{"the CA that HOST gives out: ", "a stranger\" does not verify what the host shows", "hint: get the CA file"}},
		{"a key", both, key, 8, []string{
			"the CA that HOST gives out: it contains a private key, which must never leave its server",
			"hint: tell its administrator: everybody can download that key", "hint: to go on, get the certificate of the CA alone",
		}},
		{"a page", alone, page, 3, []string{"the CA that HOST gives out: ", "a web page and no certificate", "hint: get the CA file from the administrator, then: vicr trust HOST --ca-file FILE"}},
		{"a page, beside a chain", both, page, 0, []string{"a web page and no certificate; taken from the chain instead"}},
		{"half a block", alone, leaf.PEM()[:100], 3, []string{"the CA that HOST gives out: certificate bundle: PEM block 1 has no end"}},
		{"an ended CA", below.TLS(), ended.PEM(), 3, []string{
			"the CA that HOST gives out: ", "an ended CA\" expired at 2024-05-06 07:08 UTC, and the clock of this machine says 20",
			"hint: check this machine's clock", "hint: a VIC appliance does not renew it by itself", "hint: until then nothing proves who answers there; if that may be: vicr trust --insecure HOST",
		}},
		{"an ended CA in the chain", below.TLS(ended), nil, 3, []string{"an ended CA\" expired at 2024-05-06 07:08 UTC", "a VIC appliance does not renew it by itself"}},
		{"a VIC appliance that has run out", old.TLS(ended), ended.PEM(), 3, []string{"a VIC appliance\" expired at 2024-05-06 07:08 UTC", "hint: check this machine's clock", "a VIC appliance does not renew it by itself"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := openWith(t, tt.chain, tt.body)
			d := newDesk(t)
			code, _, errs := d.says(t, "", "trust", "--for", "vicr", "--accept-new", host)
			errs = strings.ReplaceAll(errs, host, "HOST")
			for _, w := range tt.words {
				if !strings.Contains(errs, w) {
					t.Errorf("no %q", w)
				}
			}
			if code != tt.code || t.Failed() {
				t.Errorf("exit %d, want %d: %s", code, tt.code, errs)
			}
			if code != 0 {
				nothingIn(t, d.home)
			}
		})
	}
}

// nothingIn fails if there is a file in dir.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Without a terminal nobody logs in as an administrator, and without a match
// nobody is even told how.
func TestAnAdministratorsCAInAScript(t *testing.T) {
	t.Parallel()
	host, caFile := openShop(t, sandbox.Options{Like: sandbox.Harbor11})
	leaf := leafOf(t, host, caFile)
	ca := fingerprintOf(t, caFile)
	for _, tt := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"nothing to compare", []string{"--accept-new"}, []string{
			"no CA was found: it does not come with the certificate that is served, and Harbor before 1.7 gives it to administrators only",
			"hint: the certificate that the server shows has the fingerprint " + leaf + "; ask who runs the server", "vicr trust HOST --fingerprint " + leaf,
			"/data/ca_download/ca.crt", "vicr trust HOST --ca-file ca.crt",
		}},
		{"the leaf", []string{"--fingerprint", leaf}, []string{"no CA was found: ", "hint: at a terminal, this asks for an administrator's name and password: vicr trust HOST --fingerprint " + leaf}},
		{"the CA", []string{"--fingerprint", ca}, []string{"is neither that of the certificate served, " + leaf, "the CA is not known: it does not come with"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			code, _, errs := d.says(t, canary, append([]string{"trust", "--for", "vicr", host}, tt.args...)...)
			errs = strings.ReplaceAll(errs, host, "HOST")
			for _, w := range tt.words {
				if !strings.Contains(errs, w) {
					t.Errorf("no %q", w)
				}
			}
			if code != 3 || t.Failed() {
				t.Errorf("exit %d: %s", code, errs)
			}
			nothingIn(t, d.home)
		})
	}
	// The file does, at every generation, also where nobody gives it out.
	if code, _, errs := newDesk(t).says(t, "", "trust", "--for", "vicr", "--ca-file", caFile, "--fingerprint", leaf, host); code != 0 {
		t.Errorf("--ca-file: exit %d, %s", code, errs)
	}
}

// A fingerprint that names nothing there may be that of the registry, and who
// answers somebody else: what is served is not offered to be trusted.
func TestAWrongFingerprintIsNoWayToTrustWhatIsServed(t *testing.T) {
	t.Parallel()
	wrong := strings.Repeat("ab", 32)
	for _, o := range []sandbox.Options{
		{Like: sandbox.Harbor11}, {Like: sandbox.Harbor15}, {Like: sandbox.Harbor15, Policy: sandbox.Policy{Admiral: true}}, {Like: sandbox.Harbor17},
	} {
		host, caFile := openShop(t, o)
		d := newDesk(t)
		code, _, errs := d.says(t, canary, "trust", "--for", "vicr", "--fingerprint", wrong, host)
		_, hints, _ := strings.Cut(errs, "hint: ")
		if code != 3 || !strings.HasPrefix(hints, "ask the administrator of the registry for the fingerprint again; if it stays different, somebody may be in between\n") {
			t.Errorf("%s: exit %d, %s", o.Like, code, errs)
		}
		if strings.Contains(hints, leafOf(t, host, caFile)) || strings.Contains(hints, "password") {
			t.Errorf("%s advises to trust what is served: %s", o.Like, errs)
		}
		nothingIn(t, d.home)
	}
}

// Harbor before 1.7 inside VIC sends its CA in the chain; nobody is asked.
func TestTheCAOfTheChain(t *testing.T) {
	t.Parallel()
	host, _ := openShop(t, sandbox.Options{Like: sandbox.Harbor15, Policy: sandbox.Policy{Admiral: true}})
	if code, _, errs := newDesk(t).says(t, "", "trust", "--for", "vicr", "--accept-new", host); code != 0 || !strings.Contains(errs, "from chain") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func fingerprintOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return pki.SHA256(certs[0]).String()
}

func leafOf(t *testing.T, host, caFile string) string {
	t.Helper()
	data, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return pki.SHA256(conn.ConnectionState().PeerCertificates[0]).String()
}
