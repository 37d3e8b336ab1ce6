package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// resolved opens an archive and resolves its image.
func resolved(ctx context.Context, r io.Reader, o archive.Options) error {
	a, err := archive.Read(ctx, r, "x.tar", o)
	if err != nil {
		return err
	}
	_, err = a.Source("app:1").Resolve(ctx)
	return errors.Join(err, a.Close())
}

func TestArchivesMadeToDoHarmAreRefused(t *testing.T) {
	t.Parallel()
	good := saved(t, "app:1", layerTar(t, "f", []byte("x")))
	for what, test := range map[string]struct {
		add  func(w *tar.Writer)
		want string
	}{
		"name outside":     {header(tar.Header{Typeflag: tar.TypeReg, Name: "../x"}), "with the name"},
		"name far outside": {header(tar.Header{Typeflag: tar.TypeReg, Name: "a/../../x"}), "with the name"},
		"absolute name":    {header(tar.Header{Typeflag: tar.TypeReg, Name: "/x"}), "with the name"},
		"long name":        {header(tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("x/", 3000) + "x"}), "with the name"},
		"twice":            {header(tar.Header{Typeflag: tar.TypeReg, Name: "c.json"}), "twice"},
		"twice, otherwise": {header(tar.Header{Typeflag: tar.TypeReg, Name: "./x/../c.json"}), "twice"},
		"link outside":     {header(tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "../../etc/passwd"}), "link to"},
		"absolute link":    {header(tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc/passwd"}), "link to"},
		"hard link out":    {header(tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "/etc/passwd"}), "link to"},
		"device":           {header(tar.Header{Typeflag: tar.TypeBlock, Name: "x"}), "neither a file"},
		"FIFO":             {header(tar.Header{Typeflag: tar.TypeFifo, Name: "x"}), "neither a file"},
		"many files": {func(w *tar.Writer) {
			for i := range 1 << 16 {
				_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint("f", i)})
			}
		}, "more than"},
		"many long names": {func(w *tar.Writer) {
			for i := range 3000 {
				_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(strings.Repeat("d/", 1500), i)})
			}
		}, "the names of its files"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, f := range good {
				must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data))}))
				_, err := w.Write(f.data)
				must(t, err)
			}
			test.add(w)
			must(t, w.Close())
			err := resolved(t.Context(), &b, options(t, archive.Docker))
			if e, ok := errors.AsType[*archive.Error](err); !ok || !e.Unsafe || !strings.Contains(e.Why, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func header(h tar.Header) func(*tar.Writer) { return func(w *tar.Writer) { _ = w.WriteHeader(&h) } }

// A sparse file is not written by archive/tar, so its header is made by hand.
func TestSparseFileIsRefused(t *testing.T) {
	t.Parallel()
	data := pack(t, file{"c.json", nil})
	copy(data[257:], "ustar  \x00")
	data[156] = 'S'
	copy(data[483:], "77777777777\x00") // the real size
	var sum int
	copy(data[148:], "        ")
	for _, c := range data[:512] {
		sum += int(c)
	}
	copy(data[148:], fmt.Sprintf("%06o\x00 ", sum))
	err := resolved(t.Context(), bytes.NewReader(data), options(t, archive.Docker))
	if e, ok := errors.AsType[*archive.Error](err); !ok || !e.Unsafe || !strings.Contains(e.Why, "sparse") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenArchivesAreCalledThat(t *testing.T) {
	t.Parallel()
	layer := layerTar(t, "f", []byte("x"))
	with := func(change func(files []file) []file) []byte { return pack(t, change(saved(t, "app:1", layer))...) }
	list := func(json string) []byte {
		return with(func(f []file) []file { f[len(f)-1].data = []byte(json); return f })
	}
	for what, test := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":             {nil, "empty"},
		"no tar":              {bytes.Repeat([]byte("x"), 2000), "no tar"},
		"xz":                  {[]byte("\xfd7zXZ\x00xxxxxxxxxxxxxx"), "xz"},
		"bzip2":               {[]byte("BZh91AY"), "bzip2"},
		"gzip cut":            {gzipped(t, pack(t, saved(t, "app:1", layer)...))[:200], "breaks off"},
		"gzip with a bad sum": {flippedFromEnd(gzipped(t, append(pack(t, saved(t, "app:1", layer)...), make([]byte, 1<<20)...)), 8), "damaged"},
		"gzip of no tar":      {gzipped(t, []byte("x")), "no tar"},
		"zstd of no tar":      {zstded(t, bytes.Repeat([]byte("x"), 2000)), "no tar"},
		"zstd damaged":        {append(zstded(t, pack(t, saved(t, "app:1", layer)...))[:100], 0xff, 0xff, 0xff), "it"},
		"no list":             {with(func(f []file) []file { return f[:1] }), "no \"manifest.json\""},
		"list is no JSON":     {list(`nonsense`), "cannot be read"},
		"config missing":      {list(`[{"Config":"../../etc/passwd","Layers":["a/layer.tar"]}]`), "no \"../"},
		"config is no JSON":   {list(`[{"Config":"a/layer.tar","Layers":["a/layer.tar"]}]`), "config of the image cannot be read"},
		"layer missing":       {list(`[{"Config":"c.json","Layers":["/etc/passwd"]}]`), "no layer"},
		"fewer layers":        {list(`[{"Config":"c.json","Layers":[]}]`), "names 1"},
		"list too large":      {list("[" + strings.Repeat(" ", 5<<20) + "]"), "not JSON of at most"},
		"layer is bzip2":      {with(func(f []file) []file { f[1].data = []byte("BZh91AYxxxx"); return f }), "compressed by bzip2"},
		"layer is cut zstd":   {with(func(f []file) []file { f[1].data = zstded(t, layer)[:20]; return f }), "breaks off"},
		"layer is cut gzip":   {with(func(f []file) []file { f[1].data = gzipped(t, layer)[:30]; return f }), "breaks off"},
		"index is no JSON":    {pack(t, file{"index.json", []byte("x")}), "cannot be read"},
		"index with a digest": {pack(t, file{"index.json", []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":1}]}`)}), "index.json"},
		"parts missing":       {pack(t, layout(t, transfertest.Content{}, sample(1).Root)...), "lacks parts"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := resolved(t.Context(), bytes.NewReader(test.data), options(t, archive.Docker))
			if e, ok := errors.AsType[*archive.Error](err); !ok || e.Unsafe || !strings.Contains(e.Why, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// flippedFromEnd has one bit of another value, n bytes before the end.
func flippedFromEnd(data []byte, n int) []byte {
	data[len(data)-n] ^= 1
	return data
}

func TestArchivesWithoutImagesSaySo(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{pack(t, file{"manifest.json", []byte("[]")}), pack(t, file{"index.json", []byte("{}")})} {
		if err := resolved(t.Context(), bytes.NewReader(data), options(t, archive.Docker)); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func TestDockersFormatIsNotTakenForALayout(t *testing.T) {
	t.Parallel()
	err := resolved(t.Context(), bytes.NewReader(pack(t, saved(t, "app:1", layerTar(t, "f", nil))...)), options(t, archive.OCI))
	if err == nil || !strings.Contains(err.Error(), "docker-archive:") {
		t.Errorf("got %v", err)
	}
}

// Wherever an archive ends, that is said, or what is missing is not needed.
func TestATruncatedArchiveIsNeverAnotherImage(t *testing.T) {
	t.Parallel()
	one := sample(1)
	for f, data := range map[archive.Format][]byte{
		archive.OCI:    pack(t, layout(t, one.Content, called(one.Root, "1", ""))...),
		archive.Docker: pack(t, saved(t, "app:1", layerTar(t, "f", transfertest.Bytes(1, 9000)))...),
	} {
		path := filepath.Join(t.TempDir(), "a.tar")
		for n := 0; n < len(data)-1536; n += 509 {
			must(t, os.WriteFile(path, data[:n], 0o600))
			a, err := archive.Open(t.Context(), path, options(t, f))
			if err == nil {
				_, err = transfer.Copy(t.Context(), a.Source("app:1"), &transfertest.Sink{}, transfer.Options{})
				must(t, a.Close())
			}
			if err == nil {
				t.Errorf("%d of %d bytes were an image", n, len(data))
			}
			var bad *archive.Error
			if !errors.As(err, &bad) && !errors.Is(err, transfer.ErrNotFound) {
				t.Errorf("%d of %d bytes: %v", n, len(data), err)
			}
		}
	}
}

func TestALayerThatIsAnotherIsADigestError(t *testing.T) {
	t.Parallel()
	files := saved(t, "app:1", layerTar(t, "f", []byte("x")))
	files[1].data = layerTar(t, "f", []byte("y"))
	err := resolved(t.Context(), bytes.NewReader(pack(t, files...)), options(t, archive.Docker))
	if _, ok := errors.AsType[*transfer.DigestError](err); !ok {
		t.Errorf("got %v", err)
	}
}

// What a manifest says is believed only once it is the one that was named.
func TestAManifestThatIsAnotherIsADigestError(t *testing.T) {
	t.Parallel()
	one := sample(1)
	raw := bytes.Clone(one.Content[one.Root.Digest])
	one.Content[one.Root.Digest] = bytes.Replace(raw, []byte(`"schemaVersion":2`), []byte(`"schemaVersion":3`), 1)
	err := resolved(t.Context(), bytes.NewReader(pack(t, layout(t, one.Content, one.Root)...)), options(t, archive.OCI))
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != one.Root.Digest {
		t.Errorf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWaitingForAStreamEndsWithTheContext(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close() // ends the read that was left behind
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := resolved(ctx, r, options(t, archive.Docker)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("that took %s", d)
	}
}

func TestAStreamThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	gone := errors.New("the line is dead")
	for name, data := range map[string][]byte{"tar": pack(t, layout(t, sample(1).Content, sample(1).Root)...), "gzip": gzipped(t, pack(t, layout(t, sample(1).Content, sample(1).Root)...))} {
		r := transfertest.Cut(bytes.NewReader(data), int64(len(data)/2), gone)
		if err := resolved(t.Context(), r, options(t, archive.OCI)); !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever an archive holds, it is an image of which all can be had, or an error
// of a known kind.
func FuzzArchive(f *testing.F) {
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer([]byte("x")))
	f.Add(pack(f, layout(f, c, called(root, "1", ""))...), false)
	f.Add(pack(f, saved(f, "app:1", layerTar(f, "f", []byte("x")), layerTar(f, "g", []byte("y")))...), true)
	f.Add(gzipped(f, pack(f, saved(f, "app:1", layerTar(f, "f", []byte("x")))...)), false)
	data, _, _ := sparse(f, "amd64")
	f.Add(data, false)
	f.Add(data, true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, unpacked bool) {
		o := archive.Options{Format: archive.Docker, Scratch: dir, Unpacked: unpacked}
		a, err := archive.Read(t.Context(), bytes.NewReader(data), "x.tar", o)
		if err == nil {
			defer a.Close()
			_, err = transfer.Copy(t.Context(), a.Source("app:1"), &transfertest.Sink{}, transfer.Options{})
		}
		known := errors.Is(err, transfer.ErrNotFound)
		for _, is := range []func(error) bool{
			is[*archive.Error], is[*archive.AmbiguousError], is[*transfer.DigestError], is[*transfer.ManifestError], is[*atomicfile.NotRegularError],
		} {
			known = known || is(err)
		}
		if err != nil && !known {
			t.Errorf("an error of another kind: %T %v", err, err)
		}
	})
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
