//go:build unix

package cmd_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

func TestTheSandboxEndsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			home, blobs := t.TempDir(), t.TempDir()
			c := exec.Command("vicr", "sandbox", "--format", "json") // which TestMain puts into PATH
			c.Env = []string{"HOME=" + home, "TMPDIR=" + blobs}
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var stderr bytes.Buffer
			c.Stderr = &stderr
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
			defer kill.Stop()
			line, err := bufio.NewReader(out).ReadBytes('\n')
			var box struct {
				Host  string
				Users []struct{ Name, Password string }
			}
			if err := errors.Join(err, json.Unmarshal(line, &box)); err != nil || len(box.Users) != 2 {
				c.Process.Kill()
				t.Fatalf("%v: %s%s", err, line, stderr.String())
			}
			fill(t, box.Host, box.Users[0].Name, box.Users[0].Password)
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil || stderr.Len() > 0 {
				t.Errorf("after %s: %v\n%s", sig, err, stderr.String())
			}
			if err := syscall.Kill(-c.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("its process group: %v, want that there is none", err)
			}
			if conn, err := net.Dial("tcp", box.Host); err == nil {
				conn.Close()
				t.Error("somebody still answers there")
			}
			for _, dir := range []string{home, blobs} {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			}
		})
	}
}

// What the sandbox says to type works, whatever it is like.
func TestTheSandboxsOwnWordsWork(t *testing.T) {
	t.Parallel()
	for _, like := range append(sandbox.Likes(), "plain-http") {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			args := []string{"sandbox", "--like", string(like)}
			if like == "plain-http" {
				args = []string{"sandbox", "--plain-http"}
			}
			c := exec.Command("vicr", args...)
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer c.Wait()
			defer c.Process.Signal(syscall.SIGTERM)
			kill := time.AfterFunc(60*time.Second, func() { c.Process.Kill() })
			defer kill.Stop()
			password, script := readWords(t, out)
			home := t.TempDir()
			sh := exec.CommandContext(t.Context(), "sh", "-e", "-x", "-c", script)
			sh.Dir = home
			sh.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "DOCKER_HOST=unix://" + home + "/none",
				"PASSWORD=" + password,
			}
			if said, err := sh.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s\n%s", err, script, said)
			}
		})
	}
}

// readWords takes dev's password and the commands from what a sandbox says, and
// hands the password to the login.
func readWords(t *testing.T, out io.Reader) (password, script string) {
	t.Helper()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "Ctrl-C"):
			return password, script
		case strings.HasPrefix(line, "users: "):
			_, password, _ = strings.Cut(line, "dev with password ")
		case strings.HasPrefix(line, "a registry"), strings.HasPrefix(line, "in another"):
		case strings.HasPrefix(line, "  vicr login"):
			script += `printf %s "$PASSWORD" |` + line + " --password-stdin\n"
		default:
			script += line + "\n"
		}
	}
	t.Fatalf("the sandbox said: %s", script)
	return "", ""
}

// fill pushes an image whose layer does not stay in memory.
func fill(t *testing.T, host, user, password string) {
	t.Helper()
	img, err := random.Image(2<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(host + "/demo/large:1")
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	if err := remote.Write(tag, img, remote.WithTransport(tr), remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
}
