package cmd_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An operation is a command of which the requests are counted.
type operation struct {
	name string
	args string // HOST is the registry's
	most int    // requests beside those for realm and token, whatever the golden file says
	note string // why generations differ, or why it takes so many
}

// operations are run one after the other by one user. The image has three layers.
var operations = []operation{
	{"push", "push --from oci:three HOST/demo/app:1", 9, "a POST that asks and begins, and a PUT, for each of three layers and the config"},
	{"push again", "push --from oci:three HOST/demo/app:1", 1, "asked since the push is remembered"},
	{"push as another tag", "push --from oci:three HOST/demo/app:2", 5, "each blob is found by its POST"},
	{"push to another repository", "push --from oci:three HOST/demo/mounted:1", 5, "each blob is mounted from where it was pushed, which the one token allows too"},
	{"pull into the store", "pull --to store HOST/demo/app:1", 5, ""},
	{"pull into the store again", "pull --to store HOST/demo/app:1", 1, ""},
	{"pull into a folder", "pull --to oci:out HOST/demo/app:1", 5, ""},
	{"pull into a folder again", "pull --to oci:out HOST/demo/app:1", 1, ""},
	{"pull one image of an index", "pull --to store --platform linux/arm64 HOST/library/hello:1.0", 5, "an image of two layers; Harbor 1 has it without an index, which is one request less"},
	{"pull one image of an index again", "pull --to store --platform linux/arm64 HOST/library/hello:1.0", 1, "what the index names is in the store"},
	{"tag", "tag --remote HOST/demo/app:1 HOST/demo/app:3", 2, ""},
	{"copy within a registry", "copy HOST/demo/app:1 HOST/demo/other:1", 6, "the manifest, a POST that mounts for each of three layers and the config, and a PUT"},
	{"copy within a registry again", "copy HOST/demo/app:1 HOST/demo/other:1", 2, "the manifest, and a HEAD since the copy is remembered"},
	{"copy an index", "copy HOST/library/hello:1.0 HOST/demo/hello:1.0", 11, "two images of a layer that they share, and another each; Harbor 1 has one image without an index"},
	{"copy an index again", "copy HOST/library/hello:1.0 HOST/demo/hello:1.0", 2, "the images that the index names are not asked for"},
}

// The number of requests for each operation, by kind, as the registry counts
// them. The request that fetches a token and the anonymous one that learns the
// realm of a registry stand apart: a registry with passwords alone has no tokens.
func TestRequestsOfEachOperation(t *testing.T) {
	t.Parallel()
	counted := map[string]map[sandbox.Like]string{}
	for _, like := range sandbox.Likes() {
		r := newRig(t, sandbox.Options{Like: like})
		threeLayers(t, filepath.Join(r.home, "three"))
		for _, o := range operations {
			r.seen.take()
			code, said := r.vicr("", strings.Fields(strings.ReplaceAll(o.args, "HOST", r.box.Host()))...)
			if code != 0 {
				t.Fatalf("%s, %s: exit code %d\n%s", like, o.name, code, said)
			}
			asked, _ := r.seen.take()
			c := countByKind(asked)
			if c.beside > o.most || c.realm > 1 || c.token > 1 {
				t.Errorf("%s, %s: %d requests, at most %d are allowed, and one for realm, one for tokens: %q", like, o.name, c.beside, o.most, asked)
			}
			if counted[o.name] == nil {
				counted[o.name] = map[sandbox.Like]string{}
			}
			counted[o.name][like] = c.String()
		}
	}
	var b strings.Builder
	for _, o := range operations {
		fmt.Fprintf(&b, "%s: vicr %s\n", o.name, o.args)
		if o.note != "" {
			fmt.Fprintf(&b, "  # %s\n", o.note)
		}
		for _, like := range sandbox.Likes() {
			fmt.Fprintf(&b, "  %-13s %s\n", like, counted[o.name][like])
		}
	}
	goldenLines(t, filepath.Join("..", "testdata", "requests.golden"), b.String())
}

// A count is how many requests of each kind there were.
type count struct {
	realm, token int // those that stand apart
	beside       int
	kinds        map[string]int
}

func countByKind(asked []string) count {
	c := count{kinds: map[string]int{}}
	for _, one := range asked {
		f := strings.Fields(one) // method, path, status
		switch {
		case f[1] == "/service/token":
			c.token++
		case f[1] == "/v2/" || f[2] == "401":
			c.realm++
		default:
			c.beside++
			c.kinds[f[0]+" "+kindOf(f[1])+" "+f[2]]++
		}
	}
	return c
}

func (c count) String() string {
	text := fmt.Sprintf("realm %d, token %d, requests %d:", c.realm, c.token, c.beside)
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		text += fmt.Sprintf(" [%d %s]", c.kinds[kind], kind)
	}
	return text
}

// kindOf is what a path below a repository is about.
func kindOf(path string) string {
	for _, kind := range []string{"/blobs/uploads/", "/blobs/", "/manifests/"} {
		if strings.Contains(path, kind) {
			return strings.Trim(kind, "/")
		}
	}
	return path
}

// Where a registry lets nobody mount, not out of the same repository either, a
// push does what it did without; how many blobs are under way does not matter.
func TestAPushWhereNothingIsMounted(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		for _, jobs := range []string{"1", "4", "16"} {
			t.Run(string(like)+", jobs "+jobs, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, sandbox.Options{Like: like, Policy: sandbox.Policy{NoMount: true}})
				threeLayers(t, filepath.Join(r.home, "three"))
				for _, tag := range []string{"1", "2"} {
					r.seen.take()
					if code, said := r.vicr("", "push", "--jobs", jobs, "--from", "oci:three", r.box.Host()+"/demo/app:"+tag); code != 0 {
						t.Fatalf("exit code %d\n%s", code, said)
					}
					sent := 0
					asked, _ := r.seen.take()
					for _, one := range asked {
						if strings.HasPrefix(one, "PUT ") && strings.Contains(one, "/blobs/") {
							sent++
						}
					}
					if want := map[string]int{"1": 4, "2": 0}[tag]; sent != want {
						t.Errorf("tag %s: %d blobs were sent, want %d: %q", tag, sent, want, asked)
					}
				}
			})
		}
	}
}

// threeLayers makes an OCI layout with one image.
func threeLayers(t *testing.T, dir string) {
	t.Helper()
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(1, 3000)), c.Layer(transfertest.Bytes(2, 4000)), c.Layer(transfertest.Bytes(3, 9<<20)))
	src := &transfertest.Source{Root: root, Content: c}
	if _, err := transfer.Copy(t.Context(), src, store.OpenLayout(dir).Sink("1"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
}

// goldenLines holds got against the file, or writes it.
func goldenLines(t *testing.T, path, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if was, is := strings.Split(string(want), "\n"), strings.Split(got, "\n"); !slices.Equal(was, is) {
		for i := range min(len(was), len(is)) {
			if was[i] != is[i] {
				t.Fatalf("%s, line %d: is now\n%s\nand was\n%s", path, i+1, is[i], was[i])
			}
		}
		t.Fatalf("%s has %d lines, want %d", path, len(was), len(is))
	}
}
