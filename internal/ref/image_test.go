package ref_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/ref"
)

const sum = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestParseImageReadsDockersGrammar(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct{ host, repository, tag, digest string }{
		"registry.corp/library/ubuntu:14.04":  {"registry.corp", "library/ubuntu", "14.04", ""},
		"registry.corp/demo/ubuntu":           {"registry.corp", "demo/ubuntu", "latest", ""},
		"registry.corp:5000/a:1":              {"registry.corp:5000", "a", "1", ""},
		"REGISTRY.Corp:5000/a:B":              {"registry.corp:5000", "a", "B", ""},
		"registry.corp/a@" + sum:              {"registry.corp", "a", "", sum},
		"registry.corp/a:1@" + sum:            {"registry.corp", "a", "1", sum},
		"192.0.2.2:5443/library/app:1":        {"192.0.2.2:5443", "library/app", "1", ""},
		"[2001:DB8:0:0:0:0:0:1]:5000/a":       {"[2001:db8::1]:5000", "a", "latest", ""},
		"[2001:db8::1]/a/b/c":                 {"[2001:db8::1]", "a/b/c", "latest", ""},
		"localhost/a":                         {"localhost", "a", "latest", ""},
		"LOCALHOST/a":                         {"localhost", "a", "latest", ""},
		"ubuntu":                              {"docker.io", "library/ubuntu", "latest", ""},
		"ubuntu:14.04":                        {"docker.io", "library/ubuntu", "14.04", ""},
		"ubuntu@" + sum:                       {"docker.io", "library/ubuntu", "", sum},
		"ann/app":                             {"docker.io", "ann/app", "latest", ""},
		"index.docker.io/ubuntu":              {"docker.io", "library/ubuntu", "latest", ""},
		"docker.io/library/ubuntu":            {"docker.io", "library/ubuntu", "latest", ""},
		"registry.corp/a_b/c__d/e-f.g:_1.2-x": {"registry.corp", "a_b/c__d/e-f.g", "_1.2-x", ""},
		"registry.corp/" + strings.Repeat("a", 255-len("registry.corp/")): {"registry.corp", strings.Repeat("a", 255-len("registry.corp/")), "latest", ""},
		"registry.corp/a:" + strings.Repeat("t", 128):                     {"registry.corp", "a", strings.Repeat("t", 128), ""},
	} {
		img, err := ref.ParseImage(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if img.Host.String() != want.host || img.Repository != want.repository || img.Tag != want.tag || img.Digest != want.digest {
			t.Errorf("%q: %+v", in, img)
		}
		checkImage(t, img)
	}
}

// hostileImages cannot be read; the hosts that cannot be hosts are added to them.
var hostileImages = []string{
	"", "/", "a/", "/a", "registry.corp/", "registry.corp//a", "registry.corp/a/", "registry.corp/../a", "registry.corp/./a", "../a:1",
	"registry.corp/A", "registry.corp/a:", "registry.corp/a:b:c", "registry.corp/a:-1", "registry.corp/a:.1", "registry.corp/a: b", "registry.corp/a:b/c",
	"registry.corp/a:" + strings.Repeat("t", 129), "registry.corp/" + strings.Repeat("a", 300),
	"registry.corp/a@", "registry.corp/a@sha256:", "registry.corp/a@sha256:00", "registry.corp/a@sha256:../../../../../../../../etc/passwd",
	"registry.corp/a@" + strings.ToUpper(sum), "registry.corp/a@md5:00112233445566778899aabbccddeeff", "registry.corp/a@" + sum + "0", "registry.corp/a@" + sum + "@" + sum,
	"https://registry.corp/a", "registry.corp/a b", "registry.corp/a\x00", "registry.corp/a\n", "registry.corp/реg", "registry.corp/a%2fb", "registry.corp/a?b", "registry.corp/a#b",
	"FOO/bar", "Foo/a:1", "registry.corp/A\x1b[2J\u202e", "REG\x1b[2J.corp/A", strings.Repeat("a/", 1<<18), sum[len("sha256:"):],
}

func TestParseImageRefuses(t *testing.T) {
	t.Parallel()
	inputs := hostileImages
	for _, host := range hostile {
		if strings.ContainsAny(host, ".:@") {
			inputs = append(inputs, host+"/a:1")
		}
	}
	for _, in := range inputs {
		img, err := ref.ParseImage(in)
		var re *ref.Error
		if !errors.As(err, &re) || img != (ref.Image{}) {
			t.Errorf("%.80q: %q, %v", in, img, err)
			continue
		}
		if msg := err.Error(); !printable(msg) || len(msg) > 1000 || re.Why == "" {
			t.Errorf("%.80q: the message is not fit for a terminal: %.200q", in, msg)
		}
	}
}

func TestReferenceIsTheDigestIfThereIsOne(t *testing.T) {
	t.Parallel()
	img, err := ref.ParseImage("registry.corp/a:1")
	if err != nil || img.Reference() != "1" || img.Name() != "registry.corp/a" {
		t.Fatalf("%q of %q, %v", img.Reference(), img.Name(), err)
	}
	pinned := img.WithDigest(sum)
	if pinned.Reference() != sum || pinned.String() != "registry.corp/a:1@"+sum || img.Digest != "" {
		t.Errorf("%q, and the first is %q", pinned, img)
	}
}

func TestImagesRoundTrip(t *testing.T) {
	t.Parallel()
	path := rapid.StringMatching(`[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,8}){0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		host := drawHost().Filter(func(s string) bool { return strings.ContainsAny(s, ".:") }).Draw(t, "host")
		text := host + "/" + path.Draw(t, "repository") +
			rapid.SampledFrom([]string{"", ":1", ":V1.2-x"}).Draw(t, "tag") + rapid.SampledFrom([]string{"", "@" + sum}).Draw(t, "digest")
		img, err := ref.ParseImage(text)
		if err != nil {
			t.Fatal(err)
		}
		if img.Host != parse(t, host) {
			t.Fatalf("%q is at %q", text, img.Host)
		}
		checkImage(t, img)
	})
}

func FuzzImage(f *testing.F) {
	for _, s := range hostileImages {
		f.Add(s[:min(len(s), 400)])
	}
	for _, s := range []string{"ubuntu", "registry.corp/library/ubuntu:14.04", "registry.corp:5000/a@" + sum, "[2001:db8::1]:5000/a:1", "REG.corp/a:B"} {
		f.Add(s)
	}
	for _, s := range hostile {
		f.Add(s[:min(len(s), 300)] + "/a")
	}
	f.Fuzz(func(t *testing.T, s string) {
		img, err := ref.ParseImage(s)
		if err != nil {
			if img != (ref.Image{}) || !printable(err.Error()) {
				t.Fatalf("%q beside %q", img, err)
			}
			return
		}
		checkImage(t, img)
	})
}

func checkImage(t fataler, img ref.Image) {
	t.Helper()
	if back, err := ref.ParseImage(img.String()); err != nil || back != img {
		t.Fatalf("%q reads back as %q, %v", img, back, err)
	}
	checkHost(t, img.Host)
	if img.Tag == "" && img.Digest == "" {
		t.Fatalf("%q names no image", img)
	}
	if strings.ContainsAny(img.Repository, "\\\x00%@?# ") || strings.Contains("/"+img.Repository+"/", "/../") || strings.Contains(img.Repository, "//") {
		t.Fatalf("%q is no path", img.Repository)
	}
}
