package registry_test

import (
	"bytes"
	"net/http"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// What a registry asks for does not decide how much is kept in memory.
func TestAStreamIsNotKeptInMemoryBecauseTheRegistrySaysSo(t *testing.T) {
	t.Parallel()
	for least, ok := range map[int]bool{16 * mib: true, 16*mib + 1: false, 128 * mib: false} {
		u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.Header().Set("OCI-Chunk-Min-Length", strconv.Itoa(least))
			}
			return false
		}}
		s := takes(t, u)
		data := transfertest.Bytes(3, 17*mib)
		desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
		src := bytes.NewReader(data)
		err := s.open(t, "demo/app:1").PutStream(t.Context(), src, func() v1.Descriptor { return desc })
		switch {
		case ok && (err != nil || s.seen(http.MethodPatch, "") != 2):
			t.Errorf("at least %d: %v, %d parts", least, err, s.seen(http.MethodPatch, ""))
		case !ok && (wire.KindOf(err) != wire.BadAnswer || src.Len() != len(data)):
			t.Errorf("at least %d: %v, %d bytes were read", least, err, len(data)-src.Len())
		case !ok && (u.Uploads() != 0 || s.seen(http.MethodDelete, "") != 1):
			t.Errorf("at least %d: %d uploads left", least, u.Uploads())
		}
	}
}
