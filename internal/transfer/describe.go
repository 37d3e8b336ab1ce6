package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The limits of a description.
const (
	maxConfig      = 8 << 20 // bytes of a config; real ones have some KiB
	maxSteps       = 1000    // of the history
	maxStepText    = 2 << 10 // bytes
	descriptionJob = 2       // manifests asked for at the same time
)

// A Description is what an image or index says of itself. All of it was
// verified; texts may hold any byte. The environment is left out, and values in
// the history that set it: they may be secrets.
type Description struct {
	Root      v1.Descriptor   // what the name stands for
	Manifests []v1.Descriptor // of an index; nil for an image
	Image     *ImageInfo      // the image, or the one for a platform; nil: the index has none
}

// An ImageInfo describes one image.
type ImageInfo struct {
	Desc     v1.Descriptor
	Config   v1.Descriptor
	Layers   []v1.Descriptor
	Size     int64       // bytes of config and layers, as they travel
	Platform v1.Platform // by its config; empty for what is no image to run
	Created  time.Time   // zero: not told
	Author   string
	Labels   map[string]string
	History  []Step // the oldest first
	Cut      bool   // there was more history
}

// A Step is one entry of an image's history.
type Step struct {
	Created time.Time
	By      string // the command, without values of the environment
	Comment string
	Empty   bool // made no layer
}

// Describe describes what a source has, and of an index the image for a
// platform. Without a platform that may be missing: else that is a
// [*PlatformError]. Other errors are those of the source, [*DigestError] and
// [*ManifestError].
func Describe(ctx context.Context, src Source, want *v1.Platform, fallback v1.Platform) (Description, error) {
	root, err := src.Resolve(ctx)
	if err != nil {
		return Description{}, err
	}
	l := newDescriber(src)
	n, err := l.load(ctx, root, 0)
	if err != nil {
		return Description{}, err
	}
	d := Description{Root: n.desc}
	if n.isIndex() {
		d.Manifests = append(append([]v1.Descriptor{}, n.children...), n.blobs...)
	}
	platform := fallback
	if want != nil {
		platform = *want
	}
	picked, err := l.pick(ctx, n.desc, platform)
	var none *PlatformError
	if want == nil && errors.As(err, &none) {
		return d, nil
	}
	if err != nil {
		return Description{}, err
	}
	d.Image, err = l.image(ctx, picked)
	return d, err
}

// RawManifest returns the very bytes of what a source has, or, with a platform,
// of the image for it, once they were verified. Errors are as those of [Describe].
func RawManifest(ctx context.Context, src Source, want *v1.Platform) (v1.Descriptor, []byte, error) {
	desc, err := src.Resolve(ctx)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	if want != nil {
		if desc, err = newDescriber(src).pick(ctx, desc, *want); err != nil {
			return v1.Descriptor{}, nil, err
		}
	}
	raw, err := src.Manifest(ctx, desc)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return desc, raw, verifyManifest(desc, raw)
}

// RawConfig returns the very bytes of the config of the image that a source has,
// or of the one for a platform, once they were verified. Errors are as those of
// [Describe].
func RawConfig(ctx context.Context, src Source, platform v1.Platform) (v1.Descriptor, []byte, error) {
	root, err := src.Resolve(ctx)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	l := newDescriber(src)
	picked, err := l.pick(ctx, root, platform)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	n, err := l.load(ctx, picked, 0)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	raw, err := l.config(ctx, n)
	return n.blobs[0], raw, err
}

func newDescriber(src Source) *loader {
	return &loader{src: src, jobs: descriptionJob, nodes: map[v1.Hash]*node{}}
}

// config reads the config of an image.
func (l *loader) config(ctx context.Context, n *node) ([]byte, error) {
	desc := n.blobs[0]
	if desc.Size > maxConfig {
		return nil, &ManifestError{Digest: n.desc.Digest, Why: fmt.Sprintf("has a config of %d bytes; no more than %d are taken", desc.Size, maxConfig)}
	}
	if l.blob != nil {
		return l.blob(ctx, desc)
	}
	rc, err := l.src.Blob(ctx, desc, 0)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", desc.Digest, err)
	}
	defer rc.Close() //nolint:errcheck // only read
	verified, err := Verify(rc, desc)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(verified)
	if k, ok := l.src.(*keeper); ok && err == nil {
		k.keep(desc.Digest, raw)
	}
	return raw, err
}

func (l *loader) image(ctx context.Context, desc v1.Descriptor) (*ImageInfo, error) {
	n, err := l.load(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	i := &ImageInfo{Desc: n.desc, Config: n.blobs[0], Layers: n.blobs[1:]}
	for _, b := range n.blobs {
		i.Size += b.Size
	}
	switch i.Config.MediaType {
	case types.DockerConfigJSON, types.OCIConfigJSON, "":
	default:
		return i, nil // a chart or a signature, whose config is of another kind
	}
	raw, err := l.config(ctx, n)
	if err != nil {
		return nil, err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, &ManifestError{Digest: n.desc.Digest, Why: "has a config that cannot be read: " + unreadable(err)}
	}
	i.fill(c)
	return i, nil
}

func (i *ImageInfo) fill(c *v1.ConfigFile) {
	i.Platform = v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant, OSVersion: c.OSVersion}
	i.Created, i.Author, i.Labels = c.Created.UTC(), c.Author, c.Config.Labels
	for _, h := range c.History {
		if len(i.History) == maxSteps {
			i.Cut = true
			return
		}
		i.History = append(i.History, Step{
			Created: h.Created.UTC(), By: shortened(withoutValues(h.CreatedBy)), Comment: shortened(h.Comment), Empty: h.EmptyLayer,
		})
	}
}

func shortened(s string) string {
	if len(s) <= maxStepText {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:maxStepText]), nil)) + "..."
}

// setsValue are ENV and ARG, as docker's builder and BuildKit write them.
var setsValue = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^((?:/bin/sh -c #\(nop\)\s+|\S+ -c #\(nop\)\s+)?(?:ENV|ARG)\s+[^\s=]+)[\s=]`)
})

// withArgs are the build arguments of a RUN: |2 NAME=value NAME=value command.
var withArgs = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^((?:RUN )?)\|\d+ `) })

// withoutValues leaves out of a command what it sets: tokens are often handed to
// a build so.
func withoutValues(by string) string {
	if m := setsValue().FindStringSubmatch(by); m != nil {
		return m[1] + "=..."
	}
	m := withArgs().FindStringSubmatch(by)
	if m == nil {
		return by
	}
	// The command begins with the shell that runs it; without one nothing can be told apart.
	if at := strings.Index(by, " /bin/"); at >= 0 {
		return m[1] + "|..." + by[at:]
	}
	return m[1] + "|..."
}
