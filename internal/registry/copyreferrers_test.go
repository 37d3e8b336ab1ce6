package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// signed is an image with what refers to it, in one set of content.
type signed struct {
	transfertest.Content
	image v1.Descriptor
}

// refer adds a manifest that refers to subject.
func (s signed) refer(artifactType string, subject v1.Descriptor) v1.Descriptor {
	config := s.Add("application/vnd.oci.empty.v1+json", []byte("{}"))
	return s.AddJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": artifactType, "config": config,
		"layers": []v1.Descriptor{s.Layer([]byte(artifactType))}, "annotations": map[string]string{"made": "by hand"},
		"subject": v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
	})
}

// put pushes one of them under a tag, or by its digest.
func (s signed) put(t *testing.T, b *box, repository, tag string, d v1.Descriptor) {
	t.Helper()
	name := repository + "@" + d.Digest.String()
	if tag != "" {
		name = repository + ":" + tag
	}
	src := &transfertest.Source{Root: d, Content: s.Content}
	if _, err := transfer.Copy(t.Context(), src, b.open(t, "dev", name), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
}

func cosignTag(of v1.Hash) string { return of.Algorithm + "-" + of.Hex }

// newSigned is an image in repository of b with a signature, an SBOM that is
// signed itself, and a signature as cosign 2 tags it.
func newSigned(t *testing.T, b *box, repository string) (s signed, sbom v1.Descriptor) {
	t.Helper()
	s = signed{Content: transfertest.Content{}}
	s.image = s.Image(transfertest.Amd64(), s.Layer(transfertest.Bytes(1, 3000)))
	s.put(t, b, repository, "1", s.image)
	s.put(t, b, repository, "", s.refer(cosignType, s.image))
	sbom = s.refer(spdxType, s.image)
	s.put(t, b, repository, "", sbom)
	s.put(t, b, repository, "", s.refer(cosignType, sbom))
	s.put(t, b, repository, cosignTag(s.image.Digest)+".sig", s.Image(transfertest.Arm64(), s.Layer([]byte("a signature"))))
	return s, sbom
}

// referrersOf lists kinds and tags of what refers to a manifest.
func referrersOf(t *testing.T, r *registry.Repository, of v1.Hash) string {
	t.Helper()
	all, err := r.Referrers(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, one := range all {
		kind := one.Kind
		if one.Tag != "" {
			kind += ":" + one.Tag[strings.LastIndexByte(one.Tag, '.'):]
		}
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}

// What refers to an image comes along from every registry to every other, is
// found there in the way that each has, and is told once.
func TestReferrersAreCopied(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			first, last := newBox(t, sandbox.Options{}), newBox(t, sandbox.Options{})
			middle := newBox(t, sandbox.Options{Like: like})
			s, sbom := newSigned(t, first, "demo/app")
			at := first.open(t, "dev", "demo/app:1")
			for _, next := range []struct {
				b    *box
				repo string
			}{{middle, "demo/one"}, {middle, "demo/two"}, {last, "demo/app"}} {
				to := next.b.open(t, "dev", next.repo+":1").Remembering(memo.OpenPushes(t.TempDir()))
				s.put(t, next.b, next.repo, "1", s.image)
				for range 2 {
					copied, err := registry.CopyReferrers(t.Context(), at, to, []v1.Descriptor{s.image}, transfer.Options{})
					if err != nil || len(copied) != 4 {
						t.Fatalf("%s: %d copied, %v", next.repo, len(copied), err)
					}
				}
				if got := referrersOf(t, to, s.image.Digest); got != "sbom signature signature:.sig" {
					t.Errorf("%s: the image has %s", next.repo, got)
				}
				if got := referrersOf(t, to, sbom.Digest); got != "signature" {
					t.Errorf("%s: the SBOM has %s", next.repo, got)
				}
				tags, err := to.Tags(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				listsItself := next.b == last || like == sandbox.Harbor216
				if has := slices.Contains(tags, cosignTag(s.image.Digest)); has == listsItself {
					t.Errorf("%s: tags %s", next.repo, tags)
				}
				at = to
			}
		})
	}
}

// A registry that does not say that it took note of what a manifest refers to
// gets the list under the tag, also if it answers what lists them.
func TestARegistryThatSaysNothingOfReferrers(t *testing.T) {
	t.Parallel()
	src, dst := newBox(t, sandbox.Options{}), newBox(t, sandbox.Options{})
	s, _ := newSigned(t, src, "demo/app")
	s.put(t, dst, "demo/app", "1", s.image)
	for header, want := range map[string]bool{"Oci-Subject": true, "X-Other": false} {
		behind := dst.Handler()
		front := dst.fronted(t, func(w http.ResponseWriter, r *http.Request) bool {
			behind.ServeHTTP(without{w, header}, r)
			return true
		})
		to := dst.openFronted(t, front, "demo/app:1")
		if _, err := registry.CopyReferrers(t.Context(), src.open(t, "dev", "demo/app:1"), to, []v1.Descriptor{s.image}, transfer.Options{}); err != nil {
			t.Fatal(err)
		}
		tags, err := to.Tags(t.Context())
		if err != nil || slices.Contains(tags, cosignTag(s.image.Digest)) != want {
			t.Errorf("without %s: tags %s, %v", header, tags, err)
		}
		dst = newBox(t, sandbox.Options{})
		s.put(t, dst, "demo/app", "1", s.image)
	}
}

// without leaves a header out of the answer.
type without struct {
	http.ResponseWriter
	header string
}

func (w without) WriteHeader(status int) {
	w.Header().Del(w.header)
	w.ResponseWriter.WriteHeader(status)
}

// Harbor lists what has a tag of cosign's among the referrers, though it names no
// subject: it is copied with its tag.
func TestAReferrerThatIsListedAndTagged(t *testing.T) {
	t.Parallel()
	src, dst := newBox(t, sandbox.Options{}), newBox(t, sandbox.Options{})
	s := signed{Content: transfertest.Content{}}
	s.image = s.Image(transfertest.Amd64(), s.Layer(transfertest.Bytes(1, 3000)))
	signature := s.Image(transfertest.Arm64(), s.Layer([]byte("a signature")))
	s.put(t, src, "demo/app", "1", s.image)
	s.put(t, src, "demo/app", cosignTag(s.image.Digest)+".sig", signature)
	s.put(t, dst, "demo/app", "1", s.image)
	front := src.fronted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/referrers/"+s.image.Digest.String()) {
			return false
		}
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q}]}`,
			signature.MediaType, signature.Digest, signature.Size, cosignType)
		return true
	})
	to := dst.open(t, "dev", "demo/app:1")
	copied, err := registry.CopyReferrers(t.Context(), src.openFronted(t, front, "demo/app:1"), to, []v1.Descriptor{s.image}, transfer.Options{})
	if err != nil || len(copied) != 1 {
		t.Errorf("copied %v, %v", copied, err)
	}
	if got := referrersOf(t, to, s.image.Digest); got != "signature:.sig" {
		t.Errorf("the image has %q", got)
	}
}

// The list under the tag has what the spec asks for, and keeps what was in it.
func TestTheListUnderATagIsKept(t *testing.T) {
	t.Parallel()
	src, dst := newBox(t, sandbox.Options{}), newBox(t, sandbox.Options{Like: sandbox.Distribution})
	s, _ := newSigned(t, src, "demo/app")
	s.put(t, dst, "demo/app", "1", s.image)
	tag := cosignTag(s.image.Digest)
	other := s.refer("application/vnd.example", s.image)
	s.put(t, dst, "demo/app", "", other)
	other.ArtifactType, other.Annotations = "application/vnd.example", map[string]string{"kept": "as it is"}
	s.put(t, dst, "demo/app", tag, s.AddJSON(types.OCIImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": []v1.Descriptor{other}, "annotations": map[string]string{"own": "word"},
	}))
	to := dst.open(t, "dev", "demo/app:1")
	if _, err := registry.CopyReferrers(t.Context(), src.open(t, "dev", "demo/app:1"), to, []v1.Descriptor{s.image}, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	list := dst.open(t, "dev", "demo/app:"+tag)
	desc, raw, err := transfer.RawManifest(t.Context(), list, nil)
	if err != nil || desc.MediaType != types.OCIImageIndex {
		t.Fatal(desc, err)
	}
	for _, part := range []string{`"kept":"as it is"`, `"own":"word"`, `"artifactType":"` + cosignType + `"`, `"made":"by hand"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("it has no %s: %s", part, raw)
		}
	}
	if n := strings.Count(string(raw), `"digest"`); n != 3 {
		t.Errorf("it names %d manifests: %s", n, raw)
	}
}

// One that cannot be copied keeps no other from it; what only claims to refer to
// the image stays where it is.
func TestReferrersThatFail(t *testing.T) {
	t.Parallel()
	src, dst := newBox(t, sandbox.Options{Like: sandbox.Distribution}), newBox(t, sandbox.Options{})
	s := signed{Content: transfertest.Content{}}
	s.image = s.Image(transfertest.Amd64(), s.Layer(transfertest.Bytes(1, 3000)))
	stranger := s.refer(cosignType, s.Image(transfertest.Arm64()))
	bare := s.Image(transfertest.Arm64(), s.Layer([]byte("refers to nothing")))
	good := s.refer(spdxType, s.image)
	for _, d := range []v1.Descriptor{stranger, bare, good} {
		s.put(t, src, "demo/app", "", d)
	}
	missing := transfertest.DescriptorOf("sha256", types.OCIManifestSchema1, []byte("gone"))
	list := s.AddJSON(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{missing, stranger, bare, good, good, s.image}})
	s.put(t, src, "demo/app", "1", s.image)
	s.put(t, dst, "demo/app", "1", s.image)
	front := src.fronted(t, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			fmt.Fprintf(w, `{"tags":["1","%s"]}`, cosignTag(s.image.Digest))
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/manifests/"+cosignTag(s.image.Digest)):
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			_, _ = w.Write(s.Content[list.Digest])
		default:
			return false
		}
		return true
	})
	from, to := src.openFronted(t, front, "demo/app:1"), dst.open(t, "dev", "demo/app:1")
	copied, err := registry.CopyReferrers(t.Context(), from, to, []v1.Descriptor{s.image}, transfer.Options{})
	failed, ok := errors.AsType[*registry.ReferrerError](err)
	if !ok || !errors.Is(err, transfer.ErrNotFound) || !strings.Contains(failed.Name, missing.Digest.String()) {
		t.Errorf("got %v", err)
	}
	if len(copied) != 1 || copied[0].Digest != good.Digest {
		t.Errorf("copied %v", copied)
	}
	if got := referrersOf(t, to, s.image.Digest); got != "sbom" {
		t.Errorf("the image has %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := registry.CopyReferrers(ctx, from, to, []v1.Descriptor{s.image}, transfer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// How far one refers to the image through others is bounded, and a tag that
// stands for the list is not taken from something else.
func TestCopyOfReferrersIsBounded(t *testing.T) {
	t.Parallel()
	src, dst := newBox(t, sandbox.Options{}), newBox(t, sandbox.Options{Like: sandbox.Distribution})
	s := signed{Content: transfertest.Content{}}
	s.image = s.Image(transfertest.Amd64(), s.Layer(transfertest.Bytes(1, 3000)))
	s.put(t, src, "demo/app", "1", s.image)
	subject := s.image
	for i := range 6 {
		subject = s.refer(fmt.Sprintf("application/vnd.example.%d", i), subject)
		s.put(t, src, "demo/app", "", subject)
	}
	s.put(t, dst, "demo/app", "1", s.image)
	copied, err := registry.CopyReferrers(t.Context(), src.open(t, "dev", "demo/app:1"), dst.open(t, "dev", "demo/app:1"), []v1.Descriptor{s.image}, transfer.Options{})
	if _, ok := errors.AsType[*registry.ReferrerError](err); !ok || len(copied) != 4 {
		t.Errorf("copied %d, %v", len(copied), err)
	}
	s.put(t, dst, "demo/other", "1", s.image)
	s.put(t, dst, "demo/other", cosignTag(s.image.Digest), s.image)
	_, err = registry.CopyReferrers(t.Context(), src.open(t, "dev", "demo/app:1"), dst.open(t, "dev", "demo/other:1"), []v1.Descriptor{s.image}, transfer.Options{})
	if _, ok := errors.AsType[*registry.ReferrerError](err); !ok {
		t.Errorf("got %v", err)
	}
	if desc, err := dst.open(t, "dev", "demo/other:"+cosignTag(s.image.Digest)).Resolve(t.Context()); err != nil || desc.Digest != s.image.Digest {
		t.Errorf("the tag stands for %v, %v", desc, err)
	}
}
