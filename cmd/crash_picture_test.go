//go:build faults && unix

package cmd_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A crashFile is a file or folder of a home.
type crashFile struct {
	mode fs.FileMode
	data string
}

// A crashPicture is a home, by the paths in it. Times and the home's own path
// are not in it, nor is the random part of temporary names.
type crashPicture map[string]crashFile

var (
	crashTime = regexp.MustCompile(`"(time|lastId)": ("[^"]*"|[0-9]+)`)
	crashTemp = regexp.MustCompile(`\.vicr-[0-9a-f]*`)
)

func pictureOf(t *testing.T, home string) crashPicture {
	t.Helper()
	p := crashPicture{}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == home {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := crashFile{mode: info.Mode()}
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f.data = strings.ReplaceAll(string(data), home, "$HOME")
			if d.Name() == "journal.json" {
				f.data = crashTime.ReplaceAllString(f.data, `"$1": ""`)
			}
			if d.Name() == "lock" { // it names the process that held it last
				f.data = ""
			}
		}
		path = crashTemp.ReplaceAllString(strings.TrimPrefix(path, home+"/"), ".vicr-*")
		for _, taken := p[path]; taken; _, taken = p[path] { // a second temporary file
			path += "+"
		}
		p[path] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p crashPicture) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s %s %x\n", p[path].mode, path, sha256.Sum256([]byte(p[path].data)))
	}
	return b.String()
}

// wantPicture fails unless both are the same, and says what differs.
func wantPicture(t *testing.T, what string, got, want crashPicture) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: left behind: %s %s", what, got[path].mode, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if is, ok := got[path]; !ok {
			t.Errorf("%s: missing: %s", what, path)
		} else if is != want[path] {
			t.Errorf("%s: %s is %s\n%swant %s\n%s", what, path, is.mode, is.data, want[path].mode, want[path].data)
		}
	}
}

// wantTidy fails if a temporary file or a lock was left, which may hold secrets.
func (p crashPicture) wantTidy(t *testing.T) {
	t.Helper()
	for path := range p {
		if base := filepath.Base(path); strings.HasPrefix(base, ".vicr-") || strings.HasSuffix(base, ".lock") {
			t.Errorf("left behind: %s", path)
		}
	}
}

// wantWhole fails if something that can be read is torn: neither as it was
// before the command nor as it is after it, not valid, or not what it is called.
func (p crashPicture) wantWhole(t *testing.T, before, after crashPicture) {
	t.Helper()
	for path, f := range p {
		base, folder := filepath.Base(path), filepath.Base(filepath.Dir(path))
		sum := sha256.Sum256([]byte(f.data))
		switch {
		case f.mode.IsDir(), strings.HasPrefix(base, ".vicr-"), folder == "ingest", base == "lock", strings.HasSuffix(base, ".lock"):
		case base == "journal.json":
			if !json.Valid([]byte(f.data)) {
				t.Errorf("%s is torn: %s", path, f.data)
			}
		case folder == "sha256", folder == "backup":
			if hex.EncodeToString(sum[:]) != base {
				t.Errorf("%s is torn", path)
			}
		case f != before[path] && f != after[path]:
			t.Errorf("%s is neither the old nor the new: %s %s", path, f.mode, f.data)
		case base == "index.json":
			p.wantImages(t, filepath.Dir(path), f.data)
		}
	}
	for path := range before {
		_, stays := after[path]
		if _, ok := p[path]; stays && !ok {
			t.Errorf("%s is away", path)
		}
	}
}

// wantPairs fails where tools would find half a client certificate. Podman takes
// no notice of a key alone: that may be seen, and two that do not belong
// together, while a change is recorded as under way, which the next run ends.
func (p crashPicture) wantPairs(t *testing.T) {
	t.Helper()
	open := false
	for path, f := range p {
		open = open || filepath.Base(path) == "journal.json" && strings.Contains(f.data, `"open":`)
	}
	for path, f := range p {
		base, isCert := strings.CutSuffix(path, ".cert")
		if !isCert {
			base, isKey := strings.CutSuffix(path, ".key")
			if _, ok := p[base+".cert"]; isKey && !ok && !open {
				t.Errorf("%s is alone", path)
			}
			continue
		}
		key, ok := p[base+".key"]
		if !ok {
			t.Errorf("%s has no key", path)
		} else if _, err := tls.X509KeyPair([]byte(f.data), []byte(key.data)); err != nil && !open {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// wantImages fails unless all that a manifest or index names is there.
func (p crashPicture) wantImages(t *testing.T, layout, manifest string) {
	t.Helper()
	var m struct {
		Manifests, Layers []v1.Descriptor
		Config            *v1.Descriptor
	}
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Errorf("%s: %v in %s", layout, err, manifest)
		return
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, d := range slices.Concat(m.Manifests, m.Layers) {
		blob, ok := p[filepath.Join(layout, "blobs", d.Digest.Algorithm, d.Digest.Hex)]
		if !ok || int64(len(blob.data)) != d.Size {
			t.Errorf("%s names %s, which is there: %t, with %d of %d bytes", layout, d.Digest, ok, len(blob.data), d.Size)
		}
		if ok && slices.ContainsFunc(m.Manifests, func(child v1.Descriptor) bool { return child.Digest == d.Digest }) {
			p.wantImages(t, layout, blob.data)
		}
	}
}
