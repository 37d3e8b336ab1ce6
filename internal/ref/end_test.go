package ref_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/ref"
)

func TestParseEnd(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		text                  string // as String has it
		registry, named, bare bool
		dir, tag, imgTag      string
	}{
		"Reg.example.com/a/b:1":    {text: "reg.example.com/a/b:1", registry: true, named: true, imgTag: "1"},
		"reg.example.com/a/b":      {text: "reg.example.com/a/b:latest", registry: true, named: true, bare: true, imgTag: "latest"},
		"reg.example.com/a/latest": {text: "reg.example.com/a/latest:latest", registry: true, named: true, bare: true, imgTag: "latest"},
		"reg:5000/a:latest":        {text: "reg:5000/a:latest", registry: true, named: true, imgTag: "latest"},
		"docker:5000/a/b:1":        {text: "docker:5000/a/b:1", registry: true, named: true, imgTag: "1"},
		"store:5000/a/b":           {text: "store:5000/a/b:latest", registry: true, named: true, bare: true, imgTag: "latest"},
		"docker":                   {text: "docker"},
		"store":                    {text: "store"},
		"store:reg:5000/a/b:1":     {text: "store:reg:5000/a/b:1", named: true, imgTag: "1"},
		"docker:ubuntu:14.04":      {text: "docker:docker.io/library/ubuntu:14.04", named: true, imgTag: "14.04"},
		"docker:reg.example.com/a": {text: "docker:reg.example.com/a:latest", named: true, bare: true, imgTag: "latest"},
		"oci:dir":                  {text: "oci:dir", dir: "dir"},
		"oci:a/dir:1":              {text: "oci:a/dir:1", dir: "a/dir", tag: "1"},
		`oci:C:\images`:            {text: `oci:C:\images`, dir: `C:\images`},
	} {
		e, err := ref.ParseEnd(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if e.String() != want.text || e.InRegistry() != want.registry || e.Named() != want.named || e.Bare != want.bare ||
			e.Place.Dir != want.dir || e.Place.Tag != want.tag || e.Image.Tag != want.imgTag {
			t.Errorf("%s: got %q %+v", in, e, e)
		}
		if again, err := ref.ParseEnd(e.String()); err != nil || again.String() != e.String() {
			t.Errorf("%s: %s is read as %s, %v", in, e, again, err)
		}
	}
	for _, bad := range []string{"", "docker:", "store:", "oci:", "docker://reg.example.com/a/b", "reg.example.com", "store:UPPER/..", "oci:dir:-"} {
		if e, err := ref.ParseEnd(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, e)
		}
	}
}
