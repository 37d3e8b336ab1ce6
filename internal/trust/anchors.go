package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// maxFiles is how many CA files of one folder are read.
const maxFiles = 100

// Sources are the files that anchors came from, beside the system's roots: a
// pool cannot be asked.
type Sources struct {
	Files        []string // may hold any byte
	Fingerprints []pki.Fingerprint
	Ignored      []string // "PATH: WHY", escaped
}

// System are the roots of the system alone: they judge who is publicly trusted.
func System() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's CA certificates: %w", err)
	}
	return pool, nil
}

// Roots are what connections to a host trust.
type Roots struct {
	Sources

	own []*x509.Certificate
}

// Own are the anchors that the host has beside the system's. Nil: none, the
// roots of the system count alone.
func (r Roots) Own() *x509.CertPool {
	if len(r.own) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	for _, c := range r.own {
		pool.AddCert(c)
	}
	return pool
}

// All are the roots of the system and the host's own. It takes as long as a
// connection to read them. The error is that of [System].
func (r Roots) All() (*x509.CertPool, error) {
	pool, err := System()
	if err != nil {
		return nil, err
	}
	for _, c := range r.own {
		pool.AddCert(c)
	}
	return pool, nil
}

// Anchors are what connections to h trust: the roots of the system, vicr's own
// CAs for h, and those that Docker has for h, where h and h:443 are one. Files
// that cannot be read as certificates are skipped and named.
func Anchors(m machine.Machine, h ref.Host) (s Roots) {
	if h.IsZero() {
		return s
	}
	dirs := dockerFolders(m, h)
	if own := ownFolder(m, h); own != "" {
		dirs = append([]string{own}, dirs...)
	}
	for _, dir := range dirs {
		for _, f := range caFiles(m, dir) {
			if f.err != nil {
				s.Ignored = append(s.Ignored, fmt.Sprintf("%q: %v", f.path, reason(f.err)))
				continue
			}
			s.Files = append(s.Files, f.path)
			s.own = append(s.own, f.certs...)
		}
	}
	for _, c := range s.own {
		if fp := pki.SHA256(c); !slices.Contains(s.Fingerprints, fp) {
			s.Fingerprints = append(s.Fingerprints, fp)
		}
	}
	return s
}

// reason leaves out the path, which is said already, and the system call.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// A file is one that a folder of CAs holds, or the folder itself with the
// error of listing it.
type file struct {
	path  string
	certs []*x509.Certificate
	err   error
}

var errTooMany = fmt.Errorf("more than %d CA files: the rest was not read", maxFiles)

// caFiles reads the *.crt of a folder; one that is not there has none.
func caFiles(m machine.Machine, dir string) []file {
	entries, err := m.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []file{{path: dir, err: err}}
	}
	var files []file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".crt") {
			continue
		}
		if len(files) == maxFiles {
			return append(files, file{path: dir, err: errTooMany})
		}
		files = append(files, readCA(m, m.Join(dir, e.Name())))
	}
	return files
}

func readCA(m machine.Machine, path string) file {
	f := file{path: path}
	data, err := m.ReadFile(path, maxCAFile)
	if err == nil {
		f.certs, err = pki.ParseBundle(data)
	}
	f.err = err
	return f
}

// A Record is the CA file that a tool has for a registry.
type Record struct {
	Tool  Tool
	Path  string
	Certs []*x509.Certificate
}

// IsZero says whether nothing was recorded.
func (r Record) IsZero() bool { return r.Path == "" }

// Holds says whether c is what was recorded.
func (r Record) Holds(c *x509.Certificate) bool { return holds(r.Certs, c) }

// RecordedAnchor is the first CA file that [Plan] would write for h as it is
// now, also if somebody else put it there: vicr's own, then those of the tools,
// all of them when none is named. An anchor that it does not hold is another
// one than before: a new CA of the registry, or a stranger in between. The zero
// Record: nothing is there. The error names a file that is there and cannot be
// read; a user need not be able to see those of tools that were not named, but
// for vicr's and Docker's.
func RecordedAnchor(m machine.Machine, h ref.Host, tools ...Tool) (Record, error) {
	for _, r := range records(m, h) {
		asked := slices.Contains(tools, r.Tool)
		if len(tools) > 0 && !asked && r.Tool != ToolVicr {
			continue
		}
		f := readCA(m, r.Path)
		switch {
		case errors.Is(f.err, fs.ErrNotExist):
			continue
		case errors.Is(f.err, fs.ErrPermission) && !asked && r.Tool != ToolVicr && r.Tool != ToolDocker:
			continue
		case f.err != nil:
			return Record{}, fmt.Errorf("%q: %w", r.Path, reason(f.err))
		}
		r.Certs = f.certs
		return r, nil
	}
	return Record{}, nil
}

// records are the CA files of h, of every tool.
func records(m machine.Machine, h ref.Host) []Record {
	if h.IsZero() {
		return nil
	}
	var all []Record
	add := func(t Tool, dirs ...string) {
		for _, dir := range dirs {
			all = append(all, Record{Tool: t, Path: m.Join(dir, caFile)})
		}
	}
	if own := ownFolder(m, h); own != "" {
		add(ToolVicr, own)
	}
	for _, certs := range dockerCerts(m) {
		add(ToolDocker, literal(m, certs, h)...)
	}
	add(ToolPodman, literal(m, m.Podman.UserCerts, h)...)
	add(ToolPodman, literal(m, m.Podman.CertsDir, h)...)
	add(ToolContainerd, containerdFolders(m, h)...)
	if f := standaloneFiles(m, h); f.ca != "" {
		all = append(all, Record{Tool: ToolBuildKit, Path: f.ca})
	}
	for _, k := range m.Kubernetes {
		all = append(all, Record{Tool: ToolK3s, Path: filesOf(m, k, h).ca})
	}
	if dir := notaryFolder(m, h); dir != "" && m.Root == "" {
		add(ToolNotary, dir)
	}
	if file := systemFile(m, h); file != "" {
		all = append(all, Record{Tool: ToolSystem, Path: file})
	}
	return all
}
