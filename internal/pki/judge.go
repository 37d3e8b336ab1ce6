package pki

import (
	"bytes"
	"crypto/dsa" //nolint:staticcheck // named to be refused
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	minRSA      = 2048 // bits; CA/Browser Forum baseline requirements, section 6.1.5
	maxServed   = 100  // certificates of a served chain that are looked at
	maxSigCheck = 100  // signature checks for one path, as crypto/x509 has it
)

// A Problem is what is wrong with a certificate.
type Problem int

// The problems, in the order in which they are looked for.
const (
	NoCertificate  Problem = iota + 1 // the host showed none
	WrongName                         // valid for other names than the one typed
	CommonNameOnly                    // no subject alternative name at all; Go, and so Docker, needs one
	Expired                           // by this machine's clock
	NotYetValid                       // by this machine's clock
	Weak                              // RSA under 2048 bits, DSA, or a signature with MD5 or SHA-1
	UnknownIssuer                     // no CA was found that vouches for the chain
	NotACA                            // given as a CA, but must not sign certificates
	DoesNotVerify                     // a CA, but not the one that vouches for the chain
)

func (p Problem) String() string {
	switch p {
	case NoCertificate:
		return "no certificate"
	case WrongName:
		return "wrong name"
	case CommonNameOnly:
		return "common name only"
	case Expired:
		return "expired"
	case NotYetValid:
		return "not yet valid"
	case Weak:
		return "weak"
	case UnknownIssuer:
		return "unknown issuer"
	case NotACA:
		return "not a CA"
	case DoesNotVerify:
		return "does not verify"
	default:
		return fmt.Sprintf("problem %d", int(p))
	}
}

// A CertError is a certificate that cannot be trusted, and why.
type CertError struct {
	Problem Problem
	Cert    *x509.Certificate // the one at fault; nil with NoCertificate, and when no CA was given
	Name    string            // the name that was typed
	Names   []string          // what the served certificate is valid for: raw, at most 20
	Now     time.Time         // the clock that was asked
	Served  bool              // with NotACA: it is the certificate that the host serves
	Err     error             // what crypto/x509 said; may be nil
}

func (e *CertError) Unwrap() error { return e.Err }

func (e *CertError) Error() string {
	who := "certificate"
	if e.Cert != nil {
		who = `certificate of "` + clean(e.Cert.Subject.String()) + `"`
		if len(e.Cert.Subject.Names) == 0 {
			who = "certificate without a subject"
		}
	}
	switch e.Problem {
	case NoCertificate:
		return "the host shows no certificate"
	case WrongName:
		return e.wrongName()
	case CommonNameOnly:
		return fmt.Sprintf("the %s has a common name only and no subject alternative name: it is valid for no name, also not for %q", who, e.Name)
	case Expired:
		return fmt.Sprintf("the %s expired at %s, and the clock of this machine says %s", who, stamp(e.Cert.NotAfter), stamp(e.Now))
	case NotYetValid:
		return fmt.Sprintf("the %s is valid from %s, and the clock of this machine says %s", who, stamp(e.Cert.NotBefore), stamp(e.Now))
	case Weak:
		return fmt.Sprintf("the %s is weak: %s", who, weakness(e.Cert))
	case UnknownIssuer:
		return "no CA was found that vouches for the " + who
	case NotACA:
		if e.Served {
			return fmt.Sprintf("the %s is the one that is served, not that of the CA which issued it", who)
		}
		return fmt.Sprintf("the %s is not a CA's", who)
	default:
		return withCause(fmt.Sprintf("the %s does not verify what the host shows for %q", who, e.Name), e.Err)
	}
}

// withCause adds what crypto/x509 said where that says more than that the
// authority is unknown.
func withCause(s string, err error) string {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown || err == nil {
		return s
	}
	return s + ": " + clean(err.Error())
}

func (e *CertError) wrongName() string {
	if len(e.Names) == 0 {
		return fmt.Sprintf("the certificate shown for %q is valid for no name", e.Name)
	}
	s := fmt.Sprintf("the certificate is valid for %s, not for %q", quoted(e.Names), e.Name)
	if _, err := netip.ParseAddr(e.Name); err == nil && e.Cert != nil && slices.Contains(e.Cert.DNSNames, e.Name) {
		s += ": the address stands among its DNS names, where it does not count"
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Judge verifies chain (as served, leaf first) for name against roots, at
// now, and returns nil or a [*CertError]: names first, then dates, then
// strength, then trust. Nil roots trust nothing. A certificate that stands
// itself among the roots verifies, as in crypto/x509.
func Judge(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) error {
	if err := judgeLeaf(chain, name, now); err != nil {
		return err
	}
	return judgeTrust(chain, roots, name, now)
}

func judgeLeaf(chain []*x509.Certificate, name string, now time.Time) error {
	if len(chain) == 0 || chain[0] == nil {
		return &CertError{Problem: NoCertificate, Name: name, Now: now}
	}
	leaf := chain[0]
	e := &CertError{Cert: leaf, Name: name, Names: Names(leaf), Now: now}
	err := leaf.VerifyHostname(name)
	switch {
	case err != nil && len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName != "":
		e.Problem, e.Err = CommonNameOnly, err
	case err != nil:
		e.Problem, e.Err = WrongName, err
	case now.Before(leaf.NotBefore):
		e.Problem = NotYetValid
	case now.After(leaf.NotAfter):
		e.Problem = Expired
	case weakness(leaf) != "":
		e.Problem = Weak
	default:
		return nil
	}
	return e
}

// verified are the certificates of all ways from the served leaf up to one of roots.
func verified(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) []*x509.Certificate {
	if len(chain) == 0 || roots == nil {
		return nil
	}
	ways, err := waysUp(chain[:min(len(chain), maxServed)], roots, now)
	if err != nil {
		return nil
	}
	return slices.Concat(ways...)
}

func waysUp(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	return chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func judgeTrust(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) error {
	chain = chain[:min(len(chain), maxServed)]
	if roots == nil {
		roots = x509.NewCertPool() // nil would make crypto/x509 read the system's
	}
	leaf := chain[0]
	ways, err := waysUp(chain, roots, now)
	e := &CertError{Cert: leaf, Name: name, Names: Names(leaf), Now: now, Err: err}
	if err != nil {
		e.classify(path(chain))
		return e
	}
	var weak *x509.Certificate
	for _, v := range ways {
		i := slices.IndexFunc(v, func(c *x509.Certificate) bool { return weakKey(c) != "" })
		if i < 0 {
			return nil
		}
		weak = v[i]
	}
	e.Problem, e.Cert = Weak, weak
	return e
}

// classify says which problem e.Err is. served is the path from the leaf.
func (e *CertError) classify(served []*x509.Certificate) {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.Err); ok {
		e.Problem = DoesNotVerify
		if invalid.Cert != nil {
			e.Cert = invalid.Cert
		}
		switch {
		case invalid.Reason == x509.Expired && e.Now.Before(e.Cert.NotBefore):
			e.Problem = NotYetValid
		case invalid.Reason == x509.Expired:
			e.Problem = Expired
		case invalid.Reason == x509.NotAuthorizedToSign:
			e.Problem = NotACA
		}
		return
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e.Err); !ok {
		e.Problem = DoesNotVerify
		return
	}
	e.Problem = UnknownIssuer
	// crypto/x509 takes a signature with SHA-1 for one by nobody: the path
	// ends where it stands.
	if top := served[len(served)-1]; weakness(top) != "" {
		e.Problem, e.Cert = Weak, top
	}
}

// path follows the signatures of a served chain from its leaf upwards,
// whatever order it is in, by way of certificates that may sign. It prefers
// one that issued itself, and never holds a certificate twice.
func path(chain []*x509.Certificate) []*x509.Certificate {
	chain = chain[:min(len(chain), maxServed)]
	up := chain[:1:1]
	checks := 0
	for top := chain[0]; !bytes.Equal(top.RawSubject, top.RawIssuer); {
		var next *x509.Certificate
		for _, c := range chain[1:] {
			if !bytes.Equal(top.RawIssuer, c.RawSubject) || !isCA(c) || slices.ContainsFunc(up, c.Equal) {
				continue
			}
			if checks++; checks > maxSigCheck {
				return up
			}
			if top.CheckSignatureFrom(c) == nil && (next == nil || SelfSigned(c)) {
				next = c
			}
		}
		if next == nil {
			return up
		}
		up, top = append(up, next), next
	}
	return up
}

// weakness says why c must not be relied on, "" when it may. The signature of
// a certificate that issued itself does not count: nothing rests on it.
func weakness(c *x509.Certificate) string {
	if why := weakKey(c); why != "" {
		return why
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		if !SelfSigned(c) {
			return "it is signed with " + strings.ReplaceAll(c.SignatureAlgorithm.String(), "-", " and ")
		}
	}
	return ""
}

func weakKey(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA {
			return fmt.Sprintf("an RSA key of %d bits; %d are the least", n, minRSA)
		}
	case *dsa.PublicKey:
		return "a DSA key"
	}
	return ""
}
