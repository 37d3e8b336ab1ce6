package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

const (
	backdated = time.Hour           // a clock may be a little behind
	lifetime  = 90 * 24 * time.Hour // of both certificates; the keys never leave the process
)

// An authority is a CA and the certificate that it gave the server.
type authority struct {
	ca   *x509.Certificate
	leaf tls.Certificate // without the CA in its chain
}

// newAuthority makes a CA that can sign for loopback and name only, so that it
// does no harm wherever it is installed, and a leaf for the same names.
func newAuthority(now time.Time, name string) (authority, error) {
	ca, leaf := templates(now, name)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	caDER, err := sign(&ca, &ca, caKey, caKey)
	if err != nil {
		return authority{}, err
	}
	parsed, err := x509.ParseCertificate(caDER)
	if err != nil {
		return authority{}, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	leafDER, err := sign(&leaf, parsed, leafKey, caKey)
	if err != nil {
		return authority{}, err
	}
	return authority{
		ca:   parsed,
		leaf: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey},
	}, nil
}

// templates are both certificates without their keys.
func templates(now time.Time, name string) (ca, leaf x509.Certificate) {
	both := x509.Certificate{NotBefore: now.Add(-backdated), NotAfter: now.Add(lifetime)}
	ca, leaf = both, both
	ca.Subject = pkix.Name{Organization: []string{"vicr sandbox"}, CommonName: "vicr sandbox CA"}
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	leaf.Subject = pkix.Name{Organization: []string{"vicr sandbox"}, CommonName: name}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	nameBoth(&ca, &leaf, name)
	return ca, leaf
}

// nameBoth puts loopback and name into the leaf, and into what the CA may sign.
func nameBoth(ca, leaf *x509.Certificate, name string) {
	ca.PermittedDNSDomainsCritical = true
	ca.PermittedDNSDomains = []string{"localhost"}
	ca.PermittedIPRanges = []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	switch ip := net.ParseIP(name); {
	case ip == nil && name != "localhost":
		ca.PermittedDNSDomains = append(ca.PermittedDNSDomains, name)
		leaf.DNSNames = append(leaf.DNSNames, name)
	case ip != nil && !ip.Equal(leaf.IPAddresses[0]) && !ip.Equal(leaf.IPAddresses[1]):
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		bits := len(ip) * 8
		ca.PermittedIPRanges = append(ca.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
		leaf.IPAddresses = append(leaf.IPAddresses, ip)
	}
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	const serialBits = 127 // RFC 5280 section 4.1.2.2: positive, 20 octets at most
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	return x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Raw})
}
