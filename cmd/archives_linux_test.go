package cmd

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/ref"
)

// Nobody types an archive, and no screen shows one.
func TestATerminalIsNoArchive(t *testing.T) {
	t.Parallel()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer tty.Close()
	a := &app{env: Env{Stdin: tty, Stdout: tty, Stderr: io.Discard, Getenv: func(string) string { return "" }}}
	for _, kind := range []ref.Kind{ref.OCIArchive, ref.DockerArchive} {
		p := a.openArchive(t.Context(), ref.Place{Kind: kind, File: ref.Stream})
		for _, err := range []error{p.read(), p.write(1)} {
			if exitCode(err) != codeUsage || !strings.Contains(err.Error(), "is a terminal") {
				t.Errorf("%s: %v", p, err)
			}
		}
		src, _ := p.source(ref.Image{})
		if _, err := src.Resolve(t.Context()); exitCode(err) != codeUsage {
			t.Errorf("%s: as a source: %v", p, err)
		}
		if _, err := p.sink(ref.Image{}); exitCode(err) != codeUsage {
			t.Errorf("%s: as a sink: %v", p, err)
		}
	}
}

// One place is opened once for all images of a command.
func TestAnArchiveIsOpenedOnce(t *testing.T) {
	t.Parallel()
	a := &app{}
	one := a.openArchive(t.Context(), ref.Place{Kind: ref.OCIArchive, File: "-"})
	if again := a.openArchive(t.Context(), ref.Place{Kind: ref.OCIArchive, File: "-"}); again != one {
		t.Error("it was opened twice")
	}
	one.in = &archive.Archive{}
	if err := errors.Join(a.closeArchives(), one.read()); err != nil {
		t.Error(err)
	}
}
