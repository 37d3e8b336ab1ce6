package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

const (
	demoTag    = "/v2/demo/app/manifests/1"
	publicTag  = "/v2/library/app/manifests/1"
	demoUpload = "/v2/demo/app/blobs/uploads/"
)

func TestOneTokenDoesForAllRequestsOfItsScope(t *testing.T) {
	t.Parallel()
	for _, s := range []style{harbor1, harbor2} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, s)
			rt := transportTo(t, d, login(password))
			for range 5 {
				mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
			}
			passwords, trips, _ := d.counts()
			if passwords != 1 || trips != 1 {
				t.Errorf("%d password sends and %d token trips, want 1 and 1", passwords, trips)
			}
			bare := d.seen(func(r *http.Request) bool {
				return r.URL.Path == demoTag && r.Header.Get("Authorization") == ""
			})
			if bare != 1 {
				t.Errorf("%d requests without a token, want only the first", bare)
			}
			// The challenge is known: another scope costs a token, no refusal.
			mustDo(t, rt, http.MethodPost, d.URL+demoUpload, http.StatusOK)
			if n := d.seen(func(r *http.Request) bool { return r.URL.Path == demoUpload }); n != 1 {
				t.Errorf("the upload was begun %d times, want once", n)
			}
		})
	}
}

func TestScopesOfTheContextAreAskedForInTheFirstToken(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	ctx := WithScope(t.Context(), "repository:demo/app:pull,push", "repository:library/app:pull")
	for _, r := range []struct{ method, path string }{
		{http.MethodHead, demoTag}, {http.MethodPost, demoUpload}, {http.MethodGet, publicTag},
	} {
		req, err := http.NewRequestWithContext(ctx, r.method, d.URL+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d", r.method, r.path, resp.StatusCode)
		}
	}
	if _, trips, _ := d.counts(); trips != 1 {
		t.Errorf("%d token trips, want 1", trips)
	}
}

func TestWithoutCredentialsTokensAreAnonymous(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, setup{})
	mustDo(t, rt, http.MethodGet, d.URL+publicTag, http.StatusOK)
	mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusUnauthorized)
	_, _, err := do(t, transportTo(t, d, setup{}), http.MethodGet, d.URL+"/v2/", nil)
	denied, ok := errors.AsType[*DeniedError](err)
	if !ok || denied.LoggedIn || denied.Status != http.StatusUnauthorized {
		t.Errorf("a token without scope for nobody: %v, want that a login is wanted", err)
	}
	if passwords, _, _ := d.counts(); passwords != 0 {
		t.Errorf("%d requests with a password", passwords)
	}
}

func TestBasicIsSentOnlyAfterItWasAskedFor(t *testing.T) {
	t.Parallel()
	for s, want := range map[style]int{open: 0, htpasswd: 3} {
		d := newDouble(t, s)
		rt := transportTo(t, d, login(password))
		for range 3 {
			mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		}
		if passwords, trips, _ := d.counts(); passwords != want || trips != 0 {
			t.Errorf("%s: %d password sends, %d token trips; want %d and 0", s, passwords, trips, want)
		}
		bare := d.seen(func(r *http.Request) bool { return r.Header.Get("Authorization") == "" })
		if s == htpasswd && bare != 1 {
			t.Errorf("%s: refused %d times, want once", s, bare)
		}
	}
}

func TestAWrongPasswordIsSentAtMostThreeTimesAndNeverInParallel(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	tests := []struct {
		name    string
		style   style
		onToken func(http.ResponseWriter, *http.Request) bool
	}{
		{"basic", htpasswd, nil},
		{"token service refuses", harbor1, refuse},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, tt.style)
			d.onToken = tt.onToken
			rt := transportTo(t, d, login("wrong"))
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					_, _, err := do(t, rt, http.MethodGet, fmt.Sprintf("%s/v2/demo/app%d/manifests/1", d.URL, i), nil)
					denied, ok := errors.AsType[*DeniedError](err)
					if !ok || !denied.LoggedIn {
						t.Errorf("%v, want that the credentials are refused", err)
					}
				})
			}
			wg.Wait()
			passwords, _, mostBusy := d.counts()
			if passwords == 0 || passwords > 3 || mostBusy != 1 {
				t.Errorf("%d password sends, %d at the same time; want at most 3, one by one", passwords, mostBusy)
			}
		})
	}
}

// D10 of the fault catalogue: the token service gives tokens that the registry
// does not take.
func TestRefusalForEverCostsAtMostThreePasswords(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{`Bearer realm="%s/service/token",service="harbor-registry"`, `Basic realm="harbor"`, ""} {
		d := newDouble(t, harbor1)
		rt := transportTo(t, d, login(password))
		mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		d.onV2 = func(w http.ResponseWriter, _ *http.Request) bool {
			text := challenge
			if strings.Contains(text, "%s") {
				text = fmt.Sprintf(text, d.URL)
			}
			w.Header().Set("WWW-Authenticate", text)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "go away")
			return true
		}
		before, _, _ := d.counts()
		for i := range 10 {
			status, body, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
			if _, denied := errors.AsType[*DeniedError](err); !denied && (status != http.StatusUnauthorized || body != "go away") {
				t.Errorf("challenge %q: %d %q %v, want the refusal as it came", challenge, status, body, err)
			}
			if i == 0 && err != nil {
				t.Errorf("challenge %q: the first refusal is %v, want the answer itself", challenge, err)
			}
		}
		if after, _, _ := d.counts(); after-before > 3 {
			t.Errorf("challenge %q: %d passwords", challenge, after-before)
		}
	}
}

func TestATokenIsRenewedForAsLongAsItIsAccepted(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	d.life = 100
	rt := transportTo(t, d, login(password))
	clock := time.Now()
	rt.now = func() time.Time { return clock }
	for i := range 10 {
		mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		clock = clock.Add(79 * time.Second)
		mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		if _, trips, _ := d.counts(); trips != i+1 {
			t.Fatalf("%d token trips after %d lives", trips, i+1)
		}
		clock = clock.Add(2 * time.Second) // 81 s: past 80 % of 100 s
	}
	refusals := d.seen(func(r *http.Request) bool { return r.Header.Get("Authorization") == "" })
	if refusals != 1 {
		t.Errorf("refused %d times, want once: tokens are renewed before they end", refusals)
	}
}

func TestARevokedTokenIsRenewedOnceAndTheBodySentAgain(t *testing.T) {
	t.Parallel()
	for _, s := range []style{harbor1, harbor2} {
		d := newDouble(t, s)
		rt := transportTo(t, d, login(password))
		mustDo(t, rt, http.MethodPost, d.URL+demoUpload, http.StatusOK)
		d.revoke()
		status, _, err := do(t, rt, http.MethodPatch, d.URL+demoUpload+"1", strings.NewReader("layer"))
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d, %v", s, status, err)
		}
		d.mu.Lock()
		if last := d.bodies[len(d.bodies)-1]; last != "layer" {
			t.Errorf("%s: the body came as %q the second time", s, last)
		}
		d.mu.Unlock()
		if _, trips, _ := d.counts(); trips != 2 {
			t.Errorf("%s: %d token trips, want 2", s, trips)
		}
	}
}

func TestABodyThatCannotBeSentTwiceIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	send := func() int {
		status, _, err := do(t, rt, http.MethodPut, d.URL+demoTag, iotest.OneByteReader(strings.NewReader("manifest")))
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := send(); got != http.StatusUnauthorized {
		t.Fatalf("the first time: %d, want the refusal", got)
	}
	if got := send(); got != http.StatusOK {
		t.Fatalf("the second time: %d, want that the token is there", got)
	}
}

func TestWhatTheRegistrySaysOfAMissingProjectIsReturned(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor2)
	rt := transportTo(t, d, login(password))
	status, body, err := do(t, rt, http.MethodPost, d.URL+"/v2/missing/app/blobs/uploads/", nil)
	if err != nil || status != http.StatusUnauthorized || !strings.Contains(body, "project missing not found") {
		t.Errorf("%d %q %v", status, body, err)
	}
	if passwords, _, _ := d.counts(); passwords != 1 {
		t.Errorf("%d password sends, want 1", passwords)
	}
}

func TestInsufficientScopeIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	for range 4 {
		mustDo(t, rt, http.MethodPost, d.URL+"/v2/library/app/blobs/uploads/", http.StatusUnauthorized)
	}
	if passwords, _, _ := d.counts(); passwords != 1 {
		t.Errorf("%d password sends, want 1", passwords)
	}
}

func TestNeitherCookiesNorForeignHeadersAreCarried(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor2)
	rt := transportTo(t, d, login(password))
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+demoTag, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Basic from-somebody-else")
		req.Header.Set("Cookie", "sid=1")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if req.Header.Get("Cookie") == "" {
			t.Error("the caller's request was changed")
		}
	}
	bad := d.seen(func(r *http.Request) bool {
		return r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") == "Basic from-somebody-else"
	})
	if bad != 0 {
		t.Errorf("%d requests with a cookie or the caller's header", bad)
	}
}

func TestWaitingForTheTokenOfAnotherEndsWithTheContext(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	entered, release := make(chan struct{}), make(chan struct{})
	d.onToken = func(http.ResponseWriter, *http.Request) bool {
		close(entered)
		<-release
		return false
	}
	rt := transportTo(t, d, login(password))
	var wg sync.WaitGroup
	wg.Go(func() { mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK) })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+demoTag, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := rt.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it was cancelled", err)
		}
		close(release)
	})
	cancel()
	wg.Wait()
}

func TestThroughAnHTTPClientRequestsStayOnThisRoad(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	client := &http.Client{Transport: transportTo(t, d, login(password))}
	// go-containerregistry writes http for addresses that look private.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(d.URL, "https://", "http://", 1)+demoTag, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.TLS == nil {
		t.Errorf("status %d, TLS %v", resp.StatusCode, resp.TLS != nil)
	}
}

var _ http.RoundTripper = (*Transport)(nil)

var _ http.Handler = (*double)(nil)
