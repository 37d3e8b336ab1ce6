package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	// How layers are compressed. The digests of all layers that leave an engine
	// without the containerd store hang on these: another value, and each is
	// uploaded again.
	gzipLevel = 6
	gzipBlock = 1 << 20 // bytes compressed at a time

	gzipAhead = 4 // blocks under way, which bounds the memory; without effect on the bytes

	maxEntries = 1 << 13 // files of one archive; an image has at most 127 layers
	maxName    = 4096    // bytes of a file's name in an archive
	maxJSON    = transfer.MaxManifest
	// What is smaller is compressed only when it turns out to be a layer.
	small = 64 << 10 // bytes
)

// An entry is a file of an archive, as it lies in the spool.
type entry struct {
	at, size int64
	digest   v1.Hash // of the bytes in the spool
	diff     v1.Hash // of the bytes in the archive
	gzip     bool    // the bytes in the spool are compressed
	data     []byte  // the bytes, of what is in memory instead
}

// A spool holds the files of an archive that can be read only once. All of
// them share one scratch file. Names are looked up and never opened.
type spool struct {
	file    *atomicfile.ScratchFile
	entries map[string]entry
	links   map[string]string // symbolic links of the archive, to names in it
	buffer  []byte
}

func newSpool(dir string) (*spool, error) {
	if _, err := atomicfile.Machine().MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := atomicfile.Scratch(dir)
	if err != nil {
		return nil, err
	}
	return &spool{file: f, entries: map[string]entry{}, links: map[string]string{}, buffer: make([]byte, copyBuffer)}, nil
}

func (s *spool) Close() error { return s.file.Close() }

// An archiveError says what is wrong with an archive.
type archiveError struct{ why string }

func (e *archiveError) Error() string { return e.why }

// fill reads an archive to its end. With compress, files that are neither
// compressed nor JSON are compressed on the way.
func (s *spool) fill(ctx context.Context, r io.Reader, compress bool) error {
	return eachFile(ctx, r, func(name string, h *tar.Header, r io.Reader) (bool, error) {
		return false, s.take(name, h, r, compress)
	})
}

// eachFile reads an archive to its end, or until take has enough. What it hands
// over are plain files and symbolic links whose names stay in the archive.
func eachFile(ctx context.Context, r io.Reader, take func(name string, h *tar.Header, r io.Reader) (enough bool, err error)) error {
	t := tar.NewReader(r)
	for range maxEntries {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Clean(h.Name)
		switch {
		case len(h.Name) > maxName || len(h.Linkname) > maxName || !local(name):
			return &archiveError{fmt.Sprintf("the archive has a file with the name %.100q", h.Name)}
		case h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case h.Typeflag != tar.TypeSymlink && (h.Typeflag != tar.TypeReg || sparse(h)):
			return &archiveError{fmt.Sprintf("%q in the archive is neither a plain file nor a folder", name)}
		}
		if enough, err := take(name, h, t); err != nil || enough {
			return err
		}
	}
	return &archiveError{fmt.Sprintf("the archive has more than %d files", maxEntries)}
}

func (s *spool) take(name string, h *tar.Header, r io.Reader, compress bool) error {
	switch {
	case s.known(name):
		return &archiveError{fmt.Sprintf("the archive has %q twice", name)}
	case h.Typeflag == tar.TypeSymlink:
		// Docker before 25 gives out a layer that an image has twice as a link
		// to the first (moby image/tarexport/save.go, saveLayer).
		s.links[name] = path.Join(path.Dir(name), h.Linkname) //nolint:gosec // a key of a map, opened nowhere
		return nil
	}
	head := make([]byte, min(512, h.Size))
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	whole := io.MultiReader(bytes.NewReader(head), r)
	document := isJSON(head) && h.Size <= maxJSON
	if compress && h.Size > small && !compressed(head) && !document {
		e, err := s.compress(whole)
		s.entries[name] = e
		return err
	}
	e, err := s.store(whole)
	e.gzip = isGzip(head)
	s.entries[name] = e
	return err
}

func (s *spool) known(name string) bool {
	_, isEntry := s.entries[name]
	_, isLink := s.links[name]
	return isEntry || isLink
}

// local says whether a clean path stays in the archive.
func local(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../") && !path.IsAbs(name) && !strings.ContainsRune(name, 0)
}

// sparse says whether a file is smaller than its size: a few bytes of archive
// could fill the disk.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) }

// compressed knows the compressions that layers come in by their first bytes.
func compressed(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ\x00"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// isJSON tells a document from a layer whose first file is named {: at 257
// a tar says what it is (POSIX.1-1988, ustar).
func isJSON(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	isTar := len(head) > 262 && string(head[257:262]) == "ustar"
	return len(head) > 0 && (head[0] == '{' || head[0] == '[') && !isTar
}

// copy is [io.Copy] with a buffer that all files share.
func (s *spool) copy(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{r}, s.buffer)
}

// store puts bytes into the spool as they are.
func (s *spool) store(r io.Reader) (entry, error) {
	e := entry{at: s.file.Size()}
	sum := sha256.New()
	n, err := s.copy(io.MultiWriter(s.file, sum), r)
	e.size = n
	e.digest = hashOf(sum)
	e.diff = e.digest
	return e, err
}

// compress puts bytes into the spool as gzip, the same bytes for the same bytes.
func (s *spool) compress(r io.Reader) (entry, error) {
	e, err := compress(s.file, r, s.buffer)
	e.at = s.file.Size() - e.size
	return e, err
}

// compress writes r to w as gzip, the same bytes for the same bytes, and says
// what both were.
func compress(w io.Writer, r io.Reader, buffer []byte) (entry, error) {
	e := entry{gzip: true}
	outer, inner := sha256.New(), sha256.New()
	z, err := pgzip.NewWriterLevel(io.MultiWriter(w, outer, (*sized)(&e.size)), gzipLevel)
	if err != nil {
		return e, err
	}
	if err := z.SetConcurrency(gzipBlock, gzipAhead); err != nil {
		return e, err
	}
	_, err = io.CopyBuffer(io.MultiWriter(z, inner), struct{ io.Reader }{r}, buffer)
	// Closed in any case: it has goroutines.
	if closing := z.Close(); err == nil {
		err = closing
	}
	e.digest, e.diff = hashOf(outer), hashOf(inner)
	return e, err
}

// A sized counts the bytes that are written to it.
type sized int64

func (s *sized) Write(p []byte) (int, error) {
	*s += sized(len(p))
	return len(p), nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// find looks a name up, through one link.
func (s *spool) find(name string) (entry, bool) {
	e, ok := s.entries[s.target(name)]
	return e, ok
}

func (s *spool) target(name string) string {
	name = path.Clean(name)
	if to, ok := s.links[name]; ok {
		return to
	}
	return name
}

func (s *spool) open(e entry, offset int64) io.Reader {
	return io.NewSectionReader(s.file, e.at+offset, e.size-offset)
}

// document returns a small file whole.
func (s *spool) document(name string) ([]byte, error) {
	e, ok := s.find(name)
	switch {
	case !ok:
		return nil, &archiveError{fmt.Sprintf("the archive has no %.200q", name)}
	case e.size > maxJSON || e.gzip:
		return nil, &archiveError{fmt.Sprintf("%.200q in the archive is not JSON of at most %d bytes", name, maxJSON)}
	}
	return io.ReadAll(s.open(e, 0))
}

// layer finds a layer of an image with its digest as gzip and, in diff, as a
// plain tar, whatever it came as.
func (s *spool) layer(name string) (entry, error) {
	e, ok := s.find(name)
	if !ok {
		return e, &archiveError{fmt.Sprintf("the archive has no layer %.200q", name)}
	}
	if e.gzip && e.diff != e.digest {
		return e, nil
	}
	head := make([]byte, min(512, e.size))
	if _, err := s.file.ReadAt(head, e.at); err != nil && !errors.Is(err, io.EOF) {
		return e, err
	}
	switch {
	case e.gzip:
		z, err := gzip.NewReader(s.open(e, 0))
		if err != nil {
			return e, err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, z); err != nil { //nolint:gosec // what it grows to is hashed and kept nowhere
			return e, err
		}
		e.diff = hashOf(sum)
		return e, nil
	case compressed(head):
		return e, &archiveError{fmt.Sprintf("layer %.200q is neither a tar nor gzip", name)}
	}
	e, err := s.compress(s.open(e, 0))
	s.entries[s.target(name)] = e
	return e, err
}

// errTail is how many bytes at the end of a broken archive are searched for
// the engine's words.
const errTail = 4 << 10

// A tail remembers the last bytes that went through it: an engine that fails in
// the middle of a save writes its error there, after a status of 200.
type tail struct {
	r    io.Reader
	last []byte
	err  error // of r
	end  bool  // of r was reached
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[max(0, n-errTail):n]...)
	if extra := len(t.last) - errTail; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	if err != io.EOF {
		t.err = err
	}
	t.end = t.end || err == io.EOF
	return n, err
}

// broken says whether err, met while the archive was read, is the archive's.
func (t *tail) broken(err error) bool {
	short := t.end && errors.Is(err, io.ErrUnexpectedEOF)
	return errors.Is(err, tar.ErrHeader) || short || (t.err != nil && errors.Is(err, t.err))
}

// words returns the error that the engine left, "" if there is none.
func (t *tail) words() string {
	rest, _ := io.ReadAll(io.LimitReader(t.r, errTail)) // an error leaves what came before it
	all := append(t.last, rest...)
	i := bytes.LastIndex(all, []byte(`{"errorDetail"`))
	if i < 0 {
		return ""
	}
	for m, err := range messages(bytes.NewReader(all[i:])) {
		if text, failed := m.failed(); err == nil && failed {
			return text
		}
		break
	}
	return ""
}
