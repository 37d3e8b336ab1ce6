package store

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// An Image is an image of the store as it is listed.
type Image struct {
	Named
	Size      int64         // bytes of all that it names, as they lie here; what images share counts in each
	Platforms []v1.Platform // of an image one, of an index all
	Stored    time.Time     // when it came
	Damaged   bool          // something is missing, or a manifest is wrong; other bytes were not looked at
}

// Images lists the images of the store with what their manifests say, sorted by
// name. Errors are those of [Store.List] and of the file system.
func (s *Store) Images(ctx context.Context) (_ []Image, err error) {
	release, err := s.still(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	list, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	r := s.newReach()
	images := make([]Image, len(list))
	for i, n := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if images[i], err = s.describe(r, n); err != nil {
			return nil, err
		}
	}
	return images, nil
}

func (s *Store) describe(r *reach, n Named) (Image, error) {
	img := Image{Named: n}
	var configs []v1.Descriptor
	err := r.visit(n.Desc, func(x *node) {
		img.Size += x.desc.Size
		img.Damaged = img.Damaged || x.why != ""
		if p := x.desc.Platform; p != nil && p.OS != "unknown" && x.desc.MediaType.IsImage() {
			img.Platforms = append(img.Platforms, *p)
		}
		if x.refs.Config != nil {
			configs = append(configs, *x.refs.Config)
		}
	})
	if err != nil {
		return img, err
	}
	if len(img.Platforms) == 0 && len(configs) == 1 {
		if p, ok := s.platform(configs[0]); ok {
			img.Platforms = []v1.Platform{p}
		}
	}
	if path, err := s.path(n.Desc.Digest); err == nil {
		if info, err := atomicfile.Machine().Stat(filepath.Join(s.dir, path)); err == nil {
			img.Stored = info.ModTime().UTC()
		}
	}
	return img, nil
}

const maxConfig = 8 << 20 // bytes; real ones have some KiB

// platform is what the config of an image says; false for what is none.
func (s *Store) platform(desc v1.Descriptor) (v1.Platform, bool) {
	path, err := s.path(desc.Digest)
	if err != nil || desc.Size > maxConfig {
		return v1.Platform{}, false
	}
	raw, err := s.read(path, maxConfig)
	var p v1.Platform
	if err != nil || json.Unmarshal(raw, &struct {
		OS      *string `json:"os"`
		Arch    *string `json:"architecture"`
		Variant *string `json:"variant"`
	}{&p.OS, &p.Architecture, &p.Variant}) != nil {
		return v1.Platform{}, false
	}
	return p, p.OS != ""
}

// Remove takes names away: that of the image called name, as it is listed; for
// NAME@DIGEST the names with that repository, and that tag if there is one, under
// which the image of that digest is; for a digest alone all of its names. It says
// which. Blobs stay until [Store.Collect]. The error is a [*NameError] if there is
// no such image.
func (s *Store) Remove(ctx context.Context, name string) (removed []Named, err error) {
	has, err := s.exists()
	if err != nil {
		return nil, err
	}
	if !has { // and is not made for this
		return nil, &NameError{Dir: s.dir, Name: name}
	}
	err = s.change(ctx, func(index *v1.IndexManifest) error {
		for _, fits := range s.removable(name) {
			rest := slices.DeleteFunc(slices.Clone(index.Manifests), func(d v1.Descriptor) bool {
				hit := fits(d)
				if hit {
					removed = append(removed, Named{Name: s.nameOf(d), Desc: plain(d)})
				}
				return hit
			})
			if len(removed) > 0 {
				index.Manifests = rest
				return nil
			}
		}
		return &NameError{Dir: s.dir, Name: name, Names: names(index.Manifests)}
	})
	return removed, err
}

// removable are the ways in which a name is looked for, the most exact first.
func (s *Store) removable(name string) []func(v1.Descriptor) bool {
	before, digest, pinned := strings.Cut(name, "@")
	return []func(v1.Descriptor) bool{
		func(d v1.Descriptor) bool { return s.nameOf(d) == name },
		func(d v1.Descriptor) bool { return d.Digest.String() == name },
		func(d v1.Descriptor) bool {
			has, _, _ := strings.Cut(s.nameOf(d), "@")
			return pinned && d.Digest.String() == digest && (has == before || strings.TrimSuffix(has, ":"+tagOf(has)) == before)
		},
	}
}
