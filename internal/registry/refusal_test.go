package registry_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A refused is something that a registry refuses.
type refused struct {
	name   string
	user   string // "": nobody
	image  string
	pull   bool
	policy sandbox.Policy
	index  bool // what is pushed is one of docker's manifest lists
	want   func(sandbox.Like) registry.Refusal
}

func always(r registry.Refusal) func(sandbox.Like) registry.Refusal {
	return func(sandbox.Like) registry.Refusal { return r }
}

// since is r from Harbor 2 on, and before what Harbor 1 cannot tell from it.
func since2(r, before registry.Refusal) func(sandbox.Like) registry.Refusal {
	return func(l sandbox.Like) registry.Refusal {
		if l == sandbox.Harbor216 {
			return r
		}
		return before
	}
}

func refusedCases() []refused {
	return []refused{
		{name: "push, no project", user: "dev", image: "nosuch/app:1", want: since2(registry.ProjectMissing, registry.Hidden)},
		{name: "push, no project, admin", user: "admin", image: "nosuch/app:1", want: since2(registry.ProjectMissing, registry.Hidden)},
		{name: "push, no project, nobody", image: "nosuch/app:1", want: since2(registry.ProjectMissing, registry.LoginNeeded)},
		{name: "push, no permission", user: "dev", image: "library/app:1", want: since2(registry.NotPermitted, registry.Hidden)},
		{name: "push, nobody", image: "demo/app:1", want: always(registry.LoginNeeded)},
		{name: "push, no project in the name", user: "dev", image: "app:1", want: always(registry.ProjectUnnamed)},
		{name: "push, quota", user: "dev", image: "quota/app:1", want: always(registry.OverQuota)},
		{name: "push, immutable tag", user: "dev", image: "fixed/app:v1", want: always(registry.ImmutableTag)},
		{name: "push, proxy cache", user: "dev", image: "proxy/app:1", want: always(registry.ProxyProject)},
		{name: "push, read-only", user: "dev", image: "demo/app:1", policy: sandbox.Policy{ReadOnly: true}, want: always(registry.ReadOnly)},
		{name: "push, 413", user: "dev", image: "demo/app:1", policy: sandbox.Policy{MaxBody: 4000}, want: always(registry.TooLarge)},
		{name: "push, manifest list", user: "dev", image: "demo/app:1", index: true, want: func(l sandbox.Like) registry.Refusal {
			if l == sandbox.Harbor11 || l == sandbox.Harbor216 {
				return registry.Unexplained // takes it
			}
			return registry.IndexRefused
		}},
		{name: "pull, no project", user: "dev", pull: true, image: "nosuch/app:1", want: since2(registry.ProjectMissing, registry.Hidden)},
		{name: "pull, nobody", pull: true, image: "fixed/app:v1", want: always(registry.LoginNeeded)},
		{name: "pull, no permission", user: "dev", pull: true, image: "closed/app:v1", want: since2(registry.NotPermitted, registry.Hidden)},
		{name: "pull, no tag", user: "dev", pull: true, image: "fixed/app:none", want: always(registry.Unexplained)},
		{name: "pull, no repository", user: "dev", pull: true, image: "demo/none:1", want: always(registry.Unexplained)},
		{name: "pull, vulnerable", user: "dev", pull: true, image: "holes/app:v1", want: always(registry.Vulnerable)},
		{name: "pull, unsigned", user: "dev", pull: true, image: "unsigned/app:v1", want: always(registry.Unsigned)},
	}
}

func refusing(l sandbox.Like, p sandbox.Policy) sandbox.Options {
	members := map[string]sandbox.Role{"dev": sandbox.Developer}
	v1 := []string{"app:v1"}
	return sandbox.Options{Like: l, Policy: p, Projects: []sandbox.Project{
		{Name: "quota", Quota: 1000, Members: members},
		{Name: "fixed", Immutable: []string{"v*"}, Images: v1, Members: members},
		{Name: "proxy", ProxyCache: true, Members: members},
		{Name: "holes", Findings: map[string]int{"High": 3, "Low": 9}, Prevent: "High", Images: v1, Members: members},
		{Name: "unsigned", Unsigned: "cosign", Images: v1, Members: members},
		{Name: "closed", Images: v1},
	}}
}

// What each generation of Harbor refuses, which refusal we read out of it, and
// in which words.
func TestEveryRefusalOfEveryGeneration(t *testing.T) {
	t.Parallel()
	likes := []sandbox.Like{sandbox.Harbor11, sandbox.Harbor15, sandbox.Harbor17, sandbox.Harbor110, sandbox.Harbor216}
	cases := refusedCases()
	said := make([]string, len(cases)*len(likes))
	t.Run("all", func(t *testing.T) {
		for i, c := range cases {
			for j, like := range likes {
				t.Run(c.name+"/"+string(like), func(t *testing.T) {
					t.Parallel()
					said[i*len(likes)+j] = fmt.Sprintf("%s, %s:\n  %s\n", c.name, like, c.run(t, like))
				})
			}
		}
	})
	golden(t, "refusals.golden", strings.Join(said, ""))
}

func (c refused) run(t *testing.T, like sandbox.Like) string {
	t.Helper()
	b := newBox(t, refusing(like, c.policy))
	repo := b.open(t, c.user, c.image)
	var err error
	if c.pull {
		_, err = transfer.Copy(t.Context(), repo, &transfertest.Sink{}, transfer.Options{})
	} else {
		_, err = transfer.Copy(t.Context(), dockerImage(c.index), repo, transfer.Options{})
	}
	if err == nil {
		if !c.index || c.want(like) != registry.Unexplained {
			t.Fatal("nothing was refused")
		}
		return "taken"
	}
	e, ok := errors.AsType[*registry.Error](err)
	if !ok {
		t.Fatalf("got %T: %v", err, err)
	}
	if want := c.want(like); e.Refusal != want {
		t.Errorf("%v is %q, want %q", err, e.Refusal, want)
	}
	missing := slices.Contains([]registry.Refusal{registry.ProjectMissing, registry.Unexplained}, e.Refusal)
	if errors.Is(err, transfer.ErrNotFound) != missing {
		t.Errorf("%v: missing is %t", err, !missing)
	}
	return usage.ReplaceAllString(strings.ReplaceAll(e.Error(), b.Host(), "HOST"), "usage of N B")
}

// usage depends on which blob was first.
var usage = regexp.MustCompile(`usage of \d+ B`)

// dockerImage is an image of docker's media types with a layer of 5000 bytes,
// or a manifest list with it.
func dockerImage(index bool) *transfertest.Source {
	c := transfertest.Content{}
	config := c.Add(types.DockerConfigJSON, []byte(`{"architecture":"amd64","os":"linux"}`))
	layer := c.Add(types.DockerLayer, transfertest.Bytes(1, 5000))
	root := c.AddJSON(types.DockerManifestSchema2, map[string]any{
		"schemaVersion": 2, "mediaType": types.DockerManifestSchema2, "config": config, "layers": []any{layer},
	})
	if index {
		root = c.AddJSON(types.DockerManifestList, map[string]any{
			"schemaVersion": 2, "mediaType": types.DockerManifestList, "manifests": []any{root},
		})
	}
	return &transfertest.Source{Root: root, Content: c}
}

// A server that asks for patience gets it, within bounds, and then we say when.
func TestAskedToWait(t *testing.T) {
	t.Parallel()
	for _, like := range append(sandbox.Likes(), "") {
		b := newBox(t, sandbox.Options{Like: like, Policy: sandbox.Policy{TooMany: 2, RetryAfter: 7 * time.Second}})
		if err := pushTo(t, b.open(t, "dev", "demo/app:1")); err != nil {
			t.Errorf("%s: %v", like, err)
		}
	}
	b := newBox(t, sandbox.Options{Policy: sandbox.Policy{TooMany: 99, RetryAfter: time.Hour}})
	err := pushTo(t, b.open(t, "dev", "demo/app:1"))
	e, ok := errors.AsType[*wire.RateError](err)
	if !ok || wire.KindOf(err) != wire.RateLimited || e.After != time.Hour {
		t.Errorf("got %v", err)
	}
	limit, ok := errors.AsType[*registry.LimitError](err)
	if !ok || limit.Op != "push blob" || limit.Code != "TOOMANYREQUESTS" || limit.Nobody || strings.ContainsRune(err.Error(), '{') {
		t.Errorf("got %#v: %v", limit, err)
	}
	_, err = b.open(t, "", "library/hello:1.0").Resolve(t.Context())
	if limit, ok := errors.AsType[*registry.LimitError](err); !ok || limit.Op != "get manifest" || !limit.Nobody {
		t.Errorf("nobody got %v", err)
	}
}

// What is said of a manifest is not what is said of a blob.
func TestManifestsThatAreNotTaken(t *testing.T) {
	t.Parallel()
	small := func(manifest, layer types.MediaType) *transfertest.Source {
		c := transfertest.Content{}
		root := c.AddJSON(manifest, map[string]any{
			"schemaVersion": 2, "mediaType": manifest, "config": c.Config(transfertest.Amd64()), "layers": []any{c.Add(layer, []byte("layer"))},
		})
		return &transfertest.Source{Root: root, Content: c}
	}
	docker := small(types.DockerManifestSchema2, types.DockerLayer)
	oci := small(types.OCIManifestSchema1, types.OCILayer)
	for _, tc := range []struct {
		name   string
		like   sandbox.Like
		policy sandbox.Policy
		src    *transfertest.Source
		want   registry.Refusal
		say    string
	}{
		{"413", sandbox.Distribution, sandbox.Policy{MaxBody: 300}, docker, registry.ManifestLarge, "the manifest is too large for what stands in front"},
		{"no OCI, Distribution", sandbox.Distribution, sandbox.Policy{NoOCI: true}, oci, registry.OCIRefused, "does not know OCI's media types"},
		{"no OCI, Harbor 1", sandbox.Harbor15, sandbox.Policy{NoOCI: true}, oci, registry.OCIRefused, "does not know OCI's media types"},
		{"no OCI, docker's", sandbox.Distribution, sandbox.Policy{NoOCI: true}, docker, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Options{Like: tc.like, Policy: tc.policy})
			_, err := transfer.Copy(t.Context(), tc.src, b.open(t, "dev", "demo/app:1"), transfer.Options{})
			e, _ := errors.AsType[*registry.Error](err)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (e == nil || e.Refusal != tc.want || !strings.Contains(err.Error(), tc.say)):
				t.Errorf("%#v: %v", e, err)
			}
		})
	}
}

func pushTo(t *testing.T, repo *registry.Repository) error {
	t.Helper()
	_, err := transfer.Copy(t.Context(), dockerImage(false), repo, transfer.Options{})
	return err
}
