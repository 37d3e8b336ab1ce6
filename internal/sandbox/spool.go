package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	maxInMemory = 1 << 20  // bytes of one blob; what is larger lies in a file if there is a folder
	algorithm   = "sha256" // of all digests here
)

// A spool takes the bytes of one blob. While it grows it has one writer; when
// it grows no more it may be read by several goroutines.
type spool struct {
	dir  string
	size int64
	hash hash.Hash
	mem  []byte
	file *atomicfile.ScratchFile // nil: all is in mem
}

func newSpool(dir string) *spool { return &spool{dir: dir, hash: sha256.New()} }

func (s *spool) Write(p []byte) (int, error) {
	if s.dir != "" && s.file == nil && s.size+int64(len(p)) > maxInMemory {
		file, err := atomicfile.Scratch(s.dir)
		if err != nil {
			return 0, err
		}
		s.file = file
		if _, err := file.Write(s.mem); err != nil {
			return 0, err
		}
		s.mem = nil
	}
	n := len(p)
	if s.file == nil {
		s.mem = append(s.mem, p...)
	} else {
		var err error
		if n, err = s.file.Write(p); err != nil {
			return n, err
		}
	}
	_, _ = s.hash.Write(p) // a hash takes everything
	s.size += int64(n)
	return n, nil
}

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	return bytes.NewReader(s.mem).ReadAt(p, off)
}

func (s *spool) digest() v1.Hash {
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(s.hash.Sum(nil))}
}

// Close drops the bytes.
func (s *spool) Close() error {
	s.mem = nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
