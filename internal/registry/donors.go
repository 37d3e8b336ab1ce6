package registry

import (
	"context"
	"errors"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/wire"
)

// MountingKnown has r ask the registry to take a blob that it lacks from a
// repository of its own that b remembers to have it. That is the one request
// that is needed anyway, and a refusal costs one more, once for each repository.
// It returns r, and is called before r is used.
func (r *Repository) MountingKnown(b *memo.Blobs) *Repository {
	r.blobs = b
	return r
}

// maxDonors is how many repositories one token is asked for.
const maxDonors = 4

// Donors are the repositories that blobs will be asked for out of, as
// [Repository.MountingKnown] says: of what one token is to allow.
func (r *Repository) Donors(blobs []v1.Descriptor) []string {
	var names []string
	for _, desc := range blobs {
		known := r.blobs.Repositories(r.img.Host.String(), desc.Digest)
		given := func(name string) bool { return slices.Contains(names, name) }
		if len(known) == 0 || len(names) == maxDonors || slices.Contains(known, r.img.Repository) || slices.ContainsFunc(known, given) {
			continue
		}
		names = append(names, known[0])
	}
	return names
}

// A doubter is a round-tripper that may know that nothing will be taken from
// whoever asks, as package auth's does.
type doubter interface {
	MayNotPush(repository string) bool
	MayNotPull(repository string) bool
}

func (r *Repository) mayNotPush() bool {
	d, ok := r.rt.(doubter)
	return ok && d.MayNotPush(r.img.Repository)
}

func (r *Repository) mayNotPull(repository string) bool {
	d, ok := r.rt.(doubter)
	return ok && d.MayNotPull(repository)
}

// A donor is a repository of the same registry that blobs are mounted from.
// Whoever comes first finds out whether it may be read; the others wait.
type donor struct {
	name    string
	tried   chan struct{} // closed then
	failed  error         // what whoever came first failed with, which all do
	refused bool
}

// donorOf is where the blob is remembered to be; nil if nowhere, or in r itself,
// where it is looked for anyway. One that is known to give comes first: a token
// may be in hand for it.
func (r *Repository) donorOf(desc v1.Descriptor) (d *donor, first bool) {
	known := r.blobs.Repositories(r.img.Host.String(), desc.Digest)
	if len(known) == 0 || slices.Contains(known, r.img.Repository) {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range known {
		if d := r.donors[name]; d != nil && !d.refused {
			return d, false
		}
	}
	for _, name := range known {
		if r.donors[name] == nil && name != r.from { // which is asked before, and refused then
			d := &donor{name: name, tried: make(chan struct{})}
			if r.donors == nil {
				r.donors = map[string]*donor{}
			}
			r.donors[name] = d
			return d, true
		}
	}
	return nil, false
}

// mountKnown asks for the blob out of a repository that is remembered to have
// it. Nothing and no error: it is to be asked for in another way.
func (r *Repository) mountKnown(ctx context.Context, desc v1.Descriptor) (u *begun, has bool, err error) {
	d, first := r.donorOf(desc)
	if d == nil {
		return nil, false, nil
	}
	if first {
		defer func() { d.failed = err; close(d.tried) }()
	} else if err := d.wait(ctx); err != nil {
		return nil, false, err
	}
	if !r.refuses(d) && r.mayNotPull(d.name) {
		r.refuse(d)
	}
	if r.refuses(d) {
		return nil, false, nil
	}
	u, has, err = r.mount(ctx, desc, d.name)
	switch {
	case err != nil && (ctx.Err() != nil || wire.KindOf(err) != "" || refusalIs(err, ProjectUnnamed) || isMissing(err) || r.mayNotPush()):
		return nil, false, err
	case err != nil, !has && u == nil:
		r.refuse(d) // whatever it said of that repository, it will say what it means of this one
		return nil, false, nil
	case has || desc.Size < sureSize:
		return u, has, nil
	}
	u, err = r.unlessThere(ctx, desc, u)
	return u, err == nil && u == nil, err
}

// isMissing says whether err is that the project of the image is missing, and
// not that of the repository that was to be mounted from.
func isMissing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Refusal == ProjectMissing && strings.HasPrefix(e.Message, "project "+e.Project()+" ")
}

func refusalIs(err error, r Refusal) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Refusal == r
}

func (d *donor) wait(ctx context.Context) error {
	select {
	case <-d.tried:
		return d.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Repository) refuses(d *donor) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return d.refused
}

func (r *Repository) refuse(d *donor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.refused = true
}
