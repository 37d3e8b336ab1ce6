package store_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// TestTogetherHelper is what the processes of the next test run: pulls of one
// name that is taken away each time, or collections, until time is up.
func TestTogetherHelper(t *testing.T) {
	role, until := os.Getenv("VICR_TEST_ROLE"), os.Getenv("VICR_TEST_UNTIL")
	if role == "" {
		return // this is not the helper process
	}
	end, err := strconv.ParseInt(until, 10, 64)
	must(t, err)
	s := store.Open(os.Getenv("VICR_TEST_STORE"))
	rounds := 0
	for ; time.Now().UnixNano() < end; rounds++ {
		if role == "gc" {
			_, err := s.Collect(t.Context(), time.Now(), false)
			must(t, err)
			continue
		}
		pullAndTakeAway(t, s, role)
	}
	if rounds < 3 {
		t.Errorf("%s came to its turn %d times", role, rounds)
	}
}

// pullAndTakeAway puts an image whose blobs others may have left or be removing,
// looks whether all of it is there, and takes its name away.
func pullAndTakeAway(t *testing.T, s *store.Store, name string) {
	t.Helper()
	c := transfertest.Content{}
	var layers []v1.Descriptor
	for n := range 4 {
		layers = append(layers, c.Layer(transfertest.Bytes(byte(n), 2000)))
	}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layers...), Content: c}
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		time.Sleep(time.Millisecond) // a registry is not that near
		return r, nil
	}
	if _, err := transfer.Copy(t.Context(), src, slow{s.Sink(name)}, transfer.Options{Jobs: 1}); err != nil {
		t.Fatalf("%s: put: %v", name, err)
	}
	if _, err := transfer.Copy(t.Context(), s.Source(name), &transfertest.Sink{}, transfer.Options{}); err != nil {
		t.Fatalf("%s: an image with a name lost something: %v", name, err)
	}
	if _, err := s.Remove(t.Context(), name); err != nil {
		t.Fatalf("%s: rm: %v", name, err)
	}
}

// slow leaves time between what a sink was given and what comes next.
type slow struct{ *store.Sink }

func (s slow) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	time.Sleep(time.Millisecond)
	return s.Sink.PutManifest(ctx, desc, raw)
}

func (s slow) Commit(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	time.Sleep(2 * time.Millisecond)
	return s.Sink.Commit(ctx, desc, raw)
}

// Whoever removes what no image needs takes nothing from those who are about to
// name it, in whichever process they are.
func TestCollectingBesidePullsInOtherProcessesLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, store.Open(dir), "stays", sample(1))
	until := strconv.FormatInt(time.Now().Add(3*time.Second).UnixNano(), 10)
	type process struct {
		role string
		cmd  *exec.Cmd
		out  *strings.Builder
	}
	var all []process
	for _, role := range []string{"one", "two", "gc", "gc"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTogetherHelper$", "-test.count=1")
		c.Env = append(os.Environ(), "VICR_TEST_ROLE="+role, "VICR_TEST_UNTIL="+until, "VICR_TEST_STORE="+dir)
		p := process{role, c, &strings.Builder{}}
		c.Stdout, c.Stderr = p.out, p.out
		must(t, c.Start())
		all = append(all, p)
	}
	for _, p := range all {
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", p.role, err, p.out)
		}
	}
	if _, err := store.Open(dir).Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(dir).Collect(t.Context(), time.Now(), false); err != nil {
		t.Error(err)
	}
	if n := len(files(t, dir)); n != len(sample(1).Content) {
		t.Errorf("%d blobs are left: %v", n, filepath.Base(dir))
	}
}
