package archive

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A listed image is one that the archive names.
type listed struct {
	names []string      // full ones, or tags
	desc  v1.Descriptor // in a layout
	item  *dockerImage  // in Docker's own list
	id    string        // what it is, whatever it is called
}

// list lists the images of the archive.
func (a *Archive) list() ([]listed, error) {
	if a.files.has(indexFile) && !a.o.Unpacked {
		return a.listLayout()
	}
	if a.o.Format == OCI {
		if a.files.has(manifestFile) {
			return nil, a.bad("it has no %s; one in Docker's own format is read as docker-archive:FILE", indexFile)
		}
		return nil, a.bad("it has no %s", indexFile)
	}
	return a.listDocker()
}

func (a *Archive) listLayout() ([]listed, error) {
	index, err := a.readIndex()
	if err != nil {
		return nil, err
	}
	var all []listed
	for _, d := range index.Manifests {
		if _, err := v1.NewHash(d.Digest.String()); err != nil || d.Size < 0 {
			return nil, a.bad("%s in it has an entry without a usable digest or size", indexFile)
		}
		if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
			continue
		}
		l := listed{desc: d, id: d.Digest.String()}
		for _, n := range []string{d.Annotations[containerdName], d.Annotations[refName]} {
			if n != "" {
				l.names = append(l.names, n)
			}
		}
		all = append(all, l)
	}
	return all, nil
}

func (a *Archive) listDocker() ([]listed, error) {
	raw, err := a.document(manifestFile)
	if err != nil {
		return nil, err
	}
	var items []dockerImage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, a.bad("%s in it cannot be read", manifestFile)
	}
	all := make([]listed, len(items))
	for i, item := range items {
		all[i] = listed{names: item.RepoTags, item: &items[i], id: item.Config + "\n" + strings.Join(item.Layers, "\n")}
	}
	return all, nil
}

// find returns the image of that name; the only one whatever it is called,
// unless exact.
func (a *Archive) find(name string, exact bool) (listed, error) {
	all, err := a.list()
	if err != nil {
		return listed{}, err
	}
	if len(all) == 0 {
		return listed{}, &NameError{File: a.name, Format: a.o.Format}
	}
	if !exact && alike(all) {
		return all[0], nil
	}
	for _, fits := range []func(string) bool{
		func(n string) bool { return n == name },
		func(n string) bool { return full(n) != "" && full(n) == full(name) },
		func(n string) bool { return exact && tagOf(n) == name },
	} {
		found := slices.DeleteFunc(slices.Clone(all), func(l listed) bool { return !slices.ContainsFunc(l.names, fits) })
		if alike(found) {
			return found[0], nil
		}
		if len(found) > 0 {
			return listed{}, &AmbiguousError{File: a.name, Format: a.o.Format, Name: name, Names: names(all)}
		}
	}
	for _, l := range all {
		if digest, ok := strings.CutPrefix(name, "@"); ok && l.desc.Digest.String() == digest {
			return l, nil
		}
	}
	if exact {
		return listed{}, &NameError{File: a.name, Format: a.o.Format, Name: name, Names: names(all)}
	}
	return listed{}, &AmbiguousError{File: a.name, Format: a.o.Format, Name: name, Names: names(all)}
}

// alike says whether there are images and all are one.
func alike(all []listed) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(l listed) bool { return l.id != all[0].id })
}

func names(all []listed) []string {
	list := make([]string, len(all))
	for i, l := range all {
		list[i] = cmp.Or(append(slices.Clone(l.names), "@"+l.desc.Digest.String())...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// full is the full name that a short one stands for in docker's grammar, "" if
// it is none.
func full(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	return reference.TagNameOnly(named).String()
}

// tagOf is the tag of a full name, "" if it has none.
func tagOf(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}
