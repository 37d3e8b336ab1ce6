package testkit

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// EngineSaying starts an engine on a unix socket that refuses every pull with
// one message, and returns the socket's path. Heard gets the name of each image
// that it is asked for; it may be nil.
func EngineSaying(tb testing.TB, message string, heard func(image string)) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vicr") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "e.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "/images/create") {
			return
		}
		if heard != nil {
			heard(r.URL.Query().Get("fromImage"))
		}
		w.WriteHeader(http.StatusInternalServerError)
		json.NewEncoder(w).Encode(map[string]string{"message": message})
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	tb.Cleanup(s.Close)
	return socket
}
