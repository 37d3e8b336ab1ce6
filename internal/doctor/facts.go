package doctor

import (
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"net/url"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// Facts are what the checks so far found out. A check gets a copy and hands
// back what it adds.
type facts struct {
	limit time.Duration // of the check that is under way

	proxy     *url.URL // nil: none
	addresses []netip.Addr

	system  *x509.CertPool // the system's roots alone
	roots   *x509.CertPool // all that count for the host
	sources trust.Sources

	report  probe.Report
	problem string // why the chain does not verify, for those that depend on it; "": it does, or there is none
	harbor  *harbor.Info

	scheme  string   // how the registry asks who one is: "bearer", "basic", ""
	realm   *url.URL // of "bearer"
	service string
	agreed  bool // credentials may go to the realm
	mended  bool // the system's roots alone verify the realm

	kept        keptFacts
	credentials auth.Credentials
	source      auth.Source
	session     *session // how the registry is asked from here on; nil: it cannot be

	pullDenied bool

	engines []engineFacts
}

// plain says whether the registry speaks HTTP in clear.
func (f facts) plain() bool { return f.report.Verdict == probe.PlainHTTP }

// config is how the registry is spoken to.
func (d *doctor) config(f facts) wire.Config {
	c := d.o.Wire
	c.Host, c.Roots, c.PlainHTTP, c.Now = d.target.Host, f.roots, f.plain(), d.o.Now
	c.InsecureSkipVerify, c.AllowCredentials = false, false
	c.Realms = d.policy().Origins(d.target.Host)
	if c.Silence <= 0 || c.Silence > f.limit {
		c.Silence = f.limit
	}
	c.Sleep = impatient
	return c
}

func (d *doctor) policy() auth.Policy {
	mark := d.o.Marks.Of(d.target.Host)
	return auth.Policy{Realm: mark.Realm, AllowClear: mark.Clear}
}

// secrets are what must not be in the report, whoever repeats it to us.
func (f facts) secrets() []string {
	c := f.credentials
	all := []string{c.Password, c.IdentityToken, c.RegistryToken}
	if c.Password != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)), url.QueryEscape(c.Password), url.PathEscape(c.Password))
	}
	if f.session != nil {
		all = append(all, f.session.tokens()...)
	}
	if f.proxy != nil && f.proxy.User != nil {
		password, _ := f.proxy.User.Password()
		all = append(all, password, f.proxy.User.String())
	}
	return all
}
