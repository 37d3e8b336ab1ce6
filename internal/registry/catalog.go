package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	opCatalog  = "list repositories"
	maxCatalog = 100_000 // names
)

// Catalog lists the repositories of a registry in its order, each once, as the
// Distribution API has them; a name may hold any byte. Many registries show
// this to administrators alone or to nobody: that is a [*CatalogError]. Other
// errors are [*Error], [*PagingError] and those of the round-tripper.
func Catalog(ctx context.Context, h ref.Host, rt http.RoundTripper, base *url.URL) ([]string, error) {
	r := Open(ref.Image{Host: h}, rt, base)
	p := pager{r: r, op: opCatalog, at: r.root("/v2/_catalog"), parse: parseCatalog, most: maxCatalog}
	names, err := p.all(ctx)
	if refused, ok := errors.AsType[*Error](err); ok {
		refused.Image = h.String()
		switch refused.Status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			return nil, &CatalogError{Host: h.String(), Err: refused}
		}
	}
	if given, ok := errors.AsType[*PagingError](err); ok {
		given.Image = h.String()
	}
	return names, err
}

func parseCatalog(body []byte) ([]string, error) {
	var list struct {
		Repositories []string `json:"repositories"` // Harbor 1.x: null for none
	}
	err := json.Unmarshal(body, &list)
	return list.Repositories, err
}

// A CatalogError says that a registry does not list its repositories to this user.
type CatalogError struct {
	Host string
	Err  *Error
}

func (e *CatalogError) Error() string {
	return fmt.Sprintf("%s does not list its repositories to you (status %d)", e.Host, e.Err.Status)
}

func (e *CatalogError) Unwrap() error { return e.Err }

// below are those of the names that lie below a repository.
func below(names []string, repository string) []string {
	var all []string
	for _, n := range names {
		if strings.HasPrefix(n, repository+"/") {
			all = append(all, n)
		}
	}
	return all
}

// Below lists the repositories of the catalog that lie below this one. Errors
// are those of [Catalog].
func (r *Repository) Below(ctx context.Context) ([]string, error) {
	names, err := Catalog(ctx, r.img.Host, r.rt, r.base)
	return below(names, r.img.Repository), err
}
