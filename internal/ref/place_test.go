package ref_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/ref"
)

func TestParsePlace(t *testing.T) {
	t.Parallel()
	layout := func(dir, tag string) ref.Place { return ref.Place{Kind: ref.OCI, Dir: dir, Tag: tag} }
	for in, want := range map[string]ref.Place{
		"auto":                 {Kind: ref.Auto},
		"docker":               {Kind: ref.Docker},
		"store":                {Kind: ref.Store},
		"oci:dir":              layout("dir", ""),
		"oci:dir:1.0":          layout("dir", "1.0"),
		"oci:/a/b:1":           layout("/a/b", "1"),
		"oci:./a b":            layout("./a b", ""),
		"oci:..:x":             layout("..", "x"),
		"oci:a:b:c":            layout("a:b", "c"),
		"oci:a:b/c":            layout("a:b/c", ""),
		"oci:C:":               layout("C:", ""),
		"oci:C:dir":            layout("C:dir", ""),
		`oci:C:\images`:        layout(`C:\images`, ""),
		`oci:C:\images:1`:      layout(`C:\images`, "1"),
		`oci:C:/images:1`:      layout("C:/images", "1"),
		`oci:\\host\share:tag`: layout(`\\host\share`, "tag"),
		"oci:реестр:_x.y-z":    layout("реестр", "_x.y-z"),

		"oci-archive:a.tar":             {Kind: ref.OCIArchive, File: "a.tar"},
		"oci-archive:-":                 {Kind: ref.OCIArchive, File: ref.Stream},
		"docker-archive:/a b/c.tar.gz":  {Kind: ref.DockerArchive, File: "/a b/c.tar.gz"},
		"docker-archive:-:app:1":        {Kind: ref.DockerArchive, File: ref.Stream, Name: "app:1"},
		"docker-archive:x:h:5000/a/b:1": {Kind: ref.DockerArchive, File: "x", Name: "h:5000/a/b:1"},
		`docker-archive:C:\x.tar`:       {Kind: ref.DockerArchive, File: `C:\x.tar`},
		`docker-archive:C:\x.tar:app`:   {Kind: ref.DockerArchive, File: `C:\x.tar`, Name: "app"},
	} {
		p, err := ref.ParsePlace(in)
		if err != nil || p != want || p.String() != in {
			t.Errorf("%q: %+v (%q), %v", in, p, p, err)
		}
	}
}

var hostilePlaces = []string{
	"", "x", "AUTO", "auto:", "docker:", "store:x", "oci", "oci:", "oci::", "oci::tag", "oci:dir:", "oci:dir: ", "oci:dir:a b", "oci:dir:.a", "oci:dir:-a", "oci:dir:тег",
	"oci:dir:a\x1b", "oci:dir:a\x00", "oci:d\x00ir", "oci:dir:" + strings.Repeat("a", 129), "/tmp/dir", " oci:dir", "oci:dir:a@b",
	"docker-archive", "docker-archive:", "oci-archive::app", "oci-archive:x:", "oci-archive:x\x00", "docker-archive:x:a\x1bb", "docker-archive:x:a b", "docker-archive:x:" + strings.Repeat("a", 1025), "archive:x",
}

func TestParsePlaceRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range hostilePlaces {
		p, err := ref.ParsePlace(in)
		var re *ref.Error
		if !errors.As(err, &re) || p != (ref.Place{}) || !printable(err.Error()) {
			t.Errorf("%q: %+v, %v", in, p, err)
		}
	}
}

func FuzzPlace(f *testing.F) {
	for _, s := range hostilePlaces {
		f.Add(s)
	}
	for _, s := range []string{"auto", "oci:dir:1.0", `oci:C:\images:1`, "oci:a:b:c", "oci-archive:a.tar:app:1", `docker-archive:C:\a`, "docker-archive:-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ref.ParsePlace(s)
		if err != nil {
			if p != (ref.Place{}) || !printable(err.Error()) {
				t.Fatalf("%+v beside %q", p, err)
			}
			return
		}
		if back, err := ref.ParsePlace(p.String()); err != nil || back != p || p.String() != s {
			t.Fatalf("%q is %+v and reads back as %+v, %v", s, p, back, err)
		}
		if p.IsArchive() != (p.File != "") {
			t.Fatalf("%+v", p)
		}
		if (p.Kind == ref.OCI) != (p.Dir != "") || strings.ContainsAny(p.Tag, "/\\\x00") {
			t.Fatalf("%+v", p)
		}
	})
}
