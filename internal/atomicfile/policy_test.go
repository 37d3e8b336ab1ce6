//go:build unix

package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func TestLinkIsFollowedOnlyWhereNobodyElseCouldChangeIt(t *testing.T) {
	t.Parallel()
	type place struct{ dir, link, target string }
	for name, tt := range map[string]struct {
		root  bool // only root can make it so
		spoil func(p place) error
		ok    bool
	}{
		"ours":     {spoil: func(place) error { return nil }, ok: true},
		"relative": {spoil: func(p place) error { return relink(p.link, "opt/f") }, ok: true},
		"dots":     {spoil: func(p place) error { return relink(p.link, "opt/../opt/./f") }, ok: true},
		"two links": {spoil: func(p place) error {
			return errors.Join(os.Symlink("opt", filepath.Join(p.dir, "more")), relink(p.link, "more/f"))
		}, ok: true},
		"dangling":              {spoil: func(p place) error { return os.Remove(p.target) }},
		"into no folder":        {spoil: func(p place) error { return relink(p.link, "no/f") }},
		"loop":                  {spoil: func(p place) error { return relink(p.link, "link") }},
		"to a folder":           {spoil: func(p place) error { return relink(p.link, "opt") }},
		"folder for the group":  {spoil: func(p place) error { return os.Chmod(filepath.Dir(p.target), 0o775) }},
		"folder for all":        {spoil: func(p place) error { return os.Chmod(filepath.Dir(p.target), 0o757) }},
		"its folder for all":    {spoil: func(p place) error { return os.Chmod(p.dir, 0o777) }},
		"link of another":       {root: true, spoil: func(p place) error { return os.Lchown(p.link, 1234, 0) }},
		"folder of another":     {root: true, spoil: func(p place) error { return os.Chown(filepath.Dir(p.target), 1234, 0) }},
		"its folder of another": {root: true, spoil: func(p place) error { return os.Chown(p.dir, 1234, 0) }},
		"file of another":       {root: true, spoil: func(p place) error { return os.Chown(p.target, 1234, 0) }, ok: true},
		"file of another in a folder for all": {root: true, spoil: func(p place) error {
			return errors.Join(os.Chmod(filepath.Dir(p.target), os.ModeSticky|0o777), os.Chown(p.target, 1234, 0))
		}},
		"sticky folder": {spoil: func(p place) error { return os.Chmod(filepath.Dir(p.target), os.ModeSticky|0o777) }, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			dir := t.TempDir()
			p := place{dir, filepath.Join(dir, "link"), filepath.Join(dir, "opt", "f")}
			if err := os.Mkdir(filepath.Dir(p.target), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, p.target, "x")
			if err := errors.Join(os.Symlink(p.target, p.link), tt.spoil(p)); err != nil {
				t.Fatal(err)
			}
			got, err := atomicfile.Machine().Follow(p.link)
			var refused *atomicfile.LinkError
			switch {
			case tt.ok && (err != nil || got != p.target):
				t.Errorf("%q, %v", got, err)
			case !tt.ok && (!errors.As(err, &refused) || refused.Path != p.link):
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func relink(path, to string) error { return errors.Join(os.Remove(path), os.Symlink(to, path)) }

func TestWhatIsNoLinkIsWhereItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"f", "none", "no/folder"} {
		path := filepath.Join(dir, name)
		if name == "f" {
			write(t, path, "x")
		}
		if got, err := atomicfile.Machine().Follow(path); err != nil || got != path {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// A link beneath a folder is one as elsewhere while it stays there.
func TestLinksInATree(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		root   bool // only root can make it so
		at, to string
		spoil  func(dir string) error
		real   string // "": refused
		err    error
	}{
		"beside":              {at: "etc/docker/d.json", to: "real.json", real: "/etc/docker/real.json"},
		"up":                  {at: "etc/docker/d.json", to: "../real/d.json", real: "/etc/real/d.json"},
		"to the top":          {at: "etc/docker/d.json", to: "../../opt/docker/d.json", real: "/opt/docker/d.json"},
		"a folder":            {at: "etc/docker", to: "../opt/docker", real: "/etc/docker/d.json"},
		"out":                 {at: "etc/docker/d.json", to: "../../../d.json", err: &atomicfile.OutsideError{}},
		"out and in":          {at: "etc/docker/d.json", to: "../../../TREE/opt/docker/d.json", err: &atomicfile.OutsideError{}},
		"absolute":            {at: "etc/docker/d.json", to: "/opt/docker/d.json", err: &atomicfile.OutsideError{Relative: "../../opt/docker/d.json"}},
		"to nothing":          {at: "etc/docker/d.json", to: "none", err: &atomicfile.LinkError{}},
		"round":               {at: "etc/docker/d.json", to: "d.json", err: &atomicfile.LinkError{}},
		"a folder out":        {at: "etc/docker", to: "../../docker", err: &atomicfile.OutsideError{}},
		"a folder, absolute":  {at: "etc/docker", to: "/opt/docker", err: &atomicfile.OutsideError{Relative: "../opt/docker"}},
		"a folder to nothing": {at: "etc/docker", to: "../none", real: "", err: &atomicfile.LinkError{}},
		"others write where it leads": {
			at: "etc/docker/d.json", to: "../real/d.json", err: &atomicfile.LinkError{},
			spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, "etc/real"), 0o777) },
		},
		"others write where a folder leads": {
			root: true, at: "etc/docker", to: "../opt/docker", err: &atomicfile.ParentError{},
			spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, "opt"), 0o777) },
		},
		"the link is another's": {
			root: true, at: "etc/docker/d.json", to: "../real/d.json", err: &atomicfile.LinkError{},
			spoil: func(dir string) error { return os.Lchown(filepath.Join(dir, "etc/docker/d.json"), 1234, 0) },
		},
		"the link is his who owns the tree": {
			root: true, at: "etc/docker/d.json", to: "../real/d.json", real: "/etc/real/d.json",
			spoil: func(dir string) error {
				return errors.Join(os.Chown(dir, 1234, 0), os.Lchown(filepath.Join(dir, "etc/docker/d.json"), 1234, 0))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.root && os.Geteuid() != 0 {
				t.Skip("the rule binds root, or only root can give files away")
			}
			dir := filepath.Join(t.TempDir(), "TREE")
			for _, d := range []string{"etc/docker", "etc/real", "opt/docker"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range []string{"etc/docker/real.json", "etc/real/d.json", "opt/docker/d.json", "../d.json"} {
				write(t, filepath.Join(dir, f), "old")
			}
			if err := os.Mkdir(filepath.Join(dir, "../docker"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, tt.at)), os.Symlink(tt.to, filepath.Join(dir, tt.at))); err != nil {
				t.Fatal(err)
			}
			if tt.spoil != nil {
				if err := tt.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			tree, err := atomicfile.Beneath(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close() //nolint:errcheck // only a handle on a folder
			got, err := whereInTree(tree, "/etc/docker/d.json")
			switch {
			case tt.err != nil:
				wantRefusal(t, err, tt.err, filepath.Join(dir, tt.at))
				return
			case err != nil || got != tt.real:
				t.Fatalf("%q, %v, want %q", got, err, tt.real)
			}
			if err := tree.Write(got, []byte("new"), 0); err != nil {
				t.Fatal(err)
			}
			wantFile(t, filepath.Join(dir, "etc/docker/d.json"), "new")
			if to, err := os.Readlink(filepath.Join(dir, tt.at)); err != nil || to != tt.to {
				t.Errorf("the link leads to %q, %v", to, err)
			}
		})
	}
}

// whereInTree is what a writer of a file asks before it writes.
func whereInTree(tree *atomicfile.Tree, path string) (string, error) {
	if err := tree.CheckParents(path); err != nil {
		return "", err
	}
	if _, err := tree.Missing(filepath.Dir(path)); err != nil {
		return "", err
	}
	return tree.Follow(path)
}

func wantRefusal(t *testing.T, err, want error, link string) {
	t.Helper()
	wantOut, out := errors.AsType[*atomicfile.OutsideError](want)
	gotOut, isOut := errors.AsType[*atomicfile.OutsideError](err)
	if out && (!isOut || gotOut.Link != link || gotOut.Relative != wantOut.Relative) || !out && reflect.TypeOf(err) != reflect.TypeOf(want) {
		t.Errorf("%#v, want %T", err, want)
	}
}

func TestRootWritesNotWhereOthersCould(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the rule binds root alone")
	}
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		ok    bool
	}{
		"root's":    {func(string) error { return nil }, true},
		"sticky":    {func(dir string) error { return os.Chmod(dir, os.ModeSticky|0o777) }, true},
		"group's":   {func(dir string) error { return os.Chmod(dir, 0o775) }, false},
		"all's":     {func(dir string) error { return os.Chmod(dir, 0o757) }, false},
		"another's": {func(dir string) error { return os.Chown(dir, 1234, 0) }, false},
		"above":     {func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "above", "dir")
			if err := errors.Join(os.MkdirAll(dir, 0o755), tt.spoil(dir)); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"f", "new/folder/f"} {
				err := atomicfile.Machine().CheckParents(filepath.Join(dir, path))
				var refused *atomicfile.ParentError
				if tt.ok && err != nil || !tt.ok && (!errors.As(err, &refused) || !strings.HasPrefix(dir, refused.Folder)) {
					t.Errorf("%s: %v", path, err)
				}
			}
			tree, err := atomicfile.Beneath(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tree.CheckParents("/f"), tree.Close()); err != nil {
				t.Errorf("beneath: %v", err)
			}
		})
	}
}

func TestReadySaysTheLastWord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, changed := filepath.Join(dir, "f"), errors.New("changed")
	write(t, path, "old")
	err := atomicfile.Machine().Replace(path, []byte("new"), atomicfile.Replacement{Ready: func() error {
		wantFile(t, path, "old")
		left, err := atomicfile.Machine().Leftovers(dir)
		if err != nil || len(left) != 1 {
			t.Errorf("asked before the new bytes are there: %q, %v", left, err)
		}
		write(t, path, "an editor's")
		return changed
	}})
	if !errors.Is(err, changed) {
		t.Errorf("%v", err)
	}
	wantFile(t, path, "an editor's")
	wantNames(t, dir, "f")
}

func TestLinksCountsNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "x")
	for want := range uint64(3) {
		if want > 0 {
			if err := os.Link(path, path+strconv.FormatUint(want, 10)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || atomicfile.Links(info) != want+1 {
			t.Errorf("%d, %v", atomicfile.Links(info), err)
		}
	}
}

func TestLockedErrorNamesTheHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	write(t, path, "what a killed process with a long number left: 123456")
	held, err := atomicfile.Lock(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock() //nolint:errcheck // of no interest here
	var locked *atomicfile.LockedError
	_, err = atomicfile.Lock(t.Context(), path, time.Millisecond)
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("%v", err)
	}
	write(t, path, "nonsense")
	if _, err = atomicfile.Lock(t.Context(), path, 0); !errors.As(err, &locked) || locked.PID != 0 {
		t.Errorf("%v", err)
	}
}
