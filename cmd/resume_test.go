//go:build unix

package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const mib = 1 << 20

// A puller pulls demo/app:TAG of a registry at the other end of a line.
type puller struct {
	t    *testing.T
	home string
	made *testkit.Made
	line *testkit.Line
	bin  string
}

func newPuller(t *testing.T, o testkit.LineOptions) *puller {
	t.Helper()
	p := &puller{t: t, home: t.TempDir(), made: testkit.NewMade(), bin: "vicr"}
	p.line = testkit.NewLine(t, strings.TrimPrefix(testkit.NewFront(t, p.made).Serve(t).URL, "http://"), o)
	return p
}

// command is vicr pull, not yet started, and what it will have said.
func (p *puller) command(tag string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	return p.commandOf([]string{tag}, append(args, "--to", "store")...)
}

func (p *puller) commandOf(tags []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	args = append([]string{"pull", "--plain-http"}, args...)
	for _, tag := range tags {
		args = append(args, p.line.Addr()+"/demo/app:"+tag)
	}
	c := exec.CommandContext(p.t.Context(), p.bin, args...)
	c.Dir = p.home
	c.Env = []string{"HOME=" + p.home, "XDG_DATA_HOME=" + p.home, "DOCKER_HOST=unix://" + p.home + "/none"}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	return c, &said
}

// pull has to succeed, and to bring what root names, to the last bit.
func (p *puller) pull(tag string, root v1.Descriptor, args ...string) (said string) {
	p.t.Helper()
	c, out := p.command(tag, args...)
	if err := c.Run(); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	p.whole(tag, root)
	return out.String()
}

// whole proves that the store has the image, and all of it right.
func (p *puller) whole(tag string, root v1.Descriptor) {
	p.t.Helper()
	s := store.Open(filepath.Join(p.home, "vicr", "store")).Source(p.line.Addr() + "/demo/app:" + tag)
	res, err := transfer.Copy(p.t.Context(), s, forgetful{}, transfer.Options{})
	if err != nil || res.Root.Digest != root.Digest {
		p.t.Fatalf("the store has %s, %v; want %s", res.Root.Digest, err, root.Digest)
	}
}

// forgetful reads all that it is given.
type forgetful struct{}

func (forgetful) PutBlob(ctx context.Context, _ v1.Descriptor, open transfer.Opener) (int64, error) {
	rc, err := open(ctx, 0)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, rc)
	return n, errors.Join(err, rc.Close())
}
func (forgetful) PutManifest(context.Context, v1.Descriptor, []byte) error { return nil }
func (forgetful) Commit(context.Context, v1.Descriptor, []byte) error      { return nil }
func (forgetful) Close() error                                             { return nil }

// part is how much of a layer an earlier run left.
func (p *puller) part(layer v1.Descriptor) int64 {
	info, err := os.Stat(filepath.Join(p.home, "vicr", "store", "ingest", "sha256-"+layer.Digest.Hex))
	if err != nil {
		return 0
	}
	return info.Size()
}

// until waits for so much of a layer to be there.
func (p *puller) until(layer v1.Descriptor, bytes int64) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); p.part(layer) < bytes; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("only %d bytes came", p.part(layer))
		}
	}
}

// interrupted sends SIGINT to c and says how long it took to end.
func (p *puller) interrupted(c *exec.Cmd, said fmt.Stringer) time.Duration {
	p.t.Helper()
	start := time.Now()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	err := c.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 130 {
		p.t.Errorf("ended with %v\n%s", err, said)
	}
	return time.Since(start)
}

// Ctrl-C ends a pull within a second, whether bytes come or not, and the next
// run asks for what is missing alone.
func TestAPullThatIsInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent %v", silent), func(t *testing.T) {
			t.Parallel()
			p := newPuller(t, testkit.LineOptions{Rate: 16 * mib})
			layer := p.made.Layer(24 * mib)
			root := p.made.Tag("1", layer)
			c, said := p.command("1", "--jobs", "1")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			p.until(layer, 5*mib)
			if silent {
				p.line.Hold()
				time.Sleep(50 * time.Millisecond)
			}
			if took := p.interrupted(c, said); took > time.Second {
				t.Errorf("took %s to end", took)
			}
			p.line.Let()
			kept, sent := p.part(layer), p.line.Sent()
			if kept < 5*mib || sent-kept > mib {
				t.Errorf("of %d bytes %d were kept", sent, kept)
			}
			out := p.pull("1", root, "--jobs", "1", "--progress", "plain")
			if !strings.Contains(out, layer.Digest.Hex[:12]+": goes on at ") {
				t.Errorf("said\n%s", out)
			}
			if again := p.line.Sent() - sent; again > layer.Size-kept+64<<10 {
				t.Errorf("%d bytes were sent, and %d were missing", again, layer.Size-kept)
			}
			asked := p.made.Asked()
			if last, want := asked[len(asked)-1].Header.Get("Range"), fmt.Sprintf("bytes=%d-%d", kept, layer.Size-1); last != want {
				t.Errorf("asked for %q, want %q", last, want)
			}
		})
	}
}

// Over a line that breaks every few MiB a pull is whole at the end of one run.
func TestAPullOverALineThatBreaks(t *testing.T) {
	t.Parallel()
	for _, every := range []int64{mib, 3 * mib, 5*mib + 1} {
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			t.Parallel()
			p := newPuller(t, testkit.LineOptions{CutEvery: every})
			root := p.made.Tag("1", p.made.Layer(12*mib), p.made.Layer(7*mib), p.made.Layer(100))
			out := p.pull("1", root, "--progress", "json")
			if p.line.Cuts() < 2 || !strings.Contains(out, `"stage":"retrying"`) || !strings.Contains(out, `"why":"`+p.line.Addr()+`: the connection was cut"`) {
				t.Errorf("after %d cuts said\n%s", p.line.Cuts(), out)
			}
			if again := p.line.Sent() - 19*mib; again > (p.line.Cuts()+20)*(2<<10) {
				t.Errorf("%d bytes were sent again after %d cuts", again, p.line.Cuts())
			}
		})
	}
}

// A cable that is pulled for longer than silence may last, and put back in.
func TestAPullWhenTheCableIsPulled(t *testing.T) {
	t.Parallel()
	p := newPuller(t, testkit.LineOptions{Rate: 16 * mib})
	layer := p.made.Layer(16 * mib)
	root := p.made.Tag("1", layer)
	c, said := p.command("1", "--timeout", "500ms", "--progress", "plain")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until(layer, 2*mib)
	p.line.Hold()
	time.Sleep(2 * time.Second)
	p.line.Let()
	if err := c.Wait(); err != nil || !strings.Contains(said.String(), "response body: no progress in 500ms") {
		t.Fatalf("%v\n%s", err, said)
	}
	p.whole("1", root)
}

// Fifty tags that share layers: each blob is fetched once, into the store as
// into a folder.
func TestAPullOfManyTagsFetchesEachBlobOnce(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"store", "oci:out:1"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			p := newPuller(t, testkit.LineOptions{})
			base := []v1.Descriptor{p.made.Layer(300_000), p.made.Layer(200_000), p.made.Layer(100_000)}
			var tags []string
			for i := range 50 {
				tag := fmt.Sprint("v", i)
				tags = append(tags, tag)
				p.made.Tag(tag, append(base[:3:3], p.made.Layer(1000))...)
			}
			if c, said := p.commandOf(tags, "--to", to); c.Run() != nil {
				t.Fatalf("%v\n%s", c.ProcessState, said)
			}
			times := map[string]int{}
			for _, r := range p.made.Asked() {
				times[r.URL.Path]++
				if times[r.URL.Path] > 1 || r.Method != http.MethodGet {
					t.Errorf("%s %s for the %d. time", r.Method, r.URL.Path, times[r.URL.Path])
				}
			}
			if len(times) != 3+50+50 {
				t.Errorf("%d blobs were fetched", len(times))
			}
			if n := p.line.Connections(); n > 8 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
