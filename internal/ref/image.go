package ref

import (
	"errors"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

const (
	dockerHub  = "docker.io"
	defaultTag = "latest"
	maxImage   = 1 << 10 // bytes: host 253, port 6, repository 255, tag 129, digest 140, and room
)

// An Image is the full name of an image: registry, repository, and a tag or a
// digest or both. Images are comparable.
type Image struct {
	Host       Host
	Repository string // "library/ubuntu", without the host
	Tag        string // "" when only a digest was given
	Digest     string // "sha256:..." or ""
}

// ParseImage reads an image reference in docker's grammar
// (github.com/distribution/reference): a name without a host is Docker Hub's,
// one without tag and digest has the tag latest. The host is lower-cased and
// held to the rules of [ParseHost]. All errors are [*Error].
func ParseImage(s string) (Image, error) {
	fail := func(why string) (Image, error) {
		return Image{}, &Error{What: "image", Input: withoutUser(s, false), Why: why}
	}
	if len(s) > maxImage {
		return fail("longer than 1024 bytes")
	}
	if strings.Contains(s, "://") {
		return fail("leave out the scheme")
	}
	if withoutUser(s, false) != s {
		return fail("leave out the user name")
	}
	if loneHost(s) {
		return fail("this is the address of a registry: name a repository in it, as in HOST/PROJECT/REPO")
	}
	named, err := reference.ParseNormalizedNamed(lowerHost(s))
	if err != nil {
		return fail(whyNot(err))
	}
	host, why := parseHost(reference.Domain(named))
	if why != "" {
		return fail("its host: " + why)
	}
	if !standsForHost(host.String()) {
		// Written in capitals, docker takes it for a host; in the lower case
		// that hosts are kept in, for a part of Docker Hub's name.
		return fail("its host needs a dot or a port, or to be localhost")
	}
	img := Image{Host: host, Repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		img.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		img.Digest = d.Digest().String()
	}
	if img.Tag == "" && img.Digest == "" {
		img.Tag = defaultTag
	}
	return img, nil
}

// whyNot is what the grammar says against a name. Its errors can repeat the
// name: nothing of it may reach a terminal raw.
func whyNot(err error) string {
	switch {
	case errors.Is(err, reference.ErrReferenceInvalidFormat):
		return "not in the form HOST/REPOSITORY[:TAG][@DIGEST]"
	case errors.Is(err, reference.ErrNameTooLong):
		return "the repository is longer than 255 characters"
	}
	quoted := strconv.Quote(abridged(err.Error()))
	return quoted[1 : len(quoted)-1]
}

// lowerHost lower-cases what docker's grammar takes for the host part.
func lowerHost(s string) string {
	first, rest, ok := strings.Cut(s, "/")
	if !ok || !standsForHost(lower(first)) {
		return s
	}
	return lower(first) + "/" + rest
}

// standsForHost says whether the part of a name before its first slash is a
// host in docker's grammar, and not Docker Hub's.
func standsForHost(first string) bool {
	return strings.ContainsAny(first, ".:") || first == "localhost"
}

// loneHost says whether s is a host without a repository. Docker's grammar takes
// it for an image of Docker Hub, which would be told the name of a private registry.
func loneHost(s string) bool {
	if strings.ContainsAny(s, "/@") {
		return false
	}
	name, _, _ := strings.Cut(s, ":")
	return strings.Contains(name, ".") || strings.EqualFold(name, "localhost") || strings.HasPrefix(s, "[")
}

// Name is HOST/REPOSITORY.
func (i Image) Name() string { return i.Host.String() + "/" + i.Repository }

// String is the full name, HOST/REPOSITORY[:TAG][@DIGEST].
func (i Image) String() string {
	s := i.Name()
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

// Reference is what the registry's API is asked for: the digest if there is
// one, else the tag.
func (i Image) Reference() string {
	if i.Digest != "" {
		return i.Digest
	}
	return i.Tag
}

// WithDigest is i pinned to digest.
func (i Image) WithDigest(digest string) Image {
	i.Digest = digest
	return i
}
