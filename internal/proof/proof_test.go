package proof_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/wire"
)

func host(t *testing.T, s string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestOwnTakesAnyAnswerOverVerifiedTLS(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	front := testkit.NewFront(t, http.NotFoundHandler())
	s := front.Serve(t, ca.NewLeaf(t, testkit.SANs("127.0.0.1")).TLS())
	h := host(t, s.Listener.Addr().String())
	if err := proof.Own(t.Context(), wire.New(wire.Config{Host: h, Roots: ca.Pool()})); err != nil {
		t.Errorf("with the CA: %v", err)
	}
	err := proof.Own(t.Context(), wire.New(wire.Config{Host: h, Roots: other.Pool()}))
	if wire.KindOf(err) != wire.TLS {
		t.Errorf("with another CA: %v, want an error of kind tls", err)
	}
}

func TestEngineIsAskedForEverySpelling(t *testing.T) {
	t.Parallel()
	var asked []string
	m := machine.Machine{Docker: machine.Docker{Socket: testkit.EngineSaying(t, "no basic auth credentials", func(image string) { asked = append(asked, image) })}}
	facts, err := proof.Docker(t.Context(), proof.Target{Socket: m.Docker.Socket}, host(t, "registry.example"))
	if err != nil || len(facts) != 2 || !facts[0].Proven || !facts[1].Proven {
		t.Fatalf("%+v, %v", facts, err)
	}
	if len(asked) != 2 || !strings.HasPrefix(asked[0], "registry.example/") || !strings.HasPrefix(asked[1], "registry.example:443/") {
		t.Errorf("the engine was asked for %q", asked)
	}
}

func TestEngineThatRefusesIsAnErrorAndOneThatCannotSayIsNot(t *testing.T) {
	t.Parallel()
	for message, refuses := range map[string]bool{
		"x509: certificate signed by unknown authority": true,
		"unable to load CA cert":                        true,
		"dial tcp: no route to host":                    false,
		"the moon is full":                              false,
	} {
		m := machine.Machine{Docker: machine.Docker{Socket: testkit.EngineSaying(t, message, nil)}}
		facts, err := proof.Docker(t.Context(), proof.Target{Socket: m.Docker.Socket}, host(t, "registry.example:5000"))
		if e := (*proof.Error)(nil); errors.As(err, &e) != refuses {
			t.Errorf("%q: %v", message, err)
		}
		if !refuses && (len(facts) != 1 || facts[0].Proven || facts[0].Why == "") {
			t.Errorf("%q: %+v", message, facts)
		}
	}
}

func TestNoEngineProvesNothingAndIsNoError(t *testing.T) {
	t.Parallel()
	for _, socket := range []string{"", filepath.Join(t.TempDir(), "none.sock")} {
		m := machine.Machine{Docker: machine.Docker{Socket: socket}}
		facts, err := proof.Docker(t.Context(), proof.Target{Socket: m.Docker.Socket}, host(t, "registry.example"))
		if err != nil || len(facts) != 1 || facts[0].Proven {
			t.Errorf("socket %q: %+v, %v", socket, facts, err)
		}
	}
}

func TestFilesMustHoldTheAnchorAlone(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	path := filepath.Join(t.TempDir(), "ca.crt")
	plan := change.Plan{{Tool: "docker", Path: path}}
	for _, tt := range []struct {
		what string
		data []byte
		ok   bool
	}{
		{"the anchor", ca.PEM(), true},
		{"another CA", other.PEM(), false},
		{"both", testkit.Bundle(ca, other), false},
		{"nothing", nil, false},
	} {
		if err := os.WriteFile(path, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := proof.Files(atomicfile.Machine(), plan, ca.Certificate); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := proof.Files(atomicfile.Machine(), plan, ca.Certificate); err == nil {
		t.Error("a file that is not there is a proof")
	}
}
