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

	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/trust"
)

// Under sudo trust runs as the user who called it, who finds out, asks and
// makes the user's half. The machine's half is handed back to root, which
// waits: it parses no network's answer and reads nothing in the user's home.

const (
	wishFD  = 3 // of the user's process: what it hands back
	doneFD  = 4 // of the user's process: what came of it
	maxWish = 1 << 20
)

// A wish is what root is asked to make. What root was told on its own command
// line it does not take from here.
type wish struct {
	Host        string
	Tools       string // as in --for
	CA          []byte // PEM
	Fingerprint string
	Speaks      string
	Keep        bool
	Cert, Key   string // of a client: absolute paths
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
	_, _ = wishW.Close(), doneR.Close() // the user's process has its own
	<-served
	_, _ = wishR.Close(), doneW.Close()
	return err
}

// serve makes one wish after the other, and answers each with an exit code.
func (a *app) serve(ctx context.Context, o trustOptions, wishes io.Reader, done io.Writer) {
	d := json.NewDecoder(&io.LimitedReader{R: wishes, N: maxWish})
	for {
		var w wish
		if err := d.Decode(&w); err != nil {
			return // the end, or no process of ours: it gets no answer
		}
		err := a.fulfil(ctx, o, w)
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
func (a *app) fulfil(ctx context.Context, o trustOptions, w wish) error {
	i := slices.IndexFunc(o.targets, func(t target) bool { return t.String() == w.Host })
	if i < 0 {
		return usagef("the user's part asked for another registry than you")
	}
	var err error
	half := trustOptions{
		caFile: "-", offline: true, half: string(install.Machine), tools: w.Tools, yes: true,
		insecure: o.insecure, restart: o.restart, keep: w.Keep, speaks: w.Speaks, clientCert: w.Cert, clientKey: w.Key,
	}
	if o.insecure {
		half.caFile = ""
	} else if half.fingerprint, err = pki.ParseFingerprint(w.Fingerprint); err != nil {
		return err
	}
	if err := o.covers(half); err != nil {
		return err
	}
	root := *a
	root.env.Stdin, root.env.Stdout, root.env.Terminal = bytes.NewReader(w.CA), a.env.Stderr, false
	half.targets = o.targets[i : i+1]
	if err := half.check(); err != nil {
		return err
	}
	return aboutHost(half.targets[0].host, trustOne(ctx, &root, half.targets[0], half))
}

// covers says whether root's command line names what is asked of it.
func (o trustOptions) covers(half trustOptions) error {
	if o.dryRun {
		return usagef("the user's part asked for changes in a dry run")
	}
	named, err := trust.ParseTools(o.tools)
	if err != nil {
		return err
	}
	asked, err := trust.ParseTools(half.tools)
	if err != nil || asked == nil {
		return usagef("the user's part named no tools")
	}
	for _, t := range asked {
		if named != nil && !slices.Contains(named, t) || named == nil && t == trust.ToolSystem {
			return usagef("the user's part asked for other tools than you")
		}
	}
	if o.clientCert == "" && half.clientCert != "" {
		return usagef("the user's part asked for a client certificate, and you did not")
	}
	return nil
}

// handBack hands the machine's half to the root that waits, and waits for it.
func (a *app) handBack(r trusting) error {
	out, in := os.NewFile(wishFD, "wish"), os.NewFile(doneFD, "done")
	if out == nil || in == nil {
		return usagef("--root-waits is vicr's own")
	}
	w := wish{
		Host: r.target.String(), Tools: strings.Join(toolNames(install.Tools(r.planned, install.Machine)), ","),
		Speaks: r.o.speaks, Keep: r.keepsRecorded(),
	}
	if !r.o.insecure {
		w.CA, w.Fingerprint = pki.EncodePEM(r.request.Anchor.Cert), pki.SHA256(r.request.Anchor.Cert).String()
	}
	if r.o.clientCert != "" {
		w.Cert, w.Key = absolute(r.o.clientCert), absolute(r.o.clientKey)
	}
	if err := json.NewEncoder(out).Encode(w); err != nil {
		return usagef("--root-waits is vicr's own")
	}
	var code int
	if err := json.NewDecoder(io.LimitReader(in, 16)).Decode(&code); err != nil {
		return &delegatedError{codeFailed}
	}
	if code != codeDone {
		return &delegatedError{code}
	}
	return nil
}

// keepsRecorded says that nobody agreed to replace a CA, as none was seen.
func (r trusting) keepsRecorded() bool {
	return !r.o.insecure && r.subject.How != howFingerprint && len(r.planned.Replaces) == 0
}
