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
	return EngineInfo(tb, nil, message, heard)
}

// EngineInfo is [EngineSaying] for an engine that describes itself: info makes
// its answer to GET /info, with the keys of the Engine API; nil: an empty one.
func EngineInfo(tb testing.TB, info func() map[string]any, message string, heard func(image string)) string {
	tb.Helper()
	return serveEngine(tb, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			answer := map[string]any{}
			if info != nil {
				answer = info()
			}
			json.NewEncoder(w).Encode(answer)
		case strings.HasSuffix(r.URL.Path, "/version"):
			json.NewEncoder(w).Encode(map[string]any{"Version": "library-import", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64"})
		case strings.HasSuffix(r.URL.Path, "/images/create"):
			if heard != nil {
				heard(r.URL.Query().Get("fromImage"))
			}
			w.WriteHeader(http.StatusInternalServerError)
			json.NewEncoder(w).Encode(map[string]string{"message": message})
		}
	})
}

// EngineOf starts an engine on a unix socket that says its version and the
// highest version of its API, refuses any higher one as Docker does, and knows
// nothing else. It returns the socket's path.
func EngineOf(tb testing.TB, version, api string) string {
	tb.Helper()
	return serveEngine(tb, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/_ping":
		case "/version", "/v" + api + "/version":
			json.NewEncoder(w).Encode(map[string]any{"Version": version, "ApiVersion": api, "Os": "linux", "Arch": "amd64"})
		default:
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"message": "client is newer than server"})
		}
	})
}

func serveEngine(tb testing.TB, answer http.HandlerFunc) (socket string) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "vicr") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "e.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	s := httptest.NewUnstartedServer(answer)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	tb.Cleanup(s.Close)
	return socket
}

// Insecure is the part of an answer to GET /info that lists the registries
// which are not verified: hosts, and networks where there is a slash.
func Insecure(list ...string) map[string]any {
	hosts, networks := map[string]any{"docker.io": map[string]any{"Name": "docker.io", "Secure": true}}, []string{"127.0.0.0/8"}
	for _, s := range list {
		if strings.Contains(s, "/") {
			networks = append(networks, s)
		} else {
			hosts[s] = map[string]any{"Name": s, "Secure": false}
		}
	}
	return map[string]any{"RegistryConfig": map[string]any{"IndexConfigs": hosts, "InsecureRegistryCIDRs": networks}}
}
