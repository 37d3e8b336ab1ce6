package registry_test

import (
	"crypto/x509"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// The connections for the blobs are opened while the manifest is on its way,
// and no request more is sent for it.
func TestConnectionsAreOpenedBeforeTheManifestComes(t *testing.T) {
	t.Parallel()
	const wanted = 4
	var line atomic.Pointer[testkit.Line]
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) bool {
		l := line.Load()
		for end := time.Now().Add(20 * time.Second); l != nil && isGet(r, "manifests") && l.Connections() < wanted; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%d connections while the manifest is waited for", l.Connections())
				return false
			}
		}
		return false
	})
	if err := push(t, s, "demo/app:1", sample(1)); err != nil {
		t.Fatal(err)
	}
	for name, keep := range map[string]func(transfer.Source) (transfer.Source, error){
		"as it is": func(src transfer.Source) (transfer.Source, error) { return src, nil },
		"kept":     func(src transfer.Source) (transfer.Source, error) { return transfer.Keep(src), nil },
		"pinned": func(src transfer.Source) (transfer.Source, error) {
			pinned, _, err := transfer.Pin(t.Context(), src)
			return pinned, err
		},
	} {
		line.Store(testkit.NewLine(t, strings.TrimPrefix(s.URL, "https://"), testkit.LineOptions{}))
		img, err := ref.ParseImage(line.Load().Addr() + "/demo/app:1")
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		rt := wire.New(wire.Config{Host: img.Host, Roots: roots, Sleep: noSleep})
		t.Cleanup(rt.CloseIdleConnections)
		before := s.seen("", "")
		src, err := keep(registry.OpenWith(img, rt, rt.Base(), noSleep))
		if err == nil {
			_, err = transfer.Copy(t.Context(), src, &transfertest.Sink{}, transfer.Options{})
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := s.seen("", "") - before; n != 3 {
			t.Errorf("%s: %d requests instead of 3", name, n)
		}
	}
}
