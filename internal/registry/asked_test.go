package registry_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A limiter refuses once, for as long as it says, and hands on then.
type limiter struct {
	http.RoundTripper
	after time.Duration
	done  bool
}

func (l *limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	if !l.done {
		l.done = true
		return nil, &wire.Error{Kind: wire.RateLimited, Err: &wire.RateError{Status: 429, After: l.after}}
	}
	return l.RoundTripper.RoundTrip(req)
}

// A registry that limits a download is asked again after the time that it names,
// if that is not too long.
func TestADownloadWaitsAsLongAsItIsAsked(t *testing.T) {
	t.Parallel()
	layer, src := blobOf(5000)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write(src.Content[layer.Digest])
		return true
	})
	img, err := ref.ParseImage(s.rt.Base().Host + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration][]time.Duration{
		90 * time.Second:  {90 * time.Second},
		200 * time.Second: nil,
	} {
		var waited []time.Duration
		r := registry.OpenWith(img, &limiter{RoundTripper: s.rt, after: after}, s.rt.Base(), func(_ context.Context, d time.Duration) error {
			waited = append(waited, d)
			return nil
		})
		rc, err := r.Blob(t.Context(), layer, 0)
		if err == nil {
			var data []byte
			data, err = io.ReadAll(rc)
			_ = rc.Close()
			if int64(len(data)) != layer.Size {
				t.Errorf("after %s: %d bytes", after, len(data))
			}
		}
		if (err == nil) != (want != nil) || !slices.Equal(waited, want) {
			t.Errorf("after %s: waited %v, %v", after, waited, err)
		}
	}
}
