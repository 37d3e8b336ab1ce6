package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/sandbox"
)

// TestGettingStarted runs the commands of the page, in order, as a new user.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.Start(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	password := ""
	for _, u := range s.Users() {
		if u.Name == "dev" {
			password = u.Password
		}
	}
	fill := strings.NewReplacer("registry.example.com", s.Host(), "FINGERPRINT", pki.SHA256(s.CA()).String())
	home, ran := t.TempDir(), 0
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(line, "$ vicr ")
		if !ok {
			continue
		}
		ran++
		command, reads, _ := strings.Cut(fill.Replace(strings.TrimSpace(command)), " < ")
		vicr := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(command)...)
		vicr.Args[0] = "vicr" // the test binary is vicr under this name
		vicr.Dir = home
		vicr.Env = []string{"HOME=" + home, "USERPROFILE=" + home, "LOCALAPPDATA=" + home, "APPDATA=" + home, "DOCKER_HOST=unix://" + home + "/none"}
		if reads == "password" {
			vicr.Stdin = strings.NewReader(password + "\n")
		}
		var out bytes.Buffer
		vicr.Stdout, vicr.Stderr = &out, &out
		if err := vicr.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.TrimSpace(line), err, out.String())
		}
	}
	if ran < 9 {
		t.Errorf("the page has only %d commands", ran)
	}
	for _, left := range []string{".config/vicr", ".local/state/vicr"} {
		if _, err := os.Stat(filepath.Join(home, left)); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", left, err)
		}
	}
}
