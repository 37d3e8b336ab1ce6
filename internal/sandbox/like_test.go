package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestNoOtherLikeIsStarted(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Like: "harbor-3"})
	if wrong := (*LikeError)(nil); !errors.As(err, &wrong) || wrong.Like != "harbor-3" || s != nil {
		t.Errorf("error %v", err)
	}
	for _, like := range Likes() {
		if _, err := like.find(); err != nil {
			t.Error(err)
		}
	}
	if len(Likes()) != len(generations()) {
		t.Errorf("%d names, %d generations", len(Likes()), len(generations()))
	}
}

// OVA 1.1 sends its certificate alone; VIC's Harbors send the CA behind it, and
// so does a plain registry, which has no other way to give it.
func TestTheChainIsWhatTheGenerationSends(t *testing.T) {
	t.Parallel()
	for _, like := range Likes() {
		b := start(t, Options{Like: like})
		roots := x509.NewCertPool()
		roots.AddCert(b.CA())
		state, err := b.handshake(t, &tls.Config{ServerName: "localhost", RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if like == Harbor15 || like == Harbor17 || like == Distribution {
			want = 2
		}
		if sent := state.PeerCertificates; len(sent) != want || want == 2 && !sent[1].Equal(b.CA()) {
			t.Errorf("%s: %d certificates, want %d", like, len(sent), want)
		}
	}
}

func TestTheRealmOf1xIsTheOnePublicName(t *testing.T) {
	t.Parallel()
	for _, like := range []Like{Harbor11, Harbor15, Harbor17, Harbor110} {
		b := start(t, Options{Like: like})
		_, port, _ := strings.Cut(b.Host(), ":")
		a := b.do(t, "GET", "https://localhost:"+port+"/v2/").wants(t, 401)
		if want := `Bearer realm="` + b.origin + `/service/token",service="harbor-registry"`; a.header.Get("Www-Authenticate") != want {
			t.Errorf("%s: %q, want %q", like, a.header.Get("Www-Authenticate"), want)
		}
	}
	b := start(t, Options{Policy: Policy{Realm: "other.test"}})
	if a := b.do(t, "GET", "/v2/"); !strings.Contains(a.header.Get("Www-Authenticate"), `realm="https://other.test/service/token"`) {
		t.Errorf("challenge %q", a.header.Get("Www-Authenticate"))
	}
}

// From 1.5 on the catalog has only what Harbor learnt of, which of other clients
// than docker it does from 1.7 on.
func TestTheCatalogOf1xHasWhatWasLearnt(t *testing.T) {
	t.Parallel()
	for like, want := range map[Like]bool{Harbor11: true, Harbor15: false, Harbor17: true} {
		b := start(t, Options{Like: like, Projects: []Project{{Name: "demo", Images: []string{"sk:1"}}}})
		b.pushAsAgents(t)
		a := b.do(t, "GET", "/v2/_catalog", bearing(b.token(t, b.as("admin"), "registry:catalog:*"))).wants(t, 200)
		if strings.Contains(a.body, "demo/uaskopeo1") != want || !strings.Contains(a.body, "demo/uadocker1") {
			t.Errorf("%s: %s", like, a.body)
		}
	}
}

func TestCookiesOfEachGeneration(t *testing.T) {
	t.Parallel()
	for like, want := range map[Like][2]string{ // at the registry and at the API
		Harbor11: {"", "beegosessionID"}, Harbor15: {"beegosessionID", "beegosessionID"}, Harbor17: {"sid", "sid"},
		Harbor110: {"sid", "sid"}, Harbor216: {"sid", "sid"}, Distribution: {"", ""},
	} {
		b := start(t, Options{Like: like})
		for i, path := range []string{"/v2/", "/api/systeminfo"} {
			if got, _, _ := strings.Cut(b.do(t, "GET", path).header.Get("Set-Cookie"), "="); got != want[i] {
				t.Errorf("%s %s: cookie %q, want %q", like, path, got, want[i])
			}
		}
	}
}

// What was observed of 1.10, or read in its source.
func TestHarbor110(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Harbor110})
	var info map[string]any
	b.do(t, "GET", "/api/systeminfo").wants(t, 200).decode(t, &info)
	for key, want := range map[string]any{
		"with_notary": false, "with_admiral": false, "admiral_endpoint": "", "auth_mode": "db_auth", "registry_url": b.Host(),
		"external_url": b.origin, "project_creation_restriction": "everyone", "self_registration": false, "has_ca_root": true,
		"harbor_version": "v1.10.19-b1a56175", "registry_storage_provider_name": "filesystem", "read_only": false,
		"with_chartmuseum": false, "notification_enable": true,
	} {
		if info[key] != want {
			t.Errorf("%s: %v, want %v", key, info[key], want)
		}
	}
	if len(info) != 14 {
		t.Errorf("%d fields", len(info))
	}
	var token map[string]any
	b.do(t, "GET", "/service/token?service=harbor-registry", b.as("dev")).wants(t, 200).decode(t, &token)
	if access, there := token["access_token"]; !there || access != "" {
		t.Errorf("access_token %v, there: %v", access, there)
	}
	json := header("Content-Type", "application/json")
	a := b.do(t, "POST", "/api/projects", b.as("admin"), json, body([]byte(`{"project_name":"demo"}`))).wants(t, 409)
	if a.body != `{"code":409,"message":"conflict project"}`+"\n" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Errorf("%s, %v", a.body, a.header)
	}
	b.do(t, "POST", "/api/projects", b.as("dev"), json, body([]byte(`{"project_name":"a"}`))).wants(t, 201)
	b.do(t, "GET", "/api/systeminfo/getcert").wants(t, 200)
	b.do(t, "HEAD", "/api/projects?project_name=library").wants(t, 401)
	if a := b.do(t, "GET", "/api/projects?name=none", b.as("dev")).wants(t, 200); a.body != "null" {
		t.Errorf("an empty list is %s", a.body)
	}
	if a := b.do(t, "GET", "/api/version").wants(t, 404); !strings.Contains(a.body, "<html>") {
		t.Errorf("body %s", a.body)
	}
	b.do(t, "POST", "/api/projects", b.as("dev"), json, header("Cookie", "sid=0"), body([]byte(`{"project_name":"b"}`))).wants(t, 403)
}

// Manifest lists stop at Harbor's own proxy, which 1.1 has not.
func TestManifestListsAreNoneOf1xs(t *testing.T) {
	t.Parallel()
	const list = "application/vnd.docker.distribution.manifest.list.v2+json"
	empty := []byte(`{"schemaVersion":2,"mediaType":"` + list + `","manifests":[]}`)
	for _, like := range []Like{Harbor11, Harbor15, Harbor17, Harbor110, Harbor216, Distribution} {
		b := start(t, Options{Like: like})
		who := b.as("dev")
		if b.site.gen.v1 != nil {
			who = bearing(b.token(t, who, "repository:demo/app:pull,push"))
		}
		a := b.do(t, "PUT", "/v2/demo/app/manifests/1", who, header("Content-Type", list), body(empty))
		refused := like == Harbor15 || like == Harbor17 || like == Harbor110
		if refused != (a.status == 415) || !refused && a.status != 201 {
			t.Errorf("%s: status %d: %s", like, a.status, a.body)
		}
		const want = `{"errors":[{"code":"UNSUPPORTED_MEDIA_TYPE","message":"Manifest.list is not supported.","detail":"Manifest.list is not supported."}]}` + "\n"
		if refused && a.body != want {
			t.Errorf("%s: %s", like, a.body)
		}
	}
}

func TestReferrersBeginWithHarbor2(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Harbor17})
	token := bearing(b.token(t, b.as("dev"), "repository:demo/app:pull"))
	if a := b.do(t, "GET", "/v2/demo/app/referrers/"+zeroDigest, token).wants(t, 404); a.body != "404 page not found\n" {
		t.Errorf("body %q", a.body)
	}
	b = start(t, Options{})
	_, subject := b.pushImage(t, "demo/app", ociManifest, "v1")
	signature := strings.Replace(string(manifestOf(t, digestOf([]byte("{}")), digestOf([]byte("layer")))), `"config"`,
		`"artifactType":"application/vnd.dev.cosign.artifact.sig.v1+json","subject":{"mediaType":"`+ociManifest+`","digest":"`+subject+`","size":1},"config"`, 1)
	b.do(t, "PUT", "/v2/demo/app/manifests/"+digestOf([]byte(signature)), b.as("dev"), header("Content-Type", ociManifest), body([]byte(signature))).wants(t, 201)
	path := "/v2/demo/app/referrers/" + subject
	for query, want := range map[string]string{"": "1", "?artifactType=application/vnd.dev.cosign.artifact.sig.v1%2Bjson": "1", "?artifactType=other": "0"} {
		a := b.do(t, "GET", path+query, b.as("dev")).wants(t, 200)
		if a.header.Get("X-Total-Count") != want || (a.header.Get("Oci-Filters-Applied") == "artifactType") != (query != "") {
			t.Errorf("%s: %v %s", query, a.header, a.body)
		}
	}
	var artifacts []struct{ Accessories []struct{ Type string } }
	b.do(t, "GET", "/api/v2.0/projects/demo/repositories/app/artifacts", b.as("dev")).wants(t, 200).decode(t, &artifacts)
	if len(artifacts) != 1 || len(artifacts[0].Accessories) != 1 || artifacts[0].Accessories[0].Type != "signature.cosign" {
		t.Errorf("artifacts %+v", artifacts)
	}
}

func TestAPlainRegistry(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Distribution})
	const refused = `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":`
	for path, detail := range map[string]string{
		"/v2/":                        "null",
		"/v2/library/hello/tags/list": `[{"Type":"repository","Class":"","Name":"library/hello","Action":"pull"}]`,
		"/v2/_catalog":                `[{"Type":"registry","Class":"","Name":"catalog","Action":"*"}]`,
	} {
		for _, who := range []ask{header("X-None", ""), wrongly("dev")} {
			a := b.do(t, "GET", path, who).wants(t, 401)
			if a.header.Get("Www-Authenticate") != `Basic realm="Registry Realm"` || a.body != refused+detail+"}]}\n" {
				t.Errorf("%s: %q %s", path, a.header.Get("Www-Authenticate"), a.body)
			}
		}
	}
	for _, path := range []string{"/api/version", "/api/systeminfo", "/api/v2.0/systeminfo/getcert", "/service/token", "/anything", "/v2/x/nothing"} {
		if a := b.do(t, "GET", path, b.as("dev")).wants(t, 404); a.body != "404 page not found\n" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %q, %v", path, a.body, a.header)
		}
	}
	b.do(t, "GET", "/", header("X-None", "")).wants(t, 200)
	b.pushImage(t, "app", ociManifest, "v2", "v1") // no project is needed
	for query, want := range map[string][2]string{
		"":              {`{"repositories":["app","library/hello","library/ubuntu"]}`, ""},
		"?n=1":          {`{"repositories":["app"]}`, `</v2/_catalog?last=app&n=1>; rel="next"`},
		"?n=2&last=app": {`{"repositories":["library/hello","library/ubuntu"]}`, ""},
	} {
		a := b.do(t, "GET", "/v2/_catalog"+query, b.as("dev")).wants(t, 200)
		if a.body != want[0]+"\n" || a.header.Get("Link") != want[1] {
			t.Errorf("%s: %s, Link %q", query, a.body, a.header.Get("Link"))
		}
	}
	if a := b.do(t, "GET", "/v2/app/tags/list", b.as("dev")).wants(t, 200); a.body != `{"name":"app","tags":["v1","v2"]}`+"\n" {
		t.Errorf("tags %s", a.body)
	}
	for path, want := range map[string]string{
		"/v2/app/manifests/none":          `"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"none"}`,
		"/v2/app/manifests/" + zeroDigest: `"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Name":"app","Revision":"` + zeroDigest + `"}`,
		"/v2/none/tags/list":              `"NAME_UNKNOWN","message":"repository name not known to registry","detail":{"name":"none"}`,
		"/v2/app/blobs/" + zeroDigest:     `"BLOB_UNKNOWN","message":"blob unknown to registry","detail":"` + zeroDigest + `"`,
	} {
		if a := b.do(t, "GET", path, b.as("dev")).wants(t, 404); a.body != `{"errors":[{"code":`+want+"}]}\n" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	b.do(t, "DELETE", "/v2/app/manifests/"+zeroDigest, b.as("dev")).wants(t, 405)
}

// A token of 1.x is good for the repository of its scope, not for the project.
func TestATokenOf1xIsForOneRepository(t *testing.T) {
	t.Parallel()
	b := start(t, Options{Like: Harbor17})
	a := b.do(t, "GET", "/service/token?"+url.Values{"service": {"harbor-registry"}, "scope": {"repository:library/hello:pull"}}.Encode()).wants(t, 200)
	var got struct{ Token string }
	a.decode(t, &got)
	b.do(t, "GET", "/v2/library/hello/tags/list", bearing(got.Token)).wants(t, 200)
	a = b.do(t, "GET", "/v2/library/ubuntu/tags/list", bearing(got.Token)).wants(t, 401)
	if !strings.HasSuffix(a.header.Get("Www-Authenticate"), `,scope="repository:library/ubuntu:pull",error="insufficient_scope"`) {
		t.Errorf("challenge %q", a.header.Get("Www-Authenticate"))
	}
}
