package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const leftName = "127.0.0.1:4711/demo/app:1"

// leave writes down a name as a run does that is killed then.
func (r *rig) leave(t *testing.T, file, engine, name, id string) (path string) {
	t.Helper()
	must(t, os.MkdirAll(r.names, 0o700))
	raw := fmt.Sprintf(`{"engine":%q,"name":%q,"ids":[%q]}`, engine, name, id)
	path = filepath.Join(r.names, file+".json")
	must(t, os.WriteFile(path, []byte(raw), 0o600))
	must(t, os.WriteFile(filepath.Join(r.names, file+".lock"), nil, 0o600))
	return path
}

// left lists the files of the folder for names.
func (r *rig) left(t *testing.T) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(r.names)
	must(t, err)
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files
}

// leftover gives the engine's image a name of the relay, and writes that down.
func (r *rig) leftover(t *testing.T, file string) {
	t.Helper()
	r.mu.Lock()
	id := r.puller.names[relayed]
	r.puller.names[leftName] = id
	r.mu.Unlock()
	r.leave(t, file, r.host, leftName, id)
}

// Each pull and each push first takes away what a killed run has left.
func TestPullsAndPushesTidyFirst(t *testing.T) {
	t.Parallel()
	for what, move := range map[string]func(*rig, *remote) error{
		"pull of what is there": func(r *rig, src *remote) error {
			_, err := r.pull(t, src, nil)
			return err
		},
		"push of what is there": func(r *rig, _ *remote) error {
			r.mu.Lock()
			c, root := r.images[r.puller.names[relayed]], r.roots[r.puller.names[relayed]]
			r.mu.Unlock()
			dst := &remote{Source: &transfertest.Source{Content: c, Root: root}}
			res, err := r.relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil)
			if asked := dst.take(); err == nil && (res.Bytes != 0 || !slices.Equal(asked, []string{"head"})) {
				return fmt.Errorf("the push asked %q", asked)
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, src := newRig(t), inIndex(t)
			_, err := r.pull(t, src, nil)
			must(t, err)
			r.leftover(t, "0")
			must(t, move(r, src))
			r.tidy(t, relayed)
		})
	}
}

// Names that other engines have are none of those that this one is asked about.
func TestNamesInOtherEnginesDoNotCount(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	const others = 71
	for n := range others {
		r.leave(t, fmt.Sprintf("%02d", n), "unix:///gone.sock", leftName, "sha256:"+strings.Repeat("0", 64))
	}
	r.leftover(t, "99")
	must(t, r.relay.Tidy(t.Context()))
	r.mu.Lock()
	if r.puller.names[leftName] != "" {
		t.Error("the name is left")
	}
	r.mu.Unlock()
	if left := r.left(t); len(left) != 2*others {
		t.Errorf("%d files are left, want those of the other engine: %q", len(left), left)
	}
}

// What could not be taken away for long is forgotten, whichever engine has it.
func TestOldNamesAreForgotten(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	const stuck = "127.0.0.1:4712/demo/app:1"
	r.instead["/images/"+stuck] = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusConflict, "it is in use")
		return true
	}
	r.mu.Lock()
	id := r.puller.names[relayed]
	r.puller.names[stuck] = id
	r.mu.Unlock()
	now := time.Now()
	for file, at := range map[string]struct {
		engine string
		age    time.Duration
	}{
		"a": {"unix:///gone.sock", 31 * 24 * time.Hour},
		"b": {"unix:///gone.sock", 29 * 24 * time.Hour},
		"c": {r.host, 31 * 24 * time.Hour},
		"d": {r.host, 29 * 24 * time.Hour},
	} {
		path := r.leave(t, file, at.engine, stuck, id)
		must(t, os.Chtimes(path, now, now.Add(-at.age)))
	}
	if err := r.relay.Tidy(t.Context()); err == nil {
		t.Error("it says nothing of what could not be taken away")
	}
	if left := r.left(t); !slices.Equal(left, []string{"b.json", "b.lock", "d.json", "d.lock"}) {
		t.Errorf("left: %q", left)
	}
}

// A run may be killed between its lock and its record.
func TestLocksOfKilledRunsGo(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	must(t, os.MkdirAll(r.names, 0o700))
	must(t, os.WriteFile(filepath.Join(r.names, "7.lock"), []byte("1"), 0o600))
	must(t, os.WriteFile(filepath.Join(r.names, "of somebody else"), nil, 0o600))
	must(t, r.relay.Tidy(t.Context()))
	if left := r.left(t); !slices.Equal(left, []string{"of somebody else"}) {
		t.Errorf("left: %q", left)
	}

	r.stalled = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := r.relay.Pull(ctx, parse(t, relayed), transfer.Keep(src), src, transfertest.Amd64(), nil)
		ended <- err
	}()
	<-r.stalled
	must(t, r.relay.Tidy(t.Context()))
	if left := r.left(t); len(left) != 3 {
		t.Errorf("of a run that is alive and another file: %q", left)
	}
	cancel()
	<-ended
}

// An engine elsewhere is not told where our loopback listens: the address would
// name something of its own.
func TestAnEngineElsewhereIsAskedForNoRelay(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	r.overTCP(t)
	if _, err := r.pull(t, src, nil); !errors.Is(err, engine.ErrNoRelay) {
		t.Errorf("it pulled: %v", err)
	}
	c := transfertest.Content{}
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "first", []byte("1")))
	_, err := transfer.Copy(t.Context(), &transfertest.Source{Root: root, Content: c}, r.engine.Sink(relayed), transfer.Options{})
	must(t, err)
	dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
	if _, err := r.relay.Push(t.Context(), parse(t, relayed), dst, nil, nil, nil); !errors.Is(err, engine.ErrNoRelay) {
		t.Errorf("it pushed: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, call := range r.calls {
		if strings.Contains(call, "/distribution/") || strings.Contains(call, "127.0.0.1") {
			t.Errorf("the engine was asked %s", call)
		}
	}
	if _, err := os.Stat(r.names); err == nil {
		t.Error("a name was written down")
	}
}

// overTCP opens the engine by a tcp address.
func (r *rig) overTCP(t *testing.T) {
	t.Helper()
	s := serveTCP(t, r.puller)
	var err error
	r.engine, err = engine.Open("tcp://"+s, engine.Options{Configured: true, Scratch: filepath.Join(t.TempDir(), "scratch")})
	must(t, err)
	t.Cleanup(func() { must(t, r.engine.Close()) })
	_, err = r.engine.Ping(t.Context())
	must(t, err)
	r.relay = r.engine.Relay(r.options(t, nil))
}

func serveTCP(t *testing.T, h http.Handler) (addr string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// What the registry has elsewhere is mounted without an engine's push or save, and so
// out of an engine elsewhere too.
func TestAnEngineElsewhereIsPushedFromByMounts(t *testing.T) {
	t.Parallel()
	r, c := newKeepingRig(t), transfertest.Content{}
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "first", []byte("1")), layerTar(t, "second", []byte("2")))
	root.Platform = nil
	r.keep(c, root, nil, relayed, "reg.test:5000/base/os:1")
	r.overTCP(t)
	dst := newStocked(map[string]transfertest.Content{"base/os": c})
	res, err := r.pushTo(t, dst, relayed, true)
	must(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := saves(r.fake); n != 0 || res.Root.Digest != root.Digest || slices.Contains(r.calls, "POST /images/push") {
		t.Errorf("%d saves, %+v, %q", n, res, r.calls)
	}
}
