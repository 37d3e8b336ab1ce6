package proof

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	toml "github.com/pelletier/go-toml/v2"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
)

const (
	maxFile   = 4 << 20  // bytes of a file of a plan, as many as change takes
	maxBundle = 16 << 20 // bytes; all public CAs are a quarter of one MiB

	keyMode fs.FileMode = 0o600
)

// Files reads back what a plan made, as the tool would: CA files, edits, pairs
// of client certificate and key, and whole TOML files. Reloads and programs are
// passed over. The error is an [*Error] for a file that is not so, or that of
// reading it.
func Files(t *atomicfile.Tree, p change.Plan, anchor *x509.Certificate) error {
	for _, s := range p {
		if s.Op == change.OpReload || s.Op == change.OpRun {
			continue
		}
		wrong, err := file{t, p, s, anchor}.wrong()
		if err != nil {
			return err
		}
		if wrong != "" {
			return &Error{Tool: s.Tool, Host: s.Path, Message: wrong}
		}
	}
	return nil
}

// A file is one of those that a plan makes.
type file struct {
	tree   *atomicfile.Tree
	plan   change.Plan
	step   change.Step
	anchor *x509.Certificate
}

// wrong says what is wrong with the file, "" if nothing is.
func (f file) wrong() (string, error) {
	s := f.step
	data, info, err := f.read(s.Path)
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !gone:
		return "", err
	case s.Op == change.OpRemove:
		if !gone {
			return "the file is still there", nil
		}
		return "", nil
	case s.Op == change.OpEdit && s.Edit != nil:
		return f.edited(data)
	case gone:
		return "", err
	case s.Secret:
		return f.key(data, info)
	case isTOML(s.Path):
		return f.toml(data), nil
	case s.Data == nil || bytes.Contains(s.Data, []byte("-----BEGIN CERTIFICATE")):
		return f.certificate(data)
	case !bytes.Equal(data, s.Data):
		return "the file does not hold what was written", nil
	}
	return "", nil
}

// read follows a link as who wrote the file did.
func (f file) read(path string) ([]byte, fs.FileInfo, error) {
	at, err := f.tree.Follow(path)
	if err != nil {
		return nil, nil, err
	}
	return f.tree.Read(at, maxFile)
}

func (f file) edited(data []byte) (string, error) {
	has, err := f.step.Edit.Has(data)
	switch {
	case err != nil:
		return "the file cannot be read: " + err.Error(), nil //nolint:nilerr // that is what is wrong with it
	case has:
		return "", nil
	case f.step.Edit.Remove:
		return "the file still has " + f.step.Edit.Value, nil
	}
	return "the file does not have " + f.step.Edit.Value, nil
}

func isTOML(p string) bool {
	ext := path.Ext(filepath.ToSlash(p))
	return ext == ".toml" || ext == ".conf"
}

func (f file) toml(data []byte) string {
	var any map[string]any
	if err := toml.Unmarshal(data, &any); err != nil {
		return "the file is no TOML: " + err.Error()
	}
	if !bytes.Equal(data, f.step.Data) {
		return "the file does not hold what was written"
	}
	return ""
}

// certificate: a file of one certificate, which is the anchor, or belongs to a
// key that lies beside it.
func (f file) certificate(data []byte) (string, error) {
	if f.isAnchor(data) {
		return "", nil
	}
	key, err := f.beside(func(s change.Step) bool { return s.Secret }, ".cert", ".key")
	switch {
	case err != nil:
		return "", err
	case key == nil || f.isAnchor(f.step.Data):
		return "the file does not hold the CA", nil
	}
	return pair(data, key), nil
}

// key: a private key, which nobody else can read, and its certificate.
func (f file) key(data []byte, info fs.FileInfo) (string, error) {
	if _, unix := atomicfile.OwnerOf(info); unix && info.Mode().Perm() != keyMode {
		return fmt.Sprintf("the private key has mode %04o, not %04o", info.Mode().Perm(), keyMode), nil
	}
	isCert := func(s change.Step) bool {
		return !s.Secret && bytes.Contains(s.Data, []byte("-----BEGIN CERTIFICATE")) && !f.isAnchor(s.Data)
	}
	cert, err := f.beside(isCert, ".key", ".cert")
	if err != nil {
		return "", err
	}
	if cert == nil {
		return "the private key has no certificate beside it", nil
	}
	return pair(cert, data), nil
}

func (f file) isAnchor(data []byte) bool {
	certs, err := pki.ParseBundle(data)
	return err == nil && len(certs) == 1 && certs[0].Equal(f.anchor)
}

// beside reads the other half of a pair: the step of the same tool in the same
// folder that is, else the file of the same name with another ending; nil if
// there is none.
func (f file) beside(is func(change.Step) bool, from, to string) ([]byte, error) {
	at := ""
	if stem, ok := strings.CutSuffix(f.step.Path, from); ok {
		at = stem + to
	}
	folder := func(p string) string { return path.Dir(filepath.ToSlash(p)) }
	for _, s := range f.plan {
		if s.Op == change.OpWrite && s.Tool == f.step.Tool && folder(s.Path) == folder(f.step.Path) && is(s) {
			at = s.Path
		}
	}
	if at == "" {
		return nil, nil
	}
	data, _, err := f.read(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func pair(cert, key []byte) string {
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return "the client certificate and its key do not belong together"
	}
	return ""
}

// System reads the bundle that the system's programs read. The error is an
// [*Error] when it lacks the anchor, whatever the program that makes it said,
// or that of reading it. Systems that keep no such file are not asked.
func System(ctx context.Context, m machine.Machine, anchor *x509.Certificate) error {
	if m.System.Bundle == "" || anchor == nil {
		return ctx.Err()
	}
	rest, err := m.ReadFile(m.System.Bundle, maxBundle)
	if err != nil {
		return err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if bytes.Equal(block.Bytes, anchor.Raw) {
			return ctx.Err()
		}
	}
	return &Error{Tool: "the system's store", Host: m.System.Bundle, Message: "the bundle does not hold the CA"}
}
