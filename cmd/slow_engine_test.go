package cmd

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An engine under load gets the time that was typed for it. Without a word it has two
// seconds, however long a registry may be silent.
func TestATypedTimeoutCountsForAnEngine(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		args []string
		env  string
		code int
		says string
	}{
		"nothing":     {nil, "", codeFailed, "silent for 2s"},
		"typed":       {[]string{"--timeout", "60s"}, "", codeDone, ""},
		"variable":    {nil, "60s", codeDone, ""},
		"less, typed": {[]string{"--timeout", "1s"}, "", codeFailed, "silent for 2s"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			vars := map[string]string{"HOME": home, "USERPROFILE": home, "DOCKER_HOST": slowEngine(t), "VICR_TIMEOUT": tt.env}
			var out, errs bytes.Buffer
			env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(name string) string { return vars[name] }, Now: time.Now, Euid: 1000}
			args := append([]string{"tag", "--in", "docker", "registry.example/a:1", "registry.example/a:2"}, tt.args...)
			if code := Main(args, env); code != tt.code || !strings.Contains(errs.String(), tt.says) {
				t.Errorf("exit %d, want %d: %s", code, tt.code, errs.String())
			}
		})
	}
}

// slowEngine answers its first ping when a client without another word has given up.
func slowEngine(t *testing.T) (host string) {
	t.Helper()
	const later = 2500 * time.Millisecond
	dir, err := os.MkdirTemp("", "vicr") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			slow, cancel := context.WithTimeout(r.Context(), later)
			defer cancel()
			<-slow.Done()
		}
		w.Header().Set("Api-Version", "1.41")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"Id":"sha256:1"}`))
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "unix://" + l.Addr().String()
}
