package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/vicr-cli/vicr/internal/engine"
)

// addContext writes a context as docker does.
func addContext(t *testing.T, dir, name, meta string) {
	t.Helper()
	file(t, filepath.Join(dir, "contexts", "meta", digest.FromString(name).Encoded(), "meta.json"), meta)
}

func file(t *testing.T, path, data string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(data), 0o600))
}

func TestResolveFollowsDocker(t *testing.T) {
	t.Parallel()
	const env = "tcp://192.0.2.9:2375"
	for what, test := range map[string]struct {
		config, dockerHost, context string
		want                        string
		configured                  bool
		fails                       string // what the error has
	}{
		"nothing":                {"", "", "", "", false, ""},
		"empty config":           {" ", "", "", "", false, "not valid JSON"},
		"config of other things": {`{"auths":{}}`, "", "", "", false, ""},
		"DOCKER_HOST":            {"", env, "", env, true, ""},
		"DOCKER_HOST wins":       {`{"currentContext":"a"}`, env, "a", env, true, ""},
		"context of the config":  {`{"currentContext":"a"}`, "", "", "unix:///a.sock", true, ""},
		"DOCKER_CONTEXT wins":    {`{"currentContext":"a"}`, "", "b", "unix:///b.sock", true, ""},
		"default is no context":  {`{"currentContext":"a"}`, "", "default", "", false, ""},
		"default in the config":  {`{"currentContext":"default"}`, "", "", "", false, ""},
		"no such context":        {"", "", "none", "", false, `"none": there is no such context`},
		"a name that is a path":  {"", "", "../../meta", "", false, "no such context"},
		"no docker endpoint":     {"", "", "kube", "", false, "names no docker engine"},
		"broken context":         {"", "", "broken", "", false, `"broken"`},
		"broken config":          {`{"auths":{"h":{"auth":"c2VjcmV0"}},`, "", "", "", false, "not valid JSON"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if test.config != "" {
				file(t, filepath.Join(dir, "config.json"), test.config)
			}
			addContext(t, dir, "a", `{"Name":"a","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///a.sock","SkipTLSVerify":false}}}`)
			addContext(t, dir, "b", `{"Name":"b","Metadata":{"Description":"x"},"Endpoints":{"docker":{"Host":"unix:///b.sock"}}}`)
			addContext(t, dir, "kube", `{"Name":"kube","Endpoints":{"kubernetes":{"Host":"x"}}}`)
			addContext(t, dir, "broken", `{"Name":`)
			o := engine.ResolveOptions{DockerHost: test.dockerHost, Context: test.context, ConfigDir: dir}
			host, configured, err := engine.Resolve(o)
			if host != test.want || configured != test.configured {
				t.Errorf("got %q, %t, want %q, %t", host, configured, test.want, test.configured)
			}
			bad, ok := errors.AsType[*engine.ContextError](err)
			if ok != (test.fails != "") || (ok && !strings.Contains(bad.Error(), test.fails)) {
				t.Errorf("the error is %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%q holds a secret", err)
			}
		})
	}
}

func TestResolveFollowsALinkedConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, filepath.Join(dir, "elsewhere.json"), `{"currentContext":"a"}`)
	if err := os.Symlink("elsewhere.json", filepath.Join(dir, "config.json")); err != nil {
		t.Skip(err)
	}
	addContext(t, dir, "a", `{"Name":"a","Endpoints":{"docker":{"Host":"unix:///a.sock"}}}`)
	if host, _, err := engine.Resolve(engine.ResolveOptions{ConfigDir: dir}); host != "unix:///a.sock" || err != nil {
		t.Errorf("got %q (%v)", host, err)
	}
}

func TestResolveTLS(t *testing.T) {
	t.Parallel()
	const meta = `{"Name":"x","Endpoints":{"docker":{"Host":"tcp://192.0.2.9:2376","SkipTLSVerify":false}}}`
	for what, test := range map[string]struct {
		meta  string
		files map[string]string
		tls   bool
		fails bool
	}{
		"nothing":     {meta, nil, false, false},
		"skip verify": {strings.Replace(meta, "false", "true", 1), nil, true, false},
		"bad ca":      {meta, map[string]string{"ca.pem": "x"}, false, true},
		"bad key":     {meta, map[string]string{"cert.pem": "x", "key.pem": "x"}, false, true},
		"lone cert":   {meta, map[string]string{"cert.pem": "x"}, true, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			addContext(t, dir, "x", test.meta)
			for name, data := range test.files {
				file(t, filepath.Join(dir, "contexts", "tls", digest.FromString("x").Encoded(), "docker", name), data)
			}
			c, err := engine.ResolveTLS(engine.ResolveOptions{Context: "x", ConfigDir: dir})
			if (c != nil) != test.tls || (err != nil) != test.fails {
				t.Errorf("got %v (%v)", c, err)
			}
			if _, ok := errors.AsType[*engine.ContextError](err); test.fails && !ok {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if c, err := engine.ResolveTLS(engine.ResolveOptions{DockerHost: "tcp://x:1", Context: "x", ConfigDir: t.TempDir()}); c != nil || err != nil {
		t.Errorf("DOCKER_HOST with the TLS of a context: %v (%v)", c, err)
	}
}

// Go's own words would be "EvalSymlinks: too many links" and "lstat /x: ...".
func TestAConfigThatCannotBeReachedIsSaidInPlainWords(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(dir string) (string, error) // what is docker's folder
		want string
	}{
		"a circle": {func(dir string) (string, error) {
			return dir, os.Symlink("config.json", filepath.Join(dir, "config.json"))
		}, "config.json: " + syscall.ELOOP.Error()},
		"a file where the folder is": {func(dir string) (string, error) {
			file := filepath.Join(dir, "docker")
			return file, os.WriteFile(file, nil, 0o600)
		}, ": not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := tt.make(t.TempDir())
			if err != nil {
				t.Skip(err) // links need a right of their own on Windows
			}
			_, _, err = engine.Resolve(engine.ResolveOptions{ConfigDir: dir})
			var c *engine.ContextError
			if runtime.GOOS == "windows" && err == nil {
				return // there is no such file, it says
			}
			if !errors.As(err, &c) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "lstat") || strings.Contains(err.Error(), "EvalSymlinks") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
