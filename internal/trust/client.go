package trust

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// ClientPair is the client certificate that vicr's own connections to h show:
// the one in its own folder, else the first in Docker's whose key this user can
// read. The error names a certificate that is there and is of no use.
func ClientPair(m machine.Machine, h ref.Host) (pair pki.Pair, found bool, err error) {
	if h.IsZero() {
		return pki.Pair{}, false, nil
	}
	dirs := dockerFolders(m, h)
	if own := ownFolder(m, h); own != "" {
		dirs = append([]string{own}, dirs...)
	}
	for _, dir := range dirs {
		if pair, found, err = pairIn(m, dir); found || err != nil {
			return pair, found, err
		}
	}
	return pki.Pair{}, false, nil
}

// pairIn takes the first *.cert of a folder whose *.key can be read.
func pairIn(m machine.Machine, dir string) (pair pki.Pair, found bool, err error) {
	entries, err := m.ReadDir(dir)
	if err != nil {
		return pair, false, nil //nolint:nilerr // a folder that cannot be seen has none for this user
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".cert")
		if !ok {
			continue
		}
		path := m.Join(dir, e.Name())
		cert, err := m.ReadFile(path, maxCAFile)
		if err != nil {
			continue
		}
		key, err := m.ReadFile(m.Join(dir, base+".key"), maxCAFile)
		switch {
		case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return pki.Pair{}, false, fmt.Errorf("%q: %w", m.Join(dir, base+".key"), reason(err))
		}
		// What is wrong with the two is said without their bytes.
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			return pki.Pair{}, false, &pki.PairError{Why: fmt.Sprintf("%q and its .key do not belong together, or cannot be read as PEM", path)}
		}
		return pki.Pair{Cert: cert, Key: key}, true, nil
	}
	return pki.Pair{}, false, nil
}
