package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// readers are ways in which the same bytes can arrive.
func readers() []func(io.Reader) io.Reader {
	return []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	}
}

func TestVerifyGivesAllBytesOrAnError(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
		come := rapid.OneOf(rapid.Just(data), rapid.SliceOfN(rapid.Byte(), 0, 300)).Draw(t, "come")
		if rapid.Bool().Draw(t, "nearly") && len(data) > 0 {
			come = bytes.Clone(data)
			come[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		algorithm := rapid.SampledFrom([]string{"sha256", "sha512"}).Draw(t, "algorithm")
		desc := transfertest.DescriptorOf(algorithm, types.OCILayer, data)
		had := rapid.IntRange(0, min(len(data), len(come))).Draw(t, "had")
		if !bytes.Equal(data[:had], come[:had]) {
			had = 0
		}
		way := rapid.SampledFrom(readers()).Draw(t, "way")
		r, err := transfer.VerifyRest(bytes.NewReader(come[:had]), desc, func() (io.ReadCloser, error) {
			return io.NopCloser(way(bytes.NewReader(come[had:]))), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if bytes.Equal(come, data) {
			if err != nil || !bytes.Equal(got, data[had:]) {
				t.Fatalf("right bytes: %v", err)
			}
			return
		}
		wrong, ok := errors.AsType[*transfer.DigestError](err)
		if !ok || wrong.Want != desc.Digest {
			t.Fatalf("wrong bytes: %v", err)
		}
		if len(come) == len(data) && had+len(got) >= len(data) {
			t.Fatal("wrong bytes: all of them were handed out")
		}
		if _, again := r.Read(make([]byte, 1)); !errors.Is(again, err) {
			t.Fatalf("wrong bytes: a later Read said %v", again)
		}
	})
}

func TestVerifyPassesOnTheErrorsBelow(t *testing.T) {
	t.Parallel()
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, []byte("0123456789"))
	below := errors.New("reset")
	r, err := transfer.Verify(io.NopCloser(transfertest.Cut(bytes.NewReader([]byte("01234")), 5, below)), desc)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "01234" || !errors.Is(err, below) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestVerifyHashesOnce(t *testing.T) {
	t.Parallel()
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, []byte("x"))
	first, err := transfer.Verify(io.NopCloser(bytes.NewReader([]byte("x"))), desc)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := transfer.Verify(first, desc); err != nil || second != first {
		t.Errorf("wrapped again: %v", err)
	}
	other := desc
	other.Digest.Hex = transfertest.DescriptorOf("sha256", types.OCILayer, []byte("y")).Digest.Hex
	if third, err := transfer.Verify(first, other); err != nil || third == first {
		t.Errorf("taken for the verifier of another blob: %v", err)
	}
	if _, err := transfer.Verify(first, v1.Descriptor{Digest: v1.Hash{Algorithm: "md5", Hex: "00"}}); err == nil {
		t.Error("md5 was taken")
	}
}
