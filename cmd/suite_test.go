package cmd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/cmd"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A row is one command of the suite, typed at a desk of its own where the
// registry is trusted. The rows of a generation run in their order against the
// same registries, and what one pushes the next one finds.
type row struct {
	name  string
	at    string         // which registry, a key of suitePolicies; "": one with no policy
	as    string         // who is logged in; "": nobody; with "?" behind it, by a wrong password
	argv  string         // words, with the names of a counter in them
	stdin string         // {NAME} is the password of NAME
	setup []string       // what was typed before, and succeeded
	blank bool           // nothing is trusted yet
	likes []sandbox.Like // nil: all
	live  bool           // makes sense at any Harbor: only projects vicr-e2e-* are touched
}

// A counter is a registry as a row sees it.
type counter struct {
	name      string
	host      string
	ca        string // file; "": the system trusts it
	passwords map[string]string
	words     map[string]string // what stands for what in argv, besides HOST and CA
}

// suiteImages are folders with the image in docker's media types, which every
// registry takes, and with an index of two platforms.
func suiteImages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	images := map[string]string{}
	for word, from := range map[string]struct {
		like sandbox.Like
		flag string
	}{"IMAGE": {sandbox.Harbor15, "--platform=linux/amd64"}, "INDEX": {sandbox.Harbor216, "--all-platforms"}} {
		host, ca := openShop(t, sandbox.Options{Like: from.like})
		images[word] = filepath.Join(dir, strings.ToLower(word))
		code, _, errs := newDesk(t).says(t, "", "pull", from.flag, "--ca-file", ca, "--to", "oci:"+images[word], host+"/library/hello:1.0")
		if code != 0 {
			t.Fatal(errs)
		}
	}
	return images
}

func suitePassword(name string) string {
	return "s3cret-of-" + strings.NewReplacer("$", "-", "+", "-").Replace(name)
}

// expand puts what a counter has into the words of a row.
func (c *counter) expand(text string) []string {
	replace := []string{"HOST", c.host, "CA", c.ca}
	for word, is := range c.words {
		replace = append(replace, word, is)
	}
	words := strings.Fields(text)
	for i, w := range words {
		words[i] = strings.NewReplacer(replace...).Replace(w)
	}
	return words
}

// desk is a new one, as the row wants it.
func (c *counter) desk(t *testing.T, r row) *desk {
	t.Helper()
	d := newDesk(t)
	if !r.blank && c.ca != "" {
		c.must(t, d, "trust --for vicr --ca-file CA --accept-new --yes HOST")
	}
	if r.as != "" {
		name, wrong := strings.CutSuffix(r.as, "?")
		password := c.passwords[name]
		if wrong {
			password = "not-" + password
		}
		if name == "dev" {
			name = c.words["USER"]
		}
		c.keep(t, d, name, password)
	}
	for _, argv := range r.setup {
		c.must(t, d, argv)
	}
	return d
}

// keep writes what docker login would have.
func (c *counter) keep(t *testing.T, d *desk, name, password string) {
	t.Helper()
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(name + ":" + password))}
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{c.host: entry}})
	if err == nil {
		err = os.MkdirAll(d.docker(), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(d.docker(), "config.json"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *counter) must(t *testing.T, d *desk, argv string) {
	t.Helper()
	if code, out, errs := d.says(t, "", c.expand(argv)...); code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", argv, code, out, errs)
	}
}

// do types a row, and returns what came of it as the golden file has it.
func (c *counter) do(t *testing.T, d *desk, r row) (code int, shown string) {
	t.Helper()
	stdin := r.stdin
	for name, password := range c.passwords {
		stdin = strings.ReplaceAll(stdin, "{"+name+"}", password)
	}
	var errs bytes.Buffer
	d.stdin = strings.NewReader(stdin)
	code, out := d.run(&errs, c.expand(r.argv)...)
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", r.name)
	if r.at != "" {
		fmt.Fprintf(&b, "at: %s\n", r.at)
	}
	if r.as != "" {
		fmt.Fprintf(&b, "as: %s\n", r.as)
	}
	fmt.Fprintf(&b, "$ vicr %s\n", r.argv)
	for l := range strings.Lines(c.normal(d, out)) {
		b.WriteString("out: " + strings.TrimRight(l, "\n") + "\n")
	}
	for l := range strings.Lines(c.normal(d, errs.String())) {
		b.WriteString("err: " + strings.TrimRight(l, "\n") + "\n")
	}
	fmt.Fprintf(&b, "exit %d\n", code)
	for name, password := range c.passwords {
		if strings.Contains(out+errs.String(), password) {
			t.Errorf("%s: the password of %s was printed", r.name, name)
		}
	}
	return code, b.String()
}

// What no two runs have in common.
var suiteNoise = []struct {
	pattern *regexp.Regexp
	is      string
}{
	{regexp.MustCompile(`sha256(:|%3A)[0-9a-f]{12,64}`), "sha256:DIGEST"},
	{regexp.MustCompile(`\b[0-9A-F]{2}(:[0-9A-F]{2}){19,31}\b`), "FINGERPRINT"},
	{regexp.MustCompile(`(?m)^[0-9a-f]{12}: `), "BLOB: "},
	{regexp.MustCompile(`\d+ bytes`), "SIZE bytes"},
	{regexp.MustCompile(`linux/(amd64|arm64)`), "linux/ARCH"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`(\S)   *`), "$1  "}, // columns
}

func (c *counter) normal(d *desk, text string) string {
	replace := []string{
		c.host, "HOST", strings.ReplaceAll(c.host, ":", "_"), "HOST", d.home, "HOME", strings.ReplaceAll(d.home, `\`, `\\`), "HOME",
		" as " + c.words["USER"] + ",", " as USER,",
	}
	if c.ca != "" {
		replace = append(replace, c.ca, "CA")
	}
	for word, is := range c.words {
		if word != "USER" {
			replace = append(replace, is, word)
		}
	}
	text = strings.NewReplacer(replace...).Replace(text)
	for _, n := range suiteNoise {
		text = n.pattern.ReplaceAllString(text, n.is)
	}
	return inOrder(text)
}

// inOrder sorts what blobs that were under way at the same time say.
func inOrder(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		n := 0
		for i+n < len(lines) && strings.HasPrefix(lines[i+n], "BLOB: ") {
			n++
		}
		slices.Sort(lines[i : i+n])
		i += n
	}
	return strings.Join(lines, "")
}

// openCounter starts a registry of the suite.
func openCounter(t *testing.T, name string, o sandbox.Options, images map[string]string) *counter {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &counter{
		name: name, host: s.Host(), ca: filepath.Join(t.TempDir(), "ca.crt"), passwords: map[string]string{}, words: map[string]string{
			"PRINT": pki.SHA256(s.CA()).String(), "vicr-e2e-NEW": "vicr-e2e-new", "vicr-e2e-OPEN": "vicr-e2e-open", "USER": "dev",
		},
	}
	for word, dir := range images {
		c.words[word] = dir
	}
	for _, u := range s.Users() {
		c.passwords[u.Name] = u.Password
	}
	if err := os.WriteFile(c.ca, pki.EncodePEM(s.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSuite types every command that speaks to a registry at every generation,
// and holds exit codes and words against what is committed. Commands about the
// machine alone, status and doctor, have tests of their own.
func TestSuite(t *testing.T) {
	t.Parallel()
	images := suiteImages(t)
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			counters := map[string]*counter{}
			var got strings.Builder
			for _, r := range suiteRows() {
				if !r.fits(like) {
					continue
				}
				c := counters[r.at]
				if c == nil {
					c = openCounter(t, r.at, suiteOptions(like, r.at), images)
					counters[r.at] = c
				}
				_, shown := c.do(t, c.desk(t, r), r)
				got.WriteString(shown + "\n")
			}
			got.WriteString(suiteTricks(t, like, images))
			golden(t, filepath.Join("testdata", "suite", string(like)+".golden"), got.String())
		})
	}
}

func (r row) fits(like sandbox.Like) bool { return r.likes == nil || slices.Contains(r.likes, like) }

// golden compares got with a committed file, row by row.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if cmd.Update() {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil { //nolint:gosec // committed
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name) //nolint:gosec // committed
	if err != nil {
		t.Fatal(err)
	}
	wanted := goldenRows(string(want))
	for name, shown := range goldenRows(got) {
		if elsewhere(shown) != elsewhere(wanted[name]) {
			t.Errorf("got\n%s\nwant\n%s", shown, wanted[name])
		}
		delete(wanted, name)
	}
	for name := range wanted {
		t.Errorf("no row %q; go test ./cmd -run TestSuite -update", name)
	}
}

// elsewhere is shown without the lines that name a folder of the user, which is
// another one on another system than the golden files are from.
func elsewhere(shown string) string {
	if runtime.GOOS == "linux" {
		return shown
	}
	lines := slices.DeleteFunc(strings.Split(shown, "\n"), func(l string) bool { return strings.Contains(l, "HOME") })
	return strings.Join(lines, "\n")
}

// goldenRows are the rows of a golden file by their names.
func goldenRows(text string) map[string]string {
	rows := map[string]string{}
	for part := range strings.SplitSeq("\n"+strings.ReplaceAll(text, "\r\n", "\n"), "\n== ") {
		if name, _, ok := strings.Cut(part, "\n"); ok && name != "" {
			rows[name] = strings.TrimSpace(part)
		}
	}
	return rows
}
