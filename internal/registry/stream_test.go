package registry_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A blob whose digest is known at its end arrives, is sent in parts, and is sent
// again where the connection was cut.
func TestPutStream(t *testing.T) {
	t.Parallel()
	const part = 5 * mib
	for name, test := range map[string]struct {
		size   int
		broken testkit.Broken
		every  int64
		chunk  int64
		ok     bool
		parts  int   // PATCH
		once   int64 // cut there, once
	}{
		"nothing":                           {0, testkit.KeepsBytes, 0, 0, true, 0, 0},
		"a byte":                            {1, testkit.KeepsBytes, 0, 0, true, 0, 0},
		"one part":                          {part, testkit.KeepsBytes, 0, 0, true, 1, 0},
		"one part and a byte":               {part + 1, testkit.KeepsBytes, 0, 0, true, 2, 0},
		"small chunks":                      {3 * mib, testkit.KeepsBytes, 0, mib, true, 3, 0},
		"cut":                               {2*part + 5, testkit.KeepsBytes, 4 * mib, 0, true, 5, 0},
		"cut, whole parts are kept":         {3 * part, testkit.KeepsParts, 8 * mib, 0, true, 5, 0},
		"cut, nothing is kept":              {2 * part, testkit.DropsUploads, 8 * mib, 0, false, 2, 0},
		"cut in the first, nothing is kept": {part, testkit.DropsUploads, 0, 0, true, 2, 4 * mib},
		"cut in all there is":               {part - 1, testkit.DropsUploads, 0, 0, true, 0, 4 * mib},
		"cut in all there is, it is kept":   {part - 1, testkit.KeepsBytes, 0, 0, true, 0, 4 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{Broken: test.broken, CutEvery: test.every}
			if test.once > 0 {
				var cut atomic.Bool
				u.Watch(func(size, _ int64) bool { return size > test.once && cut.CompareAndSwap(false, true) })
			}
			s := takes(t, u)
			data := transfertest.Bytes(3, test.size)
			desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
			named := 0
			err := s.open(t, "demo/app:1").InChunks(test.chunk).PutStream(t.Context(), iotest.HalfReader(bytes.NewReader(data)), func() v1.Descriptor {
				named++
				return desc
			})
			if (err == nil) != test.ok || (test.ok && named != 1) || u.Has("demo/app", desc.Digest.String()) != test.ok {
				t.Errorf("%v, named %d times", err, named)
			}
			if !test.ok && wire.KindOf(err) != wire.Unreachable {
				t.Errorf("it does not say why: %v", err)
			}
			if n := s.seen(http.MethodPatch, ""); n != test.parts {
				t.Errorf("%d parts, want %d", n, test.parts)
			}
		})
	}
}

// A stream that fails, or is not what its name says, leaves no upload behind.
func TestStreamsThatFail(t *testing.T) {
	t.Parallel()
	gone := errors.New("the source is gone")
	data := transfertest.Bytes(3, 7*mib)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	longer := desc
	longer.Size++
	other := transfertest.DescriptorOf("sha256", types.OCILayer, []byte("x"))
	other.Size = desc.Size
	isDigest := func(err error) bool { _, ok := errors.AsType[*transfer.DigestError](err); return ok }
	for name, test := range map[string]struct {
		src  io.Reader
		desc v1.Descriptor
		why  func(error) bool
	}{
		"the source fails": {transfertest.Cut(bytes.NewReader(data), 5*mib+1, gone), desc, func(err error) bool { return errors.Is(err, gone) }},
		"at once":          {iotest.ErrReader(gone), desc, func(err error) bool { return errors.Is(err, gone) }},
		"another size":     {bytes.NewReader(data), longer, isDigest},
		"another digest":   {bytes.NewReader(data), other, func(err error) bool { return strings.Contains(err.Error(), "DIGEST_INVALID") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{}
			s := takes(t, u)
			err := s.open(t, "demo/app:1").PutStream(t.Context(), test.src, func() v1.Descriptor { return test.desc })
			if err == nil || !test.why(err) || u.Uploads() != 0 {
				t.Errorf("%v, %d uploads are left", err, u.Uploads())
			}
		})
	}
}

// An answer to the last request that was lost is looked for.
func TestAStreamWhoseLastAnswerWasLost(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	var lost atomic.Bool
	u.Lose = func(r *http.Request) bool { return r.Method == http.MethodPut && lost.CompareAndSwap(false, true) }
	s := takes(t, u)
	data := transfertest.Bytes(3, 100)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	err := s.open(t, "demo/app:1").PutStream(t.Context(), bytes.NewReader(data), func() v1.Descriptor { return desc })
	if err != nil || s.seen(http.MethodPut, "") != 1 {
		t.Errorf("%v, %d PUT", err, s.seen(http.MethodPut, ""))
	}
}

// What a registry asks chunks to have at least, it gets.
func TestStreamsHaveChunksThatTheRegistryTakes(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	u.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.Header().Set("OCI-Chunk-Min-Length", "9000000")
		}
		return false
	}
	s := takes(t, u)
	data := transfertest.Bytes(3, 9_000_001)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	err := s.open(t, "demo/app:1").PutStream(t.Context(), bytes.NewReader(data), func() v1.Descriptor { return desc })
	var sizes []int64
	s.each(func(r *http.Request) {
		if r.Method == http.MethodPatch {
			sizes = append(sizes, r.ContentLength)
		}
	})
	if err != nil || len(sizes) != 2 || sizes[0] != 9_000_000 || sizes[1] != 1 {
		t.Errorf("%v, sent %d", err, sizes)
	}
}
