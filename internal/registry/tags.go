package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/vicr-cli/vicr/internal/wire"
)

// The limits of a list of tags; a registry decides how many pages it has.
const (
	pageSize = "1000"  // tags asked for at once; ECR refuses more
	maxPage  = 8 << 20 // bytes of one page
	maxPages = 1000
	maxTags  = 200_000

	// A list may have so many pages whatever they bring, and then goes on for
	// pages that have brought so many new names on the average.
	freePages = 50
	leastNew  = 5
)

// tagShape is the grammar of a tag (distribution/reference).
var tagShape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\w[\w.-]{0,127}$`)
})

// Tags lists the tags of the repository in the registry's order, each once;
// what is not a tag in the grammar is left out. Pages are followed within this
// very list alone. Errors: [*Error], wrapping [transfer.ErrNotFound] if there
// is no such repository, [*PagingError], those of the round-tripper.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	p := pager{r: r, op: opTags, at: r.url("tags", "list"), parse: parseTags, most: maxTags}
	return p.all(ctx)
}

func parseTags(body []byte) ([]string, error) {
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Tags, func(tag string) bool { return !tagShape().MatchString(tag) }), nil
}

// A pager reads a list of names that comes in pages.
type pager struct {
	r     *Repository
	op    string // for errors
	at    *url.URL
	parse func(body []byte) ([]string, error)
	most  int // names
}

// all gets the names of all pages, each once.
func (p pager) all(ctx context.Context) ([]string, error) {
	query := url.Values{"n": {pageSize}}.Encode()
	asked, listed := map[string]bool{}, map[string]bool{}
	var names []string
	for query != "" {
		asked[query] = true
		page, next, err := p.page(ctx, query)
		if err != nil {
			return nil, err
		}
		before := len(names)
		for _, name := range page {
			if !listed[name] {
				listed[name] = true
				names = append(names, name)
			}
		}
		switch {
		case len(names) > p.most:
			return nil, p.givenUp("more names than anybody can use")
		case next != "" && asked[next]:
			return nil, p.givenUp("the pages go round in a circle")
		case next != "" && len(names) == before:
			return nil, p.givenUp("a page has nothing new and points to another")
		case next != "" && len(asked) >= maxPages:
			return nil, p.givenUp("too many pages")
		case next != "" && len(names) < leastNew*(len(asked)-freePages):
			return nil, p.givenUp(fmt.Sprintf("%d pages brought %d names, and there are more", len(asked), len(names)))
		}
		query = next
	}
	return names, nil
}

func (p pager) givenUp(why string) error {
	return &PagingError{Op: p.op, Image: p.r.img.Name(), Why: why}
}

// page gets one page and the query of the next, "" after the last.
func (p pager) page(ctx context.Context, query string) (names []string, next string, err error) {
	u := *p.at
	u.RawQuery = query
	resp, err := p.r.send(ctx, http.MethodGet, &u, nil)
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", p.r.fail(p.op, resp)
	}
	body, err := wire.ReadAll(resp.Body, maxPage)
	if closing := resp.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, "", err
	}
	names, err = p.parse(body)
	if err != nil {
		return nil, "", p.givenUp("the registry sent no such list")
	}
	next, err = p.next(&u, resp.Header.Values("Link"))
	return names, next, err
}

// next is the query of the page that a Link header calls next. Of the link only
// the query is ever used, and only if it names this list on this host: so its
// scheme, which registries behind a proxy get wrong, does not matter.
func (p pager) next(from *url.URL, links []string) (string, error) {
	target := nextLink(links)
	if target == "" {
		return "", nil
	}
	u, err := from.Parse(target)
	switch {
	case err != nil:
		return "", p.givenUp("the link to the next page is not a URL")
	case !strings.EqualFold(u.Hostname(), from.Hostname()) || u.Path != from.Path:
		return "", p.givenUp("the link to the next page leads elsewhere")
	case u.RawQuery == "":
		return "", p.givenUp("the link to the next page leads to the first")
	}
	return u.RawQuery, nil
}

// nextLink finds <target>; rel="next" in Link headers (RFC 8288 section 3).
func nextLink(headers []string) string {
	for _, rest := range headers {
		for {
			_, after, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			target, after, ok := strings.Cut(after, ">")
			if !ok {
				break
			}
			parameters, more, _ := strings.Cut(after, "<")
			if relNext().MatchString(parameters) {
				return target
			}
			rest = "<" + more
			if more == "" {
				break
			}
		}
	}
	return ""
}

var relNext = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i);\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:[;,]|$)`)
})
