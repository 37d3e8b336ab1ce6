package ref

import (
	"slices"
	"strings"
)

// A Kind is a kind of place where images live outside a registry.
type Kind string

// The places. Auto is the engine or vicr's own store, decided by what is here.
const (
	Auto   Kind = "auto"
	Docker Kind = "docker" // the engine that DOCKER_HOST or the docker context names
	Store  Kind = "store"  // vicr's own
	OCI    Kind = "oci"    // an OCI layout in a folder

	OCIArchive    Kind = "oci-archive"    // an OCI layout in a tar
	DockerArchive Kind = "docker-archive" // what docker save writes and docker load reads
)

// Stream is the file that stands for standard input or output.
const Stream = "-"

// A Place is where images live outside a registry.
type Place struct {
	Kind Kind
	Dir  string // of an OCI layout
	Tag  string // the name inside the layout, may be empty
	File string // an archive, or [Stream]
	Name string // of the image inside the archive, may be empty
}

// IsArchive says whether images are in one file.
func (p Place) IsArchive() bool { return p.Kind == OCIArchive || p.Kind == DockerArchive }

// ParsePlace reads auto, docker, store, oci:DIR[:TAG], oci-archive:FILE[:NAME] or
// docker-archive:FILE[:NAME]. In a Windows path the colon of the drive letter
// begins neither tag nor name. All errors are [*Error].
func ParsePlace(s string) (Place, error) {
	kind, rest, hasRest := strings.Cut(s, ":")
	switch k := Kind(kind); {
	case !hasRest && slices.Contains([]Kind{Auto, Docker, Store}, k):
		return Place{Kind: k}, nil
	case k == OCI && hasRest:
		p, why := parseLayout(rest)
		if why != "" {
			return Place{}, &Error{What: "place", Input: s, Why: why}
		}
		return p, nil
	case (k == OCIArchive || k == DockerArchive) && hasRest:
		p, why := parseArchive(k, rest)
		if why != "" {
			return Place{}, &Error{What: "place", Input: s, Why: why}
		}
		return p, nil
	}
	return Place{}, &Error{What: "place", Input: s, Why: "not one of auto, docker, store, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE"}
}

// parseArchive reads FILE[:NAME]. A name has colons of its own, so it begins
// behind the first colon, which no file here can have in its name.
func parseArchive(k Kind, s string) (p Place, why string) {
	const longest = 1 << 10 // bytes of a name, as of an image
	from := 0
	if len(s) > 2 && isLetter(s[0]) && s[1] == ':' && strings.ContainsRune(`/\`, rune(s[2])) {
		from = 2
	}
	p = Place{Kind: k, File: s}
	if i := strings.IndexByte(s[from:], ':'); i >= 0 {
		p.File, p.Name = s[:from+i], s[from+i+1:]
		if p.Name == "" || len(p.Name) > longest || strings.ContainsFunc(p.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return Place{}, "what follows the first colon is not the name of an image"
		}
	}
	if p.File == "" || strings.ContainsRune(p.File, 0) {
		return Place{}, "write " + string(k) + ":FILE, or - for standard input or output"
	}
	return p, ""
}

// parseLayout reads DIR[:TAG]. What follows the last colon is a tag unless it
// holds a path separator, or the colon is that of a drive letter.
func parseLayout(s string) (p Place, why string) {
	p = Place{Kind: OCI, Dir: s}
	i := strings.LastIndexByte(s, ':')
	if i >= 0 && !strings.ContainsAny(s[i:], `/\`) && (i != 1 || !isLetter(s[0])) {
		p.Dir, p.Tag = s[:i], s[i+1:]
		if !isTag(p.Tag) {
			return Place{}, "what follows the last colon is not a tag"
		}
	}
	if p.Dir == "" || strings.ContainsRune(p.Dir, 0) {
		return Place{}, "write oci:DIR or oci:DIR:TAG"
	}
	return p, ""
}

// isTag holds a tag to docker's grammar (distribution/reference regexp.go).
func isTag(s string) bool {
	const longest = 128 // characters
	if s == "" || len(s) > longest || s[0] == '.' || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '.' && r != '-'
	})
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// String is the form that [ParsePlace] reads.
func (p Place) String() string {
	switch {
	case p.IsArchive() && p.Name == "":
		return string(p.Kind) + ":" + p.File
	case p.IsArchive():
		return string(p.Kind) + ":" + p.File + ":" + p.Name
	case p.Kind != OCI:
		return string(p.Kind)
	case p.Tag == "":
		return "oci:" + p.Dir
	default:
		return "oci:" + p.Dir + ":" + p.Tag
	}
}
