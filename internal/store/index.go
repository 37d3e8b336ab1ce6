package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// The annotations that name an image in index.json.
const (
	// refName is the OCI's (image-spec, annotations.md): a tag in most layouts,
	// the full name in vicr's store.
	refName = "org.opencontainers.image.ref.name"
	// containerdName is the full name that containerd, and so docker save since
	// 25.0, writes beside the tag.
	containerdName = "io.containerd.image.name"

	lockWait = 30 * time.Second
)

// A NameError says that there is no image of that name. It wraps
// [transfer.ErrNotFound].
type NameError struct {
	Dir   string
	Name  string   // "": any
	Names []string // what is there
}

func (e *NameError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("no image in %q", e.Dir)
	}
	return fmt.Sprintf("no image %q in %q", e.Name, e.Dir)
}

func (e *NameError) Unwrap() error { return transfer.ErrNotFound }

// An AmbiguousError says that a name fits several images.
type AmbiguousError struct {
	Dir   string
	Name  string // "": no name was given
	Names []string
}

func (e *AmbiguousError) Error() string {
	quoted := make([]string, len(e.Names))
	for i, n := range e.Names {
		quoted[i] = strconv.Quote(n)
	}
	what := "there are several images"
	if e.Name != "" {
		what = fmt.Sprintf("several images have the name %q", e.Name)
	}
	return fmt.Sprintf("%s in %q: %s", what, e.Dir, strings.Join(quoted, ", "))
}

// A Named is an image of the store and its name.
type Named struct {
	Name string // "" if it has none
	Desc v1.Descriptor
}

// List lists the images, sorted by name. A store that does not exist is empty.
func (s *Store) List(ctx context.Context) ([]Named, error) {
	index, err := s.readIndex(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]Named, len(index.Manifests))
	for i, d := range index.Manifests {
		list[i] = Named{Name: s.nameOf(d), Desc: plain(d)}
	}
	slices.SortStableFunc(list, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Tag gives the image src more names, all at once or none. The error wraps
// [transfer.ErrNotFound] if there is no such image.
func (s *Store) Tag(ctx context.Context, src string, dst ...string) error {
	has, err := s.exists()
	if err != nil {
		return err
	}
	if !has { // and is not made for this
		return &NameError{Dir: s.dir, Name: src}
	}
	return s.change(ctx, func(index *v1.IndexManifest) error {
		desc, err := s.find(*index, src)
		if err != nil {
			return err
		}
		for _, name := range dst {
			if err := s.set(index, name, desc); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) exists() (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	_, err := atomicfile.Machine().Stat(filepath.Join(s.dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// change reads index.json, has it edited, and replaces it, under the lock.
func (s *Store) change(ctx context.Context, edit func(*v1.IndexManifest) error) error {
	if err := s.prepare(); err != nil {
		return err
	}
	return s.locked(ctx, func() error { return s.replace(ctx, edit) })
}

// locked calls do under the lock.
func (s *Store) locked(ctx context.Context, do func() error) (err error) {
	lock, err := atomicfile.Lock(ctx, filepath.Join(s.dir, ingestFolder, lockFile), lockWait)
	if err != nil {
		return err
	}
	defer func() {
		if unlocking := lock.Unlock(); err == nil {
			err = unlocking
		}
	}()
	// Whoever writes here holds the lock: what else is under way was killed.
	if _, err := atomicfile.Machine().Sweep(s.dir); err != nil {
		return err
	}
	return do()
}

// replace is change for whoever holds the lock.
func (s *Store) replace(ctx context.Context, edit func(*v1.IndexManifest) error) error {
	if err := s.mark(); err != nil {
		return err
	}
	mode := fs.FileMode(0) // that of the file
	index, err := s.readIndex(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		mode = fileMode
		index = v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	} else if err != nil {
		return err
	}
	before, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := edit(&index); err != nil {
		return err
	}
	after, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if mode == 0 && bytes.Equal(before, after) {
		return nil
	}
	return atomicfile.Machine().Write(filepath.Join(s.dir, indexFile), after, mode)
}

// unchanged says whether edit would leave index.json as it is. No lock is needed
// to see that: the file is replaced as a whole. In doubt it is not.
func (s *Store) unchanged(ctx context.Context, edit func(*v1.IndexManifest) error) bool {
	index, marked, err := s.readMarked(ctx)
	if err != nil || !marked {
		return false
	}
	before, err := json.Marshal(index)
	if err != nil || edit(&index) != nil {
		return false
	}
	after, err := json.Marshal(index)
	return err == nil && bytes.Equal(before, after)
}

// readIndex reads index.json. The error wraps [fs.ErrNotExist] if there is none.
func (s *Store) readIndex(ctx context.Context) (v1.IndexManifest, error) {
	index, _, err := s.readMarked(ctx)
	return index, err
}

// readMarked is readIndex that also says whether there is what [Store.mark] makes.
func (s *Store) readMarked(ctx context.Context) (index v1.IndexManifest, marked bool, err error) {
	if err := ctx.Err(); err != nil {
		return index, false, err
	}
	if err := s.check(); err != nil {
		return index, false, err
	}
	if marked, err = s.checkVersion(); err != nil {
		return index, marked, err
	}
	raw, err := s.read(indexFile, maxIndex)
	if err != nil {
		return index, marked, err
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return index, marked, &LayoutError{Dir: s.dir, Why: "index.json cannot be read: " + strconv.Quote(err.Error())}
	}
	for _, d := range index.Manifests {
		if _, err := v1.NewHash(d.Digest.String()); err != nil || d.Size < 0 {
			return index, marked, &LayoutError{Dir: s.dir, Why: "index.json has an entry without a usable digest or size"}
		}
	}
	return index, marked, nil
}

// nameOf is the name by which an entry is shown.
func (s *Store) nameOf(d v1.Descriptor) string {
	if s.layout {
		return d.Annotations[refName]
	}
	return cmp.Or(d.Annotations[refName], d.Annotations[containerdName])
}

// find returns the image of that name.
func (s *Store) find(index v1.IndexManifest, name string) (v1.Descriptor, error) {
	for _, fits := range s.ways(name) {
		var found []v1.Descriptor
		for _, d := range index.Manifests {
			if fits(d) {
				found = append(found, d)
			}
		}
		switch {
		case alike(found):
			return found[0], nil
		case len(found) > 0:
			return v1.Descriptor{}, &AmbiguousError{Dir: s.dir, Name: name, Names: names(found)}
		}
	}
	return v1.Descriptor{}, &NameError{Dir: s.dir, Name: name, Names: names(index.Manifests)}
}

// ways are the ways in which a name is looked for, the most exact first.
func (s *Store) ways(name string) []func(v1.Descriptor) bool {
	if s.layout && name == "" {
		return []func(v1.Descriptor) bool{func(v1.Descriptor) bool { return true }}
	}
	ways := []func(v1.Descriptor) bool{func(d v1.Descriptor) bool { return d.Annotations[refName] == name }}
	if name != "" {
		ways = append(ways, func(d v1.Descriptor) bool { return d.Annotations[containerdName] == name })
	}
	if s.layout {
		ways = append(ways, func(d v1.Descriptor) bool {
			return tagOf(d.Annotations[refName]) == name || tagOf(d.Annotations[containerdName]) == name
		})
	}
	if _, digest, ok := strings.Cut(name, "@"); ok {
		ways = append(ways, func(d v1.Descriptor) bool { return d.Digest.String() == digest })
	}
	return ways
}

// tagOf is the tag of a full name, "" if it has none.
func tagOf(full string) string {
	i := strings.LastIndexByte(full, ':')
	if i < 0 || strings.ContainsRune(full[i:], '/') || strings.ContainsRune(full, '@') {
		return ""
	}
	return full[i+1:]
}

// alike says whether there are entries and all are of one image.
func alike(found []v1.Descriptor) bool {
	return len(found) > 0 && !slices.ContainsFunc(found, func(d v1.Descriptor) bool { return d.Digest != found[0].Digest })
}

func names(found []v1.Descriptor) []string {
	list := make([]string, len(found))
	for i, d := range found {
		list[i] = cmp.Or(d.Annotations[containerdName], d.Annotations[refName], d.Digest.String())
	}
	slices.Sort(list)
	return list
}

// set gives name to desc. An entry that had the name is replaced; if several
// images have it, which other tools bring about, none of them is dropped.
func (s *Store) set(index *v1.IndexManifest, name string, desc v1.Descriptor) error {
	had := func(d v1.Descriptor) bool {
		if d.Annotations[refName] == "" && (!s.layout || name == "") {
			return d.Annotations[containerdName] == name
		}
		return d.Annotations[refName] == name
	}
	entry := desc
	entry.Annotations = maps.Clone(desc.Annotations)
	delete(entry.Annotations, refName)
	delete(entry.Annotations, containerdName)
	if name != "" {
		if entry.Annotations == nil {
			entry.Annotations = map[string]string{}
		}
		entry.Annotations[refName] = name
	}
	first := slices.IndexFunc(index.Manifests, had)
	if first < 0 {
		index.Manifests = append(index.Manifests, entry)
		return nil
	}
	var same []v1.Descriptor
	for _, d := range index.Manifests {
		if had(d) {
			same = append(same, d)
		}
	}
	if !alike(same) {
		return &AmbiguousError{Dir: s.dir, Name: name, Names: names(same)}
	}
	index.Manifests[first] = entry
	rest := slices.DeleteFunc(index.Manifests[first+1:], had)
	index.Manifests = index.Manifests[:first+1+len(rest)]
	return nil
}

// plain is a descriptor without the annotations of an index.
func plain(d v1.Descriptor) v1.Descriptor {
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest, Platform: d.Platform}
}
