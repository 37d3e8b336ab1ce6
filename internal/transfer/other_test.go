package transfer_test

import (
	"context"
	"errors"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestAnImageForAnotherPlatformIsKnownByItsConfig(t *testing.T) {
	t.Parallel()
	amd64, arm64 := transfertest.Amd64(), transfertest.Arm64()
	for name, test := range map[string]struct {
		have, want v1.Platform
		index      bool // around the image
		says       bool // of what it is for
		other      bool
	}{
		"the same":                      {have: amd64, want: amd64},
		"what runs there":               {have: v1.Platform{OS: "linux", Architecture: "386"}, want: amd64},
		"another one":                   {have: amd64, want: arm64, other: true},
		"another system":                {have: v1.Platform{OS: "windows", Architecture: "amd64"}, want: amd64, other: true},
		"one that does not say":         {want: arm64},
		"an attestation":                {have: v1.Platform{OS: "unknown", Architecture: "unknown"}, want: arm64},
		"alone in an index":             {have: amd64, want: arm64, index: true, other: true},
		"in an index that says it is":   {have: amd64, want: arm64, index: true, says: true},
		"in an index, and what it says": {have: arm64, want: arm64, index: true, says: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			src := &transfertest.Source{Content: c, Root: c.Image(test.have, c.Layer([]byte("layer")))}
			if test.index {
				child := src.Root
				if child.Platform = nil; test.says {
					child.Platform = &test.want
				}
				src.Root = c.Index(child)
			} else {
				src.Root.Platform = nil
			}
			have, err := transfer.Other(t.Context(), src, test.want)
			if err != nil || (have != nil) != test.other || have != nil && !have.Equals(test.have) {
				t.Errorf("%v, %v", have, err)
			}
			if src.LeftOpen() != 0 {
				t.Error("the config is open")
			}
		})
	}
}

func TestOtherIsNoErrorMoreThanCopys(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	index := &transfertest.Source{Content: c, Root: c.Index(c.Image(transfertest.Amd64(), c.Layer([]byte("layer"))))}
	_, err := transfer.Other(t.Context(), index, v1.Platform{OS: "linux", Architecture: "s390x"})
	if _, ok := errors.AsType[*transfer.PlatformError](err); !ok {
		t.Error(err)
	}
	if _, err := transfer.Other(t.Context(), &transfertest.Source{Content: c}, transfertest.Amd64()); !errors.Is(err, transfer.ErrNotFound) {
		t.Error(err)
	}
}

func TestAConfigThatWasLookedAtIsNotAskedForTwice(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	src := &transfertest.Source{Content: c, Root: c.Image(transfertest.Amd64(), c.Layer([]byte("layer")))}
	src.Root.Platform = nil
	kept := transfer.Keep(src)
	if have, err := transfer.Other(t.Context(), kept, transfertest.Arm64()); have == nil || err != nil {
		t.Fatalf("%v, %v", have, err)
	}
	config := v1.Descriptor{Digest: src.Opened()[0].Digest}
	config.Size = int64(len(c[config.Digest]))
	for _, offset := range []int64{0, 3, config.Size} {
		rc, err := kept.Blob(t.Context(), config, offset)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(rc); err != nil || string(data) != string(c[config.Digest][offset:]) {
			t.Errorf("from %d on: %q, %v", offset, data, err)
		}
		_ = rc.Close()
	}
	if n := len(src.Opened()); n != 1 || len(src.Manifests()) != 1 {
		t.Errorf("%d blobs and %d manifests were asked for", n, len(src.Manifests()))
	}
}

// A keepingSink has some blobs already, and says so to whom it asks for them.
type keepingSink struct {
	transfer.Sink

	has transfertest.Content
}

func (k keepingSink) Kept(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	if raw, ok := k.has[desc.Digest]; ok {
		return raw, nil
	}
	return nil, transfer.ErrNotFound
}

type noSink struct{}

func (noSink) PutBlob(context.Context, v1.Descriptor, transfer.Opener) (int64, error) { return 0, nil }
func (noSink) PutManifest(context.Context, v1.Descriptor, []byte) error               { return nil }
func (noSink) Commit(context.Context, v1.Descriptor, []byte) error                    { return nil }
func (noSink) Close() error                                                           { return nil }

func TestACopyTellsOfAnotherPlatformAndAsksForNothingMore(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	arm64, root := transfertest.Arm64(), c.Image(transfertest.Amd64(), c.Layer([]byte("layer")))
	root.Platform = nil
	for name, has := range map[string]transfertest.Content{"cold": nil, "again": c} {
		src := &transfertest.Source{Content: c, Root: root}
		var told []v1.Platform
		o := transfer.Options{Platform: &arm64, OnOther: func(have v1.Platform) { told = append(told, have) }}
		if _, err := transfer.Copy(t.Context(), src, keepingSink{noSink{}, has}, o); err != nil {
			t.Fatal(err)
		}
		want := 1
		if has != nil {
			want = 0
		}
		if len(told) != 1 || !told[0].Equals(transfertest.Amd64()) || len(src.Opened()) != want {
			t.Errorf("%s: told %v, %d blobs were opened", name, told, len(src.Opened()))
		}
	}
}
