package ref_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/ref"
)

func TestParseHostMakesOneForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		host, name string
		port       int
		ip         bool
	}{
		"registry.corp":                 {"registry.corp", "registry.corp", 443, false},
		"REGISTRY.Corp":                 {"registry.corp", "registry.corp", 443, false},
		"registry.corp:5000":            {"registry.corp:5000", "registry.corp", 5000, false},
		"registry.corp:443":             {"registry.corp:443", "registry.corp", 443, false},
		"registry":                      {"registry", "registry", 443, false},
		"localhost:1":                   {"localhost:1", "localhost", 1, false},
		"a-b.c3:65535":                  {"a-b.c3:65535", "a-b.c3", 65535, false},
		"3com.example":                  {"3com.example", "3com.example", 443, false},
		"xn--bcher-kva.example":         {"xn--bcher-kva.example", "xn--bcher-kva.example", 443, false},
		"XN--BCHER-KVA.example":         {"xn--bcher-kva.example", "xn--bcher-kva.example", 443, false},
		"192.0.2.2":                     {"192.0.2.2", "192.0.2.2", 443, true},
		"192.0.2.2:5443":                {"192.0.2.2:5443", "192.0.2.2", 5443, true},
		"[2001:db8::1]":                 {"[2001:db8::1]", "2001:db8::1", 443, true},
		"[2001:db8::1]:5000":            {"[2001:db8::1]:5000", "2001:db8::1", 5000, true},
		"[2001:0DB8:0:0:0:0:0:1]":       {"[2001:db8::1]", "2001:db8::1", 443, true},
		strings.Repeat("a.", 126) + "a": {strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a", 443, false},
		strings.Repeat("a", 63):         {strings.Repeat("a", 63), strings.Repeat("a", 63), 443, false},
	} {
		h, err := ref.ParseHost(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if h.String() != want.host || h.Name() != want.name || h.Port() != want.port || h.IsIP() != want.ip || h.IsZero() {
			t.Errorf("%q: %q %q %d %v", in, h.String(), h.Name(), h.Port(), h.IsIP())
		}
	}
}

// hostile are the hosts of finding F10, of row C18 and of C19, and relatives.
var hostile = []string{
	"", " ", ".", "..", "../..", "a/../../b", "a/b", `a\b`, "a b", " a", "a ", "a\nb", "a\tb", "a\x00b", "a%2fb", "a%00",
	"a:99999", "a:65536", "a:0", ":0", "a:", ":", ":5000", "a:-1", "a:+1", "a:01", "a:1_0", "a:0x1", "a:5000:5000", "a:http", "a:٣",
	"a.", ".a", "a..b", "-a", "a-", "a.-b", "a_b", "a*b", "*", "a?b", "a#b", "a,b", "a;b", "a'b", `a"b`, "a$b", "a|b", "~", "a~b",
	"u:p@a", "u@a", "@", "https://a", "http://a/v2/", "://",
	"0x7f.1", "0x7f000001", "0X7F.1", "127.1", "2130706433", "0177.0.0.1", "127.0.0.01", "1.2.3", "1.2.3.4.5", "256.1.1.1", "a.1", "1.2.3.0xffffffffffffffffffff",
	"реg.example", "реg", "еxample.com", "bücher.example", "a\u200db", "a\u200b", "a\u202eb", "\uff41.example", "reg。example", "\u212aube.example", "a\xffb", "\ufeffa",
	"xn--", "xn--a", "xn--abc-", "xn--abc-.example", "xn--a-b.example", "xn--99999999999", "a.xn--\u0131",
	"::1", "2001:db8::1", "2001:db8::1:5000", "2001:db8::beef", "[::1", "::1]", "[]", "[", "]", "[]:5000", "[::1]5000", "[::1]:", "[::1]:0",
	"[fe80::1%eth0]", "[fe80::1%25eth0]", "[::ffff:192.0.2.1]", "[192.0.2.1]", "[a]", "[[::1]]", "[::1]]", "[::1].a",
	strings.Repeat("a.", 126) + "aa", strings.Repeat("a", 64), strings.Repeat("a", 1<<20), strings.Repeat("a:", 1000), "a\x1b[2J",
}

func TestParseHostRefusesWhatIsNoHost(t *testing.T) {
	t.Parallel()
	for _, in := range hostile {
		h, err := ref.ParseHost(in)
		var re *ref.Error
		if !errors.As(err, &re) || !h.IsZero() {
			t.Errorf("%.80q: %q, %v", in, h, err)
			continue
		}
		if msg := err.Error(); !printable(msg) || len(msg) > 1000 || re.Why == "" || re.What != "host" {
			t.Errorf("%.80q: the message is not fit for a terminal: %.200q", in, msg)
		}
	}
}

func TestParseHostSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for in, says := range map[string]string{
		"https://registry.corp":    "scheme",
		"2001:db8::1":              "brackets",
		"2001:db8::beef":           "brackets",
		"registry.corp:99999":      "1 to 65535",
		"registry.corp.":           "dot at an end",
		"bücher.example":           "punycode",
		"0x7f.1":                   "four numbers",
		"ann@registry.corp":        "user name",
		"[::ffff:192.0.2.1]:5000":  "IPv4 address itself",
		"registry.corp:5000/demo":  "the address of a registry has no path: it is registry.corp:5000",
		"registry.corp/":           "the address of a registry has no path: it is registry.corp",
		"registry.corp/a@sha256:b": "has no path",
		"registry.corp:99999/demo": "1 to 65535",
		"ann:pw@registry.corp/a":   "user name",
	} {
		if _, err := ref.ParseHost(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", in, err, says)
		}
	}
}

func TestCutHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"registry.corp:5000":              `registry.corp:5000 "" false`,
		"registry.corp/":                  `registry.corp "" true`,
		"registry.corp/a/b:1":             `registry.corp "a/b:1" true`,
		"https://registry.corp":           "leave out the scheme",
		"https://registry.corp/library":   "leave out the scheme",
		"https://ann:S3CRET@registry/lib": "leave out the scheme",
		"registry.corp:x/library":         "1 to 65535",
	} {
		h, rest, found, err := ref.CutHost(in)
		got := fmt.Sprintf("%s %q %v", h, rest, found)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "S3CRET") {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"u:S3CRET@a", "https://u:S3CRET@a", "https://u:S3CRET@a/v2/", "u:S3CRET@a:5000", "u:S3@S3CRET@a:x", "https://S3CRET@a/b@c"} {
		_, hostErr := ref.ParseHost(in)
		_, imageErr := ref.ParseImage(in + "/b:1")
		for _, err := range []error{hostErr, imageErr} {
			var re *ref.Error
			if !errors.As(err, &re) || strings.Contains(re.Input+err.Error(), "S3CRET") || !strings.Contains(re.Input, "@a") {
				t.Errorf("%q: %v", in, err)
			}
		}
	}
}

func TestHostsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawHost().Draw(t, "host")
		h, err := ref.ParseHost(text)
		if err != nil {
			t.Fatal(err)
		}
		checkHost(t, h)
		if again, err := ref.ParseHost(strings.ToUpper(text)); err != nil || again != h {
			t.Fatalf("in capitals it is %q, %v", again, err)
		}
	})
}

// Two registries never share a folder: what is trusted for one would be for
// the other. Names that look like addresses are drawn often.
func TestFoldersTellHostsApart(t *testing.T) {
	t.Parallel()
	alike := []string{"2001-db8--1", "[2001:db8::1]", "2001-db8--1:443", "[2001:db8::1]:443", "2001.db8..1", "[2001:db8::1:443]", "a", "a:443", "a-443", "a:4430"}
	one := rapid.OneOf(drawHost(), rapid.SampledFrom(alike).Filter(func(s string) bool { _, err := ref.ParseHost(s); return err == nil }))
	rapid.Check(t, func(t *rapid.T) {
		a, b := parse(t, one.Draw(t, "a")), parse(t, one.Draw(t, "b"))
		same := a.Canonical() == b.Canonical()
		if (a.Folder() == b.Folder()) != same || slices.Equal(a.Spellings(), b.Spellings()) != same {
			t.Fatalf("%s is in %s, %s in %s", a, a.Folder(), b, b.Folder())
		}
	})
}

func TestSpellingsAreWhatToolsMayRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"h.corp":             {"h.corp", "h.corp:443"},
		"h.corp:443":         {"h.corp", "h.corp:443"},
		"h.corp:5000":        {"h.corp:5000"},
		"[2001:db8::1]":      {"[2001:db8::1]", "[2001:db8::1]:443"},
		"[2001:db8::1]:5000": {"[2001:db8::1]:5000"},
	} {
		if got := parse(t, in).Spellings(); !slices.Equal(got, want) {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestFolderIsOneForHostAndHost443(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"h.corp": "h.corp_443_", "h.corp:443": "h.corp_443_", "h.corp:5000": "h.corp_5000_",
		"con": "con_443_", "[2001:db8::1]:5000": "2001_db8__1_5000_", "192.0.2.2": "192.0.2.2_443_",
	} {
		if got := parse(t, in).Folder(); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestEndpointKnowsDockerHub(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"docker.io": "registry-1.docker.io", "docker.io:443": "registry-1.docker.io",
		"docker.io:5000": "docker.io:5000", "h.corp": "h.corp", "h.corp:443": "h.corp:443", "mydocker.io": "mydocker.io",
	} {
		if got := parse(t, in).Endpoint().String(); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range hostile {
		f.Add(s[:min(len(s), 300)])
	}
	for _, s := range []string{"registry.corp", "registry.corp:5000", "[2001:db8::1]:5000", "192.0.2.2:5443", "xn--bcher-kva.example", "localhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ref.ParseHost(s)
		if err != nil {
			if !h.IsZero() || !printable(err.Error()) {
				t.Fatalf("%q beside %q", h, err)
			}
			return
		}
		checkHost(t, h)
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkHost holds h to what every host promises.
func checkHost(t fataler, h ref.Host) {
	t.Helper()
	if back, err := ref.ParseHost(h.String()); err != nil || back != h {
		t.Fatalf("%q reads back as %q, %v", h, back, err)
	}
	if h.Canonical() != h.Canonical().Canonical() || !slices.Contains(h.Spellings(), h.String()) {
		t.Fatalf("%q: canonical %q, spellings %q", h, h.Canonical(), h.Spellings())
	}
	for _, s := range h.Spellings() {
		if back, err := ref.ParseHost(s); err != nil || back.Canonical() != h.Canonical() {
			t.Fatalf("%q is spelt %q", h, s)
		}
	}
	if strings.ContainsAny(h.String(), "/\\\x00%@?# ") || h.Name() == "." || h.Name() == ".." || strings.ToLower(h.String()) != h.String() {
		t.Fatalf("%q is no name for a folder", h)
	}
	if strings.ContainsAny(h.Folder(), `/\<>:"|?*`) || !printable(h.Folder()) || strings.HasSuffix(h.Folder(), ".") {
		t.Fatalf("not every file system takes %q", h.Folder())
	}
	if h.Port() < 1 || h.Port() > 65535 {
		t.Fatalf("port %d", h.Port())
	}
}

func drawHost() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var name string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			name = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4"))).String()
		case 1:
			a := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6")))
			if a.Is4In6() {
				t.Skip("an IPv4 address")
			}
			name = "[" + a.String() + "]"
		default:
			labels := rapid.SliceOfN(rapid.StringMatching(`[a-z]([a-z0-9-]{0,10}[a-z0-9])?`), 1, 5).Draw(t, "labels")
			name = strings.Join(labels, ".")
			if strings.Contains("."+name, ".xn--") {
				t.Skip("punycode has rules of its own")
			}
		}
		if port := rapid.OneOf(rapid.Just(0), rapid.Just(443), rapid.IntRange(1, 65535)).Draw(t, "port"); port != 0 {
			name = fmt.Sprintf("%s:%d", name, port)
		}
		return name
	})
}

func parse(t fataler, s string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(s)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return h
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' || r == '\u200d' || r == '\u200b'
	})
}
