//go:build e2e && linux

package cmd_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// A distribution is a registry by its program, and whether it keeps what arrived
// of an upload that broke.
type distribution struct {
	program string
	keeps   bool
}

func distributions(t *testing.T) map[string]distribution {
	t.Helper()
	all := map[string]distribution{"Distribution 2": {testkit.Need(t, "docker-registry", "docker-registry"), false}}
	if testkit.Full() {
		all["Distribution 3"] = distribution{testkit.NeedTool(t, "distribution/registry"), true}
	}
	return all
}

// serve starts the registry on loopback, without TLS, and returns its address.
func (d distribution) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, dir := l.Addr().String(), t.TempDir()
	l.Close()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q}\n", dir, addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := exec.Command(d.program, "serve", config)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait()
		if t.Failed() {
			t.Logf("the registry said:\n%s", said.String())
		}
	})
	testkit.Until(t, addr, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}

// An uploading is one upload, spoken by hand.
type uploading struct {
	t    *testing.T
	addr string
	path string // where it goes on
}

func beginUploading(t *testing.T, addr string) *uploading {
	t.Helper()
	u := &uploading{t: t, addr: addr, path: "/v2/demo/app/blobs/uploads/"}
	if r := u.ask("POST", "", nil); r.StatusCode != http.StatusAccepted {
		t.Fatalf("POST: %d", r.StatusCode)
	}
	return u
}

// ask sends a request, and goes on where the answer says.
func (u *uploading) ask(method, query string, body []byte, header ...string) *http.Response {
	u.t.Helper()
	at := "http://" + u.addr + u.path
	if query != "" {
		at += "&" + query
	}
	req, err := http.NewRequestWithContext(u.t.Context(), method, at, bytes.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	r, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		u.t.Fatal(err)
	}
	io.Copy(io.Discard, r.Body)
	r.Body.Close()
	if l := r.Header.Get("Location"); l != "" && r.StatusCode/100 == 2 {
		u.path = strings.TrimPrefix(l, "http://"+u.addr)
	}
	return r
}

// broken sends the beginning of a body and closes the connection.
func (u *uploading) broken(method, query string, size int, data []byte) {
	u.t.Helper()
	c, err := net.Dial("tcp", u.addr)
	if err != nil {
		u.t.Fatal(err)
	}
	fmt.Fprintf(c, "%s %s%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", method, u.path, query, size)
	c.Write(data)
	c.Close()
	time.Sleep(300 * time.Millisecond) // until the registry has noticed
}

// What registries keep of an upload that breaks: the facts that pushing is built
// on. Distribution 2 keeps nothing of it in reach, whether it was PUT or PATCH,
// but all of a PATCH whose body ends early in an orderly way.
func TestRealRegistriesAndBrokenUploads(t *testing.T) {
	data := make([]byte, 8<<20)
	rand.Read(data)
	digest := fmt.Sprintf("digest=sha256:%x", sha256.Sum256(data))
	half := len(data) / 2
	for name, d := range distributions(t) {
		t.Run(name, func(t *testing.T) {
			addr := d.serve(t)
			for _, method := range []string{"PUT", "PATCH"} {
				u := beginUploading(t, addr)
				query := ""
				if method == "PUT" {
					query = "&" + digest
				}
				u.broken(method, query, len(data), data[:half])
				r := u.ask("GET", "", nil)
				if keeps := r.StatusCode == http.StatusNoContent && r.Header.Get("Range") == "0-"+strconv.Itoa(half-1); keeps != d.keeps {
					t.Errorf("%s: status %d, %s", method, r.StatusCode, r.Header.Get("Range"))
				}
				if !d.keeps {
					continue
				}
				if r := u.ask("PUT", digest, data[half:], "Content-Range", fmt.Sprintf("%d-%d", half, len(data)-1)); r.StatusCode != http.StatusCreated {
					t.Errorf("PUT of the rest: %d", r.StatusCode)
				}
			}

			u := beginUploading(t, addr)
			r := u.ask("PATCH", "", data[:half], "Content-Range", fmt.Sprintf("0-%d", half-1))
			if asked := u.ask("GET", "", nil); r.StatusCode != http.StatusAccepted || asked.Header.Get("Range") != "0-"+strconv.Itoa(half-1) {
				t.Errorf("a whole chunk: %d, %s", r.StatusCode, asked.Header.Get("Range"))
			}
			if r := u.ask("PUT", digest, data[half:]); r.StatusCode != http.StatusCreated {
				t.Errorf("PUT of the rest: %d", r.StatusCode)
			}

			u = beginUploading(t, addr)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", u.path, half)
			c.Write(data[:half])
			fmt.Fprint(c, "\r\n0\r\n\r\n")
			r, err = http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || r.StatusCode != http.StatusAccepted || r.Header.Get("Range") != "0-"+strconv.Itoa(half-1) {
				t.Errorf("ended early: %v, %v", r, err)
			}
		})
	}
}

// Pushes through a proxy that cuts connections end well. What was sent before a
// cut is sent again where the registry keeps nothing of it, and nowhere else.
func TestRealPushesThroughCuts(t *testing.T) {
	const size, after, cuts = 48 << 20, 7 << 20, 3
	for name, d := range distributions(t) {
		t.Run(name, func(t *testing.T) {
			proxy := testkit.NewCutProxy(t, d.serve(t), cuts, after)
			p := pusherTo(t, proxy.Addr, size)
			p.wants()
			const beside = 64 << 10 // bytes of headers, the config and the manifest, with room
			most := p.layer.Size + beside
			if !d.keeps {
				most += cuts * (after + beside)
			}
			if proxy.Cuts() != cuts || proxy.Sent() > most || proxy.Sent() < p.layer.Size {
				t.Errorf("%d cuts, %d bytes of %d, at most %d", proxy.Cuts(), proxy.Sent(), p.layer.Size, most)
			}
			p.wantsBlob()
		})
	}
}

// Ctrl-C in the middle of a push loses nothing that was sent, on either.
func TestRealPushInterrupted(t *testing.T) {
	const size = 96 << 20
	for name, d := range distributions(t) {
		t.Run(name, func(t *testing.T) {
			proxy := testkit.NewCutProxy(t, d.serve(t), 0, 0)
			p := pusherTo(t, proxy.Addr, size)
			c, said := p.start()
			testkit.Until(t, "a third of the layer", func() bool { return proxy.Sent() > size/3 })
			start := time.Now()
			c.Process.Signal(syscall.SIGINT)
			c.Wait()
			if code, took := c.ProcessState.ExitCode(), time.Since(start); code != 130 || took > 1500*time.Millisecond {
				t.Errorf("exit code %d after %s\n%s", code, took, said)
			}
			p.wants()
			if sent := proxy.Sent(); sent > size+1<<20 {
				t.Errorf("%d bytes of %d were sent", sent, size)
			}
			p.wantsBlob()
		})
	}
}

// wantsBlob gets the layer from the registry, by hand.
func (p *pusher) wantsBlob() {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + p.host + "/v2/demo/app/blobs/" + p.layer.Digest.String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	sum := sha256.New()
	if n, err := io.Copy(sum, r.Body); err != nil || n != p.layer.Size || fmt.Sprintf("%x", sum.Sum(nil)) != p.layer.Digest.Hex {
		p.t.Errorf("%d bytes, %v", n, err)
	}
}
