package harbor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// pages gets a list page by page and hands each to add, which says how many
// things on it were new. The next page is the one that the Link header names,
// if it is of this very list, or the one after this where X-Total-Count says
// that there are more. Errors: [*ListError], [*AnswerError], those of the
// round-tripper.
func (c *Client) pages(ctx context.Context, path string, query url.Values, add func([]byte) (int, error)) error {
	query.Set("page", "1")
	query.Set("page_size", strconv.Itoa(pageSize))
	raw, asked, got := query.Encode(), map[string]bool{}, 0
	for number := 1; raw != ""; number++ {
		if number > maxPages {
			return &ListError{Path: path, Why: "too many pages"}
		}
		asked[raw] = true
		body, header, err := c.page(ctx, path, raw)
		if err != nil {
			return err
		}
		fresh, err := add(body)
		switch {
		case errors.Is(err, errTooMany):
			return &ListError{Path: path, Why: err.Error()}
		case err != nil:
			return &AnswerError{Path: path, Status: http.StatusOK, Why: "something that is no list"}
		}
		got += fresh
		if fresh == 0 {
			return nil
		}
		if raw, err = c.nextPage(path, header, query, number, got); err != nil {
			return err
		}
		if raw != "" && got < leastNew*(number-freePages) {
			return &ListError{Path: path, Why: fmt.Sprintf("%d pages brought %d things, and there are more", number, got)}
		}
		if asked[raw] {
			return &ListError{Path: path, Why: "the pages go round in a circle"}
		}
	}
	return nil
}

func (c *Client) page(ctx context.Context, path, query string) ([]byte, http.Header, error) {
	resp, err := c.do(ctx, http.MethodGet, path+"?"+query)
	if err != nil {
		return nil, nil, err
	}
	defer closeBody(resp)
	if resp.StatusCode != http.StatusOK {
		return nil, nil, &AnswerError{Path: path, Status: resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	case len(body) > maxPage:
		return nil, nil, &ListError{Path: path, Why: "a page is larger than 4 MiB"}
	case isPage(resp, body):
		return nil, nil, &AnswerError{Path: path, Status: resp.StatusCode, Why: "a web page and no list"}
	}
	return bytes.TrimSpace(body), resp.Header, nil
}

// nextPage is the query of the page after the one with this number; "" after
// the last. Of a link only the query is used: its scheme and host are those
// that a proxy in front made up.
func (c *Client) nextPage(path string, header http.Header, query url.Values, number, got int) (string, error) {
	for _, link := range header.Values("Link") {
		m := nextLink().FindStringSubmatch(link)
		if m == nil {
			continue
		}
		u, err := c.base.Parse(m[1])
		switch {
		case err != nil:
			return "", &ListError{Path: path, Why: "the link to the next page is not a URL"}
		case !strings.EqualFold(u.Hostname(), c.base.Hostname()) || u.Path != path || u.RawQuery == "":
			return "", &ListError{Path: path, Why: "the link to the next page leads elsewhere"}
		}
		return u.RawQuery, nil
	}
	if total, err := strconv.Atoi(header.Get("X-Total-Count")); err != nil || got >= total {
		return "", nil //nolint:nilerr // no count, no more pages
	}
	query.Set("page", strconv.Itoa(number+1))
	return query.Encode(), nil
}

// nextLink is the target with rel="next" in a Link header (RFC 8288 section 3).
var nextLink = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)<([^<>]*)>\s*;\s*rel\s*=\s*"?next"?(?:[\s;,]|$)`)
})
