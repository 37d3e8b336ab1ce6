package cmd

import (
	"context"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/store"
)

const storeWords = "vicr store ls, rm, verify or gc"

type storedResult struct {
	Images []storedImage
}

type storedImage struct {
	Name      string // "" for none
	Digest    string
	MediaType string
	Size      int64 // bytes
	Platforms []string
	Stored    string // RFC 3339
	Damaged   bool
}

type removedResult struct {
	Names  []string
	Digest string
}

type verifiedResult struct {
	Images int
	Blobs  int
	Bytes  int64
	Faults []storeFault
}

type storeFault struct {
	Digest string
	Why    string // "missing", "wrong size", "wrong bytes", "unreadable" or "not a file"
	Images []string
}

type collectedResult struct {
	Removed []collectedPiece // with DryRun: that would be
	Bytes   int64
	DryRun  bool
}

type collectedPiece struct {
	Digest string
	Size   int64 // bytes
	Part   bool  // of a blob that was never whole
}

func newStore(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "store ls|rm|verify|gc",
		Short: "List, remove and check what is in vicr's own store",
		Long: `vicr's own store has the images that were pulled without an engine, or with
--to store. It is an OCI image layout, in store below vicr's folder for data.`,
		Example: `  vicr store ls
  vicr store rm registry.example.com/demo/app:1 && vicr store gc
  vicr store verify`,
		Args: cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{text: "store: say what to do: ls, rm, verify or gc", hint: storeWords}
		},
	}
	c.AddCommand(newStoreList(a), newStoreRemove(a), newStoreVerify(a), newStoreCollect(a))
	return c
}

func newStoreList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the images in vicr's store",
		Long: `List the images in vicr's store by name, with the digest, the size of all that
each names, its platforms and when it came. What images share counts in each.`,
		Example: `  vicr store ls
  vicr store ls -q`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.atHome(c.Context(), func() error { return runStoreList(c.Context(), a) })
		},
	}
}

func runStoreList(ctx context.Context, a *app) error {
	one := storedImage{Name: "h/p/r:t", Digest: exampleDigest, Platforms: []string{"linux/amd64"}}
	if err := a.checkFormat(storedResult{Images: []storedImage{one}}); err != nil {
		return err
	}
	images, err := a.openStore().store.Images(ctx)
	if err != nil {
		return err
	}
	res := storedResult{Images: []storedImage{}}
	var rows [][]string
	for _, i := range images {
		s := storedImage{
			Name: i.Name, Digest: i.Desc.Digest.String(), MediaType: string(i.Desc.MediaType),
			Size: i.Size, Platforms: platformNames(i.Platforms), Stored: i.Stored.Format(time.RFC3339), Damaged: i.Damaged,
		}
		res.Images = append(res.Images, s)
		name := s.Name
		if name == "" && a.flags.quiet {
			name = s.Digest
		}
		rows = append(rows, []string{name, s.Digest, size(s.Size), strings.Join(s.Platforms, ", "), minute(s.Stored)})
		if i.Damaged {
			a.warn("%s lacks something, or its manifest is wrong: vicr store verify", i.Name)
		}
	}
	if len(images) == 0 {
		a.note("nothing is in vicr's store")
	}
	return a.result(res, func(w io.Writer) error {
		return a.table(w, []string{"NAME", "DIGEST", "SIZE", "PLATFORMS", "STORED"}, rows)
	})
}

func platformNames(all []v1.Platform) []string {
	names := []string{}
	for _, p := range all {
		names = append(names, p.String())
	}
	return names
}

func newStoreRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "Take the names of images in vicr's store away",
		Long: `Take the names of images in vicr's store away: NAME:TAG, NAME@DIGEST, or a digest
alone for all names of that image. vicr store gc then makes room on the disk.`,
		Example: `  vicr store rm registry.example.com/demo/app:1
  vicr store rm sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`,
		Args: atLeast(1, "the names of images"),
		RunE: func(c *cobra.Command, args []string) error {
			names, err := each(args, parseStored)
			if err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return runStoreRemove(c.Context(), a, names) })
		},
	}
}

// parseStored reads the name of an image, or a digest alone.
func parseStored(s string) (string, error) {
	if h, err := v1.NewHash(s); err == nil {
		return h.String(), nil
	}
	img, err := ref.ParseImage(s)
	return img.String(), err
}

func runStoreRemove(ctx context.Context, a *app, names []string) error {
	if err := a.checkFormat(removedResult{Names: []string{"h/p/r:t"}, Digest: exampleDigest}); err != nil {
		return err
	}
	s := a.openStore().store
	return forEach(ctx, a, names, func(name string) error {
		removed, err := s.Remove(ctx, name)
		if is[*store.NameError](err) {
			return &notStoredError{err}
		}
		if err != nil {
			return err
		}
		res := removedResult{Names: []string{}, Digest: removed[0].Desc.Digest.String()}
		for _, r := range removed {
			res.Names = append(res.Names, r.Name)
		}
		return a.result(res, lines(res.Names))
	})
}

func newStoreVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read all that is in vicr's store, and compare it with its digests",
		Long: `Read every blob in vicr's store and compare it with its digest, and look whether
all is there that images name. Nothing is changed. With wrong or missing bytes
the exit code is 7, and what to type is said.`,
		Example: `  vicr store verify`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.atHome(c.Context(), func() error { return runStoreVerify(c.Context(), a) })
		},
	}
}

func runStoreVerify(ctx context.Context, a *app) error {
	one := storeFault{Digest: exampleDigest, Why: "missing", Images: []string{"h/p/r:t"}}
	if err := a.checkFormat(verifiedResult{Images: 1, Faults: []storeFault{one}}); err != nil {
		return err
	}
	a.note("reading all blobs of vicr's store")
	onEvent, done := a.progress(mpb.PopCompletedMode()) // of thousands of blobs only the one under way stays
	v, damaged := a.openStore().store.Verify(ctx, onEvent)
	done()
	if damaged != nil && !is[*store.DamagedError](damaged) {
		return damaged
	}
	res := verifiedResult{Images: v.Images, Blobs: v.Blobs, Bytes: v.Bytes, Faults: []storeFault{}}
	rows := [][]string{}
	for _, f := range v.Faults {
		s := storeFault{Digest: f.Digest.String(), Why: f.Why, Images: append([]string{}, f.Images...)}
		res.Faults = append(res.Faults, s)
		rows = append(rows, []string{s.Digest, s.Why, strings.Join(s.Images, ", ")})
	}
	err := a.result(res, func(w io.Writer) error {
		if damaged == nil {
			return line("all is right: %d images, %d blobs, %s", v.Images, v.Blobs, size(v.Bytes))(w)
		}
		return a.table(w, []string{"DIGEST", "WHAT IS WRONG", "IMAGES"}, rows)
	})
	if err != nil {
		return err
	}
	return damaged
}

func newStoreCollect(a *app) *cobra.Command {
	var how store.Collecting
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove from vicr's store what no image needs",
		Long: `Remove from vicr's store the blobs that no image needs, and parts of blobs that
no pull went on with for a week; with --parts all of them, and then broken pulls
begin anew. Pulls and pushes may be under way: it waits for those that put
something into the store, also with --dry-run, and they for it. It needs no room
on the disk.`,
		Example: `  vicr store gc --dry-run
  vicr store gc
  vicr store gc --parts`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.atHome(c.Context(), func() error { return runStoreCollect(c.Context(), a, how) })
		},
	}
	c.Flags().BoolVarP(&how.Dry, "dry-run", "n", false, "show what would be removed")
	c.Flags().BoolVar(&how.Parts, "parts", false, "remove also what broken pulls would go on with")
	return c
}

func runStoreCollect(ctx context.Context, a *app, how store.Collecting) error {
	if err := a.checkFormat(collectedResult{Removed: []collectedPiece{{Digest: exampleDigest}}}); err != nil {
		return err
	}
	how.Now = a.env.Now()
	how.Waiting = func(pid int) {
		if pid > 0 {
			a.note("waiting for another vicr store gc, process %d", pid)
			return
		}
		a.note("waiting for the pulls and copies that put images into vicr's store")
	}
	all, err := a.openStore().store.Collect(ctx, how)
	if err != nil {
		return err
	}
	res := collectedResult{Removed: []collectedPiece{}, DryRun: how.Dry}
	var rows [][]string
	for _, p := range all {
		res.Removed = append(res.Removed, collectedPiece{Digest: p.Digest.String(), Size: p.Size, Part: p.Part})
		res.Bytes += p.Size
		part := ""
		if p.Part {
			part = "part"
		}
		rows = append(rows, []string{p.Digest.String(), size(p.Size), part})
	}
	word := "removed"
	if how.Dry {
		word = "would remove"
	}
	a.note("%s %d blobs, %s", word, len(all), size(res.Bytes))
	return a.result(res, func(w io.Writer) error {
		return a.table(w, []string{"DIGEST", "SIZE", "PART"}, rows)
	})
}
