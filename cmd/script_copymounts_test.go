package cmd_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// What copy sends to a registry is mounted there too, from where it is remembered
// to be, as what push sends; and what it left there is remembered.
func TestCopiesAreMountedFromWhatIsRemembered(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			dev := map[string]sandbox.Role{"dev": sandbox.Developer}
			r := newRig(t, sandbox.Options{Like: like, Projects: []sandbox.Project{{Name: "one", Members: dev}, {Name: "two", Members: dev}, {Name: "three", Members: dev}}})
			r.login("dev", "")
			threeLayers(t, filepath.Join(r.home, "layers"))
			for i, command := range []string{
				"push --ca-file ca.crt --from oci:layers HOST/one/app:1",
				"copy --dest-ca-file ca.crt oci:layers HOST/two/app:1",
				"copy --src-ca-file ca.crt HOST/two/app:1 oci:again:1",
				"push --ca-file ca.crt --from oci:again HOST/three/app:1",
			} {
				r.seen.take()
				if code, said := r.alone(strings.Fields(strings.ReplaceAll(command, "HOST", r.box.Host()))...); code != 0 {
					t.Fatalf("vicr %s: exit code %d\n%s", command, code, said)
				}
				asked, _ := r.seen.take()
				c := countByKind(asked)
				if i%2 == 1 && (c.kinds["POST blobs/uploads 201"] != 4 || c.kinds["PUT blobs/uploads 201"] != 0 || c.token > 1) {
					t.Errorf("%s: %s", command, c)
				}
			}
		})
	}
}
