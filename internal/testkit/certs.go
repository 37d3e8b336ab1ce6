// Package testkit is for tests alone: certificates, a registry front that
// misbehaves by script, an origin that records what reaches it, a rig with a
// real engine.
package testkit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// A Cert is a certificate with its key and what issued it, made for one test.
type Cert struct {
	*x509.Certificate
	Key    crypto.Signer
	Issuer *Cert // nil: issued by itself
}

// A CertOption changes a certificate before it is signed.
type CertOption func(*mint)

type mint struct {
	template x509.Certificate
	key      crypto.Signer
}

// NewCA makes a root, valid from an hour ago for ten years.
func NewCA(tb testing.TB, opts ...CertOption) *Cert {
	tb.Helper()
	return issue(tb, nil, append([]CertOption{Subject("testkit root"), authority}, opts...))
}

// NewIntermediate makes a CA below c.
func (c *Cert) NewIntermediate(tb testing.TB, opts ...CertOption) *Cert {
	tb.Helper()
	return issue(tb, c, append([]CertOption{Subject("testkit intermediate"), authority}, opts...))
}

// NewLeaf makes a server's certificate below c. Without [SANs] it is valid
// for no name.
func (c *Cert) NewLeaf(tb testing.TB, opts ...CertOption) *Cert {
	tb.Helper()
	return issue(tb, c, append([]CertOption{Subject("testkit leaf"), server}, opts...))
}

// NewSelfSigned makes a server's certificate that is no CA and issued itself.
func NewSelfSigned(tb testing.TB, opts ...CertOption) *Cert {
	tb.Helper()
	return issue(tb, nil, append([]CertOption{Subject("testkit self-signed"), server}, opts...))
}

func authority(m *mint) {
	m.template.IsCA = true
	m.template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

func server(m *mint) {
	m.template.KeyUsage = x509.KeyUsageDigitalSignature
	m.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// SANs adds DNS names and IP addresses.
func SANs(names ...string) CertOption {
	return func(m *mint) {
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				m.template.IPAddresses = append(m.template.IPAddresses, ip)
			} else {
				m.template.DNSNames = append(m.template.DNSNames, name)
			}
		}
	}
}

// Subject sets the common name, and with it the whole subject.
func Subject(commonName string) CertOption {
	return func(m *mint) { m.template.Subject = pkix.Name{CommonName: commonName} }
}

// Validity sets both dates.
func Validity(from, to time.Time) CertOption {
	return func(m *mint) { m.template.NotBefore, m.template.NotAfter = from, to }
}

// Expired makes a certificate that ended an hour ago.
func Expired() CertOption {
	return Validity(time.Now().AddDate(-1, 0, 0), time.Now().Add(-time.Hour))
}

// NotYetValid makes a certificate that begins tomorrow.
func NotYetValid() CertOption {
	return Validity(time.Now().AddDate(0, 0, 1), time.Now().AddDate(1, 0, 0))
}

// WithKey has the certificate made for a key of the test's choice.
func WithKey(key crypto.Signer) CertOption {
	return func(m *mint) { m.key = key }
}

// WeakKey makes a certificate for an RSA key of 1024 bits.
func WeakKey(tb testing.TB) CertOption {
	tb.Helper()
	return WithKey(RSAKey(tb, 1024))
}

// RSAKey makes an RSA key; 2048 bits take a tenth of a second and more.
func RSAKey(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	fatalIf(tb, err)
	return key
}

// Template changes anything that the other options do not reach.
func Template(change func(*x509.Certificate)) CertOption {
	return func(m *mint) { change(&m.template) }
}

func issue(tb testing.TB, issuer *Cert, opts []CertOption) *Cert {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	fatalIf(tb, err)
	m := &mint{template: x509.Certificate{
		SerialNumber: serial,
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		BasicConstraintsValid: true,
	}}
	for _, o := range opts {
		o(m)
	}
	if m.key == nil {
		m.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fatalIf(tb, err)
	}
	parent, signer := &m.template, m.key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, &m.template, parent, m.key.Public(), signer)
	fatalIf(tb, err)
	c, err := x509.ParseCertificate(der)
	fatalIf(tb, err)
	return &Cert{Certificate: c, Key: m.key, Issuer: issuer}
}

// PEM is the certificate alone.
func (c *Cert) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// KeyPEM is the private key in PKCS#8.
func (c *Cert) KeyPEM(tb testing.TB) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	fatalIf(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TLS is what a server shows: c, and after it the certificates of above.
func (c *Cert) TLS(above ...*Cert) tls.Certificate {
	t := tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: c.Key, Leaf: c.Certificate}
	for _, a := range above {
		t.Certificate = append(t.Certificate, a.Raw)
	}
	return t
}

// Pool is the certificate as the only root.
func (c *Cert) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Certificate)
	return pool
}

// Chain lists the bare certificates of certs.
func Chain(certs ...*Cert) []*x509.Certificate {
	chain := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		chain[i] = c.Certificate
	}
	return chain
}

// Bundle joins the PEM forms of certs.
func Bundle(certs ...*Cert) []byte {
	var buf bytes.Buffer
	for _, c := range certs {
		buf.Write(c.PEM())
	}
	return buf.Bytes()
}

func fatalIf(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
