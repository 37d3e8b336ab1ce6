package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

type inspectOptions struct {
	image       ref.Image
	raw, config bool
	platform    string
	tls         tlsFlags
}

// An inspectResult is what an image or index says of itself, for programs too:
// fields are added, never renamed.
type inspectResult struct {
	Image     string // the full name
	Digest    string // of what the name stands for: an index when there is one
	MediaType string
	Size      int64            // bytes of that manifest
	Manifests []inspectPart    // of an index
	Selected  *inspectSelected // the image, or the one for the platform; null: the index has none
	Referrers []inspectReferrer
	// Unknown says why what refers to the image is not known; "" if it is.
	Unknown string
}

type inspectPart struct {
	Digest    string
	MediaType string
	Size      int64
	Platform  string // "linux/arm64"; "" where the index names none
}

type inspectSelected struct {
	Digest       string
	MediaType    string
	Platform     string
	Size         int64 // bytes of config and layers, as they travel
	Created      string
	Author       string
	ConfigDigest string
	Layers       []inspectLayer
	Labels       map[string]string
	History      []inspectStep
}

type inspectLayer struct {
	Digest    string
	MediaType string
	Size      int64
}

type inspectStep struct {
	Created string
	By      string // without the values that ENV, ARG and build arguments set
	Comment string
	Empty   bool
}

type inspectReferrer struct {
	Kind         string // "signature", "attestation", "sbom", "other"
	ArtifactType string
	MediaType    string
	Digest       string
	Size         int64
	Tag          string
}

func newInspect(a *app) *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:   "inspect REF",
		Short: "Show what an image in a registry is made of",
		Long: `Show what a name in a registry stands for: digest, media type, the platforms of
an index; of the image, or of that for this machine's platform or --platform, its
size, layers, labels and history; and the signatures and other things that refer
to it. No layer is fetched, and no signature is verified. What is shown was
verified by its digest.

Environment variables may be secrets: they are shown by --config alone, and the
history is shown without the values that it sets. --raw and --config print the
very bytes of the manifest or the config; at a terminal, control characters in
them are escaped.`,
		Example: `  vicr inspect registry.example.com/library/ubuntu:14.04
  vicr inspect --raw --platform linux/arm64 registry.example.com/library/ubuntu:14.04
  vicr inspect --format '{{.Digest}}' registry.example.com/library/ubuntu:14.04`,
		Args: exactly(1, "the name of one image"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.image, err = ref.ParseImage(args[0]); err != nil {
				return err
			}
			return a.atHome(c.Context(), func() error { return aboutHost(o.image.Host, runInspect(c.Context(), a, o)) })
		},
	}
	c.Flags().BoolVar(&o.raw, "raw", false, "print the bytes of the manifest or index")
	c.Flags().BoolVar(&o.config, "config", false, "print the bytes of the image's config, environment and all")
	c.Flags().StringVar(&o.platform, "platform", "", "the platform to show out of an index, as in linux/arm64")
	o.tls.register(c.Flags())
	return c
}

func runInspect(ctx context.Context, a *app, o inspectOptions) error {
	example := inspectResult{
		Manifests: []inspectPart{{}}, Referrers: []inspectReferrer{{}},
		Selected: &inspectSelected{Layers: []inspectLayer{{}}, History: []inspectStep{{}}},
	}
	if err := a.checkFormat(example); err != nil {
		return err
	}
	if o.raw && o.config {
		return usagef("--raw and --config exclude each other")
	}
	chosen, err := parsePlatform(o.platform)
	if err != nil {
		return err
	}
	r, err := a.road(ctx, o.image.Host, o.tls)
	if err != nil {
		return err
	}
	repo := registry.Open(o.image, r.auth, r.base)
	here := v1.Platform{OS: "linux", Architecture: runtime.GOARCH, Variant: variant()}
	switch {
	case o.raw:
		_, raw, err := transfer.RawManifest(ctx, repo, chosen)
		return a.bytes(raw, r.whyDenied(ctx, err))
	case o.config:
		if chosen == nil {
			chosen = &here
		}
		_, raw, err := transfer.RawConfig(ctx, repo, *chosen)
		return a.bytes(raw, r.whyDenied(ctx, err))
	}
	d, err := transfer.Describe(ctx, repo, chosen, here)
	if err != nil {
		return r.whyDenied(ctx, err)
	}
	res := describeImage(o.image, d)
	if err := a.addReferrers(ctx, repo, d, chosen != nil, &res); err != nil {
		return err
	}
	return a.result(res, func(w io.Writer) error { return a.inspected(w, res) })
}

// bytes prints verified bytes as they are, but to a terminal without what steers one.
func (a *app) bytes(raw []byte, err error) error {
	if err != nil {
		return err
	}
	if err := a.print(raw); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// addReferrers looks for what refers to the name's manifest, or to the image of
// the platform that was asked for. That it cannot be found out is no failure.
func (a *app) addReferrers(ctx context.Context, repo *registry.Repository, d transfer.Description, picked bool, res *inspectResult) error {
	of := d.Root.Digest
	if picked && d.Image != nil {
		of = d.Image.Desc.Digest
	}
	all, err := repo.Referrers(ctx, of)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		res.Unknown = words(err)
	}
	for _, r := range all {
		res.Referrers = append(res.Referrers, inspectReferrer{
			Kind: r.Kind, ArtifactType: r.ArtifactType, MediaType: r.MediaType, Digest: r.Digest.String(), Size: r.Size, Tag: r.Tag,
		})
	}
	return nil
}

func describeImage(img ref.Image, d transfer.Description) inspectResult {
	res := inspectResult{
		Image: img.String(), Digest: d.Root.Digest.String(), MediaType: string(d.Root.MediaType), Size: d.Root.Size,
		Manifests: []inspectPart{}, Referrers: []inspectReferrer{},
	}
	for _, m := range d.Manifests {
		part := inspectPart{Digest: m.Digest.String(), MediaType: string(m.MediaType), Size: m.Size}
		if m.Platform != nil {
			part.Platform = m.Platform.String()
		}
		res.Manifests = append(res.Manifests, part)
	}
	if d.Image == nil {
		return res
	}
	i := d.Image
	s := &inspectSelected{
		Digest: i.Desc.Digest.String(), MediaType: string(i.Desc.MediaType), Platform: i.Platform.String(), Size: i.Size,
		Created: rfc3339(i.Created), Author: i.Author, ConfigDigest: i.Config.Digest.String(),
		Layers: []inspectLayer{}, Labels: map[string]string{}, History: []inspectStep{},
	}
	maps.Copy(s.Labels, i.Labels)
	for _, l := range i.Layers {
		s.Layers = append(s.Layers, inspectLayer{Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size})
	}
	for _, h := range i.History {
		s.History = append(s.History, inspectStep{Created: rfc3339(h.Created), By: h.By, Comment: h.Comment, Empty: h.Empty})
	}
	res.Selected = s
	return res
}

func rfc3339(t time.Time) string {
	if t.Year() <= 1 {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// A sheet is written field by field; the first error stays.
type sheet struct {
	w   io.Writer
	err error
}

// field writes values below one another, beside their name. They may come from outside.
func (s *sheet) field(name string, values ...string) {
	for _, v := range values {
		if s.err == nil && v != "" {
			s.err = line("%-11s %s", name, escaped(v))(s.w)
			name = ""
		}
	}
}

// inspected prints a description for people, some of it shortened.
func (a *app) inspected(w io.Writer, r inspectResult) error {
	s := &sheet{w: w}
	s.field("name", r.Image)
	s.field("digest", r.Digest)
	s.field("media type", r.MediaType)
	var parts []string
	for _, m := range r.Manifests {
		parts = append(parts, fmt.Sprintf("%-16s %s", orNone(m.Platform), m.Digest))
	}
	s.field("manifests", parts...)
	if r.Selected != nil {
		r.Selected.write(s, len(parts) > 0)
	}
	var referrers []string
	for _, x := range r.Referrers {
		referrers = append(referrers, fmt.Sprintf("%-11s %s  %s", x.Kind, x.Digest, firstOf(x.Tag, x.ArtifactType, x.MediaType)))
	}
	switch {
	case r.Unknown != "":
		referrers = append(referrers, "not known: "+r.Unknown)
	case len(referrers) == 0:
		referrers = []string{"none"}
	}
	s.field("referrers", referrers...)
	return s.err
}

func (i *inspectSelected) write(s *sheet, ofIndex bool) {
	const mostSteps = 50 // of the history; JSON has more
	if ofIndex {
		s.field("image", i.Digest)
	}
	s.field("platform", i.Platform)
	s.field("size", size(i.Size))
	s.field("created", i.Created)
	s.field("author", clipped(i.Author))
	var layers, labels, steps []string
	for _, l := range i.Layers {
		layers = append(layers, fmt.Sprintf("%s %10s  %s", l.Digest, size(l.Size), l.MediaType))
	}
	s.field("layers", layers...)
	for _, k := range slices.Sorted(maps.Keys(i.Labels)) {
		labels = append(labels, clipped(k+"="+i.Labels[k]))
	}
	s.field("labels", labels...)
	for _, h := range i.History[max(0, len(i.History)-mostSteps):] {
		steps = append(steps, clipped(firstOf(h.By, h.Comment, "-")))
	}
	s.field("history", steps...)
}

// clipped is text from outside short enough for a line of a terminal.
func clipped(s string) string {
	const most = 100 // characters
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
