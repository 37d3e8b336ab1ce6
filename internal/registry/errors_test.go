package registry_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// What is missing is the image alone: an upload that the registry forgot, or a
// blob that a pushed manifest names, is not what was asked for.
func TestWhatIsNotFound(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"": true, registry.CodeManifestUnknown: true, registry.CodeNameUnknown: true, registry.CodeBlobUnknown: true,
		registry.CodeNotFound: true, registry.CodeProjectNotFound: true, "SOMETHING": true,
		registry.CodeBlobUploadUnknown: false, registry.CodeManifestBlobUnknown: false,
	} {
		err := &registry.Error{Status: http.StatusNotFound, Code: code}
		if got := errors.Is(err, transfer.ErrNotFound); got != want {
			t.Errorf("404 %s: not found is %v, want %v", code, got, want)
		}
	}
	astray := &registry.Error{Status: http.StatusNotFound, Refusal: registry.UploadAstray}
	if errors.Is(astray, transfer.ErrNotFound) || errors.Is(&registry.Error{Status: http.StatusForbidden}, transfer.ErrNotFound) {
		t.Error("an upload that went astray, or a refusal, is not that something is missing")
	}
}
