package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/trust"
)

// Under sudo trust runs as the user who called it, who finds out, asks and
// makes the user's half. The machine's half is handed back to root, which
// waits: it opens no connection to the registry and nothing in the user's home.

const (
	wishFD  = 3 // of the user's process: what it hands back
	doneFD  = 4 // of the user's process: what came of it
	maxWish = 4 << 20
)

// A wish is what root is asked to make. What root was told on its own command
// line it does not take from here.
type wish struct {
	Host   string
	Tools  string // as in --for
	CA     []byte // PEM
	Chain  []byte // PEM, as served: a fingerprint may name its leaf
	How    string // the user agreed to the CA
	Keep   bool
	Speaks string
	Client *clientFiles
}

// trustThroughUser runs trust as the user who called sudo, and makes what is
// handed back.
func (a *app) trustThroughUser(ctx context.Context, o trustOptions) error {
	wishR, wishW, err := os.Pipe()
	if err != nil {
		return err
	}
	doneR, doneW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, wishR.Close(), wishW.Close())
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		a.serve(ctx, o, wishR, doneW)
	}()
	err = a.again(ctx, a.env.Stdin, []string{"--root-waits=true"}, wishW, doneR)
	_, _ = wishW.Close(), doneR.Close() // the user's process had its own
	// Whoever else holds the other end is not waited for.
	_ = wishR.SetReadDeadline(time.Now())
	<-served
	_, _ = wishR.Close(), doneW.Close()
	return err
}

// serve makes one wish for each target, and answers each with an exit code.
func (a *app) serve(ctx context.Context, o trustOptions, wishes io.Reader, done io.Writer) {
	d := json.NewDecoder(&io.LimitedReader{R: wishes, N: maxWish})
	for {
		var w wish
		if err := d.Decode(&w); err != nil {
			return // the end, or no process of ours: it gets no answer
		}
		i := slices.IndexFunc(o.targets, func(t target) bool { return t.String() == w.Host })
		err := usagef("the user's part asked for another registry than you, or twice for one")
		if i >= 0 {
			t := o.targets[i]
			o.targets = slices.Delete(slices.Clone(o.targets), i, i+1)
			err = aboutHost(t.host, a.fulfil(ctx, o, t, w))
		}
		if err != nil {
			a.fail(err)
		}
		if json.NewEncoder(done).Encode(exitCode(err)) != nil {
			return
		}
	}
}

// fulfil makes the machine's half of what was handed back, as a vicr does that
// was started for it.
func (a *app) fulfil(ctx context.Context, o trustOptions, t target, w wish) error {
	half := trustOptions{
		targets: []target{t}, offline: true, half: string(install.Machine), tools: w.Tools, yes: true,
		insecure: o.insecure, restart: o.restart, speaks: w.Speaks, keep: w.Keep,
	}
	if err := o.covers(w); err != nil {
		return err
	}
	if w.Client != nil {
		half.pair, half.clientCert, half.clientKey = w.Client, o.clientCert, o.clientKey
	}
	if err := a.agreed(o, w, &half); err != nil {
		return err
	}
	root := *a
	root.env.Stdin, root.env.Stdout, root.env.Terminal = bytes.NewReader(w.CA), a.env.Stderr, false
	if err := half.check(); err != nil {
		return err
	}
	return trustOne(ctx, &root, t, half)
}

// agreed holds the CA against what root was told: a fingerprint decides. Without
// one the user agreed, if the user could be asked or root was told --accept-new.
func (a *app) agreed(o trustOptions, w wish, half *trustOptions) (err error) {
	switch {
	case o.insecure && (o.yes || a.interactive()):
		return nil
	case !o.fingerprint.IsZero():
		half.caFile, half.fingerprint = "-", o.fingerprint
		if len(w.Chain) > 0 {
			half.chain, err = pki.ParseBundle(w.Chain)
		}
		return err
	case !o.insecure && a.interactive() && w.How == howAsked:
		half.how = howAsked
	case !o.insecure && o.acceptNew:
		half.how, half.keep = howAcceptNew, true
	default:
		return usagef("the user's part says that somebody agreed, and nobody was asked")
	}
	certs, err := pki.ParseBundle(w.CA)
	if err != nil {
		return err
	}
	half.caFile, half.fingerprint = "-", pki.SHA256(certs[0])
	return nil
}

// covers says whether root's command line names what is asked of it.
func (o trustOptions) covers(w wish) error {
	if o.dryRun {
		return usagef("the user's part asked for changes in a dry run")
	}
	named, err := trust.ParseTools(o.tools)
	if err != nil {
		return err
	}
	asked, err := trust.ParseTools(w.Tools)
	if err != nil || asked == nil {
		return usagef("the user's part named no tools")
	}
	for _, t := range asked {
		if named != nil && !slices.Contains(named, t) || named == nil && t == trust.ToolSystem {
			return usagef("the user's part asked for other tools than you")
		}
	}
	if (o.clientCert == "") != (w.Client == nil) {
		return usagef("the user's part and you do not agree on a client certificate")
	}
	return nil
}

// handBack hands the machine's half to the root that waits, and waits for it.
func (a *app) handBack(r trusting) error {
	w := wish{
		Host: r.target.String(), Tools: strings.Join(toolNames(install.Tools(r.planned, install.Machine)), ","),
		Speaks: r.o.speaks, How: r.subject.How, Keep: r.keepsRecorded(),
	}
	if !r.o.insecure {
		w.CA = pki.EncodePEM(r.request.Anchor.Cert)
		for _, c := range r.request.Anchor.Chain {
			w.Chain = append(w.Chain, pki.EncodePEM(c)...)
		}
	}
	if r.o.clientCert != "" {
		files, err := a.clientFiles(r.o)
		if err != nil {
			return err
		}
		w.Client = &files
	}
	if err := json.NewEncoder(a.root.out).Encode(w); err != nil {
		return &delegatedError{codeFailed} // whoever ended root knows
	}
	var code int
	if err := json.NewDecoder(io.LimitReader(a.root.in, 16)).Decode(&code); err != nil {
		return &delegatedError{codeFailed}
	}
	if code != codeDone {
		return &delegatedError{code}
	}
	return nil
}

// waitingRoot is the other end of what is handed back.
type waitingRoot struct{ out, in *os.File }

// toRoot takes the files that root started this process with, and hands them to
// no other.
func toRoot() (*waitingRoot, error) {
	r := &waitingRoot{os.NewFile(wishFD, "wish"), os.NewFile(doneFD, "done")}
	for _, f := range []*os.File{r.out, r.in} {
		info, err := f.Stat()
		if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return nil, usagef("--root-waits is vicr's own")
		}
	}
	keepFromChildren(wishFD, doneFD)
	return r, nil
}

// keepsRecorded says that nobody agreed to replace a CA, as none was seen.
func (r trusting) keepsRecorded() bool {
	return !r.o.insecure && r.subject.How != howFingerprint && len(r.planned.Replaces) == 0
}
