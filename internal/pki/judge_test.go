package pki_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

const host = "registry.corp"

func TestJudgeAcceptsWhatIsSound(t *testing.T) {
	t.Parallel()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := testkit.NewCA(t)
	mid := ca.NewIntermediate(t)
	leaf := mid.NewLeaf(t, testkit.SANs(host, "*.wild.corp", "192.0.2.7", "2001:db8::1"))
	self := testkit.NewSelfSigned(t, testkit.SANs(host))
	bare := ca.NewLeaf(t, testkit.SANs(host), testkit.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage, c.KeyUsage, c.BasicConstraintsValid = nil, 0, false // as VIC makes them
	}))
	ed := testkit.NewCA(t, testkit.WithKey(edKey))
	narrow := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"corp"}, true
	}))
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		root  *testkit.Cert
		host  string
	}{
		"by name":                 {testkit.Chain(leaf, mid), ca, host},
		"by another case":         {testkit.Chain(leaf, mid), ca, strings.ToUpper(host)},
		"by wildcard":             {testkit.Chain(leaf, mid), ca, "a.wild.corp"},
		"by IPv4":                 {testkit.Chain(leaf, mid), ca, "192.0.2.7"},
		"by IPv6":                 {testkit.Chain(leaf, mid), ca, "2001:db8::1"},
		"root served too":         {testkit.Chain(leaf, mid, ca), ca, host},
		"wrong order":             {testkit.Chain(leaf, ca, mid), ca, host},
		"intermediate as root":    {testkit.Chain(leaf), mid, host},
		"self-signed as root":     {testkit.Chain(self), self, host},
		"no usages":               {testkit.Chain(bare), ca, host},
		"Ed25519":                 {testkit.Chain(ed.NewLeaf(t, testkit.SANs(host))), ed, host},
		"permitted by constraint": {testkit.Chain(narrow.NewLeaf(t, testkit.SANs(host))), narrow, host},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := pki.Judge(c.chain, c.root.Pool(), c.host, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJudgeNamesTheProblem(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	old := testkit.NewCA(t, testkit.Expired())
	young := testkit.NewCA(t, testkit.NotYetValid())
	weakCA := testkit.NewCA(t, testkit.WeakKey(t))
	rsaCA := testkit.NewCA(t, testkit.WithKey(testkit.RSAKey(t, 2048)))
	sha1Mid := rsaCA.NewIntermediate(t, sha1Signed)
	noCA := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) { c.IsCA = false }))
	noSign := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))
	narrow := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
	}))
	client := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
	san := testkit.SANs(host)
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		root  *testkit.Cert
		host  string
		want  pki.Problem
		says  string
	}{
		"no chain":               {nil, ca, host, pki.NoCertificate, "no certificate"},
		"other name":             {testkit.Chain(ca.NewLeaf(t, testkit.SANs("a.corp", "192.0.2.1"))), ca, host, pki.WrongName, `valid for "a.corp", "192.0.2.1", not for "registry.corp"`},
		"addresses only":         {testkit.Chain(ca.NewLeaf(t, testkit.SANs("192.0.2.1"))), ca, host, pki.WrongName, `"192.0.2.1"`},
		"names only":             {testkit.Chain(ca.NewLeaf(t, san)), ca, "192.0.2.1", pki.WrongName, host},
		"other address":          {testkit.Chain(ca.NewLeaf(t, testkit.SANs("192.0.2.1"))), ca, "192.0.2.2", pki.WrongName, "192.0.2.1"},
		"address as DNS name":    {testkit.Chain(ca.NewLeaf(t, dnsNames("192.0.2.1"))), ca, "192.0.2.1", pki.WrongName, "among its DNS names"},
		"port in the name":       {testkit.Chain(ca.NewLeaf(t, dnsNames(host+":5000"))), ca, host, pki.WrongName, ":5000"},
		"wildcard too deep":      {testkit.Chain(ca.NewLeaf(t, testkit.SANs("*.corp"))), ca, "a.b.corp", pki.WrongName, "*.corp"},
		"wildcard of all":        {testkit.Chain(ca.NewLeaf(t, dnsNames("*"))), ca, host, pki.WrongName, `"*"`},
		"no name at all":         {testkit.Chain(ca.NewLeaf(t, noSubject)), ca, host, pki.WrongName, "no name"},
		"common name only":       {testkit.Chain(ca.NewLeaf(t, testkit.Subject(host))), ca, host, pki.CommonNameOnly, "CN=" + host},
		"common name, by IP":     {testkit.Chain(ca.NewLeaf(t, testkit.Subject("192.0.2.1"))), ca, "192.0.2.1", pki.CommonNameOnly, "CN=192.0.2.1"},
		"mail address only":      {testkit.Chain(ca.NewLeaf(t, testkit.Subject(host), mailOnly)), ca, host, pki.CommonNameOnly, "common name only"},
		"expired":                {testkit.Chain(ca.NewLeaf(t, san, testkit.Expired())), ca, host, pki.Expired, "clock of this machine"},
		"not yet valid":          {testkit.Chain(ca.NewLeaf(t, san, testkit.NotYetValid())), ca, host, pki.NotYetValid, "clock of this machine"},
		"wrong name and expired": {testkit.Chain(ca.NewLeaf(t, testkit.Expired())), ca, host, pki.CommonNameOnly, "common name"},
		"expired and unknown":    {testkit.Chain(testkit.NewSelfSigned(t, san, testkit.Expired())), ca, host, pki.Expired, "expired"},
		"CA expired":             {testkit.Chain(old.NewLeaf(t, san)), old, host, pki.Expired, "testkit root"},
		"CA not yet valid":       {testkit.Chain(young.NewLeaf(t, san)), young, host, pki.NotYetValid, "testkit root"},
		"weak key":               {testkit.Chain(ca.NewLeaf(t, san, testkit.WeakKey(t))), ca, host, pki.Weak, "1024 bits"},
		"weak CA":                {testkit.Chain(weakCA.NewLeaf(t, san)), weakCA, host, pki.Weak, "testkit root"},
		"SHA-1":                  {testkit.Chain(rsaCA.NewLeaf(t, san, sha1Signed)), rsaCA, host, pki.Weak, "SHA1"},
		"SHA-1, issuer unknown":  {testkit.Chain(rsaCA.NewLeaf(t, san, sha1Signed)), ca, host, pki.Weak, "SHA1"},
		"SHA-1 in the middle":    {testkit.Chain(sha1Mid.NewLeaf(t, san), sha1Mid), rsaCA, host, pki.Weak, "testkit intermediate"},
		"unknown issuer":         {testkit.Chain(testkit.NewCA(t).NewLeaf(t, san)), ca, host, pki.UnknownIssuer, "no CA"},
		"self-signed, unknown":   {testkit.Chain(testkit.NewSelfSigned(t, san)), ca, host, pki.UnknownIssuer, "no CA"},
		"intermediate missing":   {testkit.Chain(ca.NewIntermediate(t).NewLeaf(t, san)), ca, host, pki.UnknownIssuer, "no CA"},
		"issuer is no CA":        {testkit.Chain(noCA.NewLeaf(t, san)), noCA, host, pki.UnknownIssuer, "no CA"},
		"issuer may not sign":    {testkit.Chain(noSign.NewLeaf(t, san)), noSign, host, pki.UnknownIssuer, "no CA"},
		"outside a constraint":   {testkit.Chain(narrow.NewLeaf(t, san)), narrow, host, pki.DoesNotVerify, "permitted"},
		"CA for clients":         {testkit.Chain(client.NewLeaf(t, san)), client, host, pki.DoesNotVerify, "usage"},
		"critical unknown":       {testkit.Chain(ca.NewLeaf(t, san, critical)), ca, host, pki.DoesNotVerify, "critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := pki.Judge(c.chain, c.root.Pool(), c.host, time.Now())
			wantProblem(t, err, c.want)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
		})
	}
}

func TestJudgeTrustsNothingWithoutRoots(t *testing.T) {
	t.Parallel()
	leaf := testkit.NewCA(t).NewLeaf(t, testkit.SANs(host))
	wantProblem(t, pki.Judge(testkit.Chain(leaf), nil, host, time.Now()), pki.UnknownIssuer)
}

func TestJudgeBlamesTheClockByItsReading(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	leaf := ca.NewLeaf(t, testkit.SANs(host))
	for years, want := range map[int]pki.Problem{-20: pki.NotYetValid, 20: pki.Expired} {
		now := time.Now().AddDate(years, 0, 0)
		err := pki.Judge(testkit.Chain(leaf), ca.Pool(), host, now)
		wantProblem(t, err, want)
		if year := now.UTC().Format("2006-01-02"); err != nil && !strings.Contains(err.Error(), "the clock of this machine says "+year) {
			t.Errorf("%q does not say what the clock says", err)
		}
	}
}

func TestJudgeKeepsWhatX509Said(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	_, name := errors.AsType[x509.HostnameError](pki.Judge(testkit.Chain(ca.NewLeaf(t)), ca.Pool(), host, time.Now()))
	_, unknown := errors.AsType[x509.UnknownAuthorityError](pki.Judge(testkit.Chain(ca.NewLeaf(t, testkit.SANs(host))), nil, host, time.Now()))
	if !name || !unknown {
		t.Errorf("HostnameError %v, UnknownAuthorityError %v", name, unknown)
	}
}

// The work for a hostile chain must stay bounded: a hundred CAs with the same
// subject, cross-signed in a loop.
func TestJudgeIsFastOnHostileChains(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	var loop []*testkit.Cert
	for i := range 120 {
		issuer := ca
		if i > 0 {
			issuer = loop[i-1]
		}
		loop = append(loop, issuer.NewIntermediate(t, testkit.Subject("testkit root"), testkit.Template(func(c *x509.Certificate) {
			c.SubjectKeyId = []byte{1}
		})))
	}
	leaf := loop[len(loop)-1].NewLeaf(t, testkit.SANs(host))
	chain := testkit.Chain(append([]*testkit.Cert{leaf}, loop...)...)
	start := time.Now()
	if err := pki.Judge(chain, testkit.NewCA(t).Pool(), host, time.Now()); err == nil {
		t.Error("accepted")
	}
	if _, err := pki.Choose(pki.Request{Name: host, Chain: chain, Now: time.Now()}); err == nil {
		t.Error("an anchor from a chain whose issuer is not among the first hundred")
	}
	if d := time.Since(start); d > 5*time.Second { // 0.1 s is usual
		t.Errorf("took %s", d)
	}
}

func TestDescribeIsFitForATerminal(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("n%d.corp\x1b[2J", i))
	}
	c := testkit.NewCA(t, testkit.Subject("Grüße\x1b]0;x\a\u202e\u200d\nnewline"+strings.Repeat("x", 1<<20)), dnsNames(names...))
	d := pki.Describe(c.Certificate)
	all := d.Subject + d.Issuer + strings.Join(d.Names, "")
	if strings.ContainsAny(all, "\x1b\a\n\u202e\u200d") {
		t.Errorf("not escaped: %q", all)
	}
	if !strings.HasPrefix(d.Subject, "CN=Grüße") || len(d.Subject) > 1000 {
		t.Errorf("subject of %d bytes: %.100q", len(d.Subject), d.Subject)
	}
	if len(d.Names) != 21 || d.Names[20] != "and 30 more" {
		t.Errorf("%d names, the last %q", len(d.Names), d.Names[len(d.Names)-1])
	}
	if !d.CA || d.SHA256 != pki.SHA256(c.Certificate) || d.SHA1 != pki.SHA1(c.Certificate) || !d.NotAfter.Equal(c.NotAfter) {
		t.Errorf("%+v", d)
	}
	if err := pki.Judge(testkit.Chain(c), nil, host, time.Now()); err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e\n") || len(err.Error()) > 8000 {
		t.Errorf("the error is not fit for a terminal: %v", err)
	}
}

func TestProblemsHaveNames(t *testing.T) {
	t.Parallel()
	var seen []string
	for p := pki.NoCertificate; p <= pki.DoesNotVerify; p++ {
		if s := p.String(); slices.Contains(seen, s) || strings.HasPrefix(s, "problem") {
			t.Errorf("%d: %q", p, s)
		}
		seen = append(seen, p.String())
	}
	if pki.Problem(0).String() != "problem 0" {
		t.Error("the zero problem passes for one")
	}
}

func wantProblem(t *testing.T, err error, want pki.Problem) {
	t.Helper()
	ce, ok := errors.AsType[*pki.CertError](err)
	if !ok || ce.Problem != want {
		t.Fatalf("%v (%T), want the problem %q", err, err, want)
	}
}

func sha1Option(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }

var (
	sha1Signed = testkit.Template(sha1Option)
	noSubject  = testkit.Template(func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	mailOnly   = testkit.Template(func(c *x509.Certificate) {
		c.EmailAddresses, c.URIs = []string{"a@corp"}, []*url.URL{{Scheme: "spiffe", Host: "corp"}}
	})
	critical = testkit.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	})
)

func dnsNames(names ...string) testkit.CertOption {
	return testkit.Template(func(c *x509.Certificate) { c.DNSNames = names })
}
