package trust_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

func machineOptions() machine.Options { return machine.Options{} }

func TestClientPairIsVicrsOwnElseDockers(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	own, docker := ca.NewLeaf(t), ca.NewLeaf(t)
	ownFolder, dockerFolder := ownDir+"registry.corp_5000_/", dockerDir+"registry.corp:5000/"
	for name, tt := range map[string]struct {
		fs   map[string]string
		want *testkit.Cert
		bad  bool
	}{
		"none":                 {map[string]string{}, nil, false},
		"own":                  {map[string]string{ownFolder + "client.cert": string(own.PEM()), ownFolder + "client.key": string(own.KeyPEM(t)), dockerFolder + "a.cert": string(docker.PEM()), dockerFolder + "a.key": string(docker.KeyPEM(t))}, own, false},
		"docker's":             {map[string]string{dockerFolder + "a.cert": string(docker.PEM()), dockerFolder + "a.key": string(docker.KeyPEM(t))}, docker, false},
		"without its key":      {map[string]string{dockerFolder + "a.cert": string(docker.PEM())}, nil, false},
		"of another host":      {map[string]string{dockerDir + "other.corp/a.cert": string(docker.PEM()), dockerDir + "other.corp/a.key": string(docker.KeyPEM(t))}, nil, false},
		"not of one kind":      {map[string]string{dockerFolder + "a.cert": string(docker.PEM()), dockerFolder + "a.key": string(own.KeyPEM(t))}, nil, true},
		"garbage":              {map[string]string{dockerFolder + "a.cert": "x", dockerFolder + "a.key": "y"}, nil, true},
		"a folder for the key": {map[string]string{dockerFolder + "a.cert": string(docker.PEM()), dockerFolder + "a.key/": ""}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, found, err := trust.ClientPair(look(machine.Options{FS: files(tt.fs)}), host(t, "registry.corp:5000"))
			if found != (tt.want != nil) || (err != nil) != tt.bad {
				t.Fatalf("found %t, %v", found, err)
			}
			if tt.want != nil && (!bytes.Equal(p.Cert, tt.want.PEM()) || !bytes.Equal(p.Key, tt.want.KeyPEM(t))) {
				t.Error("it is another one")
			}
			var refused *pki.PairError
			if name == "garbage" && !errors.As(err, &refused) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestKeyIsSecretAndComesFirst(t *testing.T) {
	t.Parallel()
	for _, tool := range trust.Tools() {
		r := row{tools: string(tool), ask: "client"}
		p := plan(t, r.machine(), r.request(t))
		for _, half := range [][]string{paths(p.User), paths(p.Machine)} {
			for i, path := range half {
				if strings.HasSuffix(path, ".cert") && (i == 0 || half[i-1] != strings.TrimSuffix(path, ".cert")+".key") {
					t.Errorf("%s: a certificate without its key before it: %q", tool, half)
				}
			}
		}
		for _, s := range append(p.User, p.Machine...) {
			key := bytes.Contains(s.Data, []byte("KEY"))
			if key != s.Secret || key && s.Mode != 0o600 {
				t.Errorf("%s: %s is secret %t, mode %04o", tool, s.Path, s.Secret, s.Mode)
			}
		}
	}
}

func TestNearMisses(t *testing.T) {
	t.Parallel()
	for typed, dirs := range map[string]map[string]bool{
		"registry.internal.corp:5000": {
			"registry.internal.corp:5000": false, "registry.intneral.corp:5000": true, "registry.internal.corp": true, "registry.internal.corp_5000_": true,
			"registry.internal.corp:5001": false, "Registry.Internal.corp:5000": true, "registry.internal.corp:500": false, "other.corp": false,
			"registri.internal.corp:5000": true, "regstry.internal.corp": false, "registry2.internal.corp:5000": true, "https:": false,
		},
		"registry1.corp":  {"registry2.corp": false, "registry1.corp:443": false, "registry1.corp:5000": true, "registry1.cor": true, "registry1.corp:80": true},
		"192.0.2.2:5000":  {"192.0.2.3:5000": false, "192.0.2.2": true, "192.0.2.2_5000_": true, "192.0.2.2:5001": false},
		"a.b":             {"a.c": false, "a": false},
		"[2001:db8::2]":   {"[2001:db8::3]": false, "[2001:db8::2]:5000": true},
		"registry.corp:1": {"\x1b[2Jx": false, "registry.corp": true},
	} {
		content, want := map[string]string{}, []string(nil)
		for dir, miss := range dirs {
			content[dockerDir+dir+"/"] = ""
			if miss {
				want = append(want, dockerDir+dir)
			}
		}
		slices.Sort(want)
		if got := trust.NearMisses(look(machine.Options{FS: files(content)}), host(t, typed)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", typed, got, want)
		}
	}
}

func TestLintLooksIntoTheFoldersOfAllTools(t *testing.T) {
	t.Parallel()
	m := look(machine.Options{FS: files(map[string]string{
		dockerDir + "registry.corp:5000/x.key":                                    "",
		"/home/ann/.config/containers/certs.d/registry.corp:5000/y.cert":          "",
		"/etc/containerd/certs.d/registry.corp:5000/z.crt":                        "garbage",
		"/etc/containerd/certs.d/registry.corp_5000_/":                            "",
		"/etc/containers/certs.d/other.corp/x.key":                                "",
		"/home/ann/.config/containers/certs.d/registry.corp:5000/not-listed.conf": "",
	})})
	var got []string
	for _, n := range trust.Lint(m, host(t, "registry.corp:5000")) {
		got = append(got, string(n.Tool)+" "+n.Path)
	}
	want := []string{
		"docker " + dockerDir + "registry.corp:5000/x.key",
		"podman /home/ann/.config/containers/certs.d/registry.corp:5000/y.cert",
		"containerd /etc/containerd/certs.d/registry.corp_5000_",
		"containerd /etc/containerd/certs.d/registry.corp:5000/z.crt",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
