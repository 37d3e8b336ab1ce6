package cmd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const (
	largeBlob = 256 << 20 // bytes
	// mostMemory is what the process may have had at most, in KiB. It
	// takes 26 MiB, a part of which is the test binary.
	mostMemory = 64 << 10
	mostOnDisk = 64 << 10 // bytes
)

// largeSource is a registry with an image of one large layer that it makes as it
// is asked for.
func largeSource(t *testing.T) *httptest.Server {
	t.Helper()
	block := transfertest.Bytes(1, 1<<20)
	h := sha256.New()
	for range largeBlob / len(block) {
		h.Write(block)
	}
	config := []byte(`{"architecture":"amd64","os":"linux"}`)
	layer := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: transfertest.DescriptorOf("sha256", types.DockerConfigJSON, config),
		Layers: []v1.Descriptor{{MediaType: types.DockerLayer, Size: largeBlob, Digest: layer}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
			_, _ = w.Write(raw)
		case strings.HasSuffix(r.URL.Path, layer.String()):
			w.Header().Set("Content-Length", strconv.Itoa(largeBlob))
			for range largeBlob / len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case strings.Contains(r.URL.Path, "/blobs/"):
			_, _ = w.Write(config)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// A drain is a registry that hashes what it is sent and keeps nothing, and looks
// at the process that sends when it has it all.
type drain struct {
	pid   atomic.Int64
	taken atomic.Int64 // bytes of blobs
	most  atomic.Int64 // KiB of memory
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/demo/app/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/"):
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if want := "sha256:" + hex.EncodeToString(h.Sum(nil)); err != nil || r.URL.Query().Get("digest") != want {
			http.Error(w, "not its digest", http.StatusBadRequest)
			return
		}
		d.taken.Add(n)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid.Load()))
		if m := highWater.FindSubmatch(status); err == nil && m != nil {
			kib, _ := strconv.ParseInt(string(m[1]), 10, 64)
			d.most.Store(kib)
		}
		w.WriteHeader(http.StatusCreated)
	case strings.Contains(r.URL.Path, "/blobs/"), strings.Contains(r.URL.Path, "/manifests/"):
		w.WriteHeader(http.StatusNotFound)
	}
}

// A layer streams from one registry to another: it is neither in memory as a
// whole nor on the disk.
func TestCopyStreams(t *testing.T) {
	t.Parallel()
	src, to := largeSource(t), &drain{}
	dst := httptest.NewServer(to)
	t.Cleanup(dst.Close)
	home := t.TempDir()
	host := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	c := exec.CommandContext(t.Context(), "vicr", "copy", "--src-plain-http", "--dest-plain-http", host(src)+"/demo/app:1", host(dst)+"/demo/app:1")
	c.Env = []string{"HOME=" + home, "TMPDIR=" + home, "XDG_CACHE_HOME=" + home}
	c.Dir = home
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	to.pid.Store(int64(c.Process.Pid))
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	t.Logf("%d KiB of memory at most", to.most.Load())
	if to.taken.Load() < largeBlob || to.most.Load() == 0 || to.most.Load() > mostMemory {
		t.Errorf("%d bytes were taken with %d KiB of memory, at most %d are allowed", to.taken.Load(), to.most.Load(), mostMemory)
	}
	onDisk := int64(0)
	err := filepath.WalkDir(home, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		onDisk += info.Size()
		return err
	})
	if err != nil || onDisk > mostOnDisk {
		t.Errorf("%d bytes are on the disk, %v", onDisk, err)
	}
}
