package testkit

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEvilRecordsEveryByteOfEveryConnection(t *testing.T) {
	t.Parallel()
	e := NewEvil(t, "", Reply("."))
	for _, text := range []string{"first", "second"} {
		c := dial(t, e.Addr())
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(e.Received()); got != "firstsecond" {
		t.Errorf("received %q", got)
	}
	if e.Opened() != 2 {
		t.Errorf("opened %d connections", e.Opened())
	}
}

func TestEvilTLSRecordsWhatWasSentThroughIt(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	e := NewEvilTLS(t, "", ca.NewLeaf(t, SANs("127.0.0.1")).TLS(), ReplyOnce("HTTP/1.0 200 OK\r\n\r\n"))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("u", "S3CRET-word")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !e.Knows("S3CRET-word") {
		t.Error("the password in a Basic header was not recognised")
	}
	if e.Knows("S3CRET-other") {
		t.Error("a secret is known that was never sent")
	}
}

func TestEvilKnowsASecretAtEveryOffsetOfABase64Text(t *testing.T) {
	t.Parallel()
	const secret = "correct horse/battery+staple"
	for _, prefix := range []string{"", "a", "ab", "abc", "user:"} {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
			e := NewEvil(t, "", Reply("."))
			c := dial(t, e.Addr())
			if _, err := io.WriteString(c, enc.EncodeToString([]byte(prefix+secret+"tail"))); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if !e.Knows(secret) {
				t.Errorf("not recognised behind %q", prefix)
			}
		}
	}
}

func TestResetTLSBreaksHandshakesAndAnswersInClear(t *testing.T) {
	t.Parallel()
	e := NewEvil(t, "", ResetTLS("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := tls.Client(dial(t, e.Addr()), &tls.Config{InsecureSkipVerify: true})
	if err := c.HandshakeContext(t.Context()); err == nil {
		t.Error("the handshake went through")
	} else if !errors.Is(err, syscall.ECONNRESET) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the handshake ended with %v", err)
	}
	plain := dial(t, e.Addr())
	if _, err := io.WriteString(plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}
