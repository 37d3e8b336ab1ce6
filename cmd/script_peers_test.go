package cmd_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// startPeer starts a TLS registry with an image library/app:1 in it that
// stands in a world of one kind, and sets HOST and FP and writes ca.crt:
//
//	realm    wants a token of another host, REALM, for dev with password s3cret
//	signed   sends for blobs to an address with a signature in it
//	escapes  has control characters in every error and every tag
//	proxied  is called registry.test, which only the proxy at PROXY reaches; the
//	         file connects counts who came through it
func startPeer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: peer realm|signed|escapes|proxied")
	}
	tb := scriptTB{ts: ts}
	ca := testkit.NewCA(tb)
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	seedHostile(ts, images)
	handler := images
	switch args[0] {
	case "realm":
		handler = wantsToken(images, tokenServer(ts, ca))
	case "signed":
		handler = signing(images)
	case "escapes":
		handler = escaping()
	case "proxied":
	default:
		ts.Fatalf("no such peer: %s", args[0])
	}
	addr := serveTLS(ts, ca.NewLeaf(tb, testkit.SANs("127.0.0.1", "registry.test")), handler)
	ts.Setenv("HOST", addr)
	if args[0] == "proxied" {
		ts.Setenv("HOST", "registry.test:5000")
		ts.Setenv("PROXY", connectProxy(ts, addr))
	}
	ts.Setenv("FP", pki.SHA256(ca.Certificate).String())
	ts.Check(os.WriteFile(ts.MkAbs("ca.crt"), ca.PEM(), 0o600))
}

func serveTLS(ts *testscript.TestScript, leaf *testkit.Cert, handler http.Handler) (addr string) {
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	ts.Defer(s.Close)
	return s.Listener.Addr().String()
}

const peerToken = "the-token-of-this-peer"

// tokenServer is at another host name than the registry.
func tokenServer(ts *testscript.TestScript, ca *testkit.Cert) (realm string) {
	addr := serveTLS(ts, ca.NewLeaf(scriptTB{ts: ts}, testkit.SANs("localhost")), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "dev" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, peerToken)
	}))
	realm = strings.Replace("https://"+addr, "127.0.0.1", "localhost", 1)
	ts.Setenv("REALM", realm)
	return realm
}

func wantsToken(next http.Handler, realm string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+peerToken {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
	})
}

func signing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && r.URL.RawQuery == "":
			http.Redirect(w, r, r.URL.Path+"?X-Amz-Signature=s3cret", http.StatusTemporaryRedirect)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func escaping() http.Handler {
	const message = `\u001b[2J\u001b[31mgo\naway\r\u009b\u202e`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/v2/":
			io.WriteString(w, "{}")
		case r.URL.Path == "/v2/_catalog":
			io.WriteString(w, `{"repositories":["`+message+`","library/app"]}`)
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			io.WriteString(w, `{"name":"library/app","tags":["`+message+`"]}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"errors":[{"code":"DENIED","message":"`+message+`"}]}`)
		}
	})
}

// connectProxy brings everyone to addr, whatever name they ask for.
func connectProxy(ts *testscript.TestScript, addr string) (proxy string) {
	var seen atomic.Int64
	count := ts.MkAbs("connects")
	ts.Check(os.WriteFile(count, []byte("0\n"), 0o600))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "registry.test:5000" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		os.WriteFile(count, []byte(strconv.FormatInt(seen.Add(1), 10)+"\n"), 0o600)
		there, err := net.Dial("tcp", addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n") // only now: what came before would be in the server's buffer
		go func() {
			io.Copy(there, here)
			there.Close()
		}()
		io.Copy(here, there)
	}))
	ts.Defer(s.Close)
	return s.URL
}

// fromFile sets a variable of the environment to what a file holds, without
// space around it.
func fromFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fromfile VARIABLE FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}
