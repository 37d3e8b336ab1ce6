package pki

import (
	"bytes"
	"crypto/x509"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxText  = 200 // bytes of a foreign text that are shown
	maxNames = 20  // names of a certificate that are listed
)

// A Description is what there is to show of a certificate. Its texts are
// escaped and bounded: they can go to a terminal.
type Description struct {
	Subject   string      `json:"subject"`
	Issuer    string      `json:"issuer"`
	NotBefore time.Time   `json:"notBefore"`
	NotAfter  time.Time   `json:"notAfter"`
	SHA256    Fingerprint `json:"sha256"`
	SHA1      Fingerprint `json:"sha1"`
	Names     []string    `json:"names"` // at most 20, then "and N more"
	CA        bool        `json:"ca"`
}

// Describe says what a person compares before trusting c.
func Describe(c *x509.Certificate) Description {
	names := Names(c)
	for i := range names {
		names[i] = clean(names[i])
	}
	return Description{
		Subject: clean(c.Subject.String()), Issuer: clean(c.Issuer.String()),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		SHA256: SHA256(c), SHA1: SHA1(c),
		Names: names, CA: isCA(c),
	}
}

// Names lists the DNS names and addresses c is valid for, raw; at most 20,
// then "and N more".
func Names(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if more := len(names) - maxNames; more > 0 {
		names = append(names[:maxNames], "and "+strconv.Itoa(more)+" more")
	}
	return names
}

// isCA says whether c may sign certificates. A version 1 certificate, which
// cannot say so, may not.
func isCA(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA &&
		(c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// SelfSigned says whether c names itself as its issuer and its own key made
// its signature; the same name twice is not enough. An MD5 signature cannot be
// checked: a CA that has one is taken at its word, for nothing rests on the
// signature of a root.
func SelfSigned(c *x509.Certificate) bool {
	if !bytes.Equal(c.RawSubject, c.RawIssuer) {
		return false
	}
	if c.SignatureAlgorithm == x509.MD5WithRSA && isCA(c) {
		return true
	}
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func abridged(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// clean escapes what could move a cursor or turn text round, and bounds the
// length.
func clean(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(abridged(s), "\uFFFD") {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

func quoted(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(abridged(n)))
	}
	return b.String()
}
