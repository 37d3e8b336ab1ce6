package cmd_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A remote tag is there afterwards; whoever may not, or names what is not
// there, is told so as by a push, and nothing is changed.
func TestTagRemote(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like, Projects: []sandbox.Project{
				{Name: "demo", Members: map[string]sandbox.Role{"dev": sandbox.Developer}, Images: []string{"app:1"}},
				{Name: "fixed", Members: map[string]sandbox.Role{"dev": sandbox.Developer}, Images: []string{"app:1", "app:2"}, Immutable: []string{"2"}},
				{Name: "library", Public: true, Images: []string{"hello:1.0"}, Members: map[string]sandbox.Role{"dev": sandbox.Guest}},
			}})
			at := r.box.Host() + "/demo/app:"
			for _, tt := range []struct {
				args, says string
				code       int
			}{
				{at + "1 " + at + "2 " + at + "3", at + "2\n" + at + "3\n", 0},
				{at + "9 " + at + "4", "hint: ", 5},
				{r.box.Host() + "/fixed/app:1 " + r.box.Host() + "/fixed/app:2", "error: tag: " + r.box.Host() + "/fixed/app:2: the tag is there and cannot be replaced", 8},
				{r.box.Host() + "/fixed/app:1 " + r.box.Host() + "/fixed/app:2", "hint: choose another tag: vicr tag --remote " + r.box.Host() + "/fixed/app:1 " + r.box.Host() + "/fixed/app:NEW\n", 8},
				{r.box.Host() + "/library/hello:1.0 " + r.box.Host() + "/library/hello:2.0", "may not do that", 4},
			} {
				if like == sandbox.Distribution && tt.code == 4 {
					continue // whoever logs in may do everything
				}
				if tt.code == 8 && like != sandbox.Harbor110 && like != sandbox.Harbor216 {
					continue // no tag is immutable there
				}
				if code, said := r.vicr("", append([]string{"tag", "--remote"}, strings.Fields(tt.args)...)...); code != tt.code || !strings.Contains(said, tt.says) {
					t.Errorf("%s: exit code %d, want %d and %q\n%s", tt.args, code, tt.code, tt.says, said)
				}
			}
			code, said := r.vicr("", "ls", strings.TrimSuffix(at, ":"))
			for tag, want := range map[string]bool{"1": true, "2": true, "3": true, "4": false} {
				if code != 0 || regexp.MustCompile(`(?m)^(\d, )*`+tag+`\b`).MatchString(said) != want {
					t.Errorf("tag %s: exit code %d\n%s", tag, code, said)
				}
			}
		})
	}
}
