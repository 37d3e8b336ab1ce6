package auth

import (
	"net/http"
)

// API returns a round-tripper for what the registry has beside /v2/, such as
// the API of Harbor. That challenges nobody: whoever sends no password sees what
// is public. So the password goes with each request, one request at a time,
// under the rules that hold for /v2/ too; [Transport.Verify] is to have found it
// right before, since Harbor answers a wrong one as it answers none. Without a
// password requests go bare. Besides the errors of the inner round-tripper
// there are [*ClearTextError] and, after too many refusals, [*DeniedError].
func (t *Transport) API() http.RoundTripper { return apiTransport{t} }

type apiTransport struct{ t *Transport }

func (a apiTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := a.t
	out := req.Clone(req.Context())
	for _, name := range []string{"Authorization", "Cookie"} {
		out.Header.Del(name)
	}
	if !t.owns(req.URL) {
		return t.inner.RoundTrip(out)
	}
	out.URL.Scheme, out.URL.Host, out.Host = t.base.Scheme, t.base.Host, ""
	if !t.credentials.hasPassword() {
		return t.inner.RoundTrip(out)
	}
	if err := t.mayReveal(); err != nil {
		closeBody(req)
		return nil, err
	}
	release, err := t.takeTurn(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer release()
	out.Header.Set("Authorization", t.basicPass().header)
	resp, err := t.sendSecret(out)
	if err == nil && accepted(resp) {
		t.settle(false)
	}
	return resp, err
}
