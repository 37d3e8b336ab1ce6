package engine_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// keep has the engine have what lies below root, but for what is left out, under names.
func (r *rig) keep(c transfertest.Content, root v1.Descriptor, lacks []v1.Hash, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	has := transfertest.Content{}
	for h, data := range c {
		if !slices.Contains(lacks, h) {
			has[h] = data
		}
	}
	id := root.Digest.String()
	r.images[id], r.roots[id] = has, root
	for _, name := range names {
		r.puller.names[name] = id
	}
}

// pushes says whether the engine itself has pushed.
func (r *rig) pushes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.calls, "POST /images/push")
}

// A stocked registry has images in repositories, and is pushed to in another.
type stocked struct {
	*remote
	asked []string // NAME@DIGEST
	has   map[string]transfertest.Content
}

func newStocked(has map[string]transfertest.Content) *stocked {
	return &stocked{remote: &remote{Source: &transfertest.Source{Content: transfertest.Content{}}, others: has}, has: has}
}

func (s *stocked) open(img ref.Image) transfer.Source {
	s.asked = append(s.asked, img.String())
	c := s.has[img.Repository]
	digest := mustHash(img.Digest)
	src := &transfertest.Source{Content: c, Root: v1.Descriptor{Digest: digest}}
	if raw, ok := c[digest]; ok {
		src.Root = transfertest.DescriptorOf("sha256", mediaTypeIn(raw), raw)
	}
	return src
}

func (r *rig) options(t *testing.T, open func(ref.Image) transfer.Source) engine.RelayOptions {
	t.Helper()
	return engine.RelayOptions{Names: r.names, Blobs: r.blobs, Manifests: memo.OpenManifests(t.TempDir()), Open: open}
}

func (r *rig) pushTo(t *testing.T, dst *stocked, name string, listed bool) (transfer.Result, error) {
	t.Helper()
	relay := r.engine.Relay(r.options(t, dst.open))
	return relay.Push(t.Context(), parse(t, name), dst, func(v1.Descriptor) bool { return listed }, nil, nil)
}

// An engine that keeps manifests calls an image after its manifest: the registry
// is asked for that where another name of the image says that it may be.
func TestAPushOfAManifestThatTheRegistryHas(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "first", []byte("1")), layerTar(t, "second", []byte("2")))
	root.Platform = nil
	for what, test := range map[string]struct {
		other  string // another name that it has in the engine
		memo   string // a repository in which it was seen
		has    string // the repository that has it
		hidden bool   // the registry would keep it in no list
		asked  string // the repository that is asked for it
		want   bool
	}{
		"under another name":            {other: "reg.test:5000/base/os:1", has: "base/os", asked: "base/os", want: true},
		"pulled by its digest":          {other: "reg.test:5000/base/os@" + root.Digest.String(), has: "base/os", asked: "base/os", want: true},
		"in the same repository":        {other: "reg.test:5000/demo/app:0", has: "demo/app", asked: "demo/app", want: true},
		"in a repository of the memory": {memo: "base/os", has: "base/os", asked: "base/os", want: true},
		"not there":                     {other: "reg.test:5000/base/os:1", asked: "base/os"},
		"its blobs are not given":       {other: "reg.test:5000/base/os:1", has: "bare", asked: "base/os"},
		"it would be hidden":            {other: "reg.test:5000/base/os:1", has: "base/os", asked: "base/os", hidden: true},
		"in another registry":           {other: "other.test/base/os:1", has: "base/os"},
		"under this name alone":         {has: "demo/app"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newKeepingRig(t)
			names := []string{relayed}
			if test.other != "" {
				names = append(names, test.other)
			}
			r.keep(c, root, nil, names...)
			if test.memo != "" {
				must(t, r.blobs.Add("reg.test:5000", test.memo, root.Digest))
			}
			has := map[string]transfertest.Content{}
			switch test.has {
			case "":
			case "bare":
				has["base/os"] = transfertest.Content{root.Digest: c[root.Digest]}
			default:
				has[test.has] = c
			}
			dst := newStocked(has)
			res, err := r.pushTo(t, dst, relayed, !test.hidden)
			must(t, err)
			var want []string
			if test.asked != "" {
				want = append(want, "reg.test:5000/"+test.asked+"@"+root.Digest.String())
			}
			asked := dst.take()
			if r.pushes() == test.want || dst.Root.Digest != root.Digest || res.Root.Digest != root.Digest || !slices.Equal(dst.asked, want) {
				t.Errorf("the engine pushed: %v; %+v, asked for %q and %q", r.pushes(), res, dst.asked, asked)
			}
			if test.has == "" && slices.Contains(asked, "mount base/os") { // it has nothing of it, as was seen before
				t.Errorf("asked %q", asked)
			}
			if test.want && (res.Bytes != 0 || res.Reused == 0) {
				t.Errorf("%+v", res)
			}
			r.tidy(t, names...)
			if at := r.blobs.Repositories("reg.test:5000", root.Digest); !slices.Contains(at, "demo/app") {
				t.Errorf("it is known in %q", at)
			}
		})
	}
}

// An index is pushed as the engine would do it: all of it if that is there, else
// the one image that is.
func TestAPushOfAnIndexThatTheRegistryHas(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	here := realImage(t, c, transfertest.Amd64(), layerTar(t, "here", []byte("1")))
	there := realImage(t, c, transfertest.Arm64(), layerTar(t, "there", []byte("2")))
	of := realImage(t, c, v1.Platform{OS: "unknown", Architecture: "unknown"}, layerTar(t, "of", []byte("3")))
	of.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": here.Digest.String()}
	for what, test := range map[string]struct {
		parts []v1.Descriptor
		lacks []v1.Hash // of the engine
		want  string
	}{
		"all of it":                        {[]v1.Descriptor{here, there, of}, nil, "index"},
		"one platform":                     {[]v1.Descriptor{here, there}, []v1.Hash{there.Digest}, "here"},
		"a platform without its layers":    {[]v1.Descriptor{here, there}, []v1.Hash{layersIn(c, there)[0].Digest}, "here"},
		"one platform, and a statement":    {[]v1.Descriptor{here, there, of}, []v1.Hash{there.Digest}, "here"},
		"two platforms, without a third":   {[]v1.Descriptor{here, there, of}, []v1.Hash{of.Digest}, ""},
		"no platform":                      {[]v1.Descriptor{here, there}, []v1.Hash{here.Digest, there.Digest}, ""},
		"an index in it, of which part is": {[]v1.Descriptor{here, c.Index(there)}, nil, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			own := transfertest.Content{}
			for h, data := range c {
				own[h] = data
			}
			index := own.Index(test.parts...)
			r := newKeepingRig(t)
			r.keep(own, index, test.lacks, relayed, "reg.test:5000/base/os:1")
			dst := newStocked(map[string]transfertest.Content{"base/os": own})
			res, err := r.pushTo(t, dst, relayed, true)
			want := map[string]v1.Hash{"index": index.Digest, "here": here.Digest}[test.want]
			if test.want == "" {
				if !r.pushes() {
					t.Errorf("the engine was not asked: %+v, %v", res, err)
				}
				return
			}
			must(t, err)
			if r.pushes() || res.Root.Digest != want || dst.Root.Digest != want {
				t.Errorf("the engine pushed: %v; %+v", r.pushes(), res)
			}
			asked := dst.take()
			puts, mounts := 0, 0
			for _, one := range asked {
				if one == "put" {
					puts++
				}
				if strings.HasPrefix(one, "mount ") {
					mounts++
				}
			}
			images := 1
			if test.want == "index" {
				images = len(test.parts)
			}
			if mounts != 2*images || puts != 1+len(test.parts)*(len(test.want)/len("index")) {
				t.Errorf("%d blobs were mounted, %d manifests put: %q", mounts, puts, asked)
			}
		})
	}
}

// What was looked for just before is not asked for again: the engine takes its
// time to say it.
func TestAnImageThatWasFoundIsNotLookedForAgain(t *testing.T) {
	t.Parallel()
	r, c := newKeepingRig(t), transfertest.Content{}
	root := realImage(t, c, transfertest.Amd64(), layerTar(t, "first", []byte("1")))
	root.Platform = nil
	r.keep(c, root, nil, relayed, "reg.test:5000/base/os:1")
	dst := newStocked(map[string]transfertest.Content{"base/os": c})
	for n := range 2 {
		if n == 0 {
			must(t, r.engine.Find(t.Context(), relayed))
		}
		_, err := r.pushTo(t, dst, relayed, true)
		must(t, err)
		r.mu.Lock()
		looked := len(slices.DeleteFunc(slices.Clone(r.calls), func(call string) bool { return call != "GET /images/"+relayed+"/json" }))
		r.mu.Unlock()
		if looked != n+1 {
			t.Errorf("push %d: looked %d times", n, looked)
		}
	}
}

// Where blobs may be mounted from is found out while the engine gets ready to push.
func TestAGuessIsMadeAhead(t *testing.T) {
	t.Parallel()
	r, c := newKeepingRig(t), transfertest.Content{}
	first := layerTar(t, "first", []byte("1"))
	base := realImage(t, c, transfertest.Amd64(), first)
	root := realImage(t, c, transfertest.Amd64(), first, layerTar(t, "second", []byte("2")))
	base.Platform, root.Platform = nil, nil
	r.keep(c, base, nil, "reg.test:5000/base/os:1")
	r.keep(c, root, nil, relayed)
	listed := make(chan struct{})
	r.listed = listed
	r.instead["/images/"+root.Digest.String()+"/tag"] = func(http.ResponseWriter, *http.Request) bool {
		select {
		case <-listed:
		case <-time.After(10 * time.Second):
			t.Error("it was not asked for its images before it has the name")
		}
		return false
	}
	dst := newStocked(map[string]transfertest.Content{"base/os": c})
	res, err := r.pushTo(t, dst, relayed, true)
	must(t, err)
	if asked := dst.take(); !slices.Contains(asked, "mount base/os") || slices.Contains(asked, "upload") || res.Bytes != 0 {
		t.Errorf("%+v, asked %q", res, asked)
	}
	r.tidy(t, relayed, "reg.test:5000/base/os:1")
}

func layersIn(c transfertest.Content, image v1.Descriptor) []v1.Descriptor {
	var m v1.Manifest
	if err := json.Unmarshal(c[image.Digest], &m); err != nil {
		panic(err)
	}
	return m.Layers
}

func mediaTypeIn(raw []byte) types.MediaType {
	var m struct{ MediaType types.MediaType }
	_ = json.Unmarshal(raw, &m)
	return m.MediaType
}
