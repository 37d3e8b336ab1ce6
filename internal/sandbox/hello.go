package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const helloText = "Hello from a sandbox of vicr.\n"

// The names under which project library has the hello image. The second is the
// one that the introductions of VIC and Harbor pull.
func helloNames() []string { return []string{"hello:1.0", "ubuntu:14.04"} }

// HelloIndex makes the image that a sandbox begins with, an OCI index for
// linux/amd64 and linux/arm64. It has two layers: /hello.txt, which both
// platforms share, and /hello, a program of a few machine instructions that
// prints it. Every call gives the same bytes. The error is that of
// go-containerregistry, which has no reason for any.
func HelloIndex() (v1.ImageIndex, error) {
	text, err := newLayer("hello.txt", 0o644, []byte(helloText))
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range []struct {
		architecture string
		program      []byte
	}{{"amd64", helloAMD64()}, {"arm64", helloARM64()}} {
		platform := v1.Platform{OS: "linux", Architecture: p.architecture}
		binary, err := newLayer("hello", 0o755, p.program)
		if err != nil {
			return nil, err
		}
		image, err := helloImage(platform, text, binary)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &platform},
		})
	}
	// An index of mutate finds its images only when it has been computed.
	if _, err := index.Digest(); err != nil {
		return nil, err
	}
	return index, nil
}

func helloImage(p v1.Platform, layers ...v1.Layer) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(image, layers...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = p.OS, p.Architecture
	config.Created = v1.Time{Time: epoch()}
	config.Config = v1.Config{Cmd: []string{"/hello"}, WorkingDir: "/"}
	config.History = nil
	return mutate.ConfigFile(image, config)
}

func epoch() time.Time { return time.Unix(0, 0).UTC() }

// A layer holds one file. It is gzip in form only, without compression, so
// that its digest does not hang on a release of a compressor.
type layer struct {
	packed, plain []byte
	digest, diff  v1.Hash
}

func newLayer(name string, mode int64, content []byte) (*layer, error) {
	var plain, packed bytes.Buffer
	t := tar.NewWriter(&plain)
	err := t.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: epoch(), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = t.Write(content)
	}
	if err == nil {
		err = t.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("layer with %s: %w", name, err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err == nil {
		_, err = z.Write(plain.Bytes())
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("layer with %s: %w", name, err)
	}
	l := &layer{packed: packed.Bytes(), plain: plain.Bytes()}
	l.digest, _, _ = v1.SHA256(bytes.NewReader(l.packed)) // reading memory does not fail
	l.diff, _, _ = v1.SHA256(bytes.NewReader(l.plain))
	return l, nil
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.diff, nil }
func (l *layer) Size() (int64, error)                 { return int64(len(l.packed)), nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return reader(l.packed), nil }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return reader(l.plain), nil }

func reader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

// helloAMD64 is write(1, text, len); exit(0) by the numbers of
// linux/arch/x86/entry/syscalls/syscall_64.tbl.
func helloAMD64() []byte {
	const codeSize = 33
	code := []byte{
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0x48, 0x8d, 0x35, codeSize - 12, 0, 0, 0, // lea rsi, [rip + text]
		0xba, byte(len(helloText)), 0, 0, 0, // mov edx, len
		0xb8, 1, 0, 0, 0, // mov eax, 1
		0x0f, 0x05, // syscall
		0x31, 0xff, // xor edi, edi
		0xb8, 60, 0, 0, 0, // mov eax, 60
		0x0f, 0x05, // syscall
	}
	const machine = 62 // EM_X86_64
	return program(machine, code)
}

// helloARM64 is the same by the numbers of linux/include/uapi/asm-generic/unistd.h.
func helloARM64() []byte {
	const (
		codeSize = 32
		movX0    = 0xd2800000 // movz x0, #n: n from bit 5 on
		movX2    = 0xd2800002
		movX8    = 0xd2800008
		adrX1    = 0x10000001 // adr x1, pc + 4*n: n from bit 5 on
		svc      = 0xd4000001
	)
	var code []byte
	for _, instruction := range []uint32{
		movX0 | 1<<5,
		adrX1 | (codeSize-4)/4<<5,
		movX2 | uint32(len(helloText))<<5,
		movX8 | 64<<5, // write
		svc,
		movX0,
		movX8 | 93<<5, // exit
		svc,
	} {
		code = binary.LittleEndian.AppendUint32(code, instruction)
	}
	const machine = 183 // EM_AARCH64
	return program(machine, code)
}

// program wraps code, with the text behind it, as a static executable of one segment
// (elf(5): the header of 64 bytes and one program header of 56).
func program(machine uint16, code []byte) []byte {
	const (
		headers = 64 + 56
		base    = 0x400000
	)
	size := uint64(headers + len(code) + len(helloText))
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...) // 64 bits, little-endian, version 1
	b = le.AppendUint16(b, 2)                                      // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+headers) // entry
	b = le.AppendUint64(b, 64)           // program headers
	b = le.AppendUint64(b, 0)            // no sections
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{64, 56, 1, 64, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // readable, executable
	for _, n := range []uint64{0, base, base, size, size, 0x10000} {
		b = le.AppendUint64(b, n)
	}
	b = append(b, code...)
	return append(b, helloText...)
}
