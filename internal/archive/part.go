package archive

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	// partEnd is that of the name under which an archive grows, beside where it will be.
	partEnd = ".vicr-part"

	// partAge is how old a part is that a killed writer left: who has just made one
	// may not have locked it yet.
	partAge = time.Minute
)

// openPart opens the file in which the archive grows that will be called file, for
// this writer alone and empty, and removes those that killed writers left beside it.
func openPart(file string) (*atomicfile.Ingest, error) {
	own := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+partEnd)
	part, err := atomicfile.OpenIngest(own)
	if err != nil {
		return nil, err
	}
	if err := part.Truncate(0); err != nil {
		return nil, errors.Join(err, part.Discard())
	}
	if err := sweepParts(own); err != nil {
		return nil, errors.Join(err, part.Discard())
	}
	return part, nil
}

// sweepParts removes the parts beside own that nobody writes. One that cannot be
// removed is no reason to write nothing.
func sweepParts(own string) error {
	tree := atomicfile.Machine()
	entries, err := tree.ReadDir(filepath.Dir(own))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(own), e.Name())
		if path == own || !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), partEnd) {
			continue
		}
		info, err := tree.Stat(path)
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < partAge {
			continue
		}
		if foreign, err := tree.Foreign(path, info); err != nil || foreign {
			continue
		}
		if left, err := atomicfile.OpenIngest(path); err == nil {
			_ = left.Discard() //nolint:errcheck // one that stays is found by the next run
		}
	}
	return nil
}
