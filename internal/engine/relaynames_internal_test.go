package engine

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// A run that tidies looks at a lock that was just made, and takes it for that of a
// killed run: the other one has it after that.
func TestALockThatIsLookedAtIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "0")
	look, err := atomicfile.Lock(t.Context(), path+lockSuffix, 0)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() { gone <- (&record{path: path, lock: look}).done() })
	c, err := writeRecord(t.Context(), path, relayed{Engine: "unix:///x.sock", Name: "127.0.0.1:4711/demo/app:1"})
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := readRecord(path); n == nil || n.Engine != "unix:///x.sock" {
		t.Errorf("it wrote %+v", n)
	}
	if err := c.done(); err != nil {
		t.Error(err)
	}
}
