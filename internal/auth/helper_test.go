package auth

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	helperStateVariable = "VICR_AUTH_TEST_STATE" // folder where the helper keeps what it is given
	helperModeVariable  = "VICR_AUTH_TEST_MODE"
)

// kept is what the helper double has.
type kept struct{ ServerURL, Username, Secret string }

// playHelper is a credential helper: a good one, or as the mode says.
func playHelper(args []string, in io.Reader, out, errOut io.Writer) int {
	mode := os.Getenv(helperModeVariable)
	state := filepath.Join(os.Getenv(helperStateVariable), "kept.json")
	_, _ = fmt.Fprintln(errOut, "canary on stderr \x1b[31m")
	all := map[string]kept{}
	if data, err := os.ReadFile(state); err == nil {
		_ = json.Unmarshal(data, &all)
	}
	input, _ := io.ReadAll(bufio.NewReader(in))
	key := strings.TrimSpace(string(input))
	switch mode {
	case "hang":
		time.Sleep(time.Minute)
	case "flood":
		for {
			if _, err := out.Write([]byte(strings.Repeat("canary\n", 1<<12))); err != nil {
				return 1
			}
		}
	case "fail":
		_, _ = fmt.Fprintln(out, "canary \x1b[31m")
		return 3
	case "babble":
		_, _ = fmt.Fprintln(out, "canary, no JSON")
		return 0
	}
	switch args[0] {
	case "store":
		var k kept
		_ = json.Unmarshal(input, &k)
		if mode == "forgets" {
			return 0
		}
		if mode == "mangles" && strings.HasPrefix(k.Secret, "new") {
			k.Secret = "mangled"
		}
		all[k.ServerURL] = k
	case "erase":
		delete(all, key)
	case "get":
		k, ok := all[key]
		if !ok {
			_, _ = fmt.Fprintln(out, "credentials not found in native keychain")
			return 1
		}
		_ = json.NewEncoder(out).Encode(k)
		return 0
	case "list":
		list := map[string]string{}
		for url, k := range all {
			list[url] = k.Username
		}
		_ = json.NewEncoder(out).Encode(list)
		return 0
	}
	data, _ := json.Marshal(all)
	_ = os.WriteFile(state, data, 0o600)
	return 0
}

// A helperRig is a store whose helper is this test binary.
type helperRig struct {
	*Store
	dir, state string
	asked      []string
}

func newHelperRig(t *testing.T, mode, config string) *helperRig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rig := &helperRig{dir: t.TempDir(), state: t.TempDir()}
	writeConfig(t, rig.dir, config)
	env := []string{raceSetting, roleVariable + "=helper", helperModeVariable + "=" + mode, helperStateVariable + "=" + rig.state}
	if root := os.Getenv("SYSTEMROOT"); root != "" {
		env = append(env, "SYSTEMROOT="+root) // Windows starts no program without it
	}
	rig.Store = OpenStore(Options{
		Dir: rig.dir, HelperEnv: env,
		LookPath: func(name string) (string, error) {
			rig.asked = append(rig.asked, name)
			return self, nil
		},
	})
	return rig
}

func (r *helperRig) has(t *testing.T) map[string]kept {
	t.Helper()
	all := map[string]kept{}
	data, err := os.ReadFile(filepath.Join(r.state, "kept.json"))
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func (r *helperRig) put(t *testing.T, k kept) {
	t.Helper()
	data, err := json.Marshal(map[string]kept{k.ServerURL: k})
	if err == nil {
		err = os.WriteFile(filepath.Join(r.state, "kept.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAHelperKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Credentials{
		"password":       {Username: "dev", Password: `pa"ss\ wörd `},
		"identity token": {IdentityToken: "canary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := newHelperRig(t, "", `{"credsStore": "double", "auths": {"reg.test": {"auth": "ZGV2OmNhbmFyeQ==", "email": "e"}}}`)
			h := host(t, "reg.test")
			source, err := rig.Put(t.Context(), h, c)
			if err != nil || source != "helper double" {
				t.Fatalf("%q, %v", source, err)
			}
			if text := readConfig(t, rig.dir); text != `{"credsStore": "double", "auths": {"reg.test": { "email": "e"}}}` {
				t.Errorf("config.json is %s", text)
			}
			got, source, err := rig.Get(t.Context(), h)
			if err != nil || got != c || source != "helper double" {
				t.Errorf("%+v, %q, %v", got.Username, source, err)
			}
			if hosts, err := rig.Hosts(t.Context()); err != nil || len(hosts) != 1 || hosts[0] != "reg.test" {
				t.Errorf("hosts %v, %v", hosts, err)
			}
			if erased, err := rig.Erase(t.Context(), h); err != nil || !erased {
				t.Errorf("erased %v, %v", erased, err)
			}
			if erased, err := rig.Erase(t.Context(), h); err != nil || erased {
				t.Errorf("erased %v the second time, %v", erased, err)
			}
			if len(rig.has(t)) != 0 || rig.asked[0] != "docker-credential-double" {
				t.Errorf("kept %v, asked for %q", rig.has(t), rig.asked[0])
			}
		})
	}
}

func TestWhichHelper(t *testing.T) {
	t.Parallel()
	const config = `{"credsStore": "all", "credHelpers": {"one.test": "one", "two.test:443": "two", "none.test": "", "https://index.docker.io/v1/": "hub"}}`
	tests := map[string]string{
		"other.test": "docker-credential-all", "one.test": "docker-credential-one",
		"two.test": "docker-credential-two", "none.test": "", "docker.io": "docker-credential-hub",
	}
	for name, want := range tests {
		rig := newHelperRig(t, "", config)
		if _, _, err := rig.Get(t.Context(), host(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		switch {
		case want == "" && len(rig.asked) != 0, want != "" && (len(rig.asked) != 1 || rig.asked[0] != want):
			t.Errorf("%s: %q, want %q", name, rig.asked, want)
		}
	}
}

func TestAHelperIsAskedForBothSpellings(t *testing.T) {
	t.Parallel()
	rig := newHelperRig(t, "", `{"credsStore": "double"}`)
	rig.put(t, kept{"reg.test:443", "dev", "secret"})
	c, _, err := rig.Get(t.Context(), host(t, "reg.test"))
	if err != nil || c.Password != "secret" {
		t.Errorf("%v, %v", c, err)
	}
}

// B8 and B10 of the fault catalogue.
func TestAHelperThatFails(t *testing.T) {
	t.Parallel()
	for mode, why := range map[string]string{
		"hang": "no answer in", "flood": "more than 1 MiB", "fail": "exit status 3", "babble": "not what the protocol",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			const config = `{"credsStore":"double"}`
			rig := newHelperRig(t, mode, config)
			if mode == "hang" {
				rig.helperLimit = 50 * time.Millisecond
			}
			check := func(what string, err error) {
				e, ok := errors.AsType[*HelperError](err)
				if !ok || e.Helper != "double" || !strings.Contains(err.Error(), why) {
					t.Errorf("%s: %v, want a *HelperError with %q", what, err, why)
				}
				if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") || err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), "canary") {
					t.Errorf("%s: %q shows what the helper wrote", what, err)
				}
			}
			_, _, err := rig.Get(t.Context(), host(t, "reg.test"))
			check("get", err)
			_, err = rig.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "dev", Password: "canary"})
			check("put", err)
			_, err = rig.Erase(t.Context(), host(t, "reg.test"))
			check("erase", err)
			_, err = rig.Hosts(t.Context())
			check("hosts", err)
			if text := readConfig(t, rig.dir); text != config {
				t.Errorf("config.json is now %s", text)
			}
		})
	}
}

// B9 of the fault catalogue.
func TestAHelperThatDoesNotKeep(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"forgets", "mangles"} {
		for _, before := range []string{"", "old"} {
			const config = `{"credsStore":"double"}`
			rig := newHelperRig(t, mode, config)
			want := map[string]kept{}
			if before != "" {
				want["reg.test"] = kept{"reg.test", "dev", before}
				rig.put(t, want["reg.test"])
			}
			_, err := rig.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "dev", Password: "new-canary"})
			if _, ok := errors.AsType[*HelperError](err); !ok || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s, %q before: %v", mode, before, err)
			}
			if got := rig.has(t); len(got) != len(want) || got["reg.test"] != want["reg.test"] {
				t.Errorf("%s, %q before: kept %v", mode, before, got)
			}
			if text := readConfig(t, rig.dir); text != config {
				t.Errorf("%s: config.json is now %s", mode, text)
			}
		}
	}
}

func TestAMissingHelperIsNotReplacedByPlainText(t *testing.T) {
	t.Parallel()
	missing := func(string) (string, error) { return "", os.ErrNotExist }
	relative := func(name string) (string, error) { return "./" + name, nil }
	for name, look := range map[string]func(string) (string, error){"missing": missing, "relative": relative, "none": nil} {
		dir := t.TempDir()
		const config = `{"credsStore":"double"}`
		writeConfig(t, dir, config)
		s := OpenStore(Options{Dir: dir, LookPath: look})
		_, err := s.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "dev", Password: "canary"})
		if e, ok := errors.AsType[*HelperError](err); !ok || (name == "relative") != strings.Contains(e.Why, "relative") {
			t.Errorf("%s: put: %v", name, err)
		}
		if _, _, err := s.Get(t.Context(), host(t, "reg.test")); err == nil {
			t.Errorf("%s: get: no error", name)
		}
		if text := readConfig(t, dir); text != config {
			t.Errorf("%s: config.json is now %s", name, text)
		}
	}
}

// F9 and B7 of the fault catalogue.
func TestF9HelperNamesThatAreNoNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"x/evil", "../x", "-h", "./x", "/bin/sh", `x\evil`, ".x", "X", "a b", "a;b", "a\nb", "a\x00b", "é",
		strings.Repeat("a", 4<<10),
	} {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		rig := newHelperRig(t, "", fmt.Sprintf(`{"credHelpers":{"reg.test":%s}}`, quoted))
		_, _, err = rig.Get(t.Context(), host(t, "reg.test"))
		if e, ok := errors.AsType[*HelperError](err); !ok || e.Helper != name {
			t.Errorf("%.20q: %v", name, err)
		}
		if _, err := rig.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "u", Password: "p"}); err == nil {
			t.Errorf("%.20q: put: no error", name)
		}
		if len(rig.asked) != 0 {
			t.Errorf("%.20q: its program was looked for", name)
		}
	}
}

func TestWhatHelpersCannotKeepIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []Credentials{{RegistryToken: "t"}, {Username: "u", Password: "\xff"}} {
		rig := newHelperRig(t, "", `{"credsStore":"double"}`)
		_, err := rig.Put(t.Context(), host(t, "reg.test"), c)
		if _, ok := errors.AsType[*HelperError](err); !ok || len(rig.has(t)) != 0 {
			t.Errorf("%v, kept %v", err, rig.has(t))
		}
	}
}

func TestAHelperEndsWithTheContext(t *testing.T) {
	t.Parallel()
	rig := newHelperRig(t, "hang", `{"credsStore":"double"}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := rig.Get(ctx, host(t, "reg.test")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}
