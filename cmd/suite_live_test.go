package cmd_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// TestSuiteLive types the rows that make sense anywhere at the Harbor that
// VICR_E2E_HARBOR names, and holds them against the golden file of the sandbox
// that is most like it: exit codes, and the words, but for the server's own.
// It creates and removes projects called vicr-e2e-*, and touches no other.
func TestSuiteLive(t *testing.T) {
	t.Parallel()
	c, like := liveCounter(t)
	golden, err := os.ReadFile(filepath.Join("testdata", "suite", like+".golden")) //nolint:gosec // committed
	if err != nil {
		t.Fatalf("VICR_E2E_HARBOR_LIKE: %v", err)
	}
	wanted, played := goldenRows(string(golden)), 0
	t.Cleanup(func() { // the test's own context has ended by then
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, word := range []string{"vicr-e2e-NEW", "vicr-e2e-OPEN"} {
			if err := c.removeProject(ctx, like, c.words[word]); err != nil {
				t.Errorf("project %s is left behind: %v", c.words[word], err)
			}
		}
	})
	for _, r := range suiteRows() {
		if !r.live || !r.fits(sandbox.Like(like)) {
			continue
		}
		played++
		_, shown := c.do(t, c.desk(t, r), r)
		if got, want := serversOwn.ReplaceAllString(elsewhere(shown), "$1"), serversOwn.ReplaceAllString(elsewhere(wanted[r.name]), "$1"); strings.TrimSpace(got[3:]) != want {
			t.Errorf("got\n%s\nwant\n%s", shown, wanted[r.name])
		}
	}
	if played == 0 {
		t.Error("no row was played")
	}
}

// serversOwn is what a server says for itself behind the status.
var serversOwn = regexp.MustCompile(`(?m)(: status \d+)[ :].*$`)

// liveCounter is the Harbor that the environment names; without one the test is skipped.
func liveCounter(t *testing.T) (c *counter, like string) {
	t.Helper()
	address := os.Getenv("VICR_E2E_HARBOR")
	if address == "" {
		t.Skip("VICR_E2E_HARBOR names no Harbor; CONTRIBUTING says how to run this against one")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		t.Fatal("VICR_E2E_HARBOR is not https://HOST")
	}
	password := os.Getenv("VICR_E2E_HARBOR_PASSWORD")
	if file := os.Getenv("VICR_E2E_HARBOR_PASSWORD_FILE"); password == "" && file != "" {
		raw, err := os.ReadFile(file) //nolint:gosec // named by whoever runs the test
		if err != nil {
			t.Fatal(err)
		}
		password = strings.TrimRight(string(raw), "\r\n")
	}
	user := os.Getenv("VICR_E2E_HARBOR_USER")
	if user == "" || password == "" {
		t.Fatal("VICR_E2E_HARBOR needs VICR_E2E_HARBOR_USER, and VICR_E2E_HARBOR_PASSWORD or VICR_E2E_HARBOR_PASSWORD_FILE")
	}
	if like = os.Getenv("VICR_E2E_HARBOR_LIKE"); like == "" {
		like = string(sandbox.Harbor216)
	}
	mark := strings.ToLower(rand.Text()[:10])
	c = &counter{
		host: u.Host, ca: os.Getenv("VICR_E2E_HARBOR_CA"), passwords: map[string]string{"dev": password},
		words: map[string]string{"USER": user, "vicr-e2e-NEW": "vicr-e2e-new-" + mark, "vicr-e2e-OPEN": "vicr-e2e-open-" + mark},
	}
	for word, dir := range suiteImages(t) {
		c.words[word] = dir
	}
	return c, like
}

// removeProject deletes a project that a live run may have made, with its
// repositories. That it is not there is no error.
func (c *counter) removeProject(ctx context.Context, like, name string) error {
	if !strings.HasPrefix(name, "vicr-e2e-") {
		return fmt.Errorf("%s is not one of the suite", name)
	}
	if strings.HasPrefix(like, "harbor-2") {
		for _, repository := range []string{"app", "copied", "all"} {
			if _, err := c.api(ctx, http.MethodDelete, "/api/v2.0/projects/"+name+"/repositories/"+repository); err != nil {
				return err
			}
		}
		_, err := c.api(ctx, http.MethodDelete, "/api/v2.0/projects/"+name)
		return err
	}
	raw, err := c.api(ctx, http.MethodGet, "/api/projects?name="+name)
	if err != nil {
		return err
	}
	var found []struct {
		ID   int    `json:"project_id"`
		Name string `json:"name"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &found); err != nil {
			return err
		}
	}
	for _, p := range found {
		if p.Name != name { // the question is for a part of the name
			continue
		}
		for _, what := range []string{"/app/tags/2", "/app", "/copied/tags/1", "/copied", "/all/tags/2", "/all"} { // 1.1 deletes tags alone, and with the last one the repository
			if _, err := c.api(ctx, http.MethodDelete, "/api/repositories/"+name+what); err != nil {
				return err
			}
		}
		if _, err := c.api(ctx, http.MethodDelete, fmt.Sprintf("/api/projects/%d", p.ID)); err != nil {
			return err
		}
	}
	return nil
}

// api asks Harbor as the user; an answer of 404 is none.
func (c *counter) api(ctx context.Context, method, path string) ([]byte, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(pem)
	}
	transport := &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.host+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.words["USER"], c.passwords["dev"])
	resp, err := transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode >= http.StatusMultipleChoices:
		return nil, fmt.Errorf("%s %s: status %d", method, path, resp.StatusCode)
	}
	return raw, nil
}
