package registry_test

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A layer that may not be distributed is not even asked about.
func TestWhatMayNotBeDistributedIsNotSent(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := transfertest.Content{}
	for _, mediaType := range []types.MediaType{types.DockerForeignLayer, types.OCIRestrictedLayer} {
		layer := c.Add(mediaType, transfertest.Bytes(1, 100))
		layer.URLs = []string{"https://example.com/layer"}
		src := &transfertest.Source{Root: layer, Content: c}
		if _, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer)); err != nil || s.seen("", "") > 0 {
			t.Errorf("%s: %v, %d requests", mediaType, err, s.seen("", ""))
		}
	}
}

// A registry that has another number of bytes under a digest does not have the
// blob: it is sent.
func TestABlobOfAnotherLengthIsNotThere(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "17")
			return true
		}
		return r.URL.Query().Has("mount") && refuse(w, http.StatusNotFound, "{}")
	})
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 100))
	src := &transfertest.Source{Root: layer, Content: c}
	if _, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer)); err != nil || s.seen(http.MethodPut, "") != 1 {
		t.Errorf("%v, sent %d times", err, s.seen(http.MethodPut, ""))
	}
}
