package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/docker/cli/cli/config/types"

	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	loginDirVariable  = "VICR_AUTH_TEST_DIR"
	loginHostVariable = "VICR_AUTH_TEST_HOST"
)

// playLogin is a process that logs in to one host.
func playLogin() int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := ref.ParseHost(os.Getenv(loginHostVariable))
	if err == nil {
		_, err = OpenStore(Options{Dir: os.Getenv(loginDirVariable)}).Put(ctx, h, Credentials{Username: "u", Password: h.String()})
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// F8, B12 and B13 of the fault catalogue: docker/cli keeps 12 of these 20.
func TestF8LoginsAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	const logins = 20
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	before := fmt.Sprintf(`{"auths":{"already.test":{"auth":%q}},"unknown":1e999}`, basicAuth("u", "p"))
	writeConfig(t, dir, before)
	done := make(chan struct{})
	var reader, writers sync.WaitGroup
	reads := 0
	reader.Go(func() {
		s := OpenStore(Options{Dir: dir})
		for {
			select {
			case <-done:
				return
			default:
			}
			if data, err := os.ReadFile(filepath.Join(dir, configName)); err != nil || !json.Valid(data) {
				t.Errorf("torn: %q, %v", data, err)
			}
			if c, _, err := s.Get(t.Context(), host(t, "already.test")); err != nil || c.Username != "u" {
				t.Errorf("%v, %v", c, err)
			}
			reads++
		}
	})
	for i := range logins {
		writers.Go(func() {
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), raceSetting, roleVariable+"=login", loginDirVariable+"="+dir,
				fmt.Sprintf("%s=reg%d.test", loginHostVariable, i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("login %d: %v: %s", i, err, out)
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	var d struct {
		Auths   map[string]types.AuthConfig `json:"auths"`
		Unknown json.RawMessage             `json:"unknown"`
	}
	if err := json.Unmarshal([]byte(readConfig(t, dir)), &d); err != nil {
		t.Fatal(err)
	}
	for i := range logins {
		name := fmt.Sprintf("reg%d.test", i)
		if d.Auths[name].Auth != basicAuth("u", name) {
			t.Errorf("the login to %s is lost", name)
		}
	}
	if len(d.Auths) != logins+1 || string(d.Unknown) != "1e999" {
		t.Errorf("%d entries, unknown %s", len(d.Auths), d.Unknown)
	}
	if reads == 0 {
		t.Error("nothing was read meanwhile")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}
