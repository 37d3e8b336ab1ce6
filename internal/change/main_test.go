//go:build unix

package change_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// The crash tests run this test binary, built with crash points, as the vicr
// that is killed. What it does there is named by the environment.
const (
	verbEnv   = "VICR_TEST_VERB"
	rootEnv   = "VICR_TEST_ROOT"
	chrootEnv = "VICR_TEST_CHROOT" // set: the root becomes the root of the process
)

func TestMain(m *testing.M) {
	verb := os.Getenv(verbEnv)
	if verb == "" {
		os.Exit(m.Run())
	}
	root := os.Getenv(rootEnv)
	if os.Getenv(chrootEnv) != "" {
		if err := errors.Join(syscall.Chroot(root), os.Chdir("/")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		root = "/"
	}
	if err := perform(context.Background(), verb, root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errProof = errors.New("the engine does not trust it")

// perform does to the tree beneath root what a command of vicr does.
func perform(ctx context.Context, verb, root string) error {
	tree, err := atomicfile.Beneath(root)
	if err != nil {
		return err
	}
	defer tree.Close() //nolint:errcheck // only a handle on a folder
	j := change.OpenJournal(tree, journalAt, options(root))
	switch verb {
	case "daemon":
		return daemon(root)
	case "insecure":
		return j.Apply(ctx, subject(hostA), insecure(root, hostA), nil)
	case "edit":
		return j.Apply(ctx, subject(hostA), steps(insecure(root, hostA), change.OpWrite, change.OpEdit), nil)
	case "shared":
		return j.Apply(ctx, subject(hostA), shared(root, hostA), nil)
	case "insecure-unproven":
		return unproven(j.Apply(ctx, subject(hostA), insecure(root, hostA), func(context.Context) error { return errProof }))
	case "apply":
		return j.Apply(ctx, subject(hostA), planA(), nil)
	case "apply-again":
		return j.Apply(ctx, subject(hostA), planA2(), nil)
	case "apply-unproven":
		return unproven(j.Apply(ctx, subject(hostA), planA(), func(context.Context) error { return errProof }))
	case "undo":
		_, err := j.Undo(ctx, hostA, false)
		return err
	case "recover":
		_, err := j.Recover(ctx)
		return err
	}
	return fmt.Errorf("no verb %q", verb)
}

func unproven(err error) error {
	var back *change.RolledBackError
	if errors.Is(err, errProof) && errors.As(err, &back) {
		return nil
	}
	return fmt.Errorf("want a roll-back for the proof's error, got %w", err)
}
