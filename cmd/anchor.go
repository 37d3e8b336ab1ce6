package cmd

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// found is what trust learned about a registry's CA.
type found struct {
	anchor pki.Anchor
	public bool // trusted by the system already: nothing to do
}

// findAnchor finds the one certificate that makes h trusted, in the order of
// --ca-file, the registry's own CA download, the chain it shows.
func (a *app) findAnchor(ctx context.Context, h ref.Host, o trustOptions) (found, error) {
	req := pki.Request{Name: h.Name(), Want: o.fingerprint, Now: a.env.Now(), Chain: o.chain}
	var (
		r    probe.Report
		down download
		err  error
	)
	if o.caFile != "" {
		if req.File, err = a.readBundle(o.caFile); err != nil {
			return found{}, err
		}
	}
	if !o.offline {
		if r, err = a.look(ctx, h); err != nil {
			return found{}, err
		}
		req.Chain = r.Chain
		if r.Verdict == probe.Public && o.caFile == "" {
			if req.System = a.ownRoots(r); req.System == nil {
				return found{public: true}, a.checkPublic(r.Chain, o.fingerprint)
			}
		}
		if o.caFile == "" {
			if down, err = a.download(ctx, h, r); err != nil {
				return found{}, err
			}
			req.Getcert = down.certs
		}
	}
	anchor, err := pki.Choose(req)
	if err != nil && down.adminOnly {
		if down.certs, err = a.downloadAsAdmin(ctx, h, down, req, err); err != nil {
			return found{}, err
		}
		req.Getcert = down.certs
		anchor, err = pki.Choose(req)
	}
	if err != nil {
		return found{}, down.judged(h, err)
	}
	a.sayWhichCA(h, down, anchor)
	a.warnOfRealm(ctx, h, r, anchor)
	return found{anchor: anchor}, nil
}

// ownRoots are the roots of the system that are there because of vicr and vouch
// for what was seen.
func (a *app) ownRoots(r probe.Report) []*x509.Certificate {
	return trust.OwnRoots(a.machine(), r.Host, r.Chain, a.env.Now())
}

// checkPublic holds a fingerprint, if one was given, against what the system trusts.
func (a *app) checkPublic(chain []*x509.Certificate, want pki.Fingerprint) error {
	system, err := trust.System()
	if err != nil {
		return err
	}
	return pki.CheckChain(chain, system, a.env.Now(), want)
}

// look asks the host what it shows, and refuses what no CA could mend.
func (a *app) look(ctx context.Context, h ref.Host) (probe.Report, error) {
	system, err := trust.System()
	if err != nil {
		return probe.Report{}, err
	}
	r, err := probe.Host(ctx, h, probe.Options{System: system, Now: a.env.Now, Proxy: a.proxy(), Timeout: a.flags.timeout})
	if err != nil {
		return r, err
	}
	switch r.Verdict {
	case probe.PlainHTTP:
		return r, &consentError{
			what: h.String() + " speaks plain HTTP: there is no certificate to trust",
			hints: []string{
				"pull, push, login and ls speak it with --plain-http, and Docker and others after: vicr trust --insecure " + h.String(),
				"everyone on the way can read and change what is moved, passwords too",
			},
		}
	case probe.WrongName, probe.CommonNameOnly, probe.Expired, probe.NotYetValid:
		return r, r.CertErr
	case probe.OnlyV1:
		return r, &consentError{what: h.String() + " is a registry of the first generation, which no current client speaks"}
	case probe.NotRegistry:
		return r, &consentError{what: fmt.Sprintf("%s is no registry: it answers /v2/ with status %d", h, r.Status), hints: []string{"check the address and the port"}}
	}
	return r, nil
}
