package doctor

import (
	"context"
	"path"

	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/wire"
)

// buildkit: whoever runs docker build fetches the tokens in that very process,
// which knows the system's roots alone (buildx commands/build.go;
// session/auth/authprovider).
func (d *doctor) buildkit(ctx context.Context, f facts) outcome {
	m := d.o.Machine
	switch {
	case !m.Docker.Found && len(m.Docker.Variants) == 0 && !m.BuildKit.Found:
		return skip("neither docker nor buildx is here")
	case f.plain():
		return skip("tokens over plain HTTP need no CA")
	case f.scheme != bearer:
		return skip("the registry has no token server")
	case !f.agreed:
		return skip("see realm")
	case f.problem != "":
		return skip("see tls")
	}
	mended := f.report.Verdict == probe.Public
	if wire.OriginOf(f.realm) != wire.New(d.config(f)).Origin() {
		alone := f
		alone.roots = f.system
		_, err := d.askRealm(ctx, alone)
		if err != nil && wire.KindOf(err) != wire.TLS {
			return skip("see realm")
		}
		mended = err == nil
	}
	if mended {
		return ok("the system's own CAs vouch for the token server").with(func(f *facts) { f.mended = true })
	}
	dir := m.Docker.CertsDir + "/" + d.target.Host.String()
	if len(f.sources.Files) > 0 {
		dir = path.Dir(f.sources.Files[0])
	}
	o := warn("docker build fetches tokens with the system's CAs alone, and they do not vouch for the token server: a FROM of a private image fails")
	o = o.try("BUILDKIT_NO_CLIENT_TOKEN=1 docker build .")
	if m.GOOS == "linux" {
		o = o.try("or: SSL_CERT_DIR=/etc/ssl/certs:" + word(dir) + " docker build .")
	}
	return o.try("or, for every program: vicr trust " + word(d.target.Host.String()) + " --for system")
}
