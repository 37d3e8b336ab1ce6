//go:build e2e && linux

package testkit

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	tokenService = "reg-token"
	tokenIssuer  = "testkit-issuer"
)

// A TokenServer gives tokens for a registry at a port of its own, as Harbor
// and others do.
type TokenServer struct {
	Realm string
	Given atomic.Int64 // tokens

	signer         *Cert
	user, password string
}

// StartTokenServer starts one at an address of the rig, over TLS with cert,
// or in clear without. Anybody gets a token; a wrong password does not. With
// clientCA it demands a client certificate.
func (r *Rig) StartTokenServer(t *testing.T, addr string, cert, clientCA *Cert, user, password string) *TokenServer {
	t.Helper()
	s := &TokenServer{Realm: "http://" + addr + "/token", signer: NewCA(t), user: user, password: password}
	l := r.Listen(t, addr)
	if cert != nil {
		s.Realm = "https://" + addr + "/token"
		config := &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
		if clientCA != nil {
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, clientCA.Pool()
		}
		l = tls.NewListener(l, config)
	}
	srv := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s
}

// ServeHTTP answers GET as the registry's own specification has it, and the
// POST that containerd sends when it has credentials.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, password, ok := req.BasicAuth()
	scopes := req.URL.Query()["scope"]
	if req.Method == http.MethodPost {
		if err := req.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		user, password, ok = req.PostForm.Get("username"), req.PostForm.Get("password"), true
		scopes = strings.Fields(req.PostForm.Get("scope"))
	}
	if ok && (user != s.user || password != s.password) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}`)
		return
	}
	token, err := s.token(user, scopes, ok)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.Given.Add(1)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token, "expires_in": 300, "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// token is a JWT, signed by ES256; without a user it allows nothing.
func (s *TokenServer) token(user string, scopes []string, known bool) (string, error) {
	list := []access{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		if i := strings.LastIndexByte(rest, ':'); known && i > 0 {
			list = append(list, access{kind, rest[:i], strings.Split(rest[i+1:], ",")})
		}
	}
	now := time.Now().Unix()
	part := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]any{
		"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.signer.Raw)},
	}) + "." + part(map[string]any{
		"iss": tokenIssuer, "sub": user, "aud": tokenService, "exp": now + 300, "nbf": now - 60, "iat": now,
		"jti": rand.Text(), "access": list,
	})
	digest := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, s.signer.Key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		return "", err
	}
	sig := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}
