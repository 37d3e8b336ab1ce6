package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/doctor"
)

// Plain HTTP that somebody decided for is no fault, and what was done is not
// advised again.
func TestWhatWasToldToSpeakPlainHTTPIsNotToldAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		told    map[string]string // files
		verdict doctor.Verdict
		lines   []string // remedies for tools
	}{
		"nobody": {nil, doctor.Fail, []string{"docker", "podman"}},
		"docker": {map[string]string{"etc/docker/daemon.json": `{"insecure-registries":["HOST"]}`}, doctor.Warn, []string{"podman"}},
		"both": {map[string]string{
			"etc/docker/daemon.json":                               `{"insecure-registries":["HOST"]}`,
			"etc/containers/registries.conf.d/50-vicr-FOLDER.conf": "# made by vicr\n",
		}, doctor.Warn, nil},
		"another file of that name": {map[string]string{
			"etc/containers/registries.conf.d/50-vicr-FOLDER.conf": "# somebody's\n",
		}, doctor.Fail, []string{"docker", "podman"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := story{plain: true}.world(t)
			w.o.Machine.Docker.Found, w.o.Machine.Docker.ConfigFile = true, "/etc/docker/daemon.json"
			w.o.Machine.Podman.Found, w.o.Machine.Podman.ConfDir = true, "/etc/containers/registries.conf.d"
			fill := strings.NewReplacer("HOST", w.host, "FOLDER", strings.ReplaceAll(w.host, ":", "_")+"_")
			for path, text := range tt.told {
				w.fsys[fill.Replace(path)] = &fstest.MapFile{Data: []byte(fill.Replace(text))}
			}
			c := check(t, w.run(t, ""), "scheme")
			if c.Verdict != tt.verdict {
				t.Errorf("%s, want %s", c.Verdict, tt.verdict)
			}
			for _, tool := range []string{"docker", "podman"} {
				line := "vicr trust " + w.host + " --insecure --for " + tool
				if got := slices.Contains(c.Remedy, line); got != slices.Contains(tt.lines, tool) {
					t.Errorf("%q among %q: %v", line, c.Remedy, got)
				}
			}
		})
	}
}
