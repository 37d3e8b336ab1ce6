package transfer

import (
	"context"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// pick finds the image for a platform in root, which may be an index of
// indexes. An image that is not in an index is for whoever asks for it.
func (l *loader) pick(ctx context.Context, root v1.Descriptor, want v1.Platform) (v1.Descriptor, error) {
	var have []v1.Platform
	found, err := l.search(ctx, root, want, 0, &have)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if found == nil {
		return v1.Descriptor{}, &PlatformError{Want: want, Have: have}
	}
	return *found, nil
}

func (l *loader) search(ctx context.Context, desc v1.Descriptor, want v1.Platform, depth int, have *[]v1.Platform) (*v1.Descriptor, error) {
	n, err := l.load(ctx, desc, depth)
	if err != nil {
		return nil, err
	}
	if !n.isIndex() {
		d := n.desc
		return &d, nil
	}
	if best := choose(n.children, want); best != nil {
		return best, nil
	}
	for _, child := range n.children {
		if child.Platform != nil && !unknown(*child.Platform) {
			*have = append(*have, *child.Platform)
		}
		if !child.MediaType.IsIndex() || (child.Platform != nil && rank(want, *child.Platform) < 0) {
			continue
		}
		if found, err := l.search(ctx, child, want, depth+1, have); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// choose returns the image that suits best, the first of equals; nil if none does.
func choose(children []v1.Descriptor, want v1.Platform) *v1.Descriptor {
	best, bestRank := -1, -1
	bare := -1 // the one image that says nothing of its platform
	images := 0
	for i, d := range children {
		if !d.MediaType.IsImage() || (d.Platform != nil && unknown(*d.Platform)) {
			continue
		}
		images++
		if d.Platform == nil {
			bare = i
			continue
		}
		if r := rank(want, *d.Platform); r >= 0 && (best < 0 || r < bestRank) {
			best, bestRank = i, r
		}
	}
	if best < 0 && images == 1 && bare >= 0 {
		best = bare
	}
	if best < 0 {
		return nil
	}
	return &children[best]
}

// unknown is how BuildKit marks attestations in an index; they are no images to run.
func unknown(p v1.Platform) bool { return p.OS == "unknown" || p.Architecture == "unknown" }

// rank says how well an image for have runs where want is asked for: 0 is
// best, negative is not at all. The order is docker's
// (containerd/platforms, compare.go, platformVector).
func rank(want, have v1.Platform) int {
	want, have = normalize(want), normalize(have)
	if want.OS != have.OS || !sameBuild(want.OSVersion, have.OSVersion) {
		return -1
	}
	for i, c := range runs(want.Architecture, want.Variant) {
		if c.arch == have.Architecture && c.variant == have.Variant {
			return i
		}
	}
	return -1
}

type cpu struct{ arch, variant string }

// runs lists what a processor runs, best first.
func runs(arch, variant string) []cpu {
	list := []cpu{{arch, variant}}
	level, err := strconv.Atoi(strings.TrimPrefix(variant, "v"))
	if err != nil {
		level = 0
	}
	switch arch {
	case "amd64":
		for level--; level > 1; level-- {
			list = append(list, cpu{arch, "v" + strconv.Itoa(level)})
		}
		if variant != "" {
			list = append(list, cpu{arch, ""})
		}
		list = append(list, cpu{"386", ""})
	case "arm":
		for level--; level >= 5; level-- {
			list = append(list, cpu{arch, "v" + strconv.Itoa(level)})
		}
	case "arm64":
		for level--; level >= 8; level-- {
			list = append(list, cpu{arch, arm64Variant(level)})
		}
		list = append(list, runs("arm", "v8")...)
	}
	return list
}

func arm64Variant(level int) string {
	if level == 8 {
		return ""
	}
	return "v" + strconv.Itoa(level)
}

// normalize gives one name to what has several (containerd/platforms,
// database.go): arm64 without a variant is v8, arm without one v7, amd64
// without one v1; here arm64 v8 and amd64 v1 are written without.
func normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "arm64" && (p.Variant == "8" || p.Variant == "v8"),
		p.Architecture == "amd64" && p.Variant == "v1":
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	case p.Architecture == "arm" && !strings.HasPrefix(p.Variant, "v"):
		p.Variant = "v" + p.Variant
	}
	return p
}

// sameBuild compares versions of Windows as its own pull does: the first three
// of four numbers, and only if both sides name one.
func sameBuild(want, have string) bool {
	if want == "" || have == "" {
		return true
	}
	build := func(v string) string { return strings.Join(strings.SplitN(v+"...", ".", 4)[:3], ".") }
	return build(want) == build(have)
}
