package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/docker/cli/cli/config/types"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	maxConfig = 8 << 20 // bytes that a file of credentials may have
	readTries = 20
)

// A document is what of a config.json or auth.json matters here. The names of
// its keys are compared as encoding/json does, as docker reads them.
type document struct {
	Auths       map[string]types.AuthConfig `json:"auths"`
	CredsStore  string                      `json:"credsStore"`
	CredHelpers map[string]string           `json:"credHelpers"`
}

// parse reads a config.json. Nothing at all is an empty document, as it is to
// docker: the file was made and nothing was written yet.
func parse(path string, data []byte) (document, error) {
	var d document
	if err := checkJSON(path, data); err != nil || isBlank(data) {
		return d, err
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return document{}, &ConfigError{Path: path, Why: "its parts are not of the kinds that docker writes"}
	}
	return d, nil
}

// checkJSON refuses what is not strictly one JSON object. encoding/json bounds
// the depth (10000), which hujson does not.
func checkJSON(path string, data []byte) error {
	switch {
	case isBlank(data):
		return nil
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return &ConfigError{Path: path, Why: "it begins with a byte order mark, which docker does not read"}
	case !json.Valid(data):
		return &ConfigError{Path: path, Why: "it is not valid JSON"}
	case bytes.TrimLeft(data, " \t\r\n")[0] != '{':
		return &ConfigError{Path: path, Why: "it is not a JSON object"}
	}
	return nil
}

func isBlank(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }

// read returns the bytes of the file at path, nil if there is none. A symbolic
// link is followed: many keep their settings elsewhere.
func read(tree *atomicfile.Tree, path string) ([]byte, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unresolved(path, err)
	}
	var data []byte
	for range readTries {
		if data, _, err = tree.Read(target, maxConfig); err == nil || isFinal(err) {
			break
		}
	}
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, atomicfile.ErrTooLarge):
		return nil, &ConfigError{Path: path, Why: "it is larger than 8 MiB"}
	}
	return nil, &ConfigError{Path: path, Why: "it cannot be read", Err: err}
}

// unresolved is the error of a path whose links lead nowhere. filepath has no
// error of its own for a circle; the system has.
func unresolved(path string, err error) *ConfigError {
	if _, circle := os.Stat(path); errors.Is(circle, syscall.ELOOP) {
		return &ConfigError{Path: path, Why: "its links lead in a circle", Err: circle}
	}
	return &ConfigError{Path: path, Why: "it cannot be read", Err: err}
}

// isFinal says whether to read again would be of no use. A file that somebody
// replaces at this moment can be read at the next.
func isFinal(err error) bool {
	_, notFile := errors.AsType[*atomicfile.NotRegularError](err)
	return notFile || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, atomicfile.ErrTooLarge)
}

func load(tree *atomicfile.Tree, path string) (document, error) {
	data, err := read(tree, path)
	if err != nil {
		return document{}, err
	}
	return parse(path, data)
}

// helperOf is the name of the helper that keeps the credentials stored under
// key, or "". An empty entry under credHelpers means: none for this host.
func (d document) helperOf(keys []string) string {
	for _, k := range keys {
		if name, ok := d.CredHelpers[k]; ok {
			return name
		}
	}
	return d.CredsStore
}

// find returns the credentials for h that lie in the document itself: those
// under docker's own key, else under one that means the same host.
func (d document) find(path string, h ref.Host) (Credentials, error) {
	keys := keysOf(h)
	for _, k := range slices.Sorted(maps.Keys(d.Auths)) {
		if !slices.Contains(keys, k) && meansHost(k, h) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		c, ok := decode(d.Auths[k])
		if !ok {
			return Credentials{}, &ConfigError{Path: path, Why: "its entry for " + quote(h.String()) + " cannot be decoded"}
		}
		if !c.IsZero() {
			return c, nil
		}
	}
	return Credentials{}, nil
}

// decode reads an entry as docker does (docker/cli, config/configfile/file.go:
// decodeAuth): the base64 of USER:PASSWORD, padded with NULs by some.
func decode(a types.AuthConfig) (Credentials, bool) {
	c := Credentials{
		Username:      a.Username,
		Password:      a.Password,
		IdentityToken: a.IdentityToken,
		RegistryToken: a.RegistryToken,
	}
	if a.Auth == "" {
		return c, true
	}
	text, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return Credentials{}, false
	}
	user, password, ok := strings.Cut(string(text), ":")
	if !ok || user == "" {
		return Credentials{}, false
	}
	c.Username, c.Password = user, strings.Trim(password, "\x00")
	return c, true
}

// encode is the entry that docker would write for c.
func encode(c Credentials) types.AuthConfig {
	a := types.AuthConfig{IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
	if c.Username != "" {
		a.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	}
	return a
}
