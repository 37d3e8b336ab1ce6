package pki

// A Pair is a client certificate with its private key, both PEM. The key is
// never shown.
type Pair struct {
	Cert, Key []byte
}
