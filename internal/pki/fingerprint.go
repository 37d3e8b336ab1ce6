// Package pki judges certificates: it reads bundles, compares fingerprints,
// verifies a served chain, and chooses the one certificate to trust. It is
// pure: no disk, no network, no clock of its own.
package pki

import (
	"crypto/sha1" //nolint:gosec // VIC's documentation gives thumbprints as SHA-1; marked Weak
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Fingerprint is the SHA-256 or SHA-1 of a certificate's DER form, always in
// full. The zero Fingerprint is none. Fingerprints are comparable.
type Fingerprint struct {
	sum [sha256.Size]byte // a SHA-1 fills the first 20 bytes
	len uint8             // bytes of sum in use; 0: none
}

// A FingerprintError says why a text is no fingerprint.
type FingerprintError struct {
	Input string // as typed; may hold any byte
	Why   string
}

func (e *FingerprintError) Error() string {
	return fmt.Sprintf("fingerprint %q: %s", abridged(e.Input), e.Why)
}

// ParseFingerprint reads hexadecimal digits of any case, all or none of the
// bytes separated by colons, with "sha256:" or "sha1:" before them or not. A
// fingerprint that is cut short is refused. All errors are [*FingerprintError].
func ParseFingerprint(s string) (Fingerprint, error) {
	fail := func(why string) (Fingerprint, error) {
		return Fingerprint{}, &FingerprintError{Input: s, Why: why}
	}
	text, want := strings.ToLower(strings.TrimSpace(s)), 0
	if rest, ok := strings.CutPrefix(text, "sha256:"); ok {
		text, want = rest, sha256.Size
	} else if rest, ok := strings.CutPrefix(text, "sha1:"); ok {
		text, want = rest, sha1.Size
	}
	text, ok := withoutColons(text)
	if !ok {
		return fail("colons stand between some of the bytes only")
	}
	sum, err := hex.DecodeString(text)
	switch {
	case text == "":
		return fail("it is empty")
	case err != nil:
		return fail("only hexadecimal digits can stand in it")
	case want != 0 && len(sum) != want:
		return fail(fmt.Sprintf("%d bytes long where its prefix promises %d", len(sum), want))
	case len(sum) != sha256.Size && len(sum) != sha1.Size:
		return fail(fmt.Sprintf("%d bytes long; SHA-256 in full has 32, SHA-1 has 20", len(sum)))
	}
	return fingerprint(sum), nil
}

// withoutColons drops the colons of AB:CD:EF; false when they stand anywhere
// else than between each two bytes.
func withoutColons(s string) (string, bool) {
	if !strings.ContainsRune(s, ':') {
		return s, true
	}
	parts := strings.Split(s, ":")
	for _, p := range parts {
		if len(p) != 2 {
			return "", false
		}
	}
	return strings.Join(parts, ""), true
}

func fingerprint(sum []byte) Fingerprint {
	f := Fingerprint{len: uint8(len(sum))} //nolint:gosec // 20 or 32
	copy(f.sum[:], sum)
	return f
}

// SHA256 is the fingerprint to show and to record.
func SHA256(c *x509.Certificate) Fingerprint {
	sum := sha256.Sum256(c.Raw)
	return fingerprint(sum[:])
}

// SHA1 is the thumbprint that older consoles show.
func SHA1(c *x509.Certificate) Fingerprint {
	sum := sha1.Sum(c.Raw) //nolint:gosec // see the import
	return fingerprint(sum[:])
}

// IsZero says whether f is no fingerprint at all.
func (f Fingerprint) IsZero() bool { return f.len == 0 }

// Weak says whether f is a SHA-1, for which collisions can be made.
func (f Fingerprint) Weak() bool { return f.len == sha1.Size }

// Matches compares in constant time. The zero Fingerprint and a nil
// certificate match nothing.
func (f Fingerprint) Matches(c *x509.Certificate) bool {
	if f.IsZero() || c == nil {
		return false
	}
	other := SHA256(c)
	if f.Weak() {
		other = SHA1(c)
	}
	return subtle.ConstantTimeCompare(f.sum[:], other.sum[:]) == 1
}

// String is "sha256:" or "sha1:" and lower-case hexadecimal digits, "" for the
// zero Fingerprint. [ParseFingerprint] reads it back.
func (f Fingerprint) String() string {
	switch {
	case f.IsZero():
		return ""
	case f.Weak():
		return "sha1:" + hex.EncodeToString(f.sum[:f.len])
	default:
		return "sha256:" + hex.EncodeToString(f.sum[:f.len])
	}
}

// Colons is the form that browsers and openssl show: AB:12:...
func (f Fingerprint) Colons() string {
	parts := make([]string, f.len)
	for i := range parts {
		parts[i] = fmt.Sprintf("%02X", f.sum[i])
	}
	return strings.Join(parts, ":")
}

// MarshalText makes the form of String stand in JSON.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText wrote; nothing is the zero Fingerprint.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*f = Fingerprint{}
		return nil
	}
	return f.Set(string(text))
}

// Set makes a Fingerprint the value of a flag.
func (f *Fingerprint) Set(s string) error {
	parsed, err := ParseFingerprint(s)
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// Type is what a flag's help calls the value.
func (*Fingerprint) Type() string { return "fingerprint" }
