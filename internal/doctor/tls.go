package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	soon      = 30 * 24 * time.Hour // before its end, a certificate is to be renewed
	clockSlip = 24 * time.Hour      // by which two clocks are not only a little apart
)

// anchors reads what this machine trusts.
func (d *doctor) anchors(context.Context, facts) outcome {
	const remedy = "unset SSL_CERT_FILE SSL_CERT_DIR"
	system, err := trust.System()
	if err != nil {
		return fail("%v", err).try(remedy)
	}
	anchors := trust.Anchors(d.o.Machine, d.target.Host)
	roots, err := anchors.All()
	if err != nil {
		return fail("%v", err).try(remedy)
	}
	return ok("").with(func(f *facts) { f.system, f.roots, f.sources = system, roots, anchors.Sources })
}

// scheme asks what the port speaks.
func (d *doctor) scheme(ctx context.Context, f facts) outcome {
	h := d.target.Host
	r, err := probe.Host(ctx, h, probe.Options{
		System: f.system, Now: d.o.Now, Proxy: d.o.Wire.Proxy, Timeout: d.silence(f), Sleep: impatient,
	})
	learned := func(f *facts) { f.report = r }
	switch {
	case err != nil:
		return d.schemeFault(err, f)
	case r.Verdict == probe.PlainHTTP:
		o := fail("plain HTTP on port %d, where https was expected: everyone on the way can read and change what is moved", port(h))
		if d.policy().AllowClear || len(trust.Unverified(d.o.Machine, h)) > 0 { // somebody decided so
			o.Verdict = Warn
		}
		o.goesOn = true
		return o.with(learned).try(
			"if there is an https port, use that: "+d.onPort(),
			"vicr pull --plain-http "+word(d.image())).try(d.insecureTools()...)
	case h.Port() == 80:
		return ok("HTTPS, on a port where others expect plain HTTP").with(learned)
	}
	return ok("HTTPS").with(learned)
}

func port(h ref.Host) int {
	if h.HasPort() {
		return h.Port()
	}
	return 80 // to which plain HTTP goes when none is named
}

func (d *doctor) silence(f facts) time.Duration {
	s := d.o.Wire.Silence
	if s <= 0 || s > f.limit-f.limit/6 {
		s = f.limit - f.limit/6 // so that it can say which part was silent
	}
	return s
}

func (d *doctor) schemeFault(err error, f facts) outcome {
	var proxied *wire.ProxyError
	curl := "curl -vk https://" + d.target.Host.Endpoint().String() + "/v2/"
	switch kind := wire.KindOf(err); {
	case errors.As(err, &proxied) && proxied.Status == http.StatusProxyAuthRequired:
		return fail("the proxy %s wants a login", proxied.Proxy).try("HTTPS_PROXY=http://USER:PASSWORD@" + proxied.Proxy + " vicr doctor " + word(d.target.Host.String()))
	case errors.As(err, &proxied) && proxied.Status != 0:
		return fail("the proxy %s does not let this host through: status %d", proxied.Proxy, proxied.Status).
			try("ask who runs the proxy, or leave it aside: NO_PROXY=" + d.target.Host.Endpoint().Name() + " vicr doctor " + word(d.target.Host.String()))
	case kind == wire.ProxyRefused:
		return fail("the proxy: %v", wireWhy(err, f.limit)).try("check HTTPS_PROXY")
	case kind == wire.NotHTTPS:
		return fail("it answers in plain HTTP on port %d, and not as a registry does", d.target.Host.Port()).try(curl)
	case kind == wire.TLS:
		return fail("it answers, but makes no TLS: %s", wireWhy(err, f.limit)).try("check the port", curl)
	case kind == wire.Silent, errors.Is(err, context.DeadlineExceeded):
		return fail("it takes connections and then says nothing: %s", wireWhy(err, f.limit)).
			try("the registry, or what stands in front of it, hangs: ask its administrator", curl)
	}
	return fail("%s", wireWhy(err, f.limit)).try(curl)
}

// tls judges what the server shows.
func (d *doctor) tls(ctx context.Context, f facts) outcome {
	if f.plain() {
		return skip("there is none: the registry speaks plain HTTP")
	}
	name, now := d.target.Host.Endpoint().Name(), d.o.Now()
	err := pki.Judge(f.report.Chain, f.roots, name, now)
	var bad *pki.CertError
	if errors.As(err, &bad) {
		o := d.certFault(ctx, f, bad)
		o.goesOn = true // what comes next asks without trust, and without credentials
		return o.with(func(f *facts) { f.problem = bad.Problem.String() })
	}
	leaf := f.report.Chain[0]
	seen := fmt.Sprintf("%s, certificate for %s", tls.VersionName(f.report.TLSVersion), few(pki.Describe(leaf).Names, 3))
	left := shortest(f.report.Chain).Sub(now)
	days := int(left.Hours() / 24)
	if left < soon {
		return warn("%s; it ends in %s", seen, plural(days, "day", "days")).
			try("the administrator of " + d.target.Host.String() + " has to renew it before " + shortest(f.report.Chain).UTC().Format("2006-01-02"))
	}
	return ok("%s, %s left", seen, plural(days, "day", "days"))
}

// shortest is when the first certificate of a chain ends.
func shortest(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

func (d *doctor) certFault(ctx context.Context, f facts, bad *pki.CertError) outcome {
	h := d.target.Host
	o := fail("%s", bad.Error())
	admin := "ask the administrator of " + h.String() + " for a certificate "
	switch bad.Problem {
	case pki.WrongName:
		for _, n := range bad.Names {
			// Only what can be typed: the names were chosen by whoever answers there.
			if other, err := ref.ParseHost(n); err == nil && len(o.Remedy) < 3 {
				o = o.try("vicr doctor " + withPort(other, h))
			}
		}
		return o.try(admin + "with a subjectAltName of " + h.Name())
	case pki.CommonNameOnly:
		return o.try(admin + "with a subjectAltName of " + h.Name() + ": no CA on this machine can mend this")
	case pki.Expired, pki.NotYetValid:
		return d.dateFault(ctx, f, o, admin)
	case pki.Weak:
		return o.try(admin + "with a key of 2048 bits and more, signed with SHA-256")
	case pki.UnknownIssuer:
		o.Seen += ", whose fingerprint is " + pki.SHA256(f.report.Chain[0]).String()
		if len(f.sources.Files) > 0 {
			return o.try("vicr trust " + word(h.String()) + " --fingerprint FP   # as the administrator says it: see ca")
		}
		return o.try("vicr trust " + word(h.String()))
	}
	return o.try(admin+"that follows the rules", "vicr trust "+word(h.String())+" --ca-file FILE")
}

func withPort(name, h ref.Host) string {
	if !h.HasPort() {
		return name.String()
	}
	s := name.Name()
	if strings.ContainsRune(s, ':') {
		s = "[" + s + "]"
	}
	return s + ":" + strconv.Itoa(h.Port())
}

// dateFault tells a wrong clock from a certificate that is out of date by what
// the server takes the time for, which nobody vouches for.
func (d *doctor) dateFault(ctx context.Context, f facts, o outcome, admin string) outcome {
	now, theirs := d.o.Now(), d.serverTime(ctx, f)
	if apart := theirs.Sub(now).Abs(); !theirs.IsZero() && apart > clockSlip {
		leaf := f.report.Chain[0]
		if theirs.After(leaf.NotBefore) && theirs.Before(leaf.NotAfter) {
			o.Seen = fmt.Sprintf("the clock of this machine seems wrong: it says %s, the server's says %s, and then the certificate is valid",
				now.UTC().Format("2006-01-02 15:04 MST"), theirs.UTC().Format("2006-01-02 15:04 MST"))
			return o.try("date", "sudo timedatectl set-ntp true")
		}
	}
	return o.try(admin+"that is valid today", "date   # if this machine's clock is wrong: sudo timedatectl set-ntp true")
}

// serverTime is the Date of an answer, zero if there is none.
func (d *doctor) serverTime(ctx context.Context, f facts) time.Time {
	w := wire.Pinned(d.config(f), f.report.Chain[0])
	defer w.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Base().String()+"/v2/", http.NoBody)
	if err != nil {
		return time.Time{}
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return time.Time{}
	}
	_ = resp.Body.Close() // its header is all that counts
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// ca says which anchors this machine has for the host, and whether they are
// what vouches for it.
func (d *doctor) ca(_ context.Context, f facts) outcome {
	if f.plain() {
		return skip("none is needed for plain HTTP")
	}
	own := f.sources.Files
	what := plural(len(own), "file", "files") + ": " + few(quoted(own), 3)
	ignored := ""
	if n := len(f.sources.Ignored); n > 0 {
		ignored = "; not readable: " + few(f.sources.Ignored, 2)
	}
	switch {
	case f.problem == pki.UnknownIssuer.String() && len(own) == 0:
		return skip("none is installed for %s%s", d.target.Host, ignored)
	case f.problem == pki.UnknownIssuer.String():
		return d.otherCA(f, what+ignored)
	case f.problem != "":
		return skip("no CA makes up for what tls says; %s", what)
	case f.report.Verdict == probe.Public:
		return ok("the system's own CAs vouch for it%s", ignored)
	case ignored != "":
		return warn("%s%s", what, ignored).try("look at what is named with ls -la; what writes it anew: vicr trust " + word(d.target.Host.String()))
	}
	return ok("%s (sha256 %s)", what, f.sources.Fingerprints[0].Colons())
}

// otherCA: there are anchors, and none vouches for what is shown.
func (d *doctor) otherCA(f facts, what string) outcome {
	chain := f.report.Chain
	top := chain[len(chain)-1]
	shown := strconv.Quote(pki.Describe(top).Issuer)
	if !pki.SelfSigned(top) {
		return fail("%s, and none vouches for the chain: its last certificate was issued by %s, which the server does not send: another CA, or a chain that lacks a certificate in between", what, shown).
			try("vicr trust "+word(d.target.Host.String()),
				"if the CA is right: the administrator has to add the missing certificate to what the server sends")
	}
	return fail("%s, and none vouches for the chain, which ends at another CA, %s: the registry has a new one, or somebody is in between", what, shown).
		try("ask the administrator for the new fingerprint, then: vicr trust " + word(d.target.Host.String()) + " --fingerprint FP")
}

func quoted(all []string) []string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = word(s)
	}
	return texts
}
