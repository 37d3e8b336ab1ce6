package sandbox

import (
	"slices"
	"testing"
	"time"
)

// As recorded: a pull moves the update_time of its repository (demo/dk and
// demo/app of 2.16, demo/sk of 1.7.8, which was pulled from 13 times), and up to
// 1.6 no pull by another client than docker is noted (demo/sk of 1.5.4: 0).
func TestAPullIsNoted(t *testing.T) {
	t.Parallel()
	type shown struct {
		Name    string
		Pulls   int    `json:"pull_count"`
		Updated string `json:"update_time"`
		Created string `json:"creation_time"`
	}
	for _, tt := range []struct {
		like  Like
		agent string
		noted bool
	}{
		{Harbor15, "docker/20.10.24 go/go1.19", true},
		{Harbor15, "skopeo/1.9.3", false},
		{Harbor17, "skopeo/1.9.3", true},
		{Harbor216, "skopeo/1.9.3", true},
	} {
		b := start(t, Options{Like: tt.like})
		path := "/api/v2.0/projects/library/repositories"
		if tt.like != Harbor216 {
			path = "/api/repositories?project_id=1"
		}
		look := func() shown {
			var all []shown
			b.do(t, "GET", path, b.as("admin")).wants(t, 200).decode(t, &all)
			i := slices.IndexFunc(all, func(r shown) bool { return r.Name == "library/hello" })
			if i < 0 {
				t.Fatalf("%s: %+v", tt.like, all)
			}
			return all[i]
		}
		pull := func(method string) {
			b.clock.forward(time.Minute)
			token := b.token(t, b.as("dev"), "repository:library/hello:pull")
			b.do(t, method, "/v2/library/hello/manifests/1.0", bearing(token), header("User-Agent", tt.agent)).wants(t, 200)
		}
		pull("HEAD")
		if before := look(); before.Pulls != 0 || before.Updated != before.Created {
			t.Errorf("%s: %+v before a pull", tt.like, before)
		}
		pull("GET")
		after := look()
		if noted := after.Pulls == 1; noted != tt.noted || (after.Updated > after.Created) != tt.noted {
			t.Errorf("%s, %s: %+v after a pull", tt.like, tt.agent, after)
		}
	}
}

func TestATagKnowsWhenItWasPulled(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Projects: []Project{{Name: "team", Public: true, Images: []string{"app:1", "app:2"}}}})
	b.clock.forward(time.Minute)
	b.do(t, "GET", "/v2/team/app/manifests/1").wants(t, 401)
	b.do(t, "GET", "/v2/team/app/manifests/1", bearing(b.token(t, nil, "repository:team/app:pull"))).wants(t, 200)
	var all []struct {
		PullTime time.Time `json:"pull_time"`
		Tags     []struct {
			Name     string
			PullTime time.Time `json:"pull_time"`
		}
	}
	b.do(t, "GET", "/api/v2.0/projects/team/repositories/app/artifacts?with_tag=true", b.as("admin")).wants(t, 200).decode(t, &all)
	now := b.clock.Now().UTC().Truncate(time.Millisecond)
	if len(all) != 1 || !all[0].PullTime.Equal(now) || len(all[0].Tags) != 2 || !all[0].Tags[0].PullTime.Equal(now) || !all[0].Tags[1].PullTime.IsZero() {
		t.Errorf("%+v, want 1 pulled at %s", all, now)
	}
}
