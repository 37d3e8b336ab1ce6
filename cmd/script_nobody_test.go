package cmd_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// Who is nobody is told so by the answer to the request that begins an upload,
// without a token and with one, and sends nothing. Harbor 2 says by the first
// that there is no such project.
func TestNobodyIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		for _, project := range []string{"missing", "demo", "library"} {
			for _, command := range []string{"push -j 1 --from oci:image", "copy -j 1 oci:image"} {
				t.Run(string(like)+", "+project+", "+command, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, sandbox.Options{Like: like})
					r.login("", "")
					r.seen.take()
					argv := append(strings.Fields(command), r.box.Host()+"/"+project+"/app:1")
					code, said := r.alone(append(argv, map[string]string{"push": "--ca-file", "copy": "--dest-ca-file"}[argv[0]], "ca.crt")...)
					asked, took := r.seen.take()
					post := "POST /v2/" + project + "/app/blobs/uploads/ 401"
					requests := []string{post, "GET /service/token 200", post}
					if like == sandbox.Distribution || like == sandbox.Harbor216 && project == "missing" { // the first answer says all
						requests = requests[:1]
					}
					want, words, hint := 4, "wants a login", "\nvicr: hint: vicr login "+r.box.Host()
					if like == sandbox.Harbor216 && project == "missing" {
						want, words = 5, `there is no project "missing"`
						hint += "\nvicr: hint: make it: vicr project create " + r.box.Host() + "/missing"
					}
					if code != want || !strings.Contains(said, words) || !strings.Contains(said, hint) {
						t.Errorf("exit code %d\n%s", code, said)
					}
					if !slices.Equal(asked, requests) || took > time.Second {
						t.Errorf("after %s: %q, want %q", took, asked, requests)
					}
				})
			}
		}
	}
}

// An image that is not here is no reason to ask the registry anything, and none
// to make a project.
func TestNoProjectIsMadeForAnImageThatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{})
	for _, argv := range []string{
		"push --create-project --ca-file ca.crt --from oci:none HOST/new/app:1",
		"push --create-project --ca-file ca.crt --from store HOST/new/app:1",
		"push --ca-file ca.crt --from store HOST/new/app:1",
		"copy --create-project --dest-ca-file ca.crt oci:none HOST/new/app:1",
		"copy --create-project --dest-ca-file ca.crt store HOST/new/app:1",
	} {
		r.seen.take()
		code, said := r.alone(strings.Fields(strings.ReplaceAll(argv, "HOST", r.box.Host()))...)
		if asked, _ := r.seen.take(); len(asked) > 0 || code != 5 || !strings.Contains(said, "no image") {
			t.Errorf("%s: exit code %d, asked %q\n%s", argv, code, asked, said)
		}
	}
}
