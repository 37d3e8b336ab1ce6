package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/types"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/ref"
)

func host(t *testing.T, text string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func writeConfig(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readConfig(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, configName))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func basicAuth(user, pass string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))
}

func TestWhatIsPutIsFoundAndErased(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"reg.test": "reg.test", "reg.test:443": "reg.test:443", "REG.test:5000": "reg.test:5000",
		"[2001:db8::1]:5000": "[2001:db8::1]:5000", "docker.io": "https://index.docker.io/v1/",
		"index.docker.io": "https://index.docker.io/v1/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "a", ".docker")
			s, h := OpenStore(Options{Dir: dir}), host(t, name)
			c := Credentials{Username: "dev", Password: "p:w"}
			if source, err := s.Put(t.Context(), h, c); err != nil || source != SourceConfig {
				t.Fatalf("%q, %v", source, err)
			}
			var d struct {
				Auths map[string]types.AuthConfig `json:"auths"`
			}
			if err := json.Unmarshal([]byte(readConfig(t, dir)), &d); err != nil {
				t.Fatal(err)
			}
			if d.Auths[key].Auth != basicAuth("dev", "p:w") || len(d.Auths) != 1 {
				t.Errorf("%v, want the key %s", d.Auths, key)
			}
			if got, source, err := s.Get(t.Context(), h); err != nil || got != c || source != SourceConfig {
				t.Errorf("%v, %q, %v", got, source, err)
			}
			if got, _, err := s.Get(t.Context(), host(t, "other.test")); err != nil || !got.IsZero() {
				t.Errorf("other host: %v, %v", got, err)
			}
			for _, want := range []bool{true, false} {
				if erased, err := s.Erase(t.Context(), h); err != nil || erased != want {
					t.Errorf("erased %v, %v", erased, err)
				}
			}
			if got, source, err := s.Get(t.Context(), h); err != nil || !got.IsZero() || source != "" {
				t.Errorf("after erasing: %v, %q, %v", got, source, err)
			}
			checkFolder(t, dir)
		})
	}
}

// checkFolder wants config.json alone in its folder, for its owner only.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != configName {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, configName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestAnyPasswordRoundTrips(t *testing.T) {
	t.Parallel()
	s, h := OpenStore(Options{Dir: t.TempDir()}), host(t, "reg.test")
	rapid.Check(t, func(rt *rapid.T) {
		c := Credentials{
			Username: string(rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 40).Draw(rt, "user")),
			Password: string(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 200).Draw(rt, "password")),
		}
		_, err := s.Put(t.Context(), h, c)
		if c.Check() != nil {
			if _, ok := errors.AsType[*InputError](err); !ok {
				rt.Fatalf("%v", err)
			}
			return
		}
		if got, _, gerr := s.Get(t.Context(), h); err != nil || gerr != nil || got != c {
			rt.Fatalf("put %v, get %v", err, gerr)
		}
	})
}

func TestPutReplacesAnOpenMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeConfig(t, dir, "{}")
	if err := os.Chmod(filepath.Join(dir, configName), 0o644); err != nil { //nolint:gosec // the case under test
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder
		t.Fatal(err)
	}
	if _, err := OpenStore(Options{Dir: dir}).Put(t.Context(), host(t, "reg.test"), Credentials{Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir)
}

func TestKeysThatDockerReads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		host, keys string // keys, in the order of the file
		want       string // the user of the key that counts
	}{
		{"reg.test", "reg.test", "reg.test"},
		{"reg.test", "reg.test:443 reg.test", "reg.test"},
		{"reg.test", "reg.test:443", "reg.test:443"},
		{"reg.test:443", "reg.test reg.test:443", "reg.test:443"},
		{"reg.test:443", "reg.test", "reg.test"},
		{"reg.test:5000", "reg.test reg.test:443", ""},
		{"reg.test", "reg.test:5000", ""},
		{"reg.test", "https://reg.test", "https://reg.test"},
		{"reg.test", "http://reg.test/v1/", "http://reg.test/v1/"},
		{"reg.test:5000", "https://reg.test:5000/v2/", "https://reg.test:5000/v2/"},
		{"reg.test", "reg.test/project", "reg.test/project"},
		{"reg.test", "https://reg.test/v1/ reg.test:443", "reg.test:443"},
		{"reg.test", "https://reg.test.evil evil.test/reg.test", ""},
		{"docker.io", "https://index.docker.io/v1/", "https://index.docker.io/v1/"},
		{"docker.io", "docker.io", "docker.io"},
		{"docker.io", "index.docker.io", "index.docker.io"},
		{"docker.io", "registry-1.docker.io", ""},
	}
	for _, tt := range tests {
		auths := map[string]map[string]string{}
		for key := range strings.FieldsSeq(tt.keys) {
			auths[key] = map[string]string{"auth": basicAuth("u-"+strings.NewReplacer(":", "_").Replace(key), "p")}
		}
		data, err := json.Marshal(map[string]any{"auths": auths})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		writeConfig(t, dir, string(data))
		s := OpenStore(Options{Dir: dir})
		c, _, err := s.Get(t.Context(), host(t, tt.host))
		want := ""
		if tt.want != "" {
			want = "u-" + strings.NewReplacer(":", "_").Replace(tt.want)
		}
		if err != nil || c.Username != want {
			t.Errorf("%s from %q: %q, %v, want %q", tt.host, tt.keys, c.Username, err, want)
		}
		if _, err := s.Erase(t.Context(), host(t, tt.host)); err != nil {
			t.Error(err)
		}
		if c, _, err := s.Get(t.Context(), host(t, tt.host)); err != nil || !c.IsZero() {
			t.Errorf("%s from %q: still there after it was erased", tt.host, tt.keys)
		}
	}
}

func TestEntriesOfAllForms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		entry string
		want  Credentials
		bad   bool
	}{
		{`{"auth":"` + basicAuth("u", "p") + `"}`, Credentials{Username: "u", Password: "p"}, false},
		{`{"auth":"` + basicAuth("u", "p\x00\x00") + `"}`, Credentials{Username: "u", Password: "p"}, false},
		{`{"auth":"` + basicAuth("u", "a:b") + `","email":"e"}`, Credentials{Username: "u", Password: "a:b"}, false},
		{`{"username":"u","password":"p"}`, Credentials{Username: "u", Password: "p"}, false},
		{`{"auth":"` + basicAuth("u", "") + `","identitytoken":"t"}`, Credentials{Username: "u", IdentityToken: "t"}, false},
		{`{"registrytoken":"t"}`, Credentials{RegistryToken: "t"}, false},
		{`{}`, Credentials{}, false},
		{`null`, Credentials{}, false},
		{`{"auth":"canary!"}`, Credentials{}, true},
		{`{"auth":"Y2FuYXJ5"}`, Credentials{}, true},
		{`{"auth":"OmNhbmFyeQ=="}`, Credentials{}, true},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		writeConfig(t, dir, `{"auths":{"other.test":{"auth":"canary!"},"reg.test":`+tt.entry+`}}`)
		s := OpenStore(Options{Dir: dir})
		got, _, err := s.Get(t.Context(), host(t, "reg.test"))
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: %v, %v", tt.entry, got, err)
		}
		if c, ok := errors.AsType[*ConfigError](err); tt.bad && (!ok || strings.Contains(c.Error(), "canary")) {
			t.Errorf("%s: %v", tt.entry, err)
		}
		// What cannot be read can be replaced.
		if _, err := s.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "n", Password: "p"}); err != nil {
			t.Errorf("%s: %v", tt.entry, err)
		}
		if got, _, err := s.Get(t.Context(), host(t, "reg.test")); err != nil || got.Username != "n" {
			t.Errorf("%s: %v, %v", tt.entry, got, err)
		}
	}
}

func TestOrderOfPlaces(t *testing.T) {
	t.Parallel()
	entry := func(user string) string {
		return fmt.Sprintf(`{"auths":{"reg.test":{"auth":%q}}}`, basicAuth(user, "p"))
	}
	const other = `{"auths":{"other.test":{}}}`
	tests := []struct {
		env, authFile, config string
		user                  string
		source                Source
	}{
		{entry("env"), entry("file"), entry("config"), "env", SourceEnv},
		{other, entry("file"), entry("config"), "file", SourceAuthFile},
		{"", entry("file"), entry("config"), "file", SourceAuthFile},
		{"", other, entry("config"), "config", SourceConfig},
		{"", "", entry("config"), "config", SourceConfig},
		{"", "", "", "", ""},
		{other, other, other, "", ""},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		o := Options{Dir: dir, AuthConfig: tt.env, AuthFile: filepath.Join(dir, "auth.json")}
		for name, text := range map[string]string{configName: tt.config, "auth.json": tt.authFile} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, source, err := OpenStore(o).Get(t.Context(), host(t, "reg.test"))
		if err != nil || c.Username != tt.user || source != tt.source {
			t.Errorf("%q from %q, %v; want %q from %q", c.Username, source, err, tt.user, tt.source)
		}
	}
}

func TestAMalformedEnvironmentIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"canary", `{"auths":"canary"}`, `{"auths":{"reg.test":{"auth":"canary!"}}}`} {
		_, _, err := OpenStore(Options{AuthConfig: text}).Get(t.Context(), host(t, "reg.test"))
		c, ok := errors.AsType[*ConfigError](err)
		if !ok || c.Path != string(SourceEnv) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestHostsWithCredentials(t *testing.T) {
	t.Parallel()
	rig := newHelperRig(t, "", `{
		"auths": {
			"b.test": {"auth": "x"}, "https://a.test:5000/v1/": {"username": "u"}, "empty.test": {},
			"https://index.docker.io/v1/": {"identitytoken": "t"}, "not a host!": {"auth": "x"}
		},
		"credHelpers": {"kept.test": "double", "not-kept.test": "double"}
	}`)
	rig.put(t, kept{"kept.test", "u", "p"})
	hosts, err := rig.Hosts(t.Context())
	if want := []string{"a.test:5000", "b.test", "docker.io", "kept.test"}; err != nil || !slices.Equal(hosts, want) {
		t.Errorf("%v, %v, want %v", hosts, err, want)
	}
}
