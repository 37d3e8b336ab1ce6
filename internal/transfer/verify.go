package transfer

import (
	"encoding/hex"
	"hash"
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Verify returns a reader of the bytes of rc that ends in io.EOF only if they
// are the ones that desc names. If they are not it fails with a [*DigestError]
// and keeps the last of them back, so that not even a reader that counts to
// desc.Size ever has all of them. What [Copy] opens at offset 0 is such a
// reader already, and is returned as it is.
func Verify(rc io.ReadCloser, desc v1.Descriptor) (io.ReadCloser, error) {
	if v, ok := rc.(*verifier); ok && v.seen == 0 && v.want == desc.Digest && v.size == desc.Size {
		return v, nil
	}
	return newVerifier(rc, desc)
}

// VerifyRest is [Verify] for the bytes behind those of before, which are read
// and hashed first; then open is called for the rest.
func VerifyRest(before io.Reader, desc v1.Descriptor, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	v, err := newVerifier(nil, desc)
	if err != nil {
		return nil, err
	}
	if v.seen, err = io.Copy(v.hash, before); err != nil {
		return nil, err
	}
	if v.rc, err = open(); err != nil {
		return nil, err
	}
	return v, nil
}

type verifier struct {
	rc   io.ReadCloser
	want v1.Hash
	size int64
	seen int64
	hash hash.Hash
	done bool  // the digest was found right
	err  error // what every further Read returns

	wrong atomic.Pointer[DigestError]
}

func newVerifier(rc io.ReadCloser, desc v1.Descriptor) (*verifier, error) {
	h, err := v1.Hasher(desc.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	return &verifier{rc: rc, want: desc.Digest, size: desc.Size, hash: h}, nil
}

func (v *verifier) Read(p []byte) (n int, err error) {
	if v.err == nil && v.seen >= v.size {
		v.err = v.end()
	}
	if v.err != nil {
		return 0, v.err
	}
	if left := v.size - v.seen; int64(len(p)) > left {
		p = p[:left]
	}
	n, err = v.rc.Read(p)
	v.seen += int64(n)
	v.hash.Write(p[:n])
	switch {
	case v.seen == v.size:
		if v.err = v.check(); v.err != nil {
			return 0, v.err
		}
		return n, nil
	case err == io.EOF:
		v.err = v.wrongSize()
	default:
		v.err = err
	}
	return n, v.err
}

// end is what follows the last byte: nothing, or the bytes are not the right ones.
func (v *verifier) end() error {
	if v.seen > v.size {
		return v.wrongSize()
	}
	if err := v.check(); err != nil {
		return err
	}
	var more [1]byte
	for {
		n, err := v.rc.Read(more[:])
		if n > 0 {
			v.seen += int64(n)
			return v.wrongSize()
		}
		if err != nil {
			return err
		}
	}
}

func (v *verifier) check() error {
	if v.done {
		return nil
	}
	got := v1.Hash{Algorithm: v.want.Algorithm, Hex: hex.EncodeToString(v.hash.Sum(nil))}
	if got != v.want {
		return v.fail(&DigestError{What: "blob", Want: v.want, Got: got})
	}
	v.done = true
	return nil
}

func (v *verifier) wrongSize() error {
	return v.fail(&DigestError{What: "blob", Want: v.want, Size: v.seen, Of: v.size})
}

func (v *verifier) fail(e *DigestError) error {
	v.wrong.Store(e)
	return e
}

// failure is the [*DigestError] that was returned to the reader, if one was.
// It may be called while the reader is in use.
func (v *verifier) failure() error {
	if e := v.wrong.Load(); e != nil {
		return e
	}
	return nil
}

func (v *verifier) Close() error { return v.rc.Close() }

// verifyManifest holds raw against its descriptor.
func verifyManifest(desc v1.Descriptor, raw []byte) error {
	if size := int64(len(raw)); size != desc.Size {
		return &DigestError{What: "manifest", Want: desc.Digest, Size: size, Of: desc.Size}
	}
	h, err := v1.Hasher(desc.Digest.Algorithm)
	if err != nil {
		return err
	}
	h.Write(raw)
	got := v1.Hash{Algorithm: desc.Digest.Algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
	if got != desc.Digest {
		return &DigestError{What: "manifest", Want: desc.Digest, Got: got}
	}
	return nil
}
