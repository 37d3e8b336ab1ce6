package cmd_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// scriptCommands are the words that scripts have beside those of testscript.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"sandbox":  startSandbox,
		"hostile":  startHostile,
		"exits":    exits,
		"giveaway": giveAway,
		"unlike":   unlike,
		"peer":     startPeer,
		"fromfile": fromFile,
		"pair":     writePair,
		"hashes":   hashes,
		"savedby":  savedBy,
		"spoil":    spoil,
	}
}

// startSandbox starts a registry and sets HOST, FP and LEAF (the fingerprints of
// its CA and of the certificate that it serves), and writes ca.crt, admin.password and dev.password.
func startSandbox(ts *testscript.TestScript, neg bool, args []string) {
	var o sandbox.Options
	switch {
	case neg || len(args) > 1:
		ts.Fatalf("usage: sandbox [-plain-http|LIKE]")
	case len(args) == 1 && args[0] == "-plain-http":
		o.PlainHTTP = true
	case len(args) == 1:
		o.Like = sandbox.Like(args[0])
	}
	s, err := sandbox.Start(context.Background(), o)
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv("HOST", s.Host())
	if ca := s.CA(); ca != nil {
		ts.Setenv("FP", pki.SHA256(ca).String())
		ts.Check(os.WriteFile(ts.MkAbs("ca.crt"), pki.EncodePEM(ca), 0o600))
		pool := x509.NewCertPool()
		pool.AddCert(ca)
		conn, err := tls.Dial("tcp", s.Host(), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		ts.Check(err)
		ts.Setenv("LEAF", pki.SHA256(conn.ConnectionState().PeerCertificates[0]).String())
		ts.Check(conn.Close())
	}
	for _, u := range s.Users() {
		ts.Check(os.WriteFile(ts.MkAbs(u.Name+".password"), []byte(u.Password+"\n"), 0o600))
	}
}

// giveAway makes a folder another user's.
func giveAway(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: giveaway FOLDER")
	}
	ts.Check(os.Chown(ts.MkAbs(args[0]), 1234, 1234))
}

// startHostile starts a TLS registry with an image app:1 in it and one fault,
// and sets HOST, FP, LEAF (fingerprints) and writes ca.crt. PASSWORDS names a
// file that counts the requests with credentials that a second host got.
func startHostile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hostile none|flip|realm|html|expired|other-name|cn-only|self-signed|downgrade")
	}
	if args[0] == "downgrade" {
		startDowngrade(ts)
		return
	}
	tb := scriptTB{ts: ts}
	ca := testkit.NewCA(tb)
	leaf := hostileLeaf(tb, ca, args[0])
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewUnstartedServer(fault(ts, args[0], handler))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	ts.Defer(s.Close)
	seedHostile(ts, handler)
	ts.Setenv("HOST", s.Listener.Addr().String())
	ts.Setenv("FP", pki.SHA256(ca.Certificate).String())
	ts.Setenv("LEAF", pki.SHA256(leaf.Certificate).String())
	ts.Check(os.WriteFile(ts.MkAbs("ca.crt"), ca.PEM(), 0o600))
}

// startDowngrade starts a peer that resets TLS and answers in plain text, and
// at the end of the script fails it if a password came.
func startDowngrade(ts *testscript.TestScript) {
	evil := testkit.NewEvil(scriptTB{ts: ts}, "127.0.0.1:0", testkit.ResetTLS("HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"))
	ts.Setenv("HOST", evil.Addr())
	ts.Defer(func() {
		if evil.Opened() == 0 {
			ts.Fatalf("nobody came")
		}
		if evil.Knows("s3cret") {
			ts.Fatalf("the password came in clear")
		}
	})
}

func hostileLeaf(tb testing.TB, ca *testkit.Cert, kind string) *testkit.Cert {
	tb.Helper()
	here := testkit.SANs("127.0.0.1")
	switch kind {
	case "expired":
		return ca.NewLeaf(tb, here, testkit.Expired())
	case "other-name":
		return ca.NewLeaf(tb, testkit.SANs("other.example"))
	case "cn-only":
		return ca.NewLeaf(tb, testkit.Subject("127.0.0.1"))
	case "self-signed":
		return testkit.NewSelfSigned(tb, here)
	}
	return ca.NewLeaf(tb, here)
}

// seedHostile puts app:1 into the registry behind the fault, without TLS.
func seedHostile(ts *testscript.TestScript, handler http.Handler) {
	plain := httptest.NewServer(handler)
	defer plain.Close()
	img, err := random.Image(1<<16, 2)
	ts.Check(err)
	tag, err := name.NewTag(strings.TrimPrefix(plain.URL, "http://") + "/library/app:1")
	ts.Check(err)
	ts.Check(remote.Write(tag, img))
}

func fault(ts *testscript.TestScript, kind string, next http.Handler) http.Handler {
	switch kind {
	case "flip":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			body := rec.Body.Bytes()
			body[len(body)/2] ^= 1
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			w.Write(body)
		})
	case "realm":
		return foreignRealm(ts)
	case "html":
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>welcome</html>")
		})
	}
	return next
}

// foreignRealm sends logins to a second host, and counts what arrives there.
func foreignRealm(ts *testscript.TestScript) http.Handler {
	var seen atomic.Int64
	count := ts.MkAbs("passwords")
	ts.Check(os.WriteFile(count, []byte("0\n"), 0o600))
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			os.WriteFile(count, []byte(strconv.FormatInt(seen.Add(1), 10)+"\n"), 0o600)
		}
		fmt.Fprint(w, `{"token":"x"}`)
	}))
	ts.Defer(evil.Close)
	realm := strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+strings.Replace(realm, "http://", "https://", 1)+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// exits runs a program that has to end with the exit code given first:
//
//	exits 4 vicr pull ...
//
// Its output is compared with stdout and stderr as after exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not %d", strings.Join(args[1:], " "), got, want)
	}
}

// hashes fails unless the first file has the digest that the second one says.
func hashes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hashes FILE DIGEST-FILE")
	}
	want := strings.TrimSpace(ts.ReadFile(args[1]))
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(ts.ReadFile(args[0])))); got != want {
		ts.Fatalf("%s has the digest %s, not %s", args[0], got, want)
	}
}

// unlike fails if one of the files holds the text in the first one: secrets.
func unlike(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: unlike SECRET-FILE DIR...")
	}
	secret := strings.TrimSpace(ts.ReadFile(args[0]))
	for _, dir := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(data), secret) {
				return fmt.Errorf("%s holds the secret", path)
			}
			return err
		}))
	}
}

// scriptTB lets test helpers that want a [testing.TB] fail a script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()                           {}
func (s scriptTB) Fatal(args ...any)                 { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (s scriptTB) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }
func (s scriptTB) Cleanup(f func())                  { s.ts.Defer(f) }
func (s scriptTB) Name() string                      { return "script" }
