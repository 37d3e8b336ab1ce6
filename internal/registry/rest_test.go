package registry_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/wire"
)

// The rest of a blob that goes on says which bytes it is.
func TestTheRestOfAnUploadSaysWhichBytesItIs(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ranges []string
	u := &testkit.UploadRegistry{Broken: testkit.KeepsBytes, CutEvery: 4 * mib}
	u.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") {
			ranges = append(ranges, r.Header.Get("Content-Range"))
		}
		return false
	}
	s := takes(t, u)
	layer, src := blobOf(7 * mib)
	if _, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer)); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d-%d", 4*mib, 7*mib-1); len(ranges) != 2 || ranges[0] != "" || ranges[1] != want {
		t.Errorf("sent %q, want the second to be %q", ranges, want)
	}
}

// A line that lets a few bytes through each time is given up: at that pace nobody
// would see the end.
func TestAnUploadThatHardlyGrowsIsGivenUp(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{Broken: testkit.KeepsBytes, CutEvery: 10_000}
	s := takes(t, u)
	layer, src := blobOf(2 * mib)
	_, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer))
	if wire.KindOf(err) != wire.Unreachable || u.Cuts() != 6 {
		t.Errorf("%v, after %d cuts", err, u.Cuts())
	}
}

// An upload that is given up goes on, in the next run, at the address that the
// registry gave last: older ones are of no use to it.
func TestTheLastAddressOfAnUploadIsRemembered(t *testing.T) {
	t.Parallel()
	const at = "/v2/demo/app/blobs/uploads/"
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", at+"0")
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodPatch && r.URL.Path == at+"0":
			w.Header().Set("Location", at+"1")
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodGet && r.URL.Path == at+"1":
			w.Header().Set("Range", fmt.Sprint("0-", mib-1))
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPatch:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		return true
	})
	sessions := memo.OpenSessions(t.TempDir())
	layer, src := blobOf(9 * mib)
	_, err := s.open(t, "demo/app:1").InChunks(mib).KeepingUploads(sessions).PutBlob(t.Context(), layer, opener(src, layer))
	if _, ok := errors.AsType[*registry.Error](err); !ok {
		t.Fatal(err)
	}
	session := sessions.Take(t.Context(), strings.TrimPrefix(s.URL, "https://"), "demo/app", layer.Digest)
	if got := session.URL(); got != s.URL+at+"1" {
		t.Errorf("it goes on at %q", got)
	}
	if err := session.Release(); err != nil {
		t.Error(err)
	}
}
