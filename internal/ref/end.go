package ref

import (
	"slices"
	"strings"
)

// An End is what an image is copied from or to: a registry, or a place.
type End struct {
	// Image is the name in the registry or in Place. The zero Image is that of
	// the other end, or what Place itself names.
	Image Image
	Place Place // of the zero Kind for a registry
	Bare  bool  // Image was given neither a tag nor a digest
}

// pathPlaces are the kinds of places whose names go on with a path.
var pathPlaces = []string{"oci", "oci-archive", "docker-archive"}

// ParseEnd reads an image reference as [ParseImage] does, or a place as
// [ParsePlace] does, but no auto; docker:NAME and store:NAME are an image there.
// All errors are [*Error].
func ParseEnd(s string) (End, error) {
	kind, rest, named := strings.Cut(s, ":")
	switch k := Kind(kind); {
	case strings.Contains(s, "://"): // as skopeo writes it
	case (k == Docker || k == Store) && named && !isPort(rest):
		return parseNamed(Place{Kind: k}, rest)
	case (k == Docker || k == Store) && !named, slices.Contains(pathPlaces, kind) && named:
		p, err := ParsePlace(s)
		return End{Place: p}, err
	}
	return parseNamed(Place{}, s)
}

func parseNamed(p Place, s string) (End, error) {
	img, err := ParseImage(s)
	if err != nil {
		return End{}, err
	}
	return End{Image: img, Place: p, Bare: img.Digest == "" && !strings.HasSuffix(s, ":"+img.Tag)}, nil
}

// isPort says whether what follows a colon is the port of a registry, as in
// docker:5000/library/app.
func isPort(s string) bool {
	port, _, more := strings.Cut(s, "/")
	return more && port != "" && strings.Trim(port, "0123456789") == ""
}

// InRegistry says whether the end is in a registry.
func (e End) InRegistry() bool { return e.Place.Kind == "" }

// Named says whether the end has a name of its own.
func (e End) Named() bool { return e.Image != Image{} }

// String is the form that [ParseEnd] reads.
func (e End) String() string {
	switch {
	case e.InRegistry():
		return e.Image.String()
	case e.Named():
		return e.Place.String() + ":" + e.Image.String()
	default:
		return e.Place.String()
	}
}
