package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A tallied reader is one of several that count together.
type tallied struct {
	r     io.Reader
	total *atomic.Int64
}

func (c tallied) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.total.Add(int64(n))
	return n, err
}

// However many streams there are and however slow the registry is, what is in
// memory has a bound; and all of them arrive.
func TestStreamsShareTheirMemory(t *testing.T) {
	t.Parallel()
	const streams, size, bound = 7, 11 * mib, 25 * mib
	var read, ahead atomic.Int64
	full := sync.OnceFunc(func() {
		for end := time.Now().Add(10 * time.Second); read.Load() < bound && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond) // for more, if more were read
		ahead.Store(read.Load())
	})
	u := &testkit.UploadRegistry{Before: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			full()
		}
		return false
	}}
	s := takes(t, u)
	dst := s.open(t, "demo/app:1")
	var group sync.WaitGroup
	for i := range streams {
		data := transfertest.Bytes(byte(i+1), size)
		desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
		group.Go(func() {
			src := tallied{bytes.NewReader(data), &read}
			if err := dst.PutStream(t.Context(), src, func() v1.Descriptor { return desc }); err != nil || !u.Has("demo/app", desc.Digest.String()) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	group.Wait()
	if n := ahead.Load(); n != bound {
		t.Errorf("%d bytes were read ahead of the registry, not %d", n, bound)
	}
	// What fits in a part goes with its name.
	before := s.seen(http.MethodPost, "")
	small := transfertest.Bytes(99, 1000)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, small)
	patches := s.seen(http.MethodPatch, "")
	if err := dst.PutStream(t.Context(), bytes.NewReader(small), func() v1.Descriptor { return desc }); err != nil {
		t.Error(err)
	}
	if posts, more := s.seen(http.MethodPost, "")-before, s.seen(http.MethodPatch, "")-patches; posts != 1 || more != 0 {
		t.Errorf("a small blob took %d POST and %d PATCH", posts, more)
	}
}
