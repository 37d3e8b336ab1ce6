package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

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
