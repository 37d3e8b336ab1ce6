package auth

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A sentLog is a round-tripper that writes down what went out.
type sentLog struct {
	next http.RoundTripper

	mu      sync.Mutex
	secrets []string // "METHOD PATH" of each request with a password or an identity token
	now     int      // of them under way
	most    int
	cookies int
}

func (l *sentLog) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _, basic := r.BasicAuth()
	secret := basic || r.Method == http.MethodPost && r.URL.Path == "/service/token"
	l.mu.Lock()
	l.cookies += len(r.Cookies())
	if secret {
		l.secrets = append(l.secrets, r.Method+" "+r.URL.Path)
		l.now++
		l.most = max(l.most, l.now)
	}
	l.mu.Unlock()
	if secret {
		defer func() { l.mu.Lock(); l.now--; l.mu.Unlock() }()
	}
	return l.next.RoundTrip(r)
}

// openBox starts a sandbox and gives the way to it as c.
func openBox(t *testing.T, o sandbox.Options, c Credentials) (*Transport, *sentLog, string) {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ref.ParseHost(s.Host())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.CA())
	w := wire.New(wire.Config{Host: h, Roots: pool, Realms: Policy{}.Origins(h)})
	t.Cleanup(func() {
		w.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &sentLog{next: w}
	return NewTransport(l, w.Base(), c, Policy{}), l, "https://" + s.Host()
}

// All kinds of accounts, at all generations: the right password is taken, and a
// wrong one is refused after it was sent once.
func TestVerifyAtEveryGeneration(t *testing.T) {
	t.Parallel()
	users := []sandbox.User{
		{Name: "dev", Password: "right"},
		{Name: "dev@corp.local", Password: "right"},
		{Name: "robot$ci", Password: "right", Kind: sandbox.Robot},
		{Name: "robot$demo+ci", Password: "right", Kind: sandbox.Robot},
		{Name: "bot-demo+ci", Password: "right", Kind: sandbox.Robot},
		{Name: "oidc", Password: "right", Kind: sandbox.OIDC},
	}
	for _, like := range sandbox.Likes() {
		for i, u := range users {
			hasRobots := like == sandbox.Harbor216 || like == sandbox.Distribution || like == sandbox.Harbor110 && i < 4
			if u.Kind == sandbox.Robot && !hasRobots {
				continue
			}
			t.Run(string(like)+" "+u.Name, func(t *testing.T) {
				t.Parallel()
				o := sandbox.Options{Like: like, Users: users, Policy: sandbox.Policy{LoginDelay: 10 * time.Millisecond}}
				where, service := "GET /service/token", "harbor-registry"
				if like == sandbox.Distribution {
					where, service = "GET /v2/", ""
				}
				rt, sent, _ := openBox(t, o, Credentials{Username: u.Name, Password: "right"})
				id, err := rt.Verify(t.Context())
				if err != nil || id.Username != u.Name || id.Service != service {
					t.Errorf("%+v, %v", id, err)
				}
				if !slices.Equal(sent.secrets, []string{where}) || sent.cookies > 0 {
					t.Errorf("the password went with %q, %d cookies", sent.secrets, sent.cookies)
				}
				rt, sent, _ = openBox(t, o, Credentials{Username: u.Name, Password: "wrong"})
				_, err = rt.Verify(t.Context())
				if denied, ok := errors.AsType[*DeniedError](err); !ok || !denied.LoggedIn || denied.Status != http.StatusUnauthorized {
					t.Errorf("a wrong password: %v", err)
				}
				if !slices.Equal(sent.secrets, []string{where}) {
					t.Errorf("a wrong password went with %q", sent.secrets)
				}
			})
		}
	}
}

// Why Verify asks without a scope: with one, every Harbor answers 200 to a
// wrong password, and a public image can be had.
func TestAScopeHidesAWrongPassword(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		if like == sandbox.Distribution {
			continue
		}
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			rt, _, base := openBox(t, sandbox.Options{Like: like}, Credentials{Username: "dev", Password: "wrong"})
			mustDo(t, rt, http.MethodGet, base+"/v2/library/hello/manifests/1.0", http.StatusOK)
			if _, err := rt.Verify(t.Context()); err == nil {
				t.Error("Verify took the wrong password")
			}
		})
	}
}

// Twenty transfers with a wrong password at once: Harbor locks the user, so
// they ask one after the other, and not each of them.
func TestAWrongPasswordIsNeverSentTwiceAtOnce(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor17, sandbox.Harbor216, sandbox.Distribution} {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			rt, sent, base := openBox(t, sandbox.Options{Like: like, Policy: sandbox.Policy{LoginDelay: 50 * time.Millisecond}},
				Credentials{Username: "dev", Password: "wrong"})
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { _, _, _ = do(t, rt, http.MethodPost, base+"/v2/demo/app/blobs/uploads/", nil) })
			}
			all.Wait()
			if sent.most != 1 || len(sent.secrets) > maxSends {
				t.Errorf("%d at once, %d in all", sent.most, len(sent.secrets))
			}
		})
	}
}

// Harbor has no ear for an identity token; whoever has one alone has to log in.
func TestAnIdentityTokenAtHarbor(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{Users: []sandbox.User{{Name: "dev", Password: "right"}}}
	rt, sent, _ := openBox(t, o, Credentials{Username: "dev", Password: "right", IdentityToken: "token"})
	if _, err := rt.Verify(t.Context()); err != nil || !slices.Equal(sent.secrets, []string{"POST /service/token", "GET /service/token"}) {
		t.Errorf("with a password: %v after %q", err, sent.secrets)
	}
	rt, sent, _ = openBox(t, o, Credentials{IdentityToken: "token"})
	_, err := rt.Verify(t.Context())
	if denied, ok := errors.AsType[*DeniedError](err); !ok || denied.Status != http.StatusMethodNotAllowed || len(sent.secrets) != 1 {
		t.Errorf("without: %v after %q", err, sent.secrets)
	}
}
