//go:build e2e && linux

package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// What people ran into with private registries, one by one, by the number and
// in the order of the table of pain points. Each is first made to hurt, with
// the real tools, and then vicr names it, mends it or does not cause it.

// A pain is one row. Without a test, why says what keeps it from being
// produced here.
type pain struct {
	name string
	test func(*testing.T, *bench)
	full bool // only with FULL=1
	why  string
}

func pains() []pain {
	return []pain{
		{name: "01_flag_and_file_keep_dockerd_from_starting", test: conflictThere},
		{name: "02_engine_too_old_for_the_key", why: "nobody has a Docker before 1.12; TestPain02TheEngineIsTooOldForTheKey in internal/install asks a double"},
		{name: "03_etc_default_docker_is_ignored_under_systemd", test: func(t *testing.T, b *bench) {
			t.Helper()
			ignoredFile(t, b, "/etc/default/docker", "DOCKER_OPTS")
		}},
		{name: "04_etc_sysconfig_docker_is_ignored", test: func(t *testing.T, b *bench) {
			t.Helper()
			ignoredFile(t, b, "/etc/sysconfig/docker", "OPTIONS")
		}},
		{name: "05_CA_in_system_store_needs_restart", test: systemNeedsRestart},
		{name: "06_token_request_without_the_CA", test: tokenFault, full: true, why: "only with FULL=1: the engine takes minutes to build"},
		{name: "07_client_certificate_with_the_containerd_store", test: clientCertificate},
		{name: "08_docker_build_fetches_tokens_in_the_client", test: clientFetchesTokens},
		{name: "09_BuildKit_does_not_know_insecure_registries", test: buildkitHTTP},
		{name: "10_wrong_names_of_files_in_certs.d", test: wrongFiles},
		{name: "11_misspelt_folder_in_certs.d", test: misspeltFolder},
		{name: "12_keychain_and_Docker_Desktop", why: "macOS"},
		{name: "13_colon_in_the_name_of_a_folder", why: "Windows"},
		{name: "14_certificate_that_no_CA_can_mend", test: beyondMending},
		{name: "15_plain_HTTP_taken_for_HTTPS", test: plainHTTP},
		{name: "16_insecure_entry_without_the_port", test: entryWithoutPort},
		{name: "17_entry_in_a_file_that_the_daemon_does_not_read", test: anotherConfigFile},
		{name: "18_rootless_reads_elsewhere", test: rootless},
		{name: "19_Docker_Desktop_broken_by_an_entry", why: "macOS and Windows; TestRealInsecure has a dockerd that refuses one"},
		{name: "20_podman_machine", why: "macOS and Windows"},
		{name: "21_config_path_is_not_set", test: configPath},
		{name: "22_content_trust_has_a_folder_of_its_own", test: contentTrust},
		{name: "23_minikube_keeps_what_it_was_created_with", why: "it needs a virtual machine or a network of its own"},
	}
}

func TestRealPain(t *testing.T) {
	t.Parallel()
	vicr := buildVicr(t)
	for _, p := range pains() {
		if p.test == nil || p.full && !testkit.Full() {
			t.Logf("%s: not here: %s", p.name, p.why)
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.test(t, newBench(t, vicr))
		})
	}
}

// tls1 has a leaf below the bench's CA.
const tls1 = "192.0.2.2:5443"

// A check is one line of vicr doctor.
type check struct {
	Name, Verdict, Seen string
	Remedy              []string
}

func (c check) has(t *testing.T, verdict string, texts ...string) {
	t.Helper()
	all := c.Seen + "\n" + strings.Join(c.Remedy, "\n")
	if c.Verdict != verdict {
		t.Errorf("doctor: %s is %q, want %q: %s", c.Name, c.Verdict, verdict, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("doctor: %s does not say %q: %s", c.Name, text, all)
		}
	}
}

// doctor asks for all checks; env goes before the program.
func (b *bench) doctor(t *testing.T, target string, env ...string) map[string]check {
	t.Helper()
	argv := append(append([]string{"env"}, env...), b.vicr, "doctor", target, "--format", "json")
	run := b.Run(t, "", argv...)
	var r struct{ Checks []check }
	if err := json.Unmarshal([]byte(run.Stdout), &r); err != nil {
		t.Fatalf("doctor: exit %d: %v", run.Code, err)
	}
	failed, all := 0, map[string]check{}
	for _, c := range r.Checks {
		all[c.Name] = c
		if c.Verdict == "fail" {
			failed++
		}
	}
	if (run.Code != 0) != (failed > 0) {
		t.Errorf("doctor: exit %d with %d checks failed", run.Code, failed)
	}
	return all
}

func (b *bench) trustCA(t *testing.T, host, tools string) testkit.Run {
	t.Helper()
	return b.want(t, 0, append([]string{b.vicr, "trust", host, "--for", tools}, b.pinned(t, b.ca)...)...)
}

func pullOf(host string) []string { return []string{"docker", "pull", host + "/" + image} }

// tokens starts a registry whose tokens come from another port.
func (b *bench) tokens(t *testing.T, host string) *testkit.TokenServer {
	t.Helper()
	s := b.StartTokenServer(t, "192.0.2.2:5446", b.leaf, nil, user, password)
	b.StartRegistry(t, testkit.Registry{Addr: host, Cert: b.leaf, Token: s})
	return s
}

func tokenFault(t *testing.T, b *bench) {
	t.Helper()
	b.tokens(t, tls1)
	d := testkit.FaultyDockerd(t)
	p := b.StartDockerd(t, d)
	before := b.machineState(t)
	run := b.Run(t, "", append([]string{b.vicr, "trust", tls1, "--for", "docker"}, b.pinned(t, b.ca)...)...)
	if !strings.Contains(run.Stderr, "token") || !strings.Contains(run.Stderr, "--for system") {
		t.Errorf("exit %d, want a word about tokens and what helps", run.Code)
	}
	byHand := "/etc/docker/certs.d/" + tls1
	b.put(t, byHand+"/ca.crt", string(b.ca.PEM()))
	b.doctor(t, tls1)["engine store"].has(t, "fail", "29.5", "vicr trust "+tls1+" --for system", "restart docker")
	if err := os.RemoveAll(b.Etc(filepath.Dir(byHand))); err != nil {
		t.Fatal(err)
	}
	b.trustCA(t, tls1, "system")
	p.Stop()
	b.StartDockerd(t, d)
	b.trustCA(t, tls1, "docker")
	b.want(t, 0, "docker", "login", tls1, "-u", user, "-p", password)
	b.trusts(t, tls1)
	b.want(t, 0, "docker", "logout", tls1)
	b.want(t, 0, b.vicr, "untrust", tls1)
	if after := b.machineState(t); strings.Fields(after)[0] != strings.Fields(before)[0] {
		t.Error("/etc is not as it was")
	}
}

func clientCertificate(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf, ClientCA: b.ca})
	b.StartDockerd(t, testkit.NewestDockerd(t))
	client := b.ca.NewLeaf(t, testkit.ForClients())
	cert, key := b.file(t, "client.cert", client.PEM()), b.file(t, "client.key", client.KeyPEM(t))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	before := b.machineState(t)
	b.doctor(t, tls1)["api"].has(t, "fail", "client certificate", "--client-cert")
	with := append([]string{b.vicr, "trust", tls1, "--for", "vicr,docker", "--client-cert", cert, "--client-key", key}, b.pinned(t, b.ca)...)
	run := b.want(t, 0, with...)
	if body := strings.Split(string(client.KeyPEM(t)), "\n")[1]; strings.Contains(run.Stdout+run.Stderr, body) {
		t.Error("the key was shown")
	}
	info, err := os.Stat(b.Etc("/etc/docker/certs.d/" + tls1 + "/client.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", info, err)
	}
	b.trusts(t, tls1)
	b.want(t, 0, b.vicr, "pull", "--to", "store", tls1+"/"+image)
	b.want(t, 0, b.vicr, "untrust", tls1)
	b.refuses(t, "after untrust", pullOf(tls1))
	if after := b.machineState(t); strings.Fields(after)[0] != strings.Fields(before)[0] {
		t.Error("/etc is not as it was")
	}
}

func wrongFiles(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	b.StartDockerd(t, testkit.Dockerd{})
	dir := "/etc/docker/certs.d/" + tls1 + "/"
	b.put(t, dir+"ca.cer", string(b.ca.PEM()))
	b.refuses(t, "a .cer", pullOf(tls1))
	b.doctor(t, tls1)["folders"].has(t, "warn", "ca.cer")
	b.trustCA(t, tls1, "docker")
	b.trusts(t, tls1)
	b.put(t, dir+"harbor.cert", string(b.ca.PEM()))
	if run := b.Run(t, "", pullOf(tls1)...); run.Code == 0 || !strings.Contains(run.Stderr, "missing key harbor.key") {
		t.Errorf("a .cert without its key: exit %d", run.Code)
	}
	checks := b.doctor(t, tls1)
	checks["engine"].has(t, "fail", "harbor.key")
	checks["folders"].has(t, "fail", "harbor.cert")
	run := b.Run(t, "", append([]string{b.vicr, "trust", tls1, "--for", "docker"}, b.pinned(t, b.ca)...)...)
	if !strings.Contains(run.Stderr, "harbor.cert") {
		t.Errorf("trust: exit %d, and nobody named the file", run.Code)
	}
}

func misspeltFolder(t *testing.T, b *bench) {
	t.Helper()
	const host = "registry.test:5443"
	b.Hosts(t, "192.0.2.2", "registry.test")
	b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: b.leaf})
	b.StartDockerd(t, testkit.Dockerd{})
	for _, name := range []string{"regsitry.test:5443", "registry.test"} {
		b.put(t, "/etc/docker/certs.d/"+name+"/ca.crt", string(b.ca.PEM()))
	}
	b.refuses(t, "before", pullOf(host))
	b.doctor(t, host)["folders"].has(t, "warn", "regsitry.test:5443", "certs.d/registry.test")
	before := b.machineState(t)
	b.trustCA(t, host, "docker")
	b.trusts(t, host)
	b.want(t, 0, b.vicr, "untrust", host)
	if after := b.machineState(t); after != before {
		t.Errorf("not as before: %s", differs(before, after))
	}
}

// The registry's certificate is what is wrong: nothing is installed, and the
// reason is said.
func beyondMending(t *testing.T, b *bench) {
	t.Helper()
	between := b.ca.NewIntermediate(t)
	for name, tt := range map[string]struct {
		cert *testkit.Cert
		word string // of the check tls
	}{
		"another_name": {b.ca.NewLeaf(t, testkit.SANs("192.0.2.99", "other.test")), "192.0.2.99"},
		"only_a_CN":    {b.ca.NewLeaf(t, testkit.Subject("192.0.2.2")), "subjectAltName"},
		"expired":      {b.ca.NewLeaf(t, testkit.SANs("192.0.2.2"), testkit.Expired()), "valid"},
		"not_yet":      {b.ca.NewLeaf(t, testkit.SANs("192.0.2.2"), testkit.NotYetValid()), "valid"},
		"no_chain":     {between.NewLeaf(t, testkit.SANs("192.0.2.2")), "no CA was found that vouches"},
	} {
		t.Run(name, func(t *testing.T) {
			defer b.StartRegistry(t, testkit.Registry{Addr: tls1, Cert: tt.cert}).Stop()
			before := b.machineState(t)
			run := b.Run(t, "", append([]string{b.vicr, "trust", tls1}, b.pinned(t, b.ca)...)...)
			if run.Code != 3 {
				t.Errorf("trust: exit %d, want 3", run.Code)
			}
			if after := b.machineState(t); after != before {
				t.Errorf("a refused trust changed %s", differs(before, after))
			}
			b.doctor(t, tls1)["tls"].has(t, "fail", tt.word)
			if name == "no_chain" {
				b.put(t, "/etc/docker/certs.d/"+tls1+"/ca.crt", string(b.ca.PEM()))
				b.doctor(t, tls1)["ca"].has(t, "fail", "lacks a certificate in between", "testkit intermediate")
			}
		})
	}
}

func plainHTTP(t *testing.T, b *bench) {
	t.Helper()
	b.StartRegistry(t, testkit.Registry{Addr: clear1})
	b.StartDockerd(t, testkit.Dockerd{})
	b.refuses(t, "before", pullOf(clear1))
	before := b.machineState(t)
	run := b.Run(t, "", b.vicr, "trust", clear1, "--accept-new", "--for", "docker")
	if run.Code == 0 || !strings.Contains(run.Stderr, "--insecure") {
		t.Errorf("exit %d, want a refusal that names --insecure", run.Code)
	}
	if after := b.machineState(t); after != before {
		t.Errorf("a refused trust changed %s", differs(before, after))
	}
	checks := b.doctor(t, clear1)
	checks["scheme"].has(t, "fail", "plain HTTP")
	b.followed(t, checks["engine"])
	b.trusts(t, clear1)
}

// followed types the remedy that begins with vicr trust.
func (b *bench) followed(t *testing.T, c check) {
	t.Helper()
	c.has(t, "fail")
	i := slices.IndexFunc(c.Remedy, func(l string) bool { return strings.HasPrefix(l, "vicr trust ") })
	if i < 0 {
		t.Fatalf("no remedy of %s is a vicr trust: %q", c.Name, c.Remedy)
	}
	b.want(t, 0, append(append([]string{b.vicr}, strings.Fields(c.Remedy[i])[1:]...), "-y")...)
}
