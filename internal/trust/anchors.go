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

// Sources are the files that a pool of anchors was made of, beside the
// system's roots: a pool cannot be asked.
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

// Anchors are what connections to h trust: the roots of the system, vicr's own
// CAs for h, and those that Docker has for h, where h and h:443 are one. Files
// that cannot be read as certificates are skipped and named. The error is that
// of [System].
func Anchors(m machine.Machine, h ref.Host) (*x509.CertPool, Sources, error) {
	pool, err := System()
	if err != nil {
		return nil, Sources{}, err
	}
	var s Sources
	if h.IsZero() {
		return pool, s, nil
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
			for _, c := range f.certs {
				pool.AddCert(c)
				if fp := pki.SHA256(c); !slices.Contains(s.Fingerprints, fp) {
					s.Fingerprints = append(s.Fingerprints, fp)
				}
			}
		}
	}
	return pool, s, nil
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

// RecordedAnchor is the file that [Plan] would write for h as it is now: vicr's
// own, else Docker's, also if somebody else put it there. An anchor that it
// does not hold is another one than before: a new CA of the registry, or a
// stranger in between. The zero Record: nothing is there. The error names a
// file that is there and cannot be read.
func RecordedAnchor(m machine.Machine, h ref.Host) (Record, error) {
	if h.IsZero() {
		return Record{}, nil
	}
	var records []Record
	if own := ownFolder(m, h); own != "" {
		records = append(records, Record{Tool: ToolVicr, Path: m.Join(own, caFile)})
	}
	for _, path := range MachinePaths(m, h) {
		records = append(records, Record{Tool: ToolDocker, Path: path})
	}
	for _, r := range records {
		f := readCA(m, r.Path)
		switch {
		case errors.Is(f.err, fs.ErrNotExist):
			continue
		case f.err != nil:
			return Record{}, fmt.Errorf("%q: %w", r.Path, reason(f.err))
		}
		r.Certs = f.certs
		return r, nil
	}
	return Record{}, nil
}

// MachinePaths are the machine-level files that [Plan] can write for h, and so
// the only ones that may be taken back for it.
func MachinePaths(m machine.Machine, h ref.Host) []string {
	if h.IsZero() || !plansDocker(m) {
		return nil
	}
	var paths []string
	for _, dir := range dockerFolders(m, h) {
		paths = append(paths, m.Join(dir, caFile))
	}
	return paths
}

// MayWrite says whether path is a file that [Plan] can ever have written for h
// on this machine, whatever tools are found now.
func MayWrite(m machine.Machine, h ref.Host, path string) bool {
	dirs := dockerFolders(m, h)
	if own := ownFolder(m, h); own != "" {
		dirs = append(dirs, own)
	}
	return !h.IsZero() && slices.ContainsFunc(dirs, func(dir string) bool { return m.Join(dir, caFile) == path })
}

// InMachine says whether there may be something of vicr's to take back for h at
// machine level, as far as any user can see: vicr has a journal there, which
// only root reads, and one of the files is there.
func InMachine(m machine.Machine, h ref.Host) bool {
	if _, err := m.Stat(m.Dirs.MachineState); err != nil {
		return false
	}
	for _, path := range MachinePaths(m, h) {
		if _, err := m.Stat(path); err == nil || errors.Is(err, fs.ErrPermission) {
			return true
		}
	}
	return false
}
