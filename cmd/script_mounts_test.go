package cmd_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// What was pulled is mounted where it is pushed to, from the project that it
// came from. Where that project may not be read any more, it is asked for once,
// and then everything is sent.
func TestPushesAreMountedFromWhatIsRemembered(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like, Projects: []sandbox.Project{{Name: "closed"}, {Name: "demo", Members: map[string]sandbox.Role{"dev": sandbox.Developer}}}})
			count := func(command string) (count, map[string]int) {
				t.Helper()
				r.seen.take()
				if code, said := r.vicr("", strings.Fields(strings.ReplaceAll(command, "HOST", r.box.Host()))...); code != 0 {
					t.Fatalf("vicr %s: exit code %d\n%s", command, code, said)
				}
				asked, _ := r.seen.take()
				c := countByKind(asked)
				return c, c.kinds
			}
			// The image was pulled from library when the rig was made.
			c, kinds := count("push --from oci:image HOST/demo/hello:1")
			if kinds["PUT blobs/uploads 201"] != 0 || kinds["POST blobs/uploads 201"] == 0 || c.token > 1 {
				t.Errorf("pulled and pushed: %s", c)
			}
			threeLayers(t, filepath.Join(r.home, "three"))
			r.login("admin", "")
			count("push --from oci:three HOST/closed/app:1")
			r.login("dev", "")
			c, kinds = count("push -j 1 --from oci:three HOST/demo/app:1")
			if like == sandbox.Distribution { // who is let in there may do everything
				if kinds["POST blobs/uploads 201"] != 4 {
					t.Errorf("mounted: %s", c)
				}
				return
			}
			// The token says that nothing is to be had there: that is not tried.
			if kinds["PUT blobs/uploads 201"] != 4 || kinds["POST blobs/uploads 202"] != 4 || c.realm > 1 || c.token > 1 {
				t.Errorf("refused: %s", c)
			}
		})
	}
}
