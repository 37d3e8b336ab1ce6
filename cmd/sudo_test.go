package cmd

import "testing"

func TestForeignVariables(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"DOCKER_CONFIG": true, "DOCKER_HOST": true, "DOCKER_CONTEXT": true, "DOCKER_AUTH_CONFIG": true, "DOCKER_CERT_PATH": true,
		"REGISTRY_AUTH_FILE": true, "CONTAINERS_REGISTRIES_CONF": true, "BUILDX_CONFIG": true,
		"SSL_CERT_FILE": true, "SSL_CERT_DIR": true, "GODEBUG": true, "GOTRACEBACK": true, "TMPDIR": true,
		"LD_PRELOAD": true, "LD_LIBRARY_PATH": true, "LD_AUDIT": true,
		"VICR_FORMAT": true, "XDG_CONFIG_HOME": true, "XDG_RUNTIME_DIR": true,

		"PATH": false, "HOME": false, "TERM": false, "LANG": false, "NO_COLOR": false, "CI": false, "HTTPS_PROXY": false, "NO_PROXY": false,
		"SUDO_UID": false, "SUDO_USER": false, "LDFLAGS": false, "VICR": false, "": false,
	} {
		if got := foreign(name); got != want {
			t.Errorf("%q is foreign: %t", name, got)
		}
	}
}
