// Cripull has the CRI plugin of containerd pull an image, as kubelet does:
//
//	cripull SOCKET IMAGE
//
// crictl would do, but Debian has none. This is gRPC as the standard library
// speaks it: one call, whose request and answer hold one string that matters.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: cripull SOCKET IMAGE")
		os.Exit(2)
	}
	if err := pull(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pull is runtime.v1.ImageService/PullImage (k8s.io/cri-api pkg/apis/runtime/v1/api.proto).
func pull(socket, image string) error {
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	message := field(1, field(1, []byte(image))) // PullImageRequest.image.image
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequest(http.MethodPost, "http://containerd/runtime.v1.ImageService/PullImage", bytes.NewReader(append(frame, message...)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	client := http.Client{Transport: transport, Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body) // the trailers come after it
	if err != nil {
		return err
	}
	end := resp.Trailer
	if end.Get("Grpc-Status") == "" { // an error without a body
		end = resp.Header
	}
	if status := end.Get("Grpc-Status"); status != "0" {
		text, err := url.PathUnescape(end.Get("Grpc-Message"))
		if err != nil {
			text = end.Get("Grpc-Message")
		}
		return fmt.Errorf("%s: gRPC status %q: %s", resp.Status, status, text)
	}
	// PullImageResponse.image_ref, after the frame's five bytes, the tag and the length.
	if len(body) < 8 {
		return fmt.Errorf("the answer names no image: %x", body)
	}
	fmt.Printf("%s\n", body[7:])
	return nil
}

// field is a string or message of protobuf; they are short.
func field(number byte, data []byte) []byte {
	return append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(data))), data...)
}
