package auth

import (
	"slices"

	"github.com/docker/cli/cli/config/credentials"

	"github.com/vicr-cli/vicr/internal/ref"
)

// Docker Hub is kept under an address of its first API (docker/cli,
// config/configfile/file.go: authConfigKey).
const (
	hubKey   = "https://index.docker.io/v1/"
	hubName  = "docker.io"
	hubIndex = "index.docker.io"
)

func isHub(h ref.Host) bool {
	c := h.Canonical().String()
	return c == hubName || c == hubIndex
}

// keyOf is the key under which docker stores the credentials of h.
func keyOf(h ref.Host) string {
	if isHub(h) {
		return hubKey
	}
	return h.String()
}

// keysOf are the keys that stand for h, the best first.
func keysOf(h ref.Host) []string {
	if isHub(h) {
		return []string{hubKey}
	}
	keys := []string{h.String()}
	for _, s := range h.Spellings() {
		if s != keys[0] {
			keys = append(keys, s)
		}
	}
	return keys
}

// meansHost says whether key, which may be an address with a scheme or a path
// as old clients and Podman write them, stands for h.
func meansHost(key string, h ref.Host) bool {
	names := h.Spellings()
	if isHub(h) {
		names = []string{hubName, hubIndex}
	}
	return slices.Contains(names, credentials.ConvertToHostname(key))
}

// hostOfKey is the host that a key stands for, as a user would type it.
func hostOfKey(key string) (string, bool) {
	h, err := ref.ParseHost(credentials.ConvertToHostname(key))
	if err != nil {
		return "", false
	}
	if isHub(h) {
		return hubName, true
	}
	return h.String(), true
}
