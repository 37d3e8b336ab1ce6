package trust_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func TestRootsThatVicrPutIntoTheSystemAreKnown(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	mid := ca.NewIntermediate(t)
	san := testkit.SANs("registry.corp", "127.0.0.1")
	debian := map[string]string{"/etc/os-release": "ID=debian\n"}
	const store = "/usr/local/share/ca-certificates/"
	for name, tt := range map[string]struct {
		o     machine.Options
		files map[string]string
		host  string
		chain []*x509.Certificate
		want  []*x509.Certificate
	}{
		"its own":           {files: map[string]string{store + "vicr-registry.corp_5000_.crt": string(ca.PEM())}, want: testkit.Chain(ca)},
		"of another host":   {files: map[string]string{store + "vicr-other.corp_443_.crt": string(ca.PEM())}, want: testkit.Chain(ca)},
		"by way of another": {files: map[string]string{store + "vicr-registry.corp_5000_.crt": string(ca.PEM())}, chain: testkit.Chain(mid.NewLeaf(t, san), mid), want: testkit.Chain(ca)},
		"somebody else's":   {files: map[string]string{store + "corp.crt": string(ca.PEM())}},
		"another CA":        {files: map[string]string{store + "vicr-registry.corp_5000_.crt": string(other.PEM())}},
		"not for this name": {files: map[string]string{store + "vicr-registry.corp_5000_.crt": string(ca.PEM())}, host: "else.corp"},
		"torn":              {files: map[string]string{store + "vicr-registry.corp_5000_.crt": "-----BEGIN"}},
		"none":              {},
		"macOS": {
			o: machine.Options{GOOS: "darwin"}, want: testkit.Chain(ca),
			files: map[string]string{"/Library/Application Support/vicr-ca/vicr-registry.corp_5000_.crt": string(ca.PEM())},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.o.FS = files(join(debian, tt.files))
			if tt.chain == nil {
				tt.chain = testkit.Chain(ca.NewLeaf(t, san))
			}
			h := host(t, "registry.corp:5000")
			if tt.host != "" {
				h = host(t, tt.host)
			}
			got := trust.OwnRoots(look(tt.o), h, tt.chain, time.Now())
			if !slices.EqualFunc(got, tt.want, (*x509.Certificate).Equal) {
				t.Errorf("%d roots, want %d", len(got), len(tt.want))
			}
		})
	}
}
