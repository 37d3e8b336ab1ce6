package pki

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	maxBundle = 1 << 20 // bytes; the CA bundle of a distribution is a fifth of it
	maxCerts  = 100     // in one bundle
	maxRSA    = 8192    // bits; crypto/tls refuses larger keys of a peer
)

// ErrPrivateKey says that a bundle holds a private key. Such a bundle must be
// copied nowhere: the key that came with it would go along.
var ErrPrivateKey = errors.New("it contains a private key, which must never leave its server")

// A BundleError says why bytes are no bundle of certificates.
type BundleError struct {
	Why string
	Err error // what the parser said; may be nil, may hold foreign bytes
}

func (e *BundleError) Error() string {
	if e.Err == nil {
		return "certificate bundle: " + e.Why
	}
	return "certificate bundle: " + e.Why + ": " + clean(e.Err.Error())
}

func (e *BundleError) Unwrap() error { return e.Err }

func broken(format string, args ...any) error {
	return &BundleError{Why: fmt.Sprintf(format, args...)}
}

// hasKey finds the first or last line of a private key in PEM or SSH form, of
// any type and also encrypted, or one in DER that data begins with.
func hasKey(data []byte) bool {
	const longest = 48 // bytes of "BEGIN ... " before the words; the longest known has 22
	words := []byte("PRIVATE KEY")
	for rest := data; ; {
		i := bytes.Index(rest, words)
		if i < 0 {
			return isKey(data)
		}
		before := rest[max(0, i-longest):i]
		before = before[bytes.LastIndexByte(before, '\n')+1:]
		if bytes.Contains(before, []byte("BEGIN ")) || bytes.Contains(before, []byte("END ")) {
			return true
		}
		rest = rest[i+len(words):]
	}
}

// ParseBundle reads certificates in PEM (any number, text around them, CRLF
// and a byte order mark are ignored) or in DER. Either all that is there is
// read or an error comes back: [ErrPrivateKey] or a [*BundleError]. Limits:
// 1 MiB and 100 certificates.
func ParseBundle(data []byte) ([]*x509.Certificate, error) {
	if utf16(data) {
		data = bytes.ReplaceAll(data, []byte{0}, nil) // only to look for a key
	}
	switch {
	case hasKey(data):
		return nil, ErrPrivateKey
	case len(data) > maxBundle:
		return nil, broken("larger than 1 MiB")
	case utf16(data):
		return nil, broken("UTF-16 text: save it as UTF-8 or ASCII")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	text := bytes.TrimSpace(data)
	switch {
	case len(text) == 0:
		return nil, broken("it is empty")
	case bytes.Contains(text, pemBegin):
		return parsePEM(text)
	case data[0] == 0x30: // the tag of an ASN.1 SEQUENCE
		return parseDER(data)
	case text[0] == '<':
		return nil, broken("an HTML or XML page, not a certificate")
	}
	return nil, broken("neither PEM nor DER")
}

func utf16(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))
}

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = []byte("-----END ")
)

// hasStrays tells of a block whose dashes were lost; encoding/pem would pass
// over it in silence.
func hasStrays(text []byte) bool {
	for _, s := range []string{"BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE", "BEGIN TRUSTED CERTIFICATE", "END CERTIFICATE", string(pemEnd)} {
		if bytes.Contains(text, []byte(s)) {
			return true
		}
	}
	return false
}

func parsePEM(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	other := "" // the kind of a block that is no certificate
	for n := 1; ; n++ {
		start := bytes.Index(text, pemBegin)
		if start < 0 {
			start = len(text)
		}
		if hasStrays(text[:start]) {
			return nil, broken("the PEM block before number %d is broken", n)
		}
		if text = text[start:]; len(text) == 0 {
			break
		}
		block, rest, err := cutBlock(text, n)
		if err != nil {
			return nil, err
		}
		text = rest
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			other = block.Type
			continue
		}
		if len(certs) == maxCerts {
			return nil, broken("more than %d certificates", maxCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &BundleError{Why: fmt.Sprintf("PEM block %d cannot be read", n), Err: err}
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, broken("it holds %s, not a certificate", kindOfBlock(other))
	}
	return checked(certs)
}

// cutBlock decodes the block that text begins with and gives what follows it.
func cutBlock(text []byte, n int) (*pem.Block, []byte, error) {
	end := bytes.Index(text, pemEnd)
	if end < 0 {
		return nil, nil, broken("PEM block %d has no end", n)
	}
	head := text[:end]
	if bytes.Contains(head[1:], pemBegin) {
		return nil, nil, broken("PEM block %d has no end", n)
	}
	if !bytes.ContainsAny(head, "\n") {
		return nil, nil, broken("PEM block %d is on one line: its line breaks were lost", n)
	}
	rest := []byte(nil)
	if eol := bytes.IndexByte(text[end:], '\n'); eol >= 0 {
		text, rest = text[:end+eol+1], text[end+eol+1:]
	}
	block, left := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(left)) != 0 {
		return nil, nil, broken("PEM block %d is broken", n)
	}
	return block, rest, nil
}

func kindOfBlock(label string) string {
	switch label {
	case "PKCS7", "CMS":
		return "PKCS#7 (convert it with: openssl pkcs7 -print_certs)"
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return "a certificate request"
	case "TRUSTED CERTIFICATE":
		return "OpenSSL's own trusted form (convert it with: openssl x509)"
	default:
		return fmt.Sprintf("a block of type %q", abridged(label))
	}
}

func parseDER(data []byte) ([]*x509.Certificate, error) {
	certs, err := x509.ParseCertificates(data)
	switch {
	case err == nil && len(certs) > maxCerts:
		return nil, broken("more than %d certificates", maxCerts)
	case err == nil:
		return checked(certs)
	}
	if kind := kindOfDER(data); kind != "" {
		return nil, broken("it holds %s, not a certificate", kind)
	}
	return nil, &BundleError{Why: "neither PEM nor a certificate in DER", Err: err}
}

// isKey says whether one of the DER values that data begins with is a private
// key: PKCS#8, plain (RFC 5208 section 5) or encrypted (section 6), PKCS#1
// (RFC 8017 A.1.2) or SEC 1 (RFC 5915).
func isKey(data []byte) bool {
	for range maxCerts {
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(data, &value)
		if err != nil || value.Tag != asn1.TagSequence {
			return false
		}
		var encrypted struct {
			Algorithm struct {
				OID        asn1.ObjectIdentifier
				Parameters asn1.RawValue `asn1:"optional"`
			}
			Data []byte
		}
		if _, err := asn1.Unmarshal(value.FullBytes, &encrypted); err == nil {
			return true
		}
		// The others begin alike: a sequence whose first element is version 0 or 1.
		var version int
		after, err := asn1.Unmarshal(value.Bytes, &version)
		if err == nil && len(after) > 0 && (version == 0 || version == 1) {
			return true
		}
		data = rest
	}
	return false
}

// kindOfDER names what is often taken for a certificate; "" when unknown.
func kindOfDER(data []byte) string {
	var top, first asn1.RawValue
	if _, err := asn1.Unmarshal(data, &top); err != nil {
		return ""
	}
	if _, err := asn1.Unmarshal(top.Bytes, &first); err != nil {
		return ""
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(first.FullBytes, &oid); err == nil &&
		oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) { // signedData, RFC 5652 section 5.1
		return "PKCS#7 (convert it with: openssl pkcs7 -inform DER -print_certs)"
	}
	var version int
	if _, err := asn1.Unmarshal(first.FullBytes, &version); err == nil && version == 3 { // RFC 7292 section 4
		return "PKCS#12, which usually holds a private key (take the CA out with: openssl pkcs12 -cacerts -nokeys)"
	}
	return ""
}

func checked(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	for i, c := range certs {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return nil, broken("certificate %d has an RSA key of %d bits; more than %d are refused by Go's TLS", i+1, key.N.BitLen(), maxRSA)
		}
	}
	return certs, nil
}

// EncodePEM is the clean form to write: blocks alone, without headers or text.
func EncodePEM(certs ...*x509.Certificate) []byte {
	var buf bytes.Buffer
	for _, c := range certs {
		buf.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return buf.Bytes()
}
