package cmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

type sandboxOptions struct {
	port      int
	dir       string
	plainHTTP bool
	like      string
}

type sandboxResult struct {
	Host        string
	Like        string
	Fingerprint string // of the CA; empty with --plain-http
	CA          string // in PEM
	Image       string
	Users       []sandboxUser

	offersCA bool // trust finds the CA by itself
}

type sandboxUser struct{ Name, Password string }

func newSandbox(a *app) *cobra.Command {
	var o sandboxOptions
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Run a throw-away registry on this machine, to try vicr out",
		Long: `Run a registry on 127.0.0.1 that behaves as Harbor does, with TLS from a CA of its
own, two users and two images. It ends at Ctrl-C and leaves nothing behind.

With --like it answers as another one does:

  harbor-1.1    the first Harbor appliance: the CA is for administrators alone
  harbor-1.5    as in vSphere Integrated Containers 1.4: the CA comes in the chain
  harbor-1.7    as in vSphere Integrated Containers 1.5: the CA is for everybody
  harbor-1.10   the last Harbor 1
  harbor-2.16   the default
  distribution  a plain registry without projects, whose users are in a htpasswd file

Harbor 1 lists only what was pushed in docker's own media types, and up to 1.6
only what docker pushed, or a client that calls itself docker, as vicr does.`,
		Example: "  vicr sandbox\n  vicr sandbox --port 5000\n  vicr sandbox --like harbor-1.7",
		Args:    exactly(0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return runSandbox(c.Context(), a, o) },
	}
	c.Flags().IntVar(&o.port, "port", 0, "the port to listen on; 0: one that is free")
	c.Flags().StringVar(&o.dir, "dir", "", "keep large blobs in this `folder`, made if it is missing, while it runs; default: the system's temporary one")
	c.Flags().BoolVar(&o.plainHTTP, "plain-http", false, "serve plain HTTP, no TLS")
	c.Flags().StringVar(&o.like, "like", string(sandbox.Harbor216), "the `registry` to answer as: "+likes(", "))
	return c
}

// likes are the values of --like.
func likes(separator string) string {
	all := []string{}
	for _, l := range sandbox.Likes() {
		all = append(all, string(l))
	}
	return strings.Join(all, separator)
}

func runSandbox(ctx context.Context, a *app, o sandboxOptions) error {
	if err := a.checkFormat(sandboxResult{Host: "h", Like: "harbor-2.16", Fingerprint: exampleDigest, CA: "PEM", Image: "h/p/r:t", Users: []sandboxUser{{"admin", "secret"}, {"dev", "secret"}}}); err != nil {
		return err
	}
	if o.port < 0 || o.port > 65535 {
		return usagef("--port %d: not a number from 0 to 65535", o.port)
	}
	if !slices.Contains(sandbox.Likes(), sandbox.Like(o.like)) {
		return usagef("--like %q: not one of %s", o.like, likes(", "))
	}
	if o.dir == "" {
		o.dir = os.TempDir()
	}
	s, err := sandbox.Start(ctx, sandbox.Options{
		Like: sandbox.Like(o.like), Dir: o.dir, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)), PlainHTTP: o.plainHTTP,
	})
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // the process ends here, and Close says nothing that helps
	res := sandboxResult{Host: s.Host(), Like: o.like, Image: s.Host() + "/library/ubuntu:14.04", offersCA: s.OffersCA()}
	if ca := s.CA(); ca != nil {
		res.Fingerprint, res.CA = pki.SHA256(ca).String(), string(pki.EncodePEM(ca))
	}
	for _, u := range s.Users() {
		res.Users = append(res.Users, sandboxUser{u.Name, u.Password})
	}
	if err := a.result(res, res.text); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

// text is what a person pastes into another terminal.
func (r sandboxResult) text(w io.Writer) error {
	trust := "vicr trust --for vicr " + r.Host + " --fingerprint " + r.Fingerprint
	flag, login, untrust := "", "", "\n  vicr untrust "+r.Host
	if !r.offersCA {
		trust += " --ca-file - <<'END'\n" + r.CA + "END"
	}
	if r.Fingerprint == "" {
		trust, flag, login, untrust = "# plain HTTP: no CA to trust", " --plain-http", " --allow-insecure-credentials", ""
	}
	_, err := fmt.Fprintf(w, `a registry for trying things out, like %[7]s, is at %[1]s
users: %[2]s

in another terminal:

  %[3]s
  vicr login%[4]s%[5]s %[1]s -u dev
  vicr pull%[4]s --to store %[1]s/library/ubuntu:14.04
  vicr tag --in store %[1]s/library/ubuntu:14.04 %[1]s/demo/ubuntu:14.04
  vicr push%[4]s --from store %[1]s/demo/ubuntu:14.04%[6]s

Ctrl-C ends it and leaves nothing
`, r.Host, r.users(), trust, flag, login, untrust, r.Like)
	return err
}

func (r sandboxResult) users() string {
	s := ""
	for i, u := range r.Users {
		if i > 0 {
			s += ", "
		}
		s += u.Name + " with password " + u.Password
	}
	return s
}
