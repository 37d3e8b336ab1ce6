package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	bearer = "bearer"
	basic  = "basic"
)

// transport is the way to the registry: verified, or, where that fails, pinned
// to the certificate that was seen, over which no credentials go.
func (d *doctor) transport(f facts) *wire.Transport {
	if f.problem != "" {
		return wire.Pinned(d.config(f), f.report.Chain[0])
	}
	return wire.New(d.config(f))
}

// api says what answers there.
func (d *doctor) api(ctx context.Context, f facts) outcome {
	r, h := f.report, d.target.Host
	switch {
	case r.ClientCert && d.o.Wire.ClientCert == nil:
		return fail("it tells nothing without a client certificate").
			try("vicr trust " + word(h.String()) + " --client-cert FILE --client-key FILE")
	case r.ClientCert:
		return d.behindClientCert(ctx, f)
	case r.Verdict == probe.OnlyV1:
		return fail("a registry of the first generation, which no current client speaks").try("ask its administrator to bring it up to date")
	case r.Status == 0:
		return fail("it leads to another host: no registry does").try("check the address", "curl -vk "+d.url(f, "/v2/"))
	case r.Status >= http.StatusInternalServerError:
		return fail("it answers /v2/ with status %d: the registry, or what stands in front of it, is ill", r.Status).
			try("ask the administrator of " + h.String() + "; run this again later")
	case !r.Registry:
		return fail("this is no registry: it answers /v2/ with status %d", r.Status).
			try("check the address and the port", "curl -vk "+d.url(f, "/v2/"))
	}
	w := d.transport(f)
	defer w.CloseIdleConnections()
	scheme, realm := challenge(r)
	info, isHarbor, err := harbor.NewClient(w, w.Base()).Detect(ctx, r.Service)
	if err != nil {
		return warn("a registry (status %d), which did not say of which kind: %s", r.Status, wireWhy(err, f.limit)).
			try("run it again; if it stays, ask the administrator of " + h.String()).
			with(func(f *facts) { f.scheme, f.realm, f.service = scheme, realm, r.Service })
	}
	learn := func(f *facts) {
		f.scheme, f.realm, f.service = scheme, realm, r.Service
		if isHarbor {
			f.harbor = &info
		}
	}
	return ok("%s, /v2/ answers %d", kind(info, isHarbor), r.Status).with(learn)
}

// behindClientCert: the probe shows no client certificate, this one does.
func (d *doctor) behindClientCert(ctx context.Context, f facts) outcome {
	if f.problem != "" {
		return skip("no client certificate is shown to a server that was not verified")
	}
	w := wire.New(d.config(f))
	defer w.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Base().String()+"/v2/", http.NoBody)
	if err != nil {
		return fail("%v", err)
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return fail("%s", wireWhy(err, f.limit)).
			try("vicr trust " + word(d.target.Host.String()) + " --client-cert FILE --client-key FILE")
	}
	_ = resp.Body.Close() // its header is all that counts
	scheme, _ := challenge(probe.Report{Challenge: resp.Header.Get("Www-Authenticate")})
	return ok("the client certificate is accepted, /v2/ answers %d", resp.StatusCode).with(func(f *facts) { f.scheme = scheme })
}

func kind(info harbor.Info, isHarbor bool) string {
	if !isHarbor {
		return "a registry of the Distribution API"
	}
	s := "Harbor"
	if info.Generation > 0 {
		s += " " + strconv.Itoa(info.Generation) + ".x"
	}
	if info.Version != "" {
		s += " (" + info.Version + ")"
	}
	if info.Admiral {
		s += ", of vSphere Integrated Containers"
	}
	return s
}

// challenge says how the registry wants to be told who one is.
func challenge(r probe.Report) (scheme string, realm *url.URL) {
	word, _, _ := strings.Cut(strings.TrimSpace(r.Challenge), " ")
	switch strings.ToLower(word) {
	case basic:
		return basic, nil
	case bearer:
		u, err := url.Parse(r.Realm)
		if err != nil || u.Hostname() == "" {
			u = nil
		}
		return bearer, u
	}
	return "", nil
}

// realm looks at where tokens are given.
func (d *doctor) realm(ctx context.Context, f facts) outcome {
	h := d.target.Host
	admin := "the administrator of " + h.String() + " has to mend the address that it sends clients to (Harbor: hostname or external_url in harbor.yml)"
	switch {
	case f.report.ClientCert:
		return skip("not known behind a client certificate")
	case f.scheme == "":
		return skip("the registry asks nobody who they are")
	case f.scheme == basic:
		return skip("the registry takes passwords itself")
	case f.realm == nil:
		return fail("tokens are to be had at %s, which is no address", strconv.Quote(f.report.Realm)).try(admin)
	case f.realm.User != nil || f.realm.Scheme != "http" && f.realm.Scheme != "https":
		return fail("tokens are to be had at %s, where no credentials go", wire.Redact(f.realm)).try(admin)
	case f.realm.Scheme == "http" && !f.plain():
		return fail("tokens are to be had over plain HTTP, at %s, and the registry itself speaks HTTPS", wire.Redact(f.realm)).try(admin)
	}
	origin := wire.OriginOf(f.realm)
	if !d.mayKnow(f) {
		return fail("tokens are to be had at %s, on another host, which nobody agreed to", wire.Redact(f.realm)).
			try("if that host may have your password: "+d.loginLines(f, " --realm "+word(origin))[0], admin)
	}
	agreed := func(f *facts) { f.agreed = true }
	own := sameHost(f.realm.Hostname(), h.Endpoint().Name())
	if f.problem != "" {
		return skip("tokens are to be had at %s; nothing more is asked before the registry is trusted", wire.Redact(f.realm)).with(agreed)
	}
	status, err := d.askRealm(ctx, f)
	if err != nil {
		return d.realmFault(f, err)
	}
	where := "on the registry's own host"
	if !own {
		where = "on another host, as agreed at login"
	}
	if f.plain() {
		return ok("%s, %s, status %d", wire.Redact(f.realm), where, status).with(agreed)
	}
	return ok("%s, %s, its certificate verifies, status %d", wire.Redact(f.realm), where, status).with(agreed)
}

// mayKnow says whether credentials may go to the realm: an origin of the
// registry's, one that was agreed to, or that of Docker Hub.
func (d *doctor) mayKnow(f facts) bool {
	h, origin := d.target.Host, wire.OriginOf(f.realm)
	base := wire.New(d.config(f)).Base()
	if origin == wire.OriginOf(base) {
		return true
	}
	for _, agreed := range d.policy().Origins(h) {
		if origin == agreed {
			return true
		}
	}
	return h.Endpoint().Name() == "registry-1.docker.io" && origin == "https://auth.docker.io:443"
}

func sameHost(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x == y
	}
	return strings.EqualFold(a, b)
}

// askRealm asks the token service for a token for nobody and nothing.
func (d *doctor) askRealm(ctx context.Context, f facts) (status int, err error) {
	w := wire.New(d.config(f))
	defer w.CloseIdleConnections()
	u := *f.realm
	q := u.Query()
	if f.service != "" {
		q.Set("service", f.service)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (d *doctor) realmFault(f facts, err error) outcome {
	shown := wire.Redact(f.realm)
	var bad *pki.CertError
	switch {
	case errors.As(err, &bad) && bad.Problem == pki.UnknownIssuer:
		o := fail("%s: the CAs for %s do not cover it: %v", shown, d.target.Host, bad)
		return o.try(d.coverRealm(f)...)
	case errors.As(err, &bad):
		return fail("%s: %v", shown, bad).try("ask its administrator for another certificate")
	}
	return fail("%s cannot be asked: %s", shown, wireWhy(err, f.limit)).
		try("curl -v "+word(f.realm.Scheme+"://"+f.realm.Host+f.realm.EscapedPath()), "ask the administrator of "+d.target.Host.String())
}

// coverRealm lays the CA of a token service beside that of the registry: vicr
// and docker take it from there.
func (d *doctor) coverRealm(_ facts) []string {
	m, h := d.o.Machine, d.target.Host
	lines := []string{}
	if m.Dirs.Config != "" {
		lines = append(lines, layCA("", m.Join(m.Dirs.Config, "certs.d", h.Folder()), m.Join("", "/realm.crt")))
	}
	if m.Docker.CertsDir != "" && m.Docker.Found {
		lines = append(lines, layCA("sudo ", m.Join(m.Docker.CertsDir, h.String()), m.Join("", "/realm.crt")))
	}
	return append(lines, "or a CA that covers both: vicr trust "+word(h.String())+" --ca-file FILE")
}
