package store

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A damage is why a blob is of no use.
type damage string

const (
	missing   damage = "missing"
	wrongSize damage = "wrong size"
	wrong     damage = "wrong bytes"
	unread    damage = "unreadable" // a manifest with the right bytes that says nothing
	noFile    damage = "not a file" // a folder or a link: nothing that vicr's store has
)

// references are what a manifest or index names.
type references struct {
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Manifests []v1.Descriptor `json:"manifests"`
}

func (r references) all() []v1.Descriptor {
	var all []v1.Descriptor
	if r.Config != nil {
		all = append(all, *r.Config)
	}
	all = append(all, r.Layers...)
	return append(all, r.Manifests...)
}

// A node is a blob that an image needs.
type node struct {
	desc v1.Descriptor
	refs references // of a manifest or index
	why  damage     // "": nothing seems to be wrong
	says bool       // it is a manifest or index
}

// manifest reads a manifest or index and says what it names. Its bytes are held
// against their digest: what else they name would be taken for what the image needs.
func (s *Store) manifest(desc v1.Descriptor) (references, damage, error) {
	var refs references
	path, err := s.path(desc.Digest)
	if err != nil {
		return refs, "", err
	}
	if desc.Size > transfer.MaxManifest {
		return refs, unread, nil
	}
	if why, err := s.lookup(desc); why == noFile || err != nil {
		return refs, why, err
	}
	f, err := s.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return refs, missing, nil
	}
	if err != nil {
		return refs, "", err
	}
	verified, err := transfer.Verify(f, desc)
	if err != nil {
		return refs, "", errors.Join(err, f.Close())
	}
	raw, err := io.ReadAll(verified)
	err = errors.Join(err, f.Close())
	if bad, ok := errors.AsType[*transfer.DigestError](err); ok {
		if bad.Got == (v1.Hash{}) {
			return refs, wrongSize, nil
		}
		return refs, wrong, nil
	}
	if err != nil {
		return refs, "", err
	}
	if refs, ok := parse(raw); ok {
		return refs, "", nil
	}
	return refs, unread, nil
}

// parse reads the bytes of a manifest or index; false if they are none.
func parse(raw []byte) (refs references, ok bool) {
	if json.Unmarshal(raw, &refs) != nil {
		return references{}, false
	}
	for _, d := range refs.all() {
		if _, err := v1.NewHash(d.Digest.String()); err != nil || d.Size < 0 {
			return references{}, false
		}
	}
	return refs, true
}

// lookup says of a blob whether it is there in its size.
func (s *Store) lookup(desc v1.Descriptor) (damage, error) {
	path, err := s.path(desc.Digest)
	if err != nil {
		return "", err
	}
	info, err := atomicfile.Machine().Stat(filepath.Join(s.dir, path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing, nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return noFile, nil
	case info.Size() != desc.Size:
		return wrongSize, nil
	}
	return "", nil
}

// A reach goes through images. What several of them share is read once.
type reach struct {
	store *Store
	nodes map[v1.Hash]*node
}

func (s *Store) newReach() *reach { return &reach{store: s, nodes: map[v1.Hash]*node{}} }

// visit calls each for desc and all below it, once for each blob.
func (r *reach) visit(desc v1.Descriptor, each func(*node)) error {
	return r.walk(desc, true, map[v1.Hash]bool{}, each)
}

func (r *reach) walk(desc v1.Descriptor, says bool, seen map[v1.Hash]bool, each func(*node)) error {
	if seen[desc.Digest] {
		return nil
	}
	seen[desc.Digest] = true
	n, err := r.node(desc, says || desc.MediaType.IsImage() || desc.MediaType.IsIndex())
	if err != nil {
		return err
	}
	each(n)
	for _, d := range n.refs.all() {
		if err := r.walk(d, false, seen, each); err != nil {
			return err
		}
	}
	return nil
}

// node looks at a blob. What index.json names is a manifest, whatever it is called.
func (r *reach) node(desc v1.Descriptor, says bool) (*node, error) {
	if n, ok := r.nodes[desc.Digest]; ok {
		return n, nil
	}
	n := &node{desc: desc, says: says}
	var err error
	if says {
		n.refs, n.why, err = r.store.manifest(desc)
	} else {
		n.why, err = r.store.lookup(desc)
	}
	if n.why == missing && !desc.MediaType.IsDistributable() {
		n.why = "" // left where it is
	}
	r.nodes[desc.Digest] = n
	return n, err
}

// blobs calls each for every file that lies under a digest.
func (s *Store) blobs(each func(h v1.Hash, size int64) error) error {
	return s.entries(func(h v1.Hash, e fs.DirEntry) error {
		if !e.Type().IsRegular() {
			return nil // nobody's, or somebody else's
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return each(h, info.Size())
	})
}

// entries calls each for whatever lies under a digest.
func (s *Store) entries(each func(h v1.Hash, e fs.DirEntry) error) error {
	tree := atomicfile.Machine()
	folder := filepath.Join(s.dir, blobsFolder)
	algorithms, err := tree.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		if !a.IsDir() {
			continue
		}
		found, err := tree.ReadDir(filepath.Join(folder, a.Name()))
		if err != nil {
			return err
		}
		for _, e := range found {
			h, err := v1.NewHash(a.Name() + ":" + e.Name())
			if err != nil {
				continue
			}
			if err := each(h, e); err != nil {
				return err
			}
		}
	}
	return nil
}
