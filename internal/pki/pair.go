package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Pair is a client certificate with its private key, both PEM. The key is
// never shown.
type Pair struct {
	Cert, Key []byte
}

// String keeps the key out of whatever prints a Pair.
func (Pair) String() string { return "a client certificate and its key" }

// GoString is [Pair.String].
func (p Pair) GoString() string { return p.String() }

// A PairError says why two files are no client certificate that can be used.
// It holds nothing of the key.
type PairError struct {
	Key bool // it is about the key, else about the certificate
	Why string
}

func (e *PairError) Error() string {
	if e.Key {
		return "client key: " + e.Why
	}
	return "client certificate: " + e.Why
}

// ParsePair reads a client certificate, perhaps with those that lead to its CA,
// and the private key that belongs to it, both in PEM, and gives them in a
// clean form. At now it has to be valid. It returns a [*PairError].
func ParsePair(cert, key []byte, now time.Time) (*Pair, error) {
	certs, why := pairCerts(cert)
	if why != "" {
		return nil, &PairError{Why: why}
	}
	block, why := pairKey(key)
	if why != "" {
		return nil, &PairError{Key: true, Why: why}
	}
	p := &Pair{Cert: EncodePEM(certs...), Key: pem.EncodeToMemory(block)}
	if _, err := tls.X509KeyPair(p.Cert, p.Key); err != nil {
		return nil, &PairError{Key: true, Why: "it does not belong to the certificate, or its kind is not known"}
	}
	if why := clientFault(certs[0], now); why != "" {
		return nil, &PairError{Why: why}
	}
	return p, nil
}

func pairCerts(data []byte) (certs []*x509.Certificate, why string) {
	if !strings.Contains(string(data), "-----BEGIN ") {
		return nil, "no certificate in PEM"
	}
	certs, err := ParseBundle(data)
	var broken *BundleError
	switch {
	case errors.Is(err, ErrPrivateKey):
		// The file of the certificate may be read by anybody.
		return nil, "its file also holds a private key: give the two in files of their own"
	case errors.As(err, &broken):
		return nil, strings.TrimPrefix(broken.Error(), "certificate bundle: ")
	case err != nil:
		return nil, err.Error()
	}
	return certs, ""
}

// pairKey finds the one private key. OpenSSL writes the parameters of a curve before it.
func pairKey(data []byte) (key *pem.Block, why string) {
	if len(data) > maxBundle {
		return nil, "the file is too large"
	}
	for rest := data; ; {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		switch {
		case b == nil && key == nil:
			return nil, "no private key in PEM"
		case b == nil:
			return &pem.Block{Type: key.Type, Bytes: key.Bytes}, ""
		case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, "it is encrypted, and container tools cannot ask for its passphrase: decrypt it first, as with openssl pkey"
		case b.Type == "OPENSSH PRIVATE KEY":
			return nil, "it is a key of SSH"
		case !strings.HasSuffix(b.Type, "PRIVATE KEY"):
			continue
		case key != nil:
			return nil, "the file holds more than one private key"
		}
		key = b
	}
}

// clientFault says why a certificate cannot be used by a client, "" if it can.
func clientFault(c *x509.Certificate, now time.Time) string {
	usable := func(u x509.ExtKeyUsage) bool { return u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny }
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case now.After(c.NotAfter):
		return fmt.Sprintf("it expired on %s", day(c.NotAfter))
	case now.Before(c.NotBefore):
		return fmt.Sprintf("it is not valid before %s", day(c.NotBefore))
	case c.IsCA && c.BasicConstraintsValid:
		return "it is a CA, not that of a client"
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.ExtKeyUsage, usable):
		return "it is not meant for clients (extended key usage)"
	}
	return ""
}
