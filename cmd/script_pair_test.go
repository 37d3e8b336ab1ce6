package cmd_test

import (
	"crypto/x509"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// writePair writes NAME.cert and NAME.key, which all may read, of a new client.
func writePair(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pair NAME")
	}
	tb := scriptTB{ts: ts}
	client := newClient(tb, args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".cert"), client.PEM(), 0o644))     //nolint:gosec // as people have them
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), client.KeyPEM(tb), 0o644)) //nolint:gosec // as above
}

// newClient is a certificate that a client can show, below a CA of its own.
func newClient(tb testing.TB, name string) *testkit.Cert {
	tb.Helper()
	return testkit.NewCA(tb).NewLeaf(tb, testkit.Subject(name), testkit.Template(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
}
