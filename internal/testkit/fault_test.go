package testkit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const content = "0123456789"

func steady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "10")
	_, _ = io.WriteString(w, content[:4])
	_, _ = io.WriteString(w, content[4:])
}

// get asks s once over a connection of its own.
func get(ctx context.Context, t *testing.T, url string) (*http.Response, []byte, error) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestFrontChangesTheBodyAtTheByteThatTheScriptNames(t *testing.T) {
	t.Parallel()
	for at := range int64(len(content)) {
		f := NewFront(t, http.HandlerFunc(steady))
		s := f.Serve(t)
		f.Script(On("GET", "/"), Fault{Act: Corrupt, At: at}, Fault{Act: Cut, At: at}, Fault{Act: Reset, At: at})

		_, body, err := get(t.Context(), t, s.URL)
		want := []byte(content)
		want[at] ^= 1
		if err != nil || string(body) != string(want) {
			t.Errorf("corrupt at %d: %q, %v", at, body, err)
		}
		_, body, err = get(t.Context(), t, s.URL)
		if !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != content[:at] {
			t.Errorf("cut at %d: %q, %v", at, body, err)
		}
		// A reset may overtake bytes that were sent before it.
		_, body, err = get(t.Context(), t, s.URL)
		if err == nil || errors.Is(err, io.EOF) || !strings.HasPrefix(content[:at], string(body)) {
			t.Errorf("reset at %d: %q, %v", at, body, err)
		}
		_, body, err = get(t.Context(), t, s.URL)
		if err != nil || string(body) != content {
			t.Errorf("after the script: %q, %v", body, err)
		}
	}
}

func TestFrontAnswersInPlaceOfTheHandler(t *testing.T) {
	t.Parallel()
	f := NewFront(t, http.HandlerFunc(steady))
	s := f.Serve(t)
	f.Always(On("", "/busy"), Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}, Body: "later"})
	for range 2 {
		resp, body, err := get(t.Context(), t, s.URL+"/busy")
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "7" || string(body) != "later" {
			t.Errorf("%v %q %v", resp, body, err)
		}
	}
	if _, body, err := get(t.Context(), t, s.URL+"/other"); err != nil || string(body) != content {
		t.Errorf("another path: %q, %v", body, err)
	}
	if n := len(f.Seen(On("GET", "/busy"))); n != 2 {
		t.Errorf("saw %d requests", n)
	}
	if n := len(f.Seen(nil)); n != 3 {
		t.Errorf("saw %d requests in all", n)
	}
}

func TestFrontStallsUntilTheClientGoesOrIsReleased(t *testing.T) {
	t.Parallel()
	f := NewFront(t, http.HandlerFunc(steady))
	s := f.Serve(t)
	f.Script(On("", "/"), Fault{Act: Stall, At: 3}, Fault{Act: Stall, Early: true}, Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, body, err := get(ctx, t, s.URL); !errors.Is(err, context.DeadlineExceeded) || string(body) != content[:3] {
		t.Errorf("stalled at 3: %q, %v", body, err)
	}
	early, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if resp, _, err := get(early, t, s.URL); !errors.Is(err, context.DeadlineExceeded) || resp != nil {
		t.Errorf("stalled before the header: %v, %v", resp, err)
	}
	f.Release()
	if _, body, err := get(t.Context(), t, s.URL); err != nil || string(body) != content {
		t.Errorf("released: %q, %v", body, err)
	}
}

func TestFrontBreaksTheConnectionBeforeTheHeader(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	for _, act := range []Act{Cut, Reset} {
		f := NewFront(t, http.HandlerFunc(steady))
		s := f.Serve(t, ca.NewLeaf(t, SANs("127.0.0.1")).TLS())
		f.Always(On("", "/"), Fault{Early: true, Act: act})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := s.Client().Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("act %d: an answer came", act)
		}
		if len(f.Seen(nil)) == 0 {
			t.Errorf("act %d: no request was seen", act)
		}
	}
}
