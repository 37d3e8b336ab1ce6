//go:build linux

package main

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestImagesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	img := image{"img", layers(1, 2, 100_000)}
	var roots [2]string
	for i := range roots {
		dir := t.TempDir()
		if err := writeLayout(dir, img); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		roots[i] = string(raw)
		blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
		if err != nil || len(blobs) != 4 {
			t.Errorf("%d blobs, %v", len(blobs), err)
		}
		for _, b := range blobs {
			f, err := os.Open(filepath.Join(dir, "blobs", "sha256", b.Name()))
			if err != nil {
				t.Fatal(err)
			}
			h, size, err := v1.SHA256(f)
			if err != nil || h.Hex != b.Name() {
				t.Errorf("%s has the digest %s: %v", b.Name(), h, err)
			}
			if size > 40_000 && (size < 50_000 || size > 60_000) {
				t.Errorf("a layer of 100000 bytes has %d compressed", size)
			}
			f.Close()
		}
	}
	if roots[0] != roots[1] {
		t.Errorf("%s\n%s", roots[0], roots[1])
	}
}

func TestALagProxyIsAsSlowAsItsLink(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }))
	defer server.Close()
	get := func(l link, conns int) time.Duration {
		p, err := startLag(t.Context(), server.Listener.Addr().String(), l)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		begin := time.Now()
		done := make(chan error, conns)
		for range conns {
			go func() {
				tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, p.addr())
				}}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
				resp, err := tr.RoundTrip(req)
				if err == nil {
					n, _ := io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if n != size {
						t.Errorf("%d bytes came", n)
					}
				}
				done <- err
			}()
		}
		for range conns {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return time.Since(begin)
	}
	// Only lower bounds: a machine may be as busy as it likes.
	const rate = 16 << 20
	for name, test := range map[string]struct {
		link  link
		conns int
		least time.Duration
	}{
		"round trips":              {link{rtt: 100 * time.Millisecond}, 1, 200 * time.Millisecond},
		"a rate for each":          {link{perConn: rate}, 1, 200 * time.Millisecond},
		"a rate for all together":  {link{rate: rate}, 2, 400 * time.Millisecond},
		"a rate for each, several": {link{perConn: rate}, 2, 200 * time.Millisecond},
	} {
		if took := get(test.link, test.conns); took < test.least {
			t.Errorf("%s: took %s, want at least %s", name, took, test.least)
		}
	}
}

func TestMediansAndRatios(t *testing.T) {
	t.Parallel()
	s, u := seriesOf("s", 1, 2, 30), seriesOf("u", 2, 4, 10)
	if got := s.wall(); got != (spread{2, 1, 30}) {
		t.Errorf("%+v", got)
	}
	if got := s.ratio(u); got != (spread{0.5, 0.5, 3}) {
		t.Errorf("%+v", got)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (spread{2.5, 1, 4}) || !math.IsNaN(spreadOf(nil).median) {
		t.Errorf("%+v", got)
	}
	sum := sample{Wall: 1, CPU: 2, RSS: 3}.add(sample{Wall: 10, CPU: 20, RSS: 2})
	if sum != (sample{Wall: 11, CPU: 22, RSS: 3}) || s.cpu() != 1 || s.rss() != 20 {
		t.Errorf("%+v, %v, %v", sum, s.cpu(), s.rss())
	}
}
