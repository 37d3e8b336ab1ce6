package status

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/pki"
)

const (
	maxFile   = 4 << 20 // bytes; what package change changes is no larger
	maxCAFile = 1 << 20 // bytes
)

// file compares one file with its record.
func (c *checker) file(r *registry, rec change.Record) (FileState, *Finding) {
	state, kind, text := c.bytes(rec)
	remedy := c.again(r, rec.Tool)
	if strings.HasSuffix(rec.Path, ".cert") || strings.HasSuffix(rec.Path, ".key") {
		remedy += " --client-cert FILE --client-key FILE"
	}
	if state == FileOK && rec.After != nil && c.m.GOOS != "windows" {
		kind, text, remedy = c.rights(rec)
		if text != "" {
			state = FileMode
		}
	}
	if state == FileOK {
		return FileOK, nil
	}
	return state, &Finding{Kind: kind, Path: rec.Path, Text: text, Remedy: remedy}
}

// bytes compares what a file holds.
func (c *checker) bytes(rec change.Record) (FileState, Kind, string) {
	changed := func(text string) (FileState, Kind, string) { return FileChanged, KindChanged, text }
	// One that was there before may have been a link, which is written through.
	if to, err := c.m.ReadLink(rec.Path); err == nil && len(rec.Edits) == 0 && rec.Before == nil {
		return changed("it is a symbolic link now, to " + strconv.Quote(to))
	}
	data, err := c.m.ReadFile(rec.Path, maxFile)
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return FileUnread, KindUnread, "it cannot be read"
	case err != nil && !missing:
		return changed("something else is in its place now")
	}
	if edited, why := editsHold(rec, data); edited {
		switch {
		case why == "":
			return FileOK, "", ""
		case missing:
			return FileGone, KindGone, "it is gone"
		}
		return changed(why)
	}
	switch sum := sha256.Sum256(data); {
	case missing && rec.After == nil:
		return FileOK, "", ""
	case missing:
		return FileGone, KindGone, "it is gone"
	case rec.After == nil:
		return changed("it is there again")
	case hex.EncodeToString(sum[:]) != rec.After.SHA256:
		return changed("it was changed since")
	}
	return FileOK, "", ""
}

// rights compares permissions and owner: a key that others read is theirs too,
// and whoever writes a CA decides who is trusted.
func (c *checker) rights(rec change.Record) (kind Kind, text, remedy string) {
	info, err := c.m.Stat(rec.Path)
	if errors.Is(err, fs.ErrNotExist) { // and that is right: what was edited out is not there
		return "", "", ""
	}
	if err != nil {
		return KindUnread, "it cannot be looked at", "ls -l " + c.quote(c.real(rec.Path))
	}
	const others, write, read = 0o077, 0o022, 0o004
	is, want := info.Mode().Perm(), rec.After.Mode.Perm()
	chmod := fmt.Sprintf("%schmod %04o %s", c.sudo(rec.Path), want, c.quote(c.real(rec.Path)))
	modes := fmt.Sprintf("its mode is %04o, not %04o: ", is, want)
	switch more := is &^ want; {
	case want&others == 0 && more&others != 0:
		return KindMode, modes + "others can read what is secret", chmod
	case more&write != 0:
		return KindMode, modes + "others can change it", chmod
	case want&read != 0 && is&read == 0:
		return KindMode, modes + "tools of other users cannot read it", chmod
	}
	owner, ok := atomicfile.OwnerOf(info)
	if ok && c.m.Euid >= 0 && owner.UID != c.m.Euid {
		return KindOwner, fmt.Sprintf("it belongs to user %d, not %d", owner.UID, c.m.Euid),
			fmt.Sprintf("sudo chown %d %s", c.m.Euid, c.quote(c.real(rec.Path)))
	}
	return "", "", ""
}

// holdsCA says whether a file has the registry's CA among its certificates.
func (c *checker) holdsCA(path string, want pki.Fingerprint) (bool, error) {
	data, err := c.m.ReadFile(path, maxCAFile)
	if err != nil {
		return false, err
	}
	certs, err := pki.ParseBundle(data)
	if err != nil {
		return false, nil //nolint:nilerr // what is no certificate is not this one
	}
	for _, cert := range certs {
		if want.Matches(cert) {
			return true, nil
		}
	}
	return false, nil
}
