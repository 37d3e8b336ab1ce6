package pki_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const (
	hex32 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	hex20 = "00112233445566778899aabbccddeeff00112233"
)

func TestParseFingerprintReadsEverySpelling(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		hex32, "sha256:" + hex32, "SHA256:" + strings.ToUpper(hex32), " " + hex32 + "\n",
		colons(hex32), "sha256:" + strings.ToUpper(colons(hex32)),
	} {
		f, err := pki.ParseFingerprint(in)
		if err != nil || f.String() != "sha256:"+hex32 || f.Weak() || f.IsZero() {
			t.Errorf("ParseFingerprint(%q) = %q, %v", in, f, err)
		}
	}
	for _, in := range []string{hex20, "sha1:" + hex20, "SHA1:" + strings.ToUpper(colons(hex20))} {
		f, err := pki.ParseFingerprint(in)
		if err != nil || f.String() != "sha1:"+hex20 || !f.Weak() {
			t.Errorf("ParseFingerprint(%q) = %q, %v", in, f, err)
		}
	}
}

func TestParseFingerprintRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"empty": "", "blank": "  ", "prefix alone": "sha256:",
		"cut short": hex32[:62], "half a byte less": hex32[:63], "too long": hex32 + "00",
		"between the lengths": hex20 + "0011",
		"sha256 of 20 bytes":  "sha256:" + hex20, "sha1 of 32 bytes": "sha1:" + hex32,
		"another algorithm": "md5:" + hex20[:32], "prefix twice": "sha256:sha256:" + hex32,
		"some colons": hex32[:2] + ":" + hex32[2:], "colon at the end": colons(hex32) + ":",
		"colons off the bytes": "0:" + hex32[1:],
		"Cyrillic a":           strings.Replace(hex32, "a", "а", 1), "letter o": strings.Replace(hex32, "0", "o", 1),
		"spaces within": hex32[:32] + " " + hex32[32:], "NUL": hex32[:62] + "\x00\x00",
		"escape": "\x1b[2J", "huge": strings.Repeat("a", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := pki.ParseFingerprint(in)
			var fe *pki.FingerprintError
			if !errors.As(err, &fe) || !f.IsZero() {
				t.Fatalf("= %q, %v", f, err)
			}
			if msg := err.Error(); len(msg) > 1000 || strings.ContainsAny(msg, "\x00\x1b\n") {
				t.Fatalf("the message is not fit for a terminal: %.200q", msg)
			}
		})
	}
}

func TestFingerprintRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{20, 32}).Draw(t, "size")
		digits := rapid.StringOfN(rapid.SampledFrom([]rune("0123456789abcdefABCDEF")), 2*size, 2*size, -1).Draw(t, "digits")
		f, err := pki.ParseFingerprint(digits)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{f.String(), f.Colons(), strings.ToLower(f.Colons())} {
			if back, err := pki.ParseFingerprint(form); err != nil || back != f {
				t.Fatalf("%q reads back as %v, %v", form, back, err)
			}
		}
		text, err := json.Marshal(f)
		var back pki.Fingerprint
		if err != nil || json.Unmarshal(text, &back) != nil || back != f {
			t.Fatalf("JSON %s reads back as %v, %v", text, back, err)
		}
	})
}

func TestFingerprintMatchesOneCertificateOnly(t *testing.T) {
	t.Parallel()
	a, b := testkit.NewCA(t), testkit.NewCA(t)
	for _, f := range []pki.Fingerprint{pki.SHA256(a.Certificate), pki.SHA1(a.Certificate)} {
		if !f.Matches(a.Certificate) || f.Matches(b.Certificate) || f.Matches(nil) {
			t.Errorf("%s: a %v, b %v, nil %v", f, f.Matches(a.Certificate), f.Matches(b.Certificate), f.Matches(nil))
		}
	}
	if (pki.Fingerprint{}).Matches(a.Certificate) {
		t.Error("the zero fingerprint matches a certificate")
	}
}

func TestFingerprintIsAFlag(t *testing.T) {
	t.Parallel()
	var f pki.Fingerprint
	if f.String() != "" || f.Colons() != "" || f.Type() == "" {
		t.Errorf("zero: %q %q %q", f.String(), f.Colons(), f.Type())
	}
	if err := f.Set(hex32); err != nil || f.String() != "sha256:"+hex32 {
		t.Fatalf("%v %v", f, err)
	}
	if err := f.Set("no"); err == nil || f.String() != "sha256:"+hex32 {
		t.Errorf("a failed Set must leave the value: %v %v", f, err)
	}
	if err := json.Unmarshal([]byte(`""`), &f); err != nil || !f.IsZero() {
		t.Errorf("empty text: %v %v", f, err)
	}
}

func FuzzFingerprint(f *testing.F) {
	for _, s := range []string{hex32, hex20, colons(hex32), "sha1:" + hex20, "sha256:", ":", "аа:бб"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fp, err := pki.ParseFingerprint(s)
		if err != nil {
			if !fp.IsZero() {
				t.Fatal("a value beside an error")
			}
			return
		}
		if back, err := pki.ParseFingerprint(fp.String()); err != nil || back != fp {
			t.Fatalf("%q reads back as %v, %v", fp, back, err)
		}
	})
}

func colons(digits string) string {
	var parts []string
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":")
}
