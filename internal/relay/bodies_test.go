package relay_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An engine that goes away in the middle of a layer leaves nothing of it, even
// where what came is what the layer's name is made of: it did not say so.
func TestALayerThatBreaksOff(t *testing.T) {
	t.Parallel()
	c, p, dst := pushed(t, nil)
	data := "all of it"
	desc := transfertest.DescriptorOf("sha256", types.DockerLayer, []byte(data))
	at := c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil).header.Get("Location")
	conn, err := net.Dial("tcp", c.relay.Addr()) //nolint:noctx // it ends with the test
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+c.relay.Addr()+at+digestQuery(desc), strings.NewReader(data))
	must(t, err)
	req.SetBasicAuth(c.relay.User(), c.relay.Password())
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		req.URL.RequestURI(), req.Header.Get("Authorization"), len(data), data)
	must(t, err)
	must(t, conn.(*net.TCPConn).CloseWrite()) // no last chunk
	_, _ = bufio.NewReader(conn).ReadString('\n')
	must(t, conn.Close())
	c.want(http.StatusNotFound, http.MethodPut, at+digestQuery(desc), nil)
	if _, ok := dst.kept(desc.Digest); ok || p.Root().Digest != (v1.Hash{}) || c.relay.Err() != nil {
		t.Errorf("the registry has it, %v", c.relay.Err())
	}
	if a := c.upload([]byte(data), desc); a.status != http.StatusCreated || p.Sent() != 2*desc.Size {
		t.Errorf("once more: %d, %d bytes", a.status, p.Sent())
	}
}
