package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
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
	for _, tt := range []struct {
		name                 string
		least                int // bytes that the registry wants in a request
		streams, size, bound int64
	}{
		{"in chunks of vicr's choice", 0, 7, 11 * mib, 25 * mib},
		{"in large chunks", 16 * mib, 3, 17 * mib, 16 * mib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var read, ahead atomic.Int64
			full := sync.OnceFunc(func() {
				for end := time.Now().Add(10 * time.Second); read.Load() < tt.bound && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(50 * time.Millisecond) // for more, if more were read
				ahead.Store(read.Load())
			})
			u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.Method == http.MethodPatch:
					full()
				case r.Method == http.MethodPost && tt.least > 0:
					w.Header().Set("OCI-Chunk-Min-Length", strconv.Itoa(tt.least))
				}
				return false
			}}
			dst := takes(t, u).open(t, "demo/app:1")
			var group sync.WaitGroup
			for i := range tt.streams {
				data := transfertest.Bytes(byte(i+1), int(tt.size))
				desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
				group.Go(func() {
					src := tallied{bytes.NewReader(data), &read}
					if err := dst.PutStream(t.Context(), src, func() v1.Descriptor { return desc }); err != nil || !u.Has("demo/app", desc.Digest.String()) {
						t.Errorf("%d: %v", i, err)
					}
				})
			}
			group.Wait()
			if n := ahead.Load(); n != tt.bound {
				t.Errorf("%d bytes were read ahead of the registry, not %d", n, tt.bound)
			}
		})
	}
}

// What fits in a chunk goes with its name.
func TestASmallStreamTakesTwoRequests(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	s := takes(t, u)
	small := transfertest.Bytes(99, 1000)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, small)
	if err := s.open(t, "demo/app:1").PutStream(t.Context(), bytes.NewReader(small), func() v1.Descriptor { return desc }); err != nil || !u.Has("demo/app", desc.Digest.String()) {
		t.Error(err)
	}
	if posts, patches, puts := s.seen(http.MethodPost, ""), s.seen(http.MethodPatch, ""), s.seen(http.MethodPut, ""); posts != 1 || patches != 0 || puts != 1 {
		t.Errorf("%d POST, %d PATCH and %d PUT", posts, patches, puts)
	}
}
