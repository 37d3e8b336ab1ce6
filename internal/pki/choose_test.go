package pki_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// vmware is the subject of the CA of every VIC appliance.
var vmware = testkit.Subject("Self-signed by VMware, Inc.")

func TestChooseFindsTheAnchor(t *testing.T) {
	t.Parallel()
	san := testkit.SANs(host)
	root := testkit.NewCA(t)
	mid := root.NewIntermediate(t)
	leaf := mid.NewLeaf(t, san)
	direct := root.NewLeaf(t, san)
	other := testkit.NewCA(t)
	self := testkit.NewSelfSigned(t, san)
	selfCA := testkit.NewCA(t, san)
	// The same key and name once as a root, once below another root.
	cross := other.NewIntermediate(t, testkit.Subject("testkit root"), testkit.WithKey(root.Key), testkit.Template(func(c *x509.Certificate) {
		c.SubjectKeyId = root.SubjectKeyId
	}))
	certs := testkit.Chain
	for name, c := range map[string]struct {
		chain, file, getcert, system []*x509.Certificate
		want                         *testkit.Cert // fingerprint of
		anchor                       *testkit.Cert
		from                         pki.Origin
		leaf                         bool
		matched                      pki.Matched
	}{
		"file":                            {chain: certs(direct), file: certs(root), anchor: root, from: pki.FromFile},
		"file before getcert and chain":   {chain: certs(leaf, mid, root), file: certs(mid), getcert: certs(root), anchor: mid, from: pki.FromFile},
		"file with others":                {chain: certs(direct), file: certs(other, leaf, root), anchor: root, from: pki.FromFile},
		"file with the leaf too":          {chain: certs(direct), file: certs(direct, root), anchor: root, from: pki.FromFile},
		"file, root before intermediate":  {chain: certs(leaf, mid), file: certs(mid, root), anchor: root, from: pki.FromFile},
		"file, intermediate not served":   {chain: certs(leaf), file: certs(root, mid), anchor: mid, from: pki.FromFile},
		"getcert":                         {chain: certs(direct), getcert: certs(root), anchor: root, from: pki.FromGetcert},
		"getcert before chain":            {chain: certs(leaf, mid), getcert: certs(root), anchor: root, from: pki.FromGetcert},
		"getcert of another CA":           {chain: certs(direct, root), getcert: certs(other), anchor: root, from: pki.FromChain},
		"getcert is the leaf":             {chain: certs(direct, root), getcert: certs(direct), anchor: root, from: pki.FromChain},
		"chain with root":                 {chain: certs(leaf, mid, root), anchor: root, from: pki.FromChain},
		"chain in wrong order":            {chain: certs(leaf, root, mid), anchor: root, from: pki.FromChain},
		"chain with strangers":            {chain: certs(leaf, other, self, mid, root, other), anchor: root, from: pki.FromChain},
		"chain up to the issuing CA":      {chain: certs(leaf, mid), anchor: mid, from: pki.FromChain},
		"chain, cross-signed root first":  {chain: certs(direct, cross, root), anchor: root, from: pki.FromChain},
		"self-signed":                     {chain: certs(self), anchor: self, from: pki.FromChain, leaf: true},
		"self-signed, from file":          {chain: certs(self), file: certs(self), anchor: self, from: pki.FromFile, leaf: true},
		"self-signed, from getcert":       {chain: certs(self), getcert: certs(self), anchor: self, from: pki.FromGetcert, leaf: true},
		"self-signed CA served":           {chain: certs(selfCA), anchor: selfCA, from: pki.FromChain, leaf: true},
		"names the root":                  {chain: certs(leaf, mid, root), want: root, anchor: root, from: pki.FromChain, matched: pki.MatchedAnchor},
		"names one of the file":           {chain: certs(leaf, mid), file: certs(root, mid), want: mid, anchor: mid, from: pki.FromFile, matched: pki.MatchedAnchor},
		"names the chain's, not getcert":  {chain: certs(leaf, mid), getcert: certs(root), want: mid, anchor: mid, from: pki.FromChain, matched: pki.MatchedAnchor},
		"names the leaf":                  {chain: certs(leaf, mid, root), want: leaf, anchor: root, from: pki.FromChain, matched: pki.MatchedLeaf},
		"names the leaf, CA from getcert": {chain: certs(direct), getcert: certs(root), want: direct, anchor: root, from: pki.FromGetcert, matched: pki.MatchedLeaf},
		"names the self-signed":           {chain: certs(self), want: self, anchor: self, from: pki.FromChain, leaf: true, matched: pki.MatchedAnchor},
		"system":                          {chain: certs(direct), system: certs(root), anchor: root, from: pki.FromSystem},
		"system before all that is asked": {chain: certs(leaf, mid, root), getcert: certs(mid), system: certs(root), anchor: root, from: pki.FromSystem},
		"system does not fit":             {chain: certs(leaf, mid), system: certs(other), anchor: mid, from: pki.FromChain},
		"names the one in the system":     {chain: certs(direct), system: certs(root), want: root, anchor: root, from: pki.FromSystem, matched: pki.MatchedAnchor},
		"file before system":              {chain: certs(leaf, mid), file: certs(mid), system: certs(root), anchor: mid, from: pki.FromFile},
		"offline":                         {file: certs(other, root), want: root, anchor: root, from: pki.FromFile, matched: pki.MatchedAnchor},
		"offline, the only one":           {file: certs(root), anchor: root, from: pki.FromFile},
		"offline, self-signed":            {file: certs(self), want: self, anchor: self, from: pki.FromFile, leaf: true, matched: pki.MatchedAnchor},
		"offline, self-signed CA":         {file: certs(selfCA), want: selfCA, anchor: selfCA, from: pki.FromFile, leaf: true, matched: pki.MatchedAnchor},
		"offline, intermediate":           {file: certs(mid), want: mid, anchor: mid, from: pki.FromFile, matched: pki.MatchedAnchor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pki.Request{Name: host, Chain: c.chain, File: c.file, Getcert: c.getcert, System: c.system, Now: time.Now()}
			if c.want != nil {
				r.Want = pki.SHA256(c.want.Certificate)
			}
			a, err := pki.Choose(r)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Cert.Equal(c.anchor.Certificate) {
				t.Errorf("anchor %s", a.Cert.Subject)
			}
			if a.From != c.from || a.Leaf != c.leaf || a.Matched != c.matched {
				t.Errorf("from %q, leaf %v, matched %v", a.From, a.Leaf, a.Matched)
			}
		})
	}
}

func TestChooseRefuses(t *testing.T) {
	t.Parallel()
	san := testkit.SANs(host)
	root := testkit.NewCA(t, vmware)
	twin := testkit.NewCA(t, vmware) // same subject, another key
	leaf := root.NewLeaf(t, san)
	old := testkit.NewCA(t, testkit.Expired())
	young := testkit.NewCA(t, testkit.NotYetValid())
	weak := testkit.NewCA(t, testkit.WeakKey(t))
	rsaRoot := testkit.NewCA(t, testkit.WithKey(testkit.RSAKey(t, 2048)))
	sha1Mid := rsaRoot.NewIntermediate(t, sha1Signed)
	v1 := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) { c.BasicConstraintsValid = false }))
	noSign := testkit.NewCA(t, testkit.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))
	self := testkit.NewSelfSigned(t, san)
	otherSelf := testkit.NewSelfSigned(t, san)
	posing := twin.NewLeaf(t, san, vmware) // issuer and subject alike, yet not self-signed
	certs := testkit.Chain
	for name, c := range map[string]struct {
		chain, file, getcert []*x509.Certificate
		want                 pki.Problem
	}{
		"leaf alone":                     {chain: certs(leaf), want: pki.UnknownIssuer},
		"leaf posing as self-signed":     {chain: certs(posing), want: pki.UnknownIssuer},
		"leaf under a leaf":              {chain: certs(leaf, self), want: pki.UnknownIssuer},
		"twin in the file":               {chain: certs(leaf), file: certs(twin), want: pki.DoesNotVerify},
		"twin in the file, right served": {chain: certs(leaf, root), file: certs(twin), want: pki.DoesNotVerify},
		"twin from getcert":              {chain: certs(leaf), getcert: certs(twin), want: pki.DoesNotVerify},
		"twin in the chain":              {chain: certs(leaf, twin), want: pki.UnknownIssuer},
		"file is the leaf":               {chain: certs(leaf, root), file: certs(leaf), want: pki.NotACA},
		"file is another leaf":           {chain: certs(leaf, root), file: certs(root.NewLeaf(t, san)), want: pki.NotACA},
		"file is another self-signed":    {chain: certs(self), file: certs(otherSelf), want: pki.NotACA},
		"file is version 1":              {chain: certs(v1.NewLeaf(t, san)), file: certs(v1), want: pki.NotACA},
		"file may not sign":              {chain: certs(noSign.NewLeaf(t, san)), file: certs(noSign), want: pki.NotACA},
		"file expired":                   {chain: certs(old.NewLeaf(t, san)), file: certs(old), want: pki.Expired},
		"file expired, beside another":   {chain: certs(old.NewLeaf(t, san)), file: certs(leaf, old, twin), want: pki.Expired},
		"file not yet valid":             {chain: certs(young.NewLeaf(t, san)), file: certs(young), want: pki.NotYetValid},
		"served root expired":            {chain: certs(old.NewLeaf(t, san), old), want: pki.Expired},
		"weak CA":                        {chain: certs(weak.NewLeaf(t, san)), file: certs(weak), want: pki.Weak},
		"weak CA served":                 {chain: certs(weak.NewLeaf(t, san), weak), want: pki.Weak},
		"SHA-1 below the root":           {chain: certs(sha1Mid.NewLeaf(t, san), sha1Mid, rsaRoot), want: pki.Weak},
		"SHA-1 below the file's root":    {chain: certs(sha1Mid.NewLeaf(t, san), sha1Mid), file: certs(rsaRoot), want: pki.Weak},
		"wrong name":                     {chain: certs(root.NewLeaf(t, testkit.SANs("a.corp")), root), file: certs(root), want: pki.WrongName},
		"common name only":               {chain: certs(root.NewLeaf(t, testkit.Subject(host)), root), want: pki.CommonNameOnly},
		"leaf expired":                   {chain: certs(root.NewLeaf(t, san, testkit.Expired()), root), want: pki.Expired},
		"offline, nothing":               {want: pki.UnknownIssuer},
		"offline, getcert alone":         {getcert: certs(root), want: pki.UnknownIssuer},
		"offline, leaf":                  {file: certs(leaf), want: pki.NotACA},
		"offline, posing":                {file: certs(posing), want: pki.NotACA},
		"offline, other name":            {file: certs(testkit.NewSelfSigned(t, testkit.SANs("a.corp"))), want: pki.WrongName},
		"offline, expired":               {file: certs(old), want: pki.Expired},
		"offline, not yet valid":         {file: certs(young), want: pki.NotYetValid},
		"offline, weak":                  {file: certs(weak), want: pki.Weak},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := pki.Choose(pki.Request{Name: host, Chain: c.chain, File: c.file, Getcert: c.getcert, Now: time.Now()})
			wantProblem(t, err, c.want)
			if a.Cert != nil {
				t.Errorf("an anchor beside the error: %s", a.Cert.Subject)
			}
			if msg := err.Error(); msg == "" || strings.HasSuffix(msg, ".") {
				t.Errorf("message %q", msg)
			}
		})
	}
}

func TestChooseShowsBothWhenTheFingerprintNamesNeither(t *testing.T) {
	t.Parallel()
	root, other := testkit.NewCA(t), testkit.NewCA(t)
	leaf := root.NewLeaf(t, testkit.SANs(host))
	for name, c := range map[string]struct {
		r    pki.Request
		leaf *x509.Certificate
	}{
		"served":       {pki.Request{Chain: testkit.Chain(leaf, root)}, leaf.Certificate},
		"with a file":  {pki.Request{Chain: testkit.Chain(leaf), File: testkit.Chain(root, other)}, leaf.Certificate},
		"file offline": {pki.Request{File: testkit.Chain(root)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for want, of := range map[pki.Fingerprint]func(*x509.Certificate) pki.Fingerprint{
				pki.SHA256(testkit.NewCA(t).Certificate): pki.SHA256,
				pki.SHA1(other.Certificate):              pki.SHA1,
			} {
				r := c.r
				r.Name, r.Want, r.Now = host, want, time.Now()
				_, err := pki.Choose(r)
				var m *pki.MismatchError
				if !errors.As(err, &m) || m.Want != want || m.Anchor != root.Certificate || m.Leaf != c.leaf {
					t.Fatalf("%+v, %v", m, err)
				}
				shown := []string{want.String(), of(root.Certificate).String()}
				if c.leaf != nil {
					shown = append(shown, of(c.leaf).String())
				}
				for _, s := range shown {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%q does not show %s", err, s)
					}
				}
			}
		})
	}
}

// A leaf's fingerprint vouches for the handshake, not for a CA that is not there.
func TestChooseTakesNoAnchorFromALeafFingerprintAlone(t *testing.T) {
	t.Parallel()
	leaf := testkit.NewCA(t).NewLeaf(t, testkit.SANs(host))
	want := pki.SHA256(leaf.Certificate)
	_, err := pki.Choose(pki.Request{Name: host, Chain: testkit.Chain(leaf), Want: want, Now: time.Now()})
	wantProblem(t, err, pki.UnknownIssuer)
	_, err = pki.Choose(pki.Request{Name: host, Want: want, Now: time.Now()})
	wantProblem(t, err, pki.UnknownIssuer)
}

func TestChooseOfflineNeedsANameForOneOfSeveral(t *testing.T) {
	t.Parallel()
	file := testkit.Chain(testkit.NewCA(t), testkit.NewCA(t))
	if _, err := pki.Choose(pki.Request{Name: host, File: file, Now: time.Now()}); !errors.Is(err, pki.ErrUnnamed) {
		t.Error(err)
	}
}

// MD5 has been forged, so that only the signature of a root may be made with it.
func TestMD5CountsOnlyAboveTheRoot(t *testing.T) {
	t.Parallel()
	root := testkit.NewCA(t, testkit.WithKey(testkit.RSAKey(t, 2048)))
	leaf := root.NewLeaf(t, testkit.SANs(host))
	rootMD5, leafMD5 := asMD5(t, root.Certificate), asMD5(t, leaf.Certificate)
	if a, err := pki.Choose(pki.Request{Name: host, Chain: []*x509.Certificate{leaf.Certificate, rootMD5}, Now: time.Now()}); err != nil || a.Cert != rootMD5 {
		t.Errorf("root: %v", err)
	}
	_, err := pki.Choose(pki.Request{Name: host, Chain: []*x509.Certificate{leafMD5, root.Certificate}, Now: time.Now()})
	wantProblem(t, err, pki.Weak)
	selfMD5 := asMD5(t, testkit.NewSelfSigned(t, testkit.SANs(host), testkit.WithKey(root.Key)).Certificate)
	_, err = pki.Choose(pki.Request{Name: host, Chain: []*x509.Certificate{selfMD5}, Now: time.Now()})
	wantProblem(t, err, pki.Weak)
}

func TestSHA1DoesNotCountOnARoot(t *testing.T) {
	t.Parallel()
	root := testkit.NewCA(t, testkit.WithKey(testkit.RSAKey(t, 2048)), sha1Signed)
	leaf := root.NewLeaf(t, testkit.SANs(host))
	if _, err := pki.Choose(pki.Request{Name: host, Chain: testkit.Chain(leaf, root), Now: time.Now()}); err != nil {
		t.Error(err)
	}
}

func TestDSAKeysAreWeak(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/dsa-ca.pem") // Go makes no DSA certificates
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pki.Choose(pki.Request{Name: host, File: certs, Want: pki.SHA256(certs[0]), Now: certs[0].NotBefore.Add(time.Hour)})
	wantProblem(t, err, pki.Weak)
}

func TestChooseWarns(t *testing.T) {
	t.Parallel()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	in := func(d time.Duration) testkit.CertOption {
		return testkit.Validity(now.Add(-time.Hour), now.Add(d+time.Minute))
	}
	const day = 24 * time.Hour
	plain := testkit.NewCA(t)
	for name, c := range map[string]struct {
		ca   *testkit.Cert
		want pki.Fingerprint
		says string // "": no warning
	}{
		"nothing":      {plain, pki.Fingerprint{}, ""},
		"SHA-256":      {plain, pki.SHA256(plain.Certificate), ""},
		"SHA-1":        {plain, pki.SHA1(plain.Certificate), "SHA-1"},
		"31 days":      {testkit.NewCA(t, in(31*day)), pki.Fingerprint{}, ""},
		"29 days":      {testkit.NewCA(t, in(29*day)), pki.Fingerprint{}, "expires in 29 days"},
		"one day":      {testkit.NewCA(t, in(day)), pki.Fingerprint{}, "expires in 1 day"},
		"hours":        {testkit.NewCA(t, in(time.Hour)), pki.Fingerprint{}, "expires within a day"},
		"intermediate": {plain.NewIntermediate(t), pki.Fingerprint{}, "not a root"},
		"Ed25519":      {testkit.NewCA(t, testkit.WithKey(edKey)), pki.Fingerprint{}, "Ed25519"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf := c.ca.NewLeaf(t, testkit.SANs(host), in(time.Hour))
			a, err := pki.Choose(pki.Request{Name: host, Chain: testkit.Chain(leaf, c.ca), Want: c.want, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			switch all := strings.Join(a.Warnings, "; "); {
			case c.says == "" && all != "":
				t.Errorf("warns: %s", all)
			case len(a.Warnings) > 1 || !strings.Contains(all, c.says):
				t.Errorf("%q, want %q", all, c.says)
			}
		})
	}
}

// Whatever is served and given, an anchor verifies the chain by itself, and
// its own fingerprint chooses it again.
func TestChosenAnchorsVerify(t *testing.T) {
	t.Parallel()
	root := testkit.NewCA(t, vmware)
	twin := testkit.NewCA(t, vmware)
	mid := root.NewIntermediate(t, vmware)
	pool := testkit.Chain(root, twin, mid, root.NewLeaf(t, testkit.SANs(host)), mid.NewLeaf(t, testkit.SANs(host)),
		twin.NewLeaf(t, testkit.SANs(host)), testkit.NewSelfSigned(t, testkit.SANs(host), vmware), testkit.NewCA(t, testkit.Expired()))
	some := rapid.SliceOfN(rapid.SampledFrom(pool), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		r := pki.Request{
			Name: host, Now: time.Now(),
			Chain: some.Filter(func(c []*x509.Certificate) bool { return len(c) > 0 }).Draw(t, "chain"),
			File:  some.Draw(t, "file"), Getcert: some.Draw(t, "getcert"),
		}
		a, err := pki.Choose(r)
		if err != nil {
			return
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.Cert)
		if err := pki.Judge(r.Chain, roots, host, r.Now); err != nil {
			t.Fatalf("the anchor does not verify the chain: %v", err)
		}
		if a.Leaf != a.Cert.Equal(r.Chain[0]) {
			t.Fatalf("leaf %v", a.Leaf)
		}
		r.Want = pki.SHA256(a.Cert)
		again, err := pki.Choose(r)
		if err != nil || !again.Cert.Equal(a.Cert) || again.Matched != pki.MatchedAnchor {
			t.Fatalf("its fingerprint chooses %v, %v", again, err)
		}
	})
}

func TestCheckChainFollowsSignatures(t *testing.T) {
	t.Parallel()
	root, stranger := testkit.NewCA(t), testkit.NewCA(t)
	mid := root.NewIntermediate(t)
	leaf := mid.NewLeaf(t, testkit.SANs(host))
	chain := testkit.Chain(leaf, stranger, mid, root)
	for _, c := range []*testkit.Cert{leaf, mid, root} {
		if err := pki.CheckChain(chain, nil, time.Now(), pki.SHA256(c.Certificate)); err != nil {
			t.Error(err)
		}
	}
	if err := pki.CheckChain(chain, nil, time.Now(), pki.Fingerprint{}); err != nil {
		t.Error(err)
	}
	for name, chain := range map[string][]*x509.Certificate{
		"stranger in the chain": chain, "leaf alone": testkit.Chain(leaf), "nothing": nil,
	} {
		var m *pki.MismatchError
		if err := pki.CheckChain(chain, nil, time.Now(), pki.SHA256(stranger.Certificate)); !errors.As(err, &m) || err.Error() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asMD5 is c with the algorithm of its signature changed to MD5 with RSA.
func asMD5(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	sha256OID := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b} // 1.2.840.113549.1.1.11
	md5OID := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04}
	changed, err := x509.ParseCertificate(bytes.ReplaceAll(c.Raw, sha256OID, md5OID))
	if err != nil || changed.SignatureAlgorithm != x509.MD5WithRSA {
		t.Fatalf("%v, %v", changed.SignatureAlgorithm, err)
	}
	return changed
}
