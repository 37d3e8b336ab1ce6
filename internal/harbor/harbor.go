// Package harbor recognises a Harbor registry, from 1.1 to 2.x, and speaks its
// API over a round-tripper that it is handed. It follows no redirect and keeps
// no cookie: a session cookie makes Harbor ask for a CSRF token that only a
// browser has (goharbor/harbor src/server/middleware/csrf).
package harbor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxJSON = 64 << 10 // bytes of an answer that is read as JSON
	maxCA   = 1 << 20  // bytes of a CA bundle

	pathVersion = "/api/version" // from 2.0 on
	pathV1      = "/api"
	pathV2      = "/api/v2.0"
	pathSysInfo = "/systeminfo"
	pathGetcert = "/systeminfo/getcert"

	apiVersionV2 = "v2." // how the answer of pathVersion begins, from 2.0 to 2.16
)

// The service names of the bearer challenge at /v2/ by which Harbor is known:
// the second one is older than 0.5.
const (
	Service    = "harbor-registry"
	serviceOld = "token-service"
)

// Info is what Harbor tells anybody about itself. Values that Harbor would
// never give, such as ones with control characters, are left empty.
type Info struct {
	Version         string // "v1.7.8-...", empty where Harbor hides it: 2.13 and later do
	Generation      int    // 1 or 2; 0: a Harbor by its challenge, whose API does not answer
	AuthMode        string // "db_auth", "ldap_auth", "uaa_auth", "http_auth", "oidc_auth"
	Admiral         bool   // inside vSphere Integrated Containers: accounts are Admiral's
	ProjectCreation string // "everyone", "adminonly", empty where it is hidden
	ReadOnly        bool   // takes no push; false where it is hidden, as from 2.2 on
}

// A Client asks one Harbor. It may be used by several goroutines.
type Client struct {
	rt   http.RoundTripper
	base *url.URL
	user string // whose credentials rt sends along, where that is known
}

// NewClient returns a client for the server at base, whose path is ignored.
func NewClient(rt http.RoundTripper, base *url.URL) *Client {
	return &Client{rt: rt, base: &url.URL{Scheme: base.Scheme, Host: base.Host}}
}

// As is c where its round-tripper sends along the credentials of that user:
// some refusals of Harbor 1 say nothing, and are known by who was refused.
func (c *Client) As(user string) *Client {
	as := *c
	as.user = user
	return &as
}

// Detect finds out, without credentials, whether the server is a Harbor and
// which. Service is the one that the bearer challenge at /v2/ named, or empty.
// A page of HTML, such as the one that Harbor's portal gives for any path it
// does not know, is never taken for an answer of the API. The error is that of
// the round-tripper.
func (c *Client) Detect(ctx context.Context, service string) (Info, bool, error) {
	named := IsService(service)
	var v struct {
		Version string `json:"version"`
	}
	ok, err := c.object(ctx, pathVersion, &v)
	if err != nil {
		return Info{}, false, err
	}
	if ok && strings.HasPrefix(v.Version, apiVersionV2) {
		s, ok, err := c.systemInfo(ctx, pathV2)
		if err != nil {
			return Info{}, false, err
		}
		// Other products have an /api/version too, so that one alone proves nothing.
		if named || ok && s.AuthMode != "" {
			return s.info(2), true, nil
		}
	}
	s, ok, err := c.systemInfo(ctx, pathV1)
	switch {
	case err != nil:
		return Info{}, false, err
	case ok && s.AuthMode != "" && s.RegistryURL != nil:
		return s.info(1), true, nil
	}
	return Info{}, named, nil
}

// systemInfo holds the fields of GET /systeminfo that say what the server is.
type systemInfo struct {
	AuthMode        string  `json:"auth_mode"`
	RegistryURL     *string `json:"registry_url"` // 2.2 and later hide it from anonymous
	Version         string  `json:"harbor_version"`
	Admiral         bool    `json:"with_admiral"`
	ProjectCreation string  `json:"project_creation_restriction"`
	ReadOnly        bool    `json:"read_only"` // from 1.5 on
}

func (c *Client) systemInfo(ctx context.Context, api string) (s systemInfo, ok bool, err error) {
	ok, err = c.object(ctx, api+pathSysInfo, &s)
	if !ok {
		s = systemInfo{}
	}
	return s, ok, err
}

func (s systemInfo) info(generation int) Info {
	i := Info{
		Version:         word(s.Version),
		Generation:      generation,
		AuthMode:        word(s.AuthMode),
		Admiral:         s.Admiral,
		ProjectCreation: word(s.ProjectCreation),
		ReadOnly:        s.ReadOnly,
	}
	if i.Version == "-" { // builds without a version string
		i.Version = ""
	}
	return i
}

// word returns s if it is made as Harbor makes its values, else "".
func word(s string) string {
	const limit = 64 // bytes
	if len(s) > limit {
		return ""
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '+', c == '-':
		default:
			return ""
		}
	}
	return s
}

// CA fetches the CA that an administrator laid down for users to download,
// without credentials: the raw bytes, which the caller has to judge. They may
// hold a leaf, several certificates or a private key. Generation is that of
// [Info]; with 0 both paths are tried. The error is that of the round-tripper,
// or a [*NoCAError], a [*LoginNeededError] (Harbor before 1.7) or an [*AnswerError].
func (c *Client) CA(ctx context.Context, generation int) ([]byte, error) {
	switch generation {
	case 1:
		return c.getcert(ctx, pathV1+pathGetcert, nil)
	case 2:
		return c.getcert(ctx, pathV2+pathGetcert, nil)
	}
	ca, err := c.getcert(ctx, pathV2+pathGetcert, nil)
	_, none := errors.AsType[*NoCAError](err)
	_, other := errors.AsType[*AnswerError](err)
	if none || other {
		return c.getcert(ctx, pathV1+pathGetcert, nil)
	}
	return ca, err
}

// CAAsAdmin fetches the CA from a Harbor before 1.7, which gives it to
// administrators only. The password goes to the server over the client's
// round-tripper, which must have made sure who that is. The error is that of
// the round-tripper, or a [*NoCAError], a [*DeniedError] or an [*AnswerError].
func (c *Client) CAAsAdmin(ctx context.Context, user, password string) ([]byte, error) {
	ca, err := c.getcert(ctx, pathV1+pathGetcert, url.UserPassword(user, password))
	if refused, ok := errors.AsType[*LoginNeededError](err); ok {
		return nil, &DeniedError{Status: refused.Status}
	}
	return ca, err
}

func (c *Client) getcert(ctx context.Context, path string, as *url.Userinfo) ([]byte, error) {
	resp, err := c.get(ctx, path, "application/octet-stream", as)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	fail := func(why string) ([]byte, error) {
		return nil, &AnswerError{Path: path, Status: resp.StatusCode, Why: why}
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, &NoCAError{Path: path}
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, &LoginNeededError{Status: resp.StatusCode}
	default:
		return fail("")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCA+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case len(body) > maxCA:
		return fail("larger than 1 MiB")
	case isPage(resp, body):
		return fail("a web page and no certificate")
	case len(bytes.TrimSpace(body)) == 0:
		return nil, &NoCAError{Path: path}
	}
	return body, nil
}

// object gets path and decodes the JSON object there into v. It says false for
// any answer that is not 200 with one JSON object.
func (c *Client) object(ctx context.Context, path string, v any) (bool, error) {
	resp, err := c.get(ctx, path, "application/json", nil)
	if err != nil {
		return false, err
	}
	defer closeBody(resp)
	if resp.StatusCode != http.StatusOK {
		return false, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	// The media type says nothing: /api/version of 2.x is JSON as text/plain. What
	// is cut off above is no JSON.
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("{")) {
		return false, nil
	}
	return json.Unmarshal(body, v) == nil, nil
}

func (c *Client) get(ctx context.Context, path, accept string, as *url.Userinfo) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+path, nil)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("Accept", accept)
	if as != nil {
		password, _ := as.Password()
		req.SetBasicAuth(as.Username(), password)
	}
	return c.rt.RoundTrip(req)
}

// isPage tells a web page, also one that comes with another media type.
func isPage(resp *http.Response, body []byte) bool {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // empty when it is no media type
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	return media == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// closeBody reads a little more so that the connection can be used again.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxJSON)
	_ = resp.Body.Close()
}
