package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/vicr-cli/vicr/internal/wire"
)

// The limits of a list of tags; a registry decides how many pages it has.
const (
	pageSize = "1000"  // tags asked for at once; ECR refuses more
	maxPage  = 8 << 20 // bytes of one page
	maxPages = 1000
	maxTags  = 200_000
)

// tagShape is the grammar of a tag (distribution/reference).
var tagShape = regexp.MustCompile(`^\w[\w.-]{0,127}$`)

// Tags lists the tags of the repository in the registry's order, each once;
// what is not a tag in the grammar is left out. Pages are followed within this
// very list alone. Errors: [*Error], wrapping [transfer.ErrNotFound] if there
// is no such repository, [*PagingError], those of the round-tripper.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	query := url.Values{"n": {pageSize}}.Encode()
	asked, listed := map[string]bool{}, map[string]bool{}
	var tags []string
	for query != "" {
		asked[query] = true
		page, next, err := r.page(ctx, query)
		if err != nil {
			return nil, err
		}
		before := len(tags)
		for _, tag := range page {
			if !listed[tag] && tagShape.MatchString(tag) {
				listed[tag] = true
				tags = append(tags, tag)
			}
		}
		switch {
		case len(tags) > maxTags:
			return nil, r.givenUp("more tags than anybody can use")
		case next != "" && asked[next]:
			return nil, r.givenUp("the pages go round in a circle")
		case next != "" && len(tags) == before:
			return nil, r.givenUp("a page has nothing new and points to another")
		case len(asked) >= maxPages:
			return nil, r.givenUp("too many pages")
		}
		query = next
	}
	return tags, nil
}

func (r *Repository) givenUp(why string) error {
	return &PagingError{Image: r.img.Name(), Why: why}
}

// page gets one page and the query of the next, "" after the last.
func (r *Repository) page(ctx context.Context, query string) (tags []string, next string, err error) {
	u := r.url("tags", "list")
	u.RawQuery = query
	resp, err := r.send(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", r.fail(opTags, resp)
	}
	body, err := wire.ReadAll(resp.Body, maxPage)
	if closing := resp.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, "", r.givenUp("the registry sent no list of tags")
	}
	next, err = r.next(u, resp.Header.Values("Link"))
	return list.Tags, next, err
}

// next is the query of the page that a Link header calls next. Of the link only
// the query is ever used, and only if it names this list on this host: so its
// scheme, which registries behind a proxy get wrong, does not matter.
func (r *Repository) next(from *url.URL, links []string) (string, error) {
	target := nextLink(links)
	if target == "" {
		return "", nil
	}
	u, err := from.Parse(target)
	switch {
	case err != nil:
		return "", r.givenUp("the link to the next page is not a URL")
	case !strings.EqualFold(u.Hostname(), from.Hostname()) || u.Path != from.Path:
		return "", r.givenUp("the link to the next page leads elsewhere")
	case u.RawQuery == "":
		return "", r.givenUp("the link to the next page leads to the first")
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
			if relNext.MatchString(parameters) {
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

var relNext = regexp.MustCompile(`(?i);\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:[;,]|$)`)
