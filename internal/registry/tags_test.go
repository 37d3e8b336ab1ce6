package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/wire"
)

// list answers with tags and a link to the next page, if there is one.
func list(w http.ResponseWriter, link string, tags ...string) bool {
	if link != "" {
		w.Header().Set("Link", link)
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"name": "demo/app", "tags": tags}); err != nil {
		panic(err)
	}
	return true
}

const listPath = "/v2/demo/app/tags/list"

// F3: with TLS on a private address go-containerregistry finds no second page.
func TestF3TagsOfSeveralPagesOnAPrivateAddress(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]func(r *http.Request, last string) string{
		"relative": func(_ *http.Request, last string) string {
			return "<" + listPath + "?last=" + last + `&n=2>; rel="next"`
		},
		"only a query": func(_ *http.Request, last string) string { return "<?last=" + last + `>; rel=next` },
		"absolute": func(r *http.Request, last string) string {
			return "<https://" + r.Host + listPath + "?last=" + last + `>; rel="next"`
		},
		"http behind a proxy": func(r *http.Request, last string) string {
			return "<http://" + hostOf(r) + listPath + "?last=" + last + `>; rel="next"`
		},
		"after another link": func(_ *http.Request, last string) string {
			return `</x>; rel="prev", <` + listPath + "?last=" + last + `>; title="a"; rel="next"`
		},
		"one of several relations": func(_ *http.Request, last string) string {
			return "<" + listPath + "?last=" + last + `>; rel="start next"`
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				switch r.URL.Query().Get("last") {
				case "":
					return list(w, link(r, "b"), "a", "b")
				case "b":
					return list(w, link(r, "c"), "b", "c") // b once more: the list moved meanwhile
				}
				return list(w, "", "d")
			})
			got, err := s.open(t, "demo/app").Tags(t.Context())
			if err != nil || !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestTagsFromTheRegistryItself(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, tag := range []string{"2", "1"} {
		if err := push(t, s, "demo/app:"+tag, sample(1)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.open(t, "demo/app").Tags(t.Context()); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTagsThatAreNoneAreLeftOut(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool {
		return list(w, "", "ok", "\x1b[2J", "", "a b", "-x", "\u202e", strings.Repeat("x", 129), "ok", "sha256:00", "_1.2-3")
	})
	if got, err := s.open(t, "demo/app").Tags(t.Context()); err != nil || !slices.Equal(got, []string{"ok", "_1.2-3"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNoTagsAreNoError(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool { return list(w, "") })
	if got, err := s.open(t, "demo/app").Tags(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// F4 and D28: a list that a registry never ends is given up.
func TestF4TagsWithoutEndAreGivenUp(t *testing.T) {
	t.Parallel()
	next := func(query string) string { return "<" + listPath + "?" + query + `>; rel="next"` }
	page := func(r *http.Request) int {
		n, err := strconv.Atoi(r.URL.Query().Get("page"))
		if err != nil {
			return 0
		}
		return n
	}
	for name, test := range map[string]struct {
		front func(w http.ResponseWriter, r *http.Request) bool
		most  int // requests
	}{
		"a page that points to itself": {func(w http.ResponseWriter, r *http.Request) bool { return list(w, next(r.URL.RawQuery), "a") }, 1},
		"two that point to each other": {func(w http.ResponseWriter, r *http.Request) bool {
			return list(w, next(fmt.Sprint("page=", 1+page(r)%2)), "a", fmt.Sprint(page(r)))
		}, 3},
		"new pages with the same tags": {func(w http.ResponseWriter, r *http.Request) bool {
			return list(w, next(fmt.Sprint("page=", page(r)+1)), "a")
		}, 2},
		"new pages with no tags": {func(w http.ResponseWriter, r *http.Request) bool {
			return list(w, next(fmt.Sprint("page=", page(r)+1)))
		}, 1},
		"new pages with new tags": {func(w http.ResponseWriter, r *http.Request) bool {
			return list(w, next(fmt.Sprint("page=", page(r)+1)), fmt.Sprint(page(r)))
		}, 70},
		"another host": {func(w http.ResponseWriter, _ *http.Request) bool {
			return list(w, "<https://evil.test"+listPath+`?last=a>; rel="next"`, "a")
		}, 1},
		"another repository": {func(w http.ResponseWriter, _ *http.Request) bool {
			return list(w, `</v2/other/tags/list?last=a>; rel="next"`, "a")
		}, 1},
		"another path": {func(w http.ResponseWriter, _ *http.Request) bool {
			return list(w, "<"+listPath+`/../../../_catalog?last=a>; rel="next"`, "a")
		}, 1},
		"the first page once more": {func(w http.ResponseWriter, _ *http.Request) bool { return list(w, "<"+listPath+`>; rel="next"`, "a") }, 1},
		"not a URL":                {func(w http.ResponseWriter, _ *http.Request) bool { return list(w, `<http://[>; rel="next"`, "a") }, 1},
		"not JSON":                 {func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, http.StatusOK, "<html>") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.front)
			got, err := s.open(t, "demo/app").Tags(t.Context())
			if _, ok := errors.AsType[*registry.PagingError](err); !ok {
				t.Errorf("got %d tags, %v", len(got), err)
			}
			if n := s.seen("", ""); n > test.most {
				t.Errorf("%d requests, want no more than %d", n, test.most)
			}
		})
	}
}

// A registry that gives ten at a time has as many as it likes.
func TestManySmallPagesAreRead(t *testing.T) {
	t.Parallel()
	const pages, each = 120, 10
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		page, _ := strconv.Atoi(r.URL.Query().Get("page")) // 0 for none
		var tags []string
		for i := range each {
			tags = append(tags, fmt.Sprint(page*each+i))
		}
		if page++; page == pages {
			return list(w, "", tags...)
		}
		return list(w, fmt.Sprintf(`<%s?page=%d>; rel="next"`, listPath, page), tags...)
	})
	if got, err := s.open(t, "demo/app").Tags(t.Context()); err != nil || len(got) != pages*each {
		t.Errorf("%d tags, %v", len(got), err)
	}
}

func TestTagPagesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool {
		return refuse(w, http.StatusOK, `{"tags":["`+strings.Repeat("x", 9<<20)+`"]}`)
	})
	if _, err := s.open(t, "demo/app").Tags(t.Context()); wire.KindOf(err) != wire.TooLarge {
		t.Errorf("got %v", err)
	}
}

// Whatever a Link header holds, what is found in it stood in angle brackets.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{`</v2/x/tags/list?n=1>; rel="next"`, `<a>; rel=prev, <b>; rel=next`, `<`, `<>`, `<a>;rel="x next y"`, `<<a>>; rel=next`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := registry.NextLink([]string{header}); !strings.Contains(header, "<"+got+">") && got != "" {
			t.Errorf("%q is not in %q", got, header)
		}
	})
}
