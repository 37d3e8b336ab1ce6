package cmd_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A list that is cut says so; of two times, that of the push is shown.
func TestALongListIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	front, c := openFront(t, sandbox.Harbor216, testkit.NewCA(t), nil)
	d := c.desk(t, row{as: "dev"})
	for n, said := range map[int]bool{10_000: false, 10_001: true} {
		var items []string
		for i := range n {
			items = append(items, fmt.Sprintf(`{"digest":"sha256:%064d","push_time":"2026-01-02T03:04:05Z","extra_attrs":{"created":"2025-01-02T03:04:05Z"}}`, i))
		}
		front.Script(part(http.MethodGet, "/artifacts"), testkit.Fault{Status: 200, Body: "[" + strings.Join(items, ",") + "]"})
		code, out, errs := d.says(t, "", c.expand("ls HOST/demo/app")...)
		if code != 0 || strings.Count(out, "\n") != 10_001 { // with the header
			t.Errorf("%d: exit code %d, %d lines", n, code, strings.Count(out, "\n"))
		}
		if got := strings.Contains(errs, c.host+"/demo/app has more than is listed here"); got != said {
			t.Errorf("%d: %q", n, errs)
		}
		header, _, _ := strings.Cut(out, "\n")
		if !strings.Contains(header, "PUSHED") || strings.Contains(header, "CREATED") || strings.Contains(out, "2025-") {
			t.Errorf("%d: the columns are %s", n, header)
		}
	}
}

// A registry that fails while a blob is read from it is the one that is named.
func TestCopyNamesTheRegistryThatFailsInMidBlob(t *testing.T) {
	t.Parallel()
	src, dst, d := openPair(t, sandbox.Harbor216, sandbox.Harbor17)
	blobs := part(http.MethodGet, "/blobs/")
	src.front.Script(blobs, testkit.Fault{Act: testkit.Cut, At: 100})
	src.front.Always(blobs, testkit.Fault{Status: 403})
	code, _, errs := d.says(t, "", "copy", "-j", "1", src.host+"/demo/app:1", dst.host+"/empty/a:1")
	if code != 4 || !strings.Contains(errs, "vicr login "+src.host) || len(src.front.Seen(blobs)) != 2 {
		t.Errorf("exit code %d after %d requests\n%s", code, len(src.front.Seen(blobs)), errs)
	}
}

// The tag of a signature is copied as it is; what refers to it is copied with
// the image that it signs, and looked for once.
func TestCopyOfAllTagsLooksForReferrersOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Like: sandbox.Harbor216})
	threeLayers(t, filepath.Join(r.home, "three"))
	host := r.box.Host()
	must := func(argv ...string) string {
		code, said := r.vicr("", argv...)
		if code != 0 {
			t.Fatal(said)
		}
		return said
	}
	said := must("push", "--from", "oci:three", host+"/demo/app:1")
	digest := regexp.MustCompile(`@sha256:([0-9a-f]{64})`).FindStringSubmatch(said)
	signature := "sha256-" + digest[1] + ".sig"
	must("push", "--from", "oci:image", host+"/demo/app:"+signature)
	r.seen.take()
	said = must("copy", "-j", "1", "--all-tags", "--referrers", host+"/demo/app", host+"/demo/all")
	asked, _ := r.seen.take()
	looked := map[string]int{}
	for _, one := range asked {
		if strings.Contains(one, "/v2/demo/app/referrers/") {
			looked[one]++
		}
	}
	if len(looked) != 2 || !strings.Contains(said, host+"/demo/all:"+signature) {
		t.Errorf("referrers were looked for of %d manifests, want the image and its signature\n%s", len(looked), said)
	}
	for one, n := range looked {
		if n != 1 {
			t.Errorf("%d times: %s", n, one)
		}
	}
}
