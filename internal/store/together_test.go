package store_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// TestTogetherHelper is what the processes of the next test run: pulls of one
// name that is taken away each time, or collections, a line for each, until their
// standard input ends.
func TestTogetherHelper(t *testing.T) {
	role := os.Getenv("VICR_TEST_ROLE")
	if role == "" {
		return // this is not the helper process
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	s := store.Open(os.Getenv("VICR_TEST_STORE"))
	for {
		select {
		case <-ended:
			return
		default:
		}
		if role == "gc" {
			_, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()})
			must(t, err)
		} else {
			pullAndTakeAway(t, s, role)
		}
		fmt.Println(roundDone)
	}
}

// roundDone is what a process says of each round.
const roundDone = "a round is done"

// A together is one of several processes.
type together struct {
	role  string
	cmd   *exec.Cmd
	stdin io.Closer
	out   *rounds
}

// rounds closes enough after some rounds, or at the end.
type rounds struct {
	strings.Builder

	left   int
	enough chan struct{}
}

func (r *rounds) Write(p []byte) (int, error) {
	n, err := r.Builder.Write(p)
	for range strings.Count(string(p), roundDone) {
		if r.left--; r.left == 0 {
			close(r.enough)
		}
	}
	return n, err
}

func startTogether(t *testing.T, dir, role string, want int) *together {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTogetherHelper$", "-test.count=1")
	c.Env = append(os.Environ(), "VICR_TEST_ROLE="+role, "VICR_TEST_STORE="+dir)
	in, err := c.StdinPipe()
	must(t, err)
	p := &together{role, c, in, &rounds{left: want, enough: make(chan struct{})}}
	c.Stdout, c.Stderr = p.out, p.out
	must(t, c.Start())
	return p
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

// awaitRounds returns when each has done enough, or one has failed.
func awaitRounds(all []*together, failed <-chan error) error {
	for _, p := range all {
		select {
		case <-p.out.enough:
		case err := <-failed:
			return err
		}
	}
	return nil
}

// Whoever removes what no image needs takes nothing from those who are about to
// name it, in whichever process they are.
func TestCollectingBesidePullsInOtherProcessesLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, store.Open(dir), "stays", sample(1))
	const want = 5 // rounds of each
	var all []*together
	for _, role := range []string{"one", "two", "gc", "gc"} {
		all = append(all, startTogether(t, dir, role, want))
	}
	failed := make(chan error, len(all))
	var ends sync.WaitGroup
	for _, p := range all {
		ends.Go(func() {
			if err := p.cmd.Wait(); err != nil {
				failed <- fmt.Errorf("%s: %w\n%s", p.role, err, p.out)
			}
		})
	}
	if err := awaitRounds(all, failed); err != nil {
		t.Error(err)
	}
	for _, p := range all {
		_ = p.stdin.Close()
	}
	ends.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if _, err := store.Open(dir).Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(dir).Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil {
		t.Error(err)
	}
	if n := len(files(t, dir)); n != len(sample(1).Content) {
		t.Errorf("%d blobs are left: %v", n, filepath.Base(dir))
	}
}
