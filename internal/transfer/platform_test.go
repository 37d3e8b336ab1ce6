package transfer

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func platform(s string) v1.Platform {
	p, err := v1.ParsePlatform(s)
	if err != nil {
		panic(err)
	}
	return *p
}

func TestChoosePlatformAsDockerDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ want, have, chosen string }{
		{"linux/amd64", "linux/arm64 linux/amd64", "linux/amd64"},
		{"linux/amd64", "windows/amd64", ""},
		{"linux/amd64", "linux/386", "linux/386"},
		{"linux/amd64", "linux/386 linux/amd64", "linux/amd64"},
		{"linux/amd64", "linux/amd64/v2", ""},
		{"linux/amd64", "linux/amd64/v1", "linux/amd64/v1"},
		{"linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", "linux/amd64/v2"},
		{"linux/amd64/v3", "linux/amd64", "linux/amd64"},
		{"linux/386", "linux/amd64", ""},
		{"linux/arm64", "linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64/v8", "linux/arm64", "linux/arm64"},
		{"linux/arm64", "linux/arm/v7 linux/arm/v6", "linux/arm/v7"},
		{"linux/arm64", "linux/amd64 linux/arm/v7 linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64/v9", "linux/arm64", "linux/arm64"},
		{"linux/arm64", "linux/arm64/v9", ""},
		{"linux/arm/v7", "linux/arm/v5 linux/arm/v6", "linux/arm/v6"},
		{"linux/arm/v7", "linux/arm/v8 linux/arm64", ""},
		{"linux/arm", "linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/v7", "linux/arm", "linux/arm"},
		{"linux/arm/v6", "linux/arm/v7", ""},
		{"linux/arm/v6", "linux/arm/6", "linux/arm/6"},
		{"Linux/aarch64", "linux/arm64", "linux/arm64"},
		{"linux/x86_64", "linux/amd64", "linux/amd64"},
		{"linux/s390x", "linux/s390x", "linux/s390x"},
		{"linux/amd64", "unknown/unknown", ""},
		{"unknown/unknown", "unknown/unknown linux/amd64", ""},
		{"windows/amd64", "windows/amd64:10.0.17763.1 windows/amd64:10.0.20348.2", "windows/amd64:10.0.17763.1"},
		{"windows/amd64:10.0.20348.9", "windows/amd64:10.0.17763.1 windows/amd64:10.0.20348.2", "windows/amd64:10.0.20348.2"},
		{"windows/amd64:10.0.14393.1", "windows/amd64:10.0.17763.1", ""},
		{"linux/amd64", "none", "none"},
		{"linux/amd64", "none unknown/unknown", "none"},
		{"linux/amd64", "none linux/arm64", ""},
		{"linux/amd64", "", ""},
	} {
		var children []v1.Descriptor
		for _, s := range strings.Fields(test.have) {
			d := v1.Descriptor{MediaType: types.OCIManifestSchema1, Annotations: map[string]string{"name": s}}
			if s != "none" {
				p := platform(s)
				d.Platform = &p
			}
			children = append(children, d)
		}
		got := ""
		if d := choose(children, platform(test.want)); d != nil {
			got = d.Annotations["name"]
		}
		if got != test.chosen {
			t.Errorf("want %s, have %s: chose %q instead of %q", test.want, test.have, got, test.chosen)
		}
	}
}
