package wire

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// Go's words for these are of no help, and quote what came.
func TestWhatIsNoHTTPIsSaidInOurWords(t *testing.T) {
	t.Parallel()
	const whole = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct{ name, sent, want string }{
		{"another protocol", "SSH-2.0-x\x1b[31m\xff\r\n", `the answer is not valid HTTP: it has "SSH-2.0-x\x1b[31m\xff"`},
		{"status", "HTTP/1.1 2x0 OK\r\n\r\n", `the answer is not valid HTTP: it has "2x0"`},
		{"header without a colon", whole + "a\u202eb\r\n\r\n", `the answer is not valid HTTP: it has "a\u202eb"`},
		{"length", whole + "Content-Length: ab\x07\r\n\r\n", `the answer is not valid HTTP: it has "Content-Length: ab\a"`},
		{"encoding", whole + "Transfer-Encoding: foo\r\n\r\n", `the answer is not valid HTTP: it has "foo"`},
		{"long", "x" + strings.Repeat("y", 1000) + "\r\n", `the answer is not valid HTTP: it has "x` + strings.Repeat("y", maxGot-1) + `..."`},
		{"large header", whole + "X: " + strings.Repeat("a", maxHeaderBytes+1) + "\r\n\r\n", "the header of the answer is larger than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testkit.NewEvil(t, "", func(c net.Conn, _ []byte) bool { _, _ = io.WriteString(c, tt.sent); return false })
			tr := closing(t, New(Config{Host: hostOf(t, server.Addr()), PlainHTTP: true, Sleep: (&naps{}).sleep}))
			err := get(t, tr, "http://"+server.Addr()+"/v2/").err
			wantKind(t, err, BadAnswer)
			if e, ok := errors.AsType[*AnswerError](err); !ok || e.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if err == nil || strings.Contains(err.Error(), "net/http") {
				t.Errorf("Go's words: %v", err)
			}
		})
	}
}

func TestChunksThatAreNoneAreSaidInOurWords(t *testing.T) {
	t.Parallel()
	const sent = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
	server := testkit.NewEvil(t, "", func(c net.Conn, _ []byte) bool { _, _ = io.WriteString(c, sent); return false })
	tr := closing(t, New(Config{Host: hostOf(t, server.Addr()), PlainHTTP: true}))
	a := get(t, tr, "http://"+server.Addr()+"/v2/")
	wantKind(t, a.err, Unreachable) // so that what follows is asked for once more
	if a.err == nil || !strings.HasSuffix(a.err.Error(), ": the answer is not valid HTTP") {
		t.Errorf("%v", a.err)
	}
}
