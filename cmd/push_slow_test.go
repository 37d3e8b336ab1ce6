//go:build linux || darwin

package cmd_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// What was sent stays at Ctrl-C also where the line is slow: what is on its way
// then has to arrive while the upload ends.
func TestPushInterruptedOnASlowLine(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	u := &testkit.UploadRegistry{Broken: testkit.DropsUploads}
	u.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		r.Body = &slowBody{ReadCloser: r.Body, slow: &slow}
		return false
	}
	s := httptest.NewUnstartedServer(u)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are broken on purpose
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10) // or this side takes what it does not read
		return ctx
	}
	s.Start()
	t.Cleanup(s.Close)
	p := pusherTo(t, strings.TrimPrefix(s.URL, "http://"), 33<<20)
	p.registry = u
	if state, _, said := p.signalled(2<<20, os.Interrupt); state.ExitCode() != 130 {
		t.Errorf("exit code %d\n%s", state.ExitCode(), said)
	}
	slow.Store(false)
	p.wants()
	if got := u.Received(); got > p.layer.Size+1<<10 {
		t.Errorf("%d bytes arrived of %d", got, p.layer.Size)
	}
}

// A slowBody gives 0.8 MB a second while it is slow.
type slowBody struct {
	io.ReadCloser
	slow *atomic.Bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.slow.Load() {
		time.Sleep(20 * time.Millisecond)
		p = p[:min(len(p), 16<<10)]
	}
	return b.ReadCloser.Read(p)
}
