package auth

import "net/http"

// A Scoped is a [Transport] whose requests ask for more than they need by
// themselves. What it adds goes to this registry's token service alone, also
// where one context serves two registries.
type Scoped struct {
	*Transport

	scopes []string
}

// For has tokens good for scopes too, as [WithScope] does for a context: one
// token then does for several requests.
func (t *Transport) For(scopes ...string) Scoped { return Scoped{t, scopes} }

// RoundTrip is that of [Transport].
func (s Scoped) RoundTrip(req *http.Request) (*http.Response, error) {
	return s.Transport.RoundTrip(req.WithContext(WithScope(req.Context(), s.scopes...)))
}
