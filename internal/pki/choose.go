package pki

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// soon is how long before its end an anchor is warned about.
const soon = 30 * 24 * time.Hour

// An Origin is where a certificate came from.
type Origin string

// The origins, in the order in which they are asked.
const (
	FromFile    Origin = "--ca-file"
	FromSystem  Origin = "the system's store" // where vicr has put it
	FromGetcert Origin = "getcert"            // Harbor's CA download
	FromChain   Origin = "chain"              // the TLS handshake
)

// A Candidate is a certificate that may become the anchor.
type Candidate struct {
	Cert *x509.Certificate
	From Origin
}

// A Request is what is known when an anchor is chosen.
type Request struct {
	Name          string              // host name or IP address that was typed, without brackets or port
	Chain         []*x509.Certificate // as served, leaf first; nil when the host was not asked
	File, Getcert []*x509.Certificate // nil when there is none
	System        []*x509.Certificate // those in the system's store that are vicr's; nil when there is none
	Want          Fingerprint         // zero: none given
	Now           time.Time
}

// Matched says which certificate the wanted fingerprint named.
type Matched int

// What a fingerprint can name. A served certificate that issued itself is
// both: MatchedAnchor is said.
const (
	MatchedNone   Matched = iota // no fingerprint was given
	MatchedAnchor                // the certificate to trust
	MatchedLeaf                  // the one that is served
)

// An Anchor is the certificate to trust for one registry.
type Anchor struct {
	Cert *x509.Certificate
	From Origin
	// Leaf: the certificate is the served one itself, issued by itself. Tools
	// that trust it for one host may have it, the system store may not.
	Leaf     bool
	Matched  Matched
	Chain    []*x509.Certificate // that it was held against; nil when the host was not asked
	Warnings []string            // for the user; free of foreign text
}

// ErrUnnamed says that several certificates were given, none was served to
// tell them apart, and no fingerprint names one.
var ErrUnnamed = errors.New("several certificates were given and no fingerprint says which one to trust")

// A MismatchError is a wanted fingerprint that names neither the served
// certificate nor the anchor that would be trusted.
type MismatchError struct {
	Want         Fingerprint
	Leaf, Anchor *x509.Certificate // Leaf is nil when the host was not asked, Anchor when no CA is known
}

func (e *MismatchError) Error() string {
	s := "the wanted fingerprint " + e.Want.String()
	if e.Leaf != nil {
		s += " is neither that of the certificate served, " + e.like(e.Leaf) + ", nor"
	} else {
		s += " is not"
	}
	if e.Anchor == nil {
		return s + " that of a CA that is served"
	}
	return s + " that of the CA, " + e.like(e.Anchor)
}

// like is the fingerprint of c in the kind that was wanted.
func (e *MismatchError) like(c *x509.Certificate) string {
	if e.Want.Weak() {
		return SHA1(c).String()
	}
	return SHA256(c).String()
}

// Choose finds the one certificate to trust. It asks the file; without one
// what was put into the system's store; then Harbor's download; and where that has none that fits, the chain, of which
// only the topmost CA counts. A certificate fits if it alone verifies the
// chain that the host shows for the name. Without a chain it is the file's
// certificate that the fingerprint names.
//
// Errors: [*CertError], [*MismatchError], [ErrUnnamed].
func Choose(r Request) (Anchor, error) {
	if len(r.Chain) == 0 {
		return r.offline()
	}
	if err := judgeLeaf(r.Chain, r.Name, r.Now); err != nil {
		return Anchor{}, err
	}
	fit, err := r.fitting()
	if err != nil && !r.named() {
		err = &MismatchError{Want: r.Want, Leaf: r.Chain[0]}
	}
	if err != nil {
		return Anchor{}, err
	}
	for _, c := range fit {
		if r.Want.Matches(c.Cert) {
			return r.anchor(c, MatchedAnchor), nil
		}
	}
	switch leaf := r.Chain[0]; {
	case r.Want.IsZero():
		return r.anchor(fit[0], MatchedNone), nil
	case r.Want.Matches(leaf):
		return r.anchor(fit[0], MatchedLeaf), nil
	default:
		return Anchor{}, &MismatchError{Want: r.Want, Leaf: leaf, Anchor: fit[0].Cert}
	}
}

// named says whether the wanted fingerprint, if there is one, names anything at hand.
func (r Request) named() bool {
	all := slices.Concat(r.Chain, r.File, r.System, r.Getcert)
	return r.Want.IsZero() || slices.ContainsFunc(all, r.Want.Matches)
}

// CheckChain says whether a wanted fingerprint names the served leaf or one of
// the CAs whose signatures lead up from it, the root among roots included,
// which servers rarely send; a certificate that merely stands in the chain does
// not count. The zero Fingerprint fits always. The error is a [*MismatchError].
func CheckChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time, want Fingerprint) error {
	if want.IsZero() || slices.ContainsFunc(verified(chain, roots, now), want.Matches) {
		return nil
	}
	e := &MismatchError{Want: want}
	if len(chain) > 0 {
		served := path(chain)
		if slices.ContainsFunc(served, want.Matches) {
			return nil
		}
		e.Leaf = chain[0]
		if len(served) > 1 {
			e.Anchor = served[len(served)-1]
		}
	}
	return e
}

// fitting gives the certificates that may become the anchor, the best first,
// or why there is none.
func (r Request) fitting() ([]Candidate, error) {
	if len(r.File) > 0 {
		return r.sift(FromFile, r.File)
	}
	fit, _ := r.sift(FromSystem, r.System)
	given, downloaded := r.sift(FromGetcert, r.Getcert)
	served := path(r.Chain)
	more, err := r.sift(FromChain, served[len(served)-1:])
	fit = slices.Concat(fit, given, more)
	switch {
	case len(fit) > 0:
		return fit, nil
	case len(r.Getcert) > 0:
		return nil, downloaded
	case len(served) == 1: // the leaf alone: not a bad CA, but none
		return nil, r.problem(UnknownIssuer, r.Chain[0])
	default:
		return nil, err
	}
}

// sift keeps those of certs that verify the chain: certificates that issued
// themselves first, for not every program takes another as an anchor. The
// error is that of the certificate which came nearest.
func (r Request) sift(from Origin, certs []*x509.Certificate) ([]Candidate, error) {
	var roots, others []Candidate
	var nearest *CertError
	for _, c := range certs {
		if e := r.judge(c); e != nil {
			if nearest == nil || nearness(e) > nearness(nearest) {
				nearest = e
			}
			continue
		}
		if SelfSigned(c) {
			roots = append(roots, Candidate{c, from})
		} else {
			others = append(others, Candidate{c, from})
		}
	}
	if len(roots)+len(others) > 0 {
		return append(roots, others...), nil
	}
	if nearest == nil {
		return nil, r.problem(UnknownIssuer, r.Chain[0])
	}
	return nil, nearest
}

// nearness ranks errors: of a CA that did sign what is served, of any other
// CA, of what is no CA.
func nearness(e *CertError) int {
	switch e.Problem {
	case NotACA:
		return 0
	case DoesNotVerify:
		return 1
	default:
		return 2
	}
}

// judge says why c alone is no anchor for the served chain; nil when it is.
func (r Request) judge(c *x509.Certificate) *CertError {
	if !isCA(c) && !r.isServed(c) {
		return r.problem(NotACA, c)
	}
	if why := weakness(c); why != "" {
		return r.problem(Weak, c)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	e, _ := errors.AsType[*CertError](judgeTrust(r.Chain, pool, r.Name, r.Now))
	if e != nil && e.Problem == UnknownIssuer {
		e.Problem, e.Cert = DoesNotVerify, c
	}
	return e
}

// isServed says whether c is the very certificate that the host serves, and
// issued by itself: then it can stand for itself.
func (r Request) isServed(c *x509.Certificate) bool {
	return len(r.Chain) > 0 && c.Equal(r.Chain[0]) && SelfSigned(c)
}

func (r Request) problem(p Problem, c *x509.Certificate) *CertError {
	e := &CertError{Problem: p, Cert: c, Name: r.Name, Now: r.Now}
	if len(r.Chain) > 0 {
		e.Names = Names(r.Chain[0])
		e.Served = p == NotACA && c.Equal(r.Chain[0])
	}
	return e
}

// offline chooses without having seen the host.
func (r Request) offline() (Anchor, error) {
	var named *x509.Certificate
	switch {
	case len(r.File) == 0:
		return Anchor{}, r.problem(UnknownIssuer, nil)
	case r.Want.IsZero() && len(r.File) > 1:
		return Anchor{}, ErrUnnamed
	case r.Want.IsZero():
		named = r.File[0]
	}
	for _, c := range r.File {
		if named == nil && r.Want.Matches(c) {
			named = c
		}
	}
	if named == nil {
		return Anchor{}, &MismatchError{Want: r.Want, Anchor: r.File[0]}
	}
	if e := r.judgeUnseen(named); e != nil {
		return Anchor{}, e
	}
	matched := MatchedAnchor
	if r.Want.IsZero() {
		matched = MatchedNone
	}
	return r.anchor(Candidate{named, FromFile}, matched), nil
}

// judgeUnseen judges c where no chain tells what it is for. One that is no CA
// must have issued itself and be valid for the name: it can only be meant to
// be the served one.
func (r Request) judgeUnseen(c *x509.Certificate) *CertError {
	switch {
	case !isCA(c) && !SelfSigned(c):
		return r.problem(NotACA, c)
	case r.Now.Before(c.NotBefore):
		return r.problem(NotYetValid, c)
	case r.Now.After(c.NotAfter):
		return r.problem(Expired, c)
	case weakness(c) != "":
		return r.problem(Weak, c)
	case !isCA(c):
		e, _ := errors.AsType[*CertError](judgeLeaf([]*x509.Certificate{c}, r.Name, r.Now))
		return e
	}
	return nil
}

func (r Request) anchor(c Candidate, m Matched) Anchor {
	a := Anchor{Cert: c.Cert, From: c.From, Matched: m, Leaf: r.isServed(c.Cert), Chain: r.Chain}
	if len(r.Chain) == 0 {
		// A CA that is valid for the host's own name is, most likely, what it serves.
		a.Leaf = SelfSigned(c.Cert) && (!isCA(c.Cert) || c.Cert.VerifyHostname(r.Name) == nil)
	}
	if left := c.Cert.NotAfter.Sub(r.Now); left < soon {
		a.Warnings = append(a.Warnings, "expires "+days(left))
	}
	if r.Want.Weak() {
		a.Warnings = append(a.Warnings, "the fingerprint is SHA-1, for which collisions can be made: compare the SHA-256 one")
	}
	if !bytes.Equal(c.Cert.RawSubject, c.Cert.RawIssuer) {
		a.Warnings = append(a.Warnings, "not a root: Docker and other Go programs accept it, OpenSSL ones may not")
	}
	if _, ok := c.Cert.PublicKey.(ed25519.PublicKey); ok {
		a.Warnings = append(a.Warnings, "an Ed25519 key: programs built with Go before 1.13 cannot read it")
	}
	return a
}

func days(left time.Duration) string {
	switch n := int(math.Floor(left.Hours() / 24)); n {
	case 0:
		return "within a day"
	case 1:
		return "in 1 day"
	default:
		return fmt.Sprintf("in %d days", n)
	}
}
