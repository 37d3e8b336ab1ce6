package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestParseBundleNormalises(t *testing.T) {
	t.Parallel()
	a, b := testkit.NewCA(t), testkit.NewCA(t)
	both := testkit.Bundle(a, b)
	text := string(both)
	for name, data := range map[string][]byte{
		"PEM":                both,
		"CRLF":               []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"byte order mark":    append([]byte("\xef\xbb\xbf"), both...),
		"text around":        []byte("# our CA: ask Ann -----\n" + text + "\nend of file"),
		"text between":       []byte(strings.ReplaceAll(text, "-----BEGIN", "Bag Attributes\n    friendlyName: x\n-----BEGIN")),
		"no last line break": bytes.TrimSpace(both),
		"trailing blanks":    []byte(strings.ReplaceAll(text, "\n", " \t\n")),
		"old label":          []byte(strings.ReplaceAll(text, " CERTIFICATE", " X509 CERTIFICATE")),
		"headers":            []byte(strings.ReplaceAll(text, "BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE-----\nComment: x\n\n")),
		"other blocks":       append(block("DH PARAMETERS", []byte("x")), append(bytes.Clone(both), block("X509 CRL", []byte("y"))...)...),
		"DER":                append(bytes.Clone(a.Raw), b.Raw...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certs, err := pki.ParseBundle(data)
			if err != nil || len(certs) != 2 || !certs[0].Equal(a.Certificate) || !certs[1].Equal(b.Certificate) {
				t.Fatalf("%d certificates, %v", len(certs), err)
			}
			if clean := pki.EncodePEM(certs...); !bytes.Equal(clean, both) {
				t.Errorf("not the clean form:\n%s", clean)
			}
		})
	}
}

func TestParseBundleNamesWhatItIs(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	good := string(ca.PEM())
	lines := strings.Split(good, "\n")
	for name, c := range map[string]struct{ data, why string }{
		"empty":                  {"", "empty"},
		"blank":                  {"\xef\xbb\xbf \r\n", "empty"},
		"random":                 {"\x8f\x01\x99", "neither PEM nor DER"},
		"random after a tag":     {"\x30\x82\x01\x99", "neither PEM nor"},
		"HTML":                   {"<!DOCTYPE html><html>", "HTML"},
		"UTF-16":                 {"\xff\xfe" + utf16le(good), "UTF-16"},
		"one line":               {strings.ReplaceAll(good, "\n", " "), "one line"},
		"escaped line breaks":    {strings.ReplaceAll(good, "\n", `\n`), "one line"},
		"PKCS#7 in PEM":          {string(block("PKCS7", []byte("x"))), "PKCS#7"},
		"PKCS#7 in DER":          {pkcs7(t), "PKCS#7"},
		"PKCS#12":                {pkcs12(t), "PKCS#12"},
		"request":                {string(block("CERTIFICATE REQUEST", []byte("x"))), "request"},
		"trusted form":           {string(block("TRUSTED CERTIFICATE", ca.Raw)), "OpenSSL"},
		"label with an escape":   {string(block("A\x1b[2J", []byte("x"))), `\x1b`},
		"no end":                 {strings.Join(lines[:4], "\n"), "no end"},
		"good, then cut":         {good + strings.Join(lines[:4], "\n"), "no end"},
		"cut, then good":         {strings.Join(lines[:4], "\n") + "\n" + good, "no end"},
		"good, then bad base64":  {good + strings.Replace(good, "A", "!", 3), "broken"},
		"good, then not a cert":  {good + string(block("CERTIFICATE", []byte("x"))), "block 2 cannot be read"},
		"trailing byte in block": {string(block("CERTIFICATE", append(bytes.Clone(ca.Raw), 0))), "cannot be read"},
		"labels differ":          {strings.Replace(good, "END CERT", "END X509 CERT", 1), "broken"},
		"dashes lost at begin":   {good + strings.Replace(good, "-----BEGIN", "---BEGIN", 1), "broken"},
		"dashes lost at end":     {strings.Replace(good, "-----END", "--END", 1) + good, "no end"},
		"only an end":            {good + "-----END CERTIFICATE-----\n", "broken"},
		"101 certificates":       {strings.Repeat(good, 101), "more than 100"},
		"101 in DER":             {strings.Repeat(string(ca.Raw), 101), "more than 100"},
		"too large":              {good + strings.Repeat("#", 1<<20), "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certs, err := pki.ParseBundle([]byte(c.data))
			var be *pki.BundleError
			if !errors.As(err, &be) || certs != nil {
				t.Fatalf("%d certificates, %v", len(certs), err)
			}
			if msg := err.Error(); !strings.Contains(msg, c.why) || strings.ContainsAny(msg, "\x1b\n") {
				t.Errorf("%q does not say %q", msg, c.why)
			}
		})
	}
}

func TestParseBundleTakesAHundred(t *testing.T) {
	t.Parallel()
	certs, err := pki.ParseBundle(bytes.Repeat(testkit.NewCA(t).PEM(), 100))
	if err != nil || len(certs) != 100 {
		t.Fatalf("%d certificates, %v", len(certs), err)
	}
}

func TestParseBundleRefusesPrivateKeys(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	key := ca.KeyPEM(t)
	ec, err := x509.MarshalECPrivateKey(ca.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := testkit.RSAKey(t, 1024)
	p8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	good := ca.PEM()
	for name, data := range map[string][]byte{
		"alone": key, "before": slices.Concat(key, good), "after": slices.Concat(good, key),
		"after 5 MB":               slices.Concat(good, bytes.Repeat([]byte("#\n"), 5<<19), key),
		"RSA":                      slices.Concat(good, block("RSA PRIVATE KEY", []byte("x"))),
		"EC":                       slices.Concat(good, block("EC PRIVATE KEY", ec)),
		"encrypted":                slices.Concat(good, block("ENCRYPTED PRIVATE KEY", []byte("x"))),
		"OpenSSH":                  slices.Concat(good, block("OPENSSH PRIVATE KEY", []byte("x"))),
		"SSH2":                     slices.Concat(good, []byte("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n")),
		"its end alone":            slices.Concat(good, key[bytes.Index(key, []byte("-----END")):]),
		"cut off":                  slices.Concat(good, key[:60]),
		"one line":                 bytes.ReplaceAll(slices.Concat(good, key), []byte("\n"), []byte(" ")),
		"CRLF":                     bytes.ReplaceAll(slices.Concat(good, key), []byte("\n"), []byte("\r\n")),
		"UTF-16":                   []byte("\xff\xfe" + utf16le(string(key))),
		"beside broken PEM":        slices.Concat(good[:80], key),
		"DER, PKCS#8":              p8,
		"DER, PKCS#1":              x509.MarshalPKCS1PrivateKey(rsaKey),
		"DER, SEC 1":               ec,
		"DER, encrypted":           encryptedPKCS8(t),
		"DER, after a certificate": append(bytes.Clone(ca.Raw), p8...),
		"DER, PKCS#8 and on":       append(bytes.Clone(p8), good...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if certs, err := pki.ParseBundle(data); !errors.Is(err, pki.ErrPrivateKey) || certs != nil {
				t.Fatalf("%d certificates, %v", len(certs), err)
			}
		})
	}
}

func TestParseBundleRefusesHugeKeys(t *testing.T) {
	t.Parallel()
	// The modulus need not be a product of primes: nobody signs with it.
	n := new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), 16383), 0, 1)
	ca := testkit.NewCA(t)
	der := swapKey(t, ca.Certificate, &rsa.PublicKey{N: n, E: 65537})
	start := time.Now()
	_, err := pki.ParseBundle(block("CERTIFICATE", der))
	var be *pki.BundleError
	if !errors.As(err, &be) || !strings.Contains(err.Error(), "16384 bits") {
		t.Fatal(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %s", d)
	}
}

// Time in these cases must not grow with the square of the size: CVE-2025-61723
// and its like took minutes.
func TestParseBundleIsFastOnHostileInput(t *testing.T) {
	t.Parallel()
	const limit = 5 * time.Second // 0.1 s is usual; the race detector and a busy machine take their part
	good := string(testkit.NewCA(t).PEM())
	for name, data := range map[string]string{
		"begins":        strings.Repeat("-----BEGIN CERTIFICATE-----\n", 36_000),
		"ends":          strings.Repeat("-----END CERTIFICATE-----\n", 36_000),
		"empty blocks":  strings.Repeat("-----BEGIN A-----\n-----END A-----\n", 30_000),
		"dashes":        strings.Repeat("-", 1<<20),
		"headers":       "-----BEGIN A-----\n" + strings.Repeat("a: b\n", 200_000) + "-----END A-----\n",
		"10 000 certs":  strings.Repeat(good, 10_000),
		"DER-like text": strings.Repeat("0", 10<<20),
		"10 MB":         strings.Repeat("#", 10<<20),
		"key's begin":   strings.Repeat("BEGIN BEGIN ", 80_000),
		"nested ASN.1":  strings.Repeat("\x30\x80", 1<<19),
		"private words": strings.Repeat("PRIVATE KEY", 90_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			if _, err := pki.ParseBundle([]byte(data)); err == nil {
				t.Error("accepted")
			}
			if d := time.Since(start); d > limit {
				t.Errorf("took %s", d)
			}
		})
	}
}

func FuzzBundle(f *testing.F) {
	ca := testkit.NewCA(f)
	f.Add(ca.PEM())
	f.Add(ca.Raw)
	f.Add(slices.Concat(ca.PEM(), ca.KeyPEM(f)))
	f.Add(ca.PEM()[:100])
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := pki.ParseBundle(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates and %v", len(certs), err)
		}
		if err != nil {
			return
		}
		again, err := pki.ParseBundle(pki.EncodePEM(certs...))
		if err != nil || !slices.EqualFunc(certs, again, (*x509.Certificate).Equal) {
			t.Fatalf("the clean form reads back as %d certificates, %v", len(again), err)
		}
		for _, c := range certs {
			pki.Describe(c)
		}
	})
}

func block(label string, data []byte) []byte {
	body := base64.StdEncoding.EncodeToString(data)
	return []byte("-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n")
}

func utf16le(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

type algorithm struct {
	OID asn1.ObjectIdentifier
}

func der(t *testing.T, v any) []byte {
	t.Helper()
	data, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pkcs7(t *testing.T) string {
	t.Helper()
	return string(der(t, struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true}}))
}

func pkcs12(t *testing.T) string {
	t.Helper()
	return string(der(t, struct {
		Version  int
		AuthSafe algorithm
	}{3, algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}}}))
}

func encryptedPKCS8(t *testing.T) []byte {
	t.Helper()
	return der(t, struct {
		Algorithm algorithm
		Data      []byte
	}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}}, []byte("secret")})
}

// swapKey puts another public key into c, whose signature then is wrong.
func swapKey(t *testing.T, c *x509.Certificate, key any) []byte {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	outer.TBS.Bytes = bytes.Replace(outer.TBS.Bytes, c.RawSubjectPublicKeyInfo, spki, 1)
	outer.TBS.FullBytes = nil
	return der(t, outer)
}
