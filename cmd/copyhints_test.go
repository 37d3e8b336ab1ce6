package cmd

import (
	"errors"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// What a copy is told to do is a copy again, or brings first what is to be
// pushed: nothing of it may be here.
func TestACopyIsToldWhatHelpsACopy(t *testing.T) {
	t.Parallel()
	const src, dst = "other.example.com/demo/app:1", "registry.example.com/demo/app:1"
	img, err := ref.ParseImage(dst)
	if err != nil {
		t.Fatal(err)
	}
	to := end{img: img, road: &road{}}
	for refusal, want := range map[registry.Refusal]string{
		registry.ImmutableTag:   "vicr copy " + src + " registry.example.com/demo/app:NEW",
		registry.IndexRefused:   "vicr copy --platform linux/amd64 " + src + " " + dst,
		registry.TooLarge:       "vicr copy " + src + " store:" + dst + " and send smaller requests: vicr push --from store --chunk-size 512KiB " + dst,
		registry.OCIRefused:     "vicr copy " + src + " docker:" + dst + " and then: vicr push --from docker " + dst,
		registry.ProjectUnnamed: "vicr copy " + src + " registry.example.com/PROJECT/",
		registry.OverQuota:      "vicr ls registry.example.com/demo",
	} {
		refused := to.refused(src, &registry.Error{Op: "push manifest", Refusal: refusal, Image: dst})
		hints := strings.Join(ruleFor(refused).hintsFor(refused), "\n")
		if !strings.Contains(hints, want) || strings.Contains(hints, "vicr tag") {
			t.Errorf("%s: %q, want %q", refusal, hints, want)
		}
	}
	elsewhere := to.refused(src, &hostError{err: errors.New("of the source")})
	if is[*copyError](elsewhere) {
		t.Errorf("%v is not about what was copied to", elsewhere)
	}
	if got := (end{at: diskPlace{name: "vicr's store"}}).typed(ref.End{Place: ref.Place{Kind: ref.OCI, Dir: "d"}}); got != "oci:d" {
		t.Errorf("%q cannot be typed", got)
	}
}
