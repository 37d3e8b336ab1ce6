package registry_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestHead(t *testing.T) {
	t.Parallel()
	src := sample(1)
	other := transfertest.DescriptorOf("sha256", "", nil).Digest
	var mute, refused bool
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || !mute && !refused {
			return false
		}
		if refused {
			return refuse(w, http.StatusForbidden, "")
		}
		w.WriteHeader(http.StatusOK)
		return true
	})
	if err := push(t, s, "demo/app:1", src); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"demo/app:1", "demo/app:1@" + src.Root.Digest.String()} {
		got, err := s.open(t, name).Head(t.Context())
		if err != nil || got.Digest != src.Root.Digest || got.Size != src.Root.Size || got.MediaType != src.Root.MediaType {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"demo/app:2", "demo/app@" + other.String(), "demo/none:1"} {
		if got, err := s.open(t, name).Head(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	mute = true
	if got, err := s.open(t, "demo/app:1").Head(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("a registry that tells no digest: %+v, %v", got, err)
	}
	refused = true
	if _, err := s.open(t, "demo/app:1").Head(t.Context()); err == nil || errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("refused: %v", err)
	}
}

func TestBlobSizeAndMountBlob(t *testing.T) {
	t.Parallel()
	src := sample(2)
	status := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		return status != 0 && refuse(w, status, "")
	})
	if err := push(t, s, "demo/app:1", src); err != nil {
		t.Fatal(err)
	}
	var layer v1.Hash
	for h, data := range src.Content {
		if len(data) == 5000 {
			layer = h
		}
	}
	none := transfertest.DescriptorOf("sha256", "", []byte("none")).Digest
	app := s.open(t, "demo/app:1")
	if n, err := app.BlobSize(t.Context(), layer); n != 5000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := app.BlobSize(t.Context(), none); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}
	other := s.open(t, "demo/other:1")
	for blob, want := range map[v1.Hash]bool{layer: true, none: false} {
		if got, err := other.MountBlob(t.Context(), blob, "demo/app"); got != want || err != nil {
			t.Errorf("%s: %t, %v", blob, got, err)
		}
	}
	for _, status = range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		if got, err := other.MountBlob(t.Context(), layer, "demo/app"); got || err != nil {
			t.Errorf("status %d: %t, %v", status, got, err)
		}
		if _, err := app.BlobSize(t.Context(), layer); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	status = http.StatusInternalServerError
	var failed *registry.Error
	if _, err := app.BlobSize(t.Context(), layer); !errors.As(err, &failed) || errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("a registry that fails: %v", err)
	}
}

func TestAStreamIsNamedAtItsEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	data := transfertest.Bytes(3, 300<<10)
	desc := transfertest.DescriptorOf("sha256", "", data)
	repo := s.open(t, "demo/app:1")
	if err := repo.PutStream(t.Context(), bytes.NewReader(data), func() v1.Descriptor { return desc }); err != nil {
		t.Fatal(err)
	}
	if n, err := repo.BlobSize(t.Context(), desc.Digest); n != desc.Size || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
