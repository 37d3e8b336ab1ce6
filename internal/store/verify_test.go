package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

func TestVerifySaysHowFarItIsAndWhatIsRight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	put(t, s, "a", sample(1))
	var last string
	seen := map[string][]transfer.Stage{}
	note := func(e transfer.Event) {
		last = e.Desc.Digest.Hex
		seen[last] = append(seen[last], e.Stage)
		if e.Bytes > e.Desc.Size || e.Stage == transfer.Done && e.Bytes != e.Desc.Size {
			t.Errorf("%s is at %d of %d bytes", last, e.Bytes, e.Desc.Size)
		}
	}
	if _, err := s.Verify(t.Context(), note); err != nil || len(seen) != len(files(t, dir)) {
		t.Fatalf("%v, told of %d blobs", err, len(seen))
	}
	for h, stages := range seen {
		if !slices.Equal(stages, []transfer.Stage{transfer.Started, transfer.Progress, transfer.Done}) {
			t.Errorf("%s: %v", h, stages)
		}
	}
	bad := last
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", bad), []byte("other"), 0o600))
	clear(seen)
	if _, err := s.Verify(t.Context(), note); err == nil || slices.Contains(seen[bad], transfer.Done) {
		t.Errorf("%v; of what is wrong: %v", err, seen[bad])
	}
}
