package harbor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	pathCurrentUser = "/users/current"

	userAdmin = "admin" // the one account that no directory has

	robotWord   = "robot"
	robotPrefix = robotWord + "$" // the default of robot_name_prefix, and fixed before 2.2

	maxName = 255 // bytes of a user's name (src/common/models/user.go)
)

// The values of [Info].AuthMode that change what a user types as the password.
const (
	ModeOIDC  = "oidc_auth" // people have a CLI secret for it
	ModeLDAP  = "ldap_auth" // that of the directory
	ModeUAA   = "uaa_auth"  // that of Cloud Foundry's UAA
	ModeProxy = "http_auth" // that of a service which Harbor asks
)

// An Account is what is known about somebody who logged in.
type Account struct {
	Name    string    // as Harbor writes it, raw; empty where it does not say
	Admin   bool      // of the whole Harbor
	Robot   bool      // an account for machines
	Expires time.Time // zero where nothing says when
}

// Account asks Harbor about a user whose password the registry has just
// accepted: a wrong one would lock the user for a while. It says false where
// Harbor does not tell: it tells neither people of OIDC nor anybody inside VIC,
// and is not asked there; a robot learns that it is one. The password goes to
// the server over the client's round-tripper, whose error comes back, or an
// [*AnswerError].
func (c *Client) Account(ctx context.Context, i Info, user, password string) (Account, bool, error) {
	path := pathV2
	switch {
	case i.Generation == 0, i.Admiral, i.AuthMode == ModeOIDC && user != userAdmin && !strings.Contains(user, "$"):
		return Account{}, false, nil
	case i.Generation == 1:
		path = pathV1
	}
	path += pathCurrentUser
	robot := Account{Robot: isRobot(user)}
	if robot.Robot {
		robot.Expires = tokenEnd(password)
	}
	resp, err := c.get(ctx, path, "application/json", url.UserPassword(user, password))
	if err != nil {
		return Account{}, false, err
	}
	defer closeBody(resp)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusPreconditionFailed: // what a robot of 2.x gets
		robot.Robot = true
		return robot, true, nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return robot, robot.Robot, nil
	default:
		return Account{}, false, &AnswerError{Path: path, Status: resp.StatusCode}
	}
	a, err := readAccount(resp, path)
	return a, err == nil, err
}

func readAccount(resp *http.Response, path string) (Account, error) {
	var u struct {
		Name     string `json:"username"`
		V1       flag   `json:"has_admin_role"`
		V2       flag   `json:"sysadmin_flag"`
		ByGroups flag   `json:"admin_role_in_auth"` // 2.x: the directory makes an administrator
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON+1))
	if err != nil {
		return Account{}, fmt.Errorf("read %s: %w", path, err)
	}
	if len(body) > maxJSON || json.Unmarshal(body, &u) != nil || u.Name == "" || len(u.Name) > maxName {
		return Account{}, &AnswerError{Path: path, Status: resp.StatusCode, Why: "something else than a user"}
	}
	return Account{Name: u.Name, Admin: bool(u.V1 || u.V2 || u.ByGroups)}, nil
}

// A flag is yes or no: true and false, in 1.1 to 1.6 the numbers 1 and 0.
type flag bool

func (f *flag) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "true", "1":
		*f = true
	case "false", "0", "null":
		*f = false
	default:
		return fmt.Errorf("no flag: %.20q", data)
	}
	return nil
}

// isRobot knows a robot by the prefix that all have unless an administrator
// gave them another, as can be from 2.2 on.
func isRobot(user string) bool { return strings.HasPrefix(user, robotPrefix) }

// LooksLikeRobot says whether a name may be a robot's, with whatever prefix.
func LooksLikeRobot(user string) bool { return strings.ContainsAny(user, "$+") }

// HasRobots says whether there are accounts for robots, as from 1.8 on; true
// where the version is not told.
func (i Info) HasRobots() bool {
	minor, ok := strings.CutPrefix(i.Version, "v1.")
	if !ok {
		return true
	}
	minor, _, _ = strings.Cut(minor, ".")
	n, err := strconv.Atoi(minor)
	return err != nil || n >= 8
}

// LostDollar says whether user may be what a shell made of a robot's name: of
// robot$ci or robot$demo+ci in double quotes, robot and robot+ci are left.
func LostDollar(user string) bool {
	rest, ok := strings.CutPrefix(user, robotWord)
	if !ok || strings.Contains(rest, "$") {
		return false
	}
	letter := rest != "" && ('a' <= rest[0] && rest[0] <= 'z' || '0' <= rest[0] && rest[0] <= '9')
	return !letter || strings.Contains(rest, "+")
}

// tokenEnd is when a robot of 1.8 to 2.1 expires: its password is a token that
// says so, and Harbor has accepted it. Zero for any other password.
func tokenEnd(password string) time.Time {
	const longest = 16 << 10 // bytes
	part := strings.Split(password[:min(len(password), longest)], ".")
	if len(part) != 3 || len(password) > longest {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(part[1])
	var claims struct {
		Expires int64 `json:"exp"` // seconds since 1970
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Expires, 0).UTC()
}
