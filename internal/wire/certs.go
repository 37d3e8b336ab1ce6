package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/vicr-cli/vicr/internal/pki"
)

// certFault is the verdict of package pki on a chain that crypto/tls refused,
// with what crypto/tls said inside.
func (t *Transport) certFault(host string, roots *x509.CertPool, bad *tls.CertificateVerificationError) error {
	verdict := pki.Judge(bad.UnverifiedCertificates, roots, host, t.config.Now())
	known, ok := errors.AsType[*pki.CertError](verdict)
	if !ok {
		return bad
	}
	if known.Err == nil {
		known.Err = bad
	}
	return known
}
