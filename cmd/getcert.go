package cmd

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A download is what a Harbor gave when it was asked for its CA.
type download struct {
	certs     []*x509.Certificate
	adminOnly bool           // it gives it to administrators alone
	admiral   bool           // inside VIC, where no password opens that
	broken    *downloadError // what it gave is of no use; the chain may do
}

// A downloadError says that what a registry gives out as its CA is of no use.
type downloadError struct {
	host ref.Host
	err  error
}

func (e *downloadError) Error() string {
	return "the CA that " + e.host.String() + " gives out: " + e.err.Error()
}
func (e *downloadError) Unwrap() error { return e.err }

// download asks a Harbor for its CA, over a connection pinned to the very
// certificate that the probe saw, without credentials. A private key in it is
// an error, whatever else there is; the rest leaves the chain to try.
func (a *app) download(ctx context.Context, h ref.Host, r probe.Report) (download, error) {
	if len(r.Chain) == 0 {
		return download{}, nil
	}
	w := wire.Pinned(a.wireConfig(h), r.Chain[0])
	defer w.CloseIdleConnections()
	c := harbor.NewClient(w, w.Base())
	info, isHarbor, err := c.Detect(ctx, r.Service)
	if err != nil || !isHarbor {
		return download{}, err
	}
	data, err := c.CA(ctx, info.Generation)
	switch {
	case err == nil:
		return readDownload(h, data)
	case is[*harbor.NoCAError](err):
		return download{}, nil
	case is[*harbor.LoginNeededError](err):
		return download{adminOnly: true, admiral: info.Admiral}, nil
	case is[*harbor.AnswerError](err):
		return download{broken: &downloadError{h, err}}, nil
	}
	return download{}, err
}

func readDownload(h ref.Host, data []byte) (download, error) {
	certs, err := pki.ParseBundle(data)
	switch {
	case err == nil:
		return download{certs: certs}, nil
	case errors.Is(err, pki.ErrPrivateKey):
		return download{}, &downloadError{h, err}
	}
	return download{broken: &downloadError{h, err}}, nil
}

// judged is err, which says that no CA will do, with where the bad one is from.
func (d download) judged(h ref.Host, err error) error {
	var c *pki.CertError
	switch {
	case d.broken != nil:
		return d.broken
	case errors.As(err, &c) && c.Cert != nil && holds(d.certs, c.Cert):
		return &downloadError{h, err}
	}
	return err
}

func holds(certs []*x509.Certificate, c *x509.Certificate) bool {
	for _, one := range certs {
		if one.Equal(c) {
			return true
		}
	}
	return false
}

// sayWhichCA says what else was given out than the CA that was taken.
func (a *app) sayWhichCA(h ref.Host, d download, anchor pki.Anchor) {
	switch {
	case d.broken != nil:
		a.warn("%s; taken from the chain instead", d.broken)
	case len(d.certs) == 1 && anchor.From == pki.FromChain:
		a.warn("what %s gives out for download is not its CA; taken from the chain instead", h)
	case len(d.certs) > 1:
		a.note("%s gives out %d certificates; the one that vouches for it is taken", h, len(d.certs))
	}
}

// An adminCAError says that the CA is for administrators, and nobody may be
// asked to log in as one.
type adminCAError struct {
	host    ref.Host
	leaf    *x509.Certificate
	matched bool // a fingerprint named the leaf
	admiral bool
	err     error // that of the choice
}

func (e *adminCAError) Error() string {
	why := "it does not come with the certificate that is served, and Harbor before 1.7 gives it to administrators only"
	if is[*pki.MismatchError](e.err) {
		return e.err.Error() + "; the CA is not known: " + why
	}
	return "no CA was found: " + why
}

const askAgain = "ask the administrator of the registry for the fingerprint again; if it stays different, somebody may be in between"

func adminCAHints(err error, host string) []string {
	var e *adminCAError
	errors.As(err, &e)
	trust := "vicr trust " + host + " --fingerprint " + pki.SHA256(e.leaf).String()
	hints := []string{"take the file from the server, where it is /data/ca_download/ca.crt, in VIC /opt/vmware/fileserver/cert/ca.crt; then: vicr trust " + host + " --ca-file ca.crt"}
	var other *pki.MismatchError
	switch {
	case errors.As(e.err, &other): // who answers may be somebody else: no word on how to trust that
		return []string{askAgain, "if it is that of the CA: " + hints[0] + " --fingerprint " + other.Want.String()}
	case e.admiral:
		return hints
	case e.matched:
		return append([]string{"at a terminal, this asks for an administrator's name and password: " + trust}, hints...)
	}
	return append([]string{
		"the certificate that the server shows has the fingerprint " + pki.SHA256(e.leaf).String() + "; ask who runs the server whether that is right",
		"if it is, an administrator of the registry can fetch the CA, at a terminal: " + trust,
	}, hints...)
}

// downloadAsAdmin fetches the CA with an administrator's password. It goes to
// nobody but the holder of the certificate that a fingerprint has named, and is
// asked for at a terminal only.
func (a *app) downloadAsAdmin(ctx context.Context, h ref.Host, d download, req pki.Request, why error) ([]*x509.Certificate, error) {
	var c *pki.CertError
	if errors.As(why, &c) && c.Problem != pki.UnknownIssuer {
		return nil, why
	}
	if m, ok := errors.AsType[*pki.MismatchError](why); ok && m.Anchor != nil {
		return nil, why // the CA came with the chain, and is another one
	}
	leaf := req.Chain[0]
	matched := !req.Want.IsZero() && req.Want.Matches(leaf)
	if !matched || d.admiral || !a.interactive() {
		return nil, &adminCAError{host: h, leaf: leaf, matched: matched, admiral: d.admiral, err: why}
	}
	if req.Want.Weak() {
		a.warn("the fingerprint is SHA-1, for which collisions can be made")
	}
	a.note("%s serves the certificate with that fingerprint; it gives its CA to administrators only, as Harbor before 1.7 does", h)
	var creds auth.Credentials
	var err error
	if creds.Username, err = a.askText(ctx, "Administrator of "+h.String()+":"); err != nil {
		return nil, err
	}
	if creds.Password, err = a.askSecret(ctx, "Password:"); err != nil {
		return nil, err
	}
	if err := creds.Check(); err != nil {
		return nil, err
	}
	config := a.wireConfig(h)
	config.AllowCredentials = true
	w := wire.Pinned(config, leaf)
	defer w.CloseIdleConnections()
	data, err := harbor.NewClient(w, w.Base()).CAAsAdmin(ctx, creds.Username, creds.Password)
	if err != nil {
		return nil, err
	}
	given, err := readDownload(h, data)
	if err == nil && given.broken != nil {
		err = given.broken
	}
	return given.certs, err
}

// warnOfRealm says what a login will meet when the registry sends it to another
// host than h: Harbor 1.x has one name for itself, whatever name was typed. The
// CA has to vouch for that name too.
func (a *app) warnOfRealm(ctx context.Context, h ref.Host, r probe.Report, anchor pki.Anchor) {
	realm, ok := auth.RealmHost(r.Realm)
	if !ok || auth.SameHost(realm.Name(), h.Endpoint().Name()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	own := realm.Canonical()
	system, err := trust.System()
	if err != nil {
		return
	}
	shown, err := probe.Host(ctx, realm, probe.Options{System: system, Now: a.env.Now, Proxy: a.proxy(), Timeout: a.flags.timeout})
	pool := x509.NewCertPool()
	pool.AddCert(anchor.Cert)
	switch {
	case err != nil:
		a.warn("%s sends logins to %s, which cannot be reached from here: this machine has to know that name", h, own)
	case shown.Verdict == probe.Public:
		a.warn("%s sends logins to %s: vicr login asks before a password goes there", h, own)
	case pki.Judge(shown.Chain, pool, realm.Name(), a.env.Now()) != nil:
		a.warn("%s sends logins to %s, whose certificate this CA does not vouch for: vicr trust %s", h, own, own)
	default:
		a.warn("%s sends logins to %s, for which this CA vouches too; use that name: vicr trust %s, vicr login %s", h, own, own, own)
	}
}

// keyHints: a key that everybody can download is lost.
func keyHints(err error, host string) []string {
	if !is[*downloadError](err) {
		return nil
	}
	return []string{
		"tell its administrator: everybody can download that key and pose as the registry, which needs a new one",
		"to go on, get the certificate of the CA alone, then: vicr trust " + host + " --ca-file FILE",
	}
}

func downloadHints(err error, host string) []string {
	var c *pki.CertError
	if errors.As(err, &c) {
		return certHints(err, host)
	}
	return nil
}

// expiredHints: a VIC appliance makes no new certificate as long as its name
// and address stay, so all that are still there have run into this.
func expiredHints(c *pki.CertError, host string) []string {
	hints := []string{"check this machine's clock; if it is right, the administrator must renew the certificate"}
	if c.Problem == pki.Expired {
		hints = append(hints,
			"a VIC appliance does not renew it by itself: its administrator gives it another, CA included, and then: vicr trust "+host,
			"until then nothing proves who answers there; if that may be: vicr trust --insecure "+host)
	}
	return hints
}
