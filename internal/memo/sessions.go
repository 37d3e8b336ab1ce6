package memo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	// sessionAge is for how long an upload is remembered: registries drop those
	// that nobody goes on with, after an hour and more.
	sessionAge = 24 * time.Hour
	// maxSessions is how many are remembered.
	maxSessions  = 256
	sessionBytes = 16 << 10 // a URL may have 8000
	lockSuffix   = ".lock"
)

// Sessions remembers where uploads that broke off go on. A nil one remembers
// nothing. The addresses are of the registries' own origins, and of use only to
// who may push there; still their files are the user's alone.
type Sessions struct {
	dir string
	now func() time.Time
}

// OpenSessions returns what is remembered in a folder, which may be missing.
// Nothing is read yet.
func OpenSessions(dir string) *Sessions {
	return &Sessions{dir: filepath.Join(dir, "uploads"), now: time.Now}
}

// A Session is the one upload of a blob to a repository that this process may
// go on with: no other one has it until it is released. A nil one is of nobody.
type Session struct {
	sessions *Sessions
	key      string
	path     string
	lock     *atomicfile.HeldLock
	url      string
}

// Take takes the session of a blob; nil if another process has it, or if it
// cannot be kept. The caller releases it.
func (s *Sessions) Take(ctx context.Context, registry, repository string, blob v1.Hash) *Session {
	if s == nil {
		return nil
	}
	tree := atomicfile.Machine()
	if _, err := tree.MkdirAll(s.dir, dirMode); err != nil {
		return nil
	}
	s.sweep(ctx)
	key := registry + "/" + repository + "@" + blob.String()
	sum := sha256.Sum256([]byte(key))
	path := filepath.Join(s.dir, hex.EncodeToString(sum[:16]))
	lock, err := atomicfile.Lock(ctx, path+lockSuffix, 0)
	if err != nil {
		return nil
	}
	session := &Session{sessions: s, key: key, path: path, lock: lock}
	session.url = s.read(path, key)
	return session
}

// read is the address that is kept at path for key, or "".
func (s *Sessions) read(path, key string) string {
	raw, _, err := atomicfile.Machine().Read(path, sessionBytes)
	if err != nil {
		return ""
	}
	begun, rest, _ := strings.Cut(strings.TrimSuffix(string(raw), "\n"), " ")
	of, url, ok := strings.Cut(rest, " ")
	seconds, err := strconv.ParseInt(begun, 10, 64)
	if !ok || err != nil || of != key || s.expired(time.Unix(seconds, 0)) {
		return ""
	}
	return url
}

func (s *Sessions) expired(at time.Time) bool {
	age := s.now().Sub(at)
	return age > sessionAge || age < -sessionAge
}

// URL is where the upload goes on; "" if none is remembered.
func (s *Session) URL() string {
	if s == nil {
		return ""
	}
	return s.url
}

// Keep remembers where the upload goes on. Errors are those of the file system.
func (s *Session) Keep(url string) error {
	if s == nil || url == s.url || strings.ContainsAny(url, " \n") {
		return nil
	}
	line := strconv.FormatInt(s.sessions.now().Unix(), 10) + " " + s.key + " " + url + "\n"
	if len(line) > sessionBytes {
		return s.Forget()
	}
	if err := atomicfile.Machine().Write(s.path, []byte(line), fileMode); err != nil {
		return err
	}
	s.url = url
	return nil
}

// Forget forgets the upload: it is over, or cannot be gone on with.
func (s *Session) Forget() error {
	if s == nil || s.url == "" {
		return nil
	}
	s.url = ""
	return atomicfile.Machine().Remove(s.path)
}

// Release lets others have the session.
func (s *Session) Release() error {
	switch {
	case s == nil:
		return nil
	case s.url == "":
		return s.lock.Remove()
	}
	return s.lock.Unlock()
}

// sweep removes what is too old or too much, and the locks of who was killed.
// What another process has is left.
func (s *Sessions) sweep(ctx context.Context) {
	tree := atomicfile.Machine()
	entries, err := tree.ReadDir(s.dir)
	if err != nil {
		return
	}
	newest := map[string]time.Time{} // of a session or its lock, by the session's name
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), lockSuffix)
		if info, err := e.Info(); err == nil && info.ModTime().After(newest[name]) {
			newest[name] = info.ModTime()
		}
	}
	names := slices.SortedFunc(maps.Keys(newest), func(a, b string) int { return newest[b].Compare(newest[a]) })
	for i, name := range names {
		if i < maxSessions && !s.expired(newest[name]) {
			continue
		}
		path := filepath.Join(s.dir, name)
		if lock, err := atomicfile.Lock(ctx, path+lockSuffix, 0); err == nil {
			_ = errors.Join(tree.Remove(path), lock.Remove()) // the next one tries again
		}
	}
}
