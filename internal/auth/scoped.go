package auth

import "net/http"

// A Scoped is a [Transport] whose requests ask for more than they need by
// themselves. What it adds goes to this registry's token service alone, also
// where one context serves two registries.
type Scoped struct {
	inner  transport
	scopes []string
}

// transport is what a [Transport] does and knows.
type transport interface {
	http.RoundTripper
	LoggedIn() bool
	MayNotPush(repository string) bool
	MayNotPull(repository string) bool
}

// For has tokens good for scopes too, as [WithScope] does for a context: one
// token then does for several requests.
func (t *Transport) For(scopes ...string) Scoped { return Scoped{t, scopes} }

// LoggedIn is that of [Transport].
func (s Scoped) LoggedIn() bool { return s.inner.LoggedIn() }

// MayNotPush is that of [Transport].
func (s Scoped) MayNotPush(repository string) bool { return s.inner.MayNotPush(repository) }

// MayNotPull is that of [Transport].
func (s Scoped) MayNotPull(repository string) bool { return s.inner.MayNotPull(repository) }

// RoundTrip is that of [Transport].
func (s Scoped) RoundTrip(req *http.Request) (*http.Response, error) {
	return s.inner.RoundTrip(req.WithContext(WithScope(req.Context(), s.scopes...)))
}
