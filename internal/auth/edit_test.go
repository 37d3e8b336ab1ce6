package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/types"
	"pgregory.net/rapid"
)

// edited is data with the entry of reg.test set to auth, or dropped.
func edited(t interface{ Fatal(...any) }, data, auth string) string {
	e, err := newEditor("config.json", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if auth == "" {
		_, err = e.drop(func(key string) bool { return key == "reg.test" })
	} else {
		err = e.set("reg.test", types.AuthConfig{Auth: auth})
	}
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := e.bytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(after)
}

func TestEditsKeepTheFormatOfTheFile(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, auth, after string }{
		{
			"nothing there", "", "new",
			"{\n\t\"auths\": {\n\t\t\"reg.test\": {\n\t\t\t\"auth\": \"new\"\n\t\t}\n\t}\n}",
		},
		{
			"empty object", "{}\n", "new",
			"{\n\t\"auths\": {\n\t\t\"reg.test\": {\n\t\t\t\"auth\": \"new\"\n\t\t}\n\t}\n}\n",
		},
		{
			"docker's own", "{\n\t\"auths\": {\n\t\t\"a\": {\n\t\t\t\"auth\": \"x\"\n\t\t}\n\t}\n}", "new",
			"{\n\t\"auths\": {\n\t\t\"a\": {\n\t\t\t\"auth\": \"x\"\n\t\t},\n\t\t\"reg.test\": {\n\t\t\t\"auth\": \"new\"\n\t\t}\n\t}\n}",
		},
		{
			"two spaces, CRLF, other keys around", "{\r\n  \"b\": 1e400,\r\n  \"auths\": {},\r\n  \"a\": [1,  2]\r\n}\r\n", "new",
			"{\r\n  \"b\": 1e400,\r\n  \"auths\": {\r\n    \"reg.test\": {\r\n      \"auth\": \"new\"\r\n    }\r\n  },\r\n  \"a\": [1,  2]\r\n}\r\n",
		},
		{
			"one line", `{"auths":{"a":{"auth":"x"}},"z":true}`, "new",
			`{"auths":{"a":{"auth":"x"},"reg.test":{"auth":"new"}},"z":true}`,
		},
		{"one line, no auths", `{"z":true}`, "new", `{"z":true,"auths":{"reg.test":{"auth":"new"}}}`},
		{
			"null", "{\n  \"auths\": null\n}", "new",
			"{\n  \"auths\": {\n    \"reg.test\": {\n      \"auth\": \"new\"\n    }\n  }\n}",
		},
		{
			"replaced in place", `{"auths": {"reg.test": {"email": "e", "auth": "old"}, "b": {}}}`, "new",
			`{"auths": {"reg.test": {"email": "e", "auth": "new"}, "b": {}}}`,
		},
		{
			"in clear before", `{"auths": {"reg.test": {"username": "u", "Password": "p", "identitytoken": "t"}}}`, "new",
			`{"auths": {"reg.test": {"auth":"new"}}}`,
		},
		{
			"twice the same", `{"auths": {"reg.test": {"auth": "1", "AUTH": "2"}, "b": {}, "reg.test": {"auth": "3", "auth": "4"}}}`, "new",
			`{"auths": {"reg.test": {"auth": "new"}, "b": {}}}`,
		},
		{"entry that is none", `{"auths": {"reg.test": 7}}`, "new", `{"auths": {"reg.test": {"auth":"new"}}}`},
		{"other case", `{"Auths": {"b": {}}}`, "new", `{"Auths": {"b": {},"reg.test": {"auth":"new"}}}`},
		{"dropped, first", `{"auths": {"reg.test": {}, "b": {}}}`, "", `{"auths": { "b": {}}}`},
		{"dropped, last", `{"auths": {"b": {} , "reg.test": {} }}`, "", `{"auths": {"b": {} }}`},
		{"dropped, only", "{\n\t\"auths\": {\n\t\t\"reg.test\": {}\n\t}\n}\n", "", "{\n\t\"auths\": {}\n}\n"},
		{"dropped, not there", "{ \"auths\" : { } }", "", "{ \"auths\" : { } }"},
		{"dropped, no auths", " {\"z\" : 1 } ", "", " {\"z\" : 1 } "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if after := edited(t, tt.before, tt.auth); after != tt.after {
				t.Errorf("got\n%s\nwant\n%s", after, tt.after)
			}
		})
	}
}

// jsonValue draws any JSON value, written with white space of any kind.
func jsonValue(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", " ", "\n", "\t", "\r\n  "})
	key := rapid.SampledFrom([]string{"auth", "a", "reg.test", "ключ", "credsStore", "with \\\" quote", "\\u0061b"})
	leaf := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "1e999", "-0.10", `""`, `"\ud83d\ude00"`, `"a\/b"`, "12345678901234567890"}),
		rapid.Map(rapid.String(), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
	)
	if depth == 0 {
		return leaf
	}
	inner := jsonValue(depth - 1)
	list := rapid.Custom(func(t *rapid.T) string {
		return "[" + space.Draw(t, "s") + strings.Join(rapid.SliceOfN(inner, 0, 3).Draw(t, "items"), " ,"+space.Draw(t, "s")) + "]"
	})
	object := rapid.Custom(func(t *rapid.T) string {
		var members []string
		for _, k := range rapid.SliceOfNDistinct(key, 0, 4, func(k string) string { return k }).Draw(t, "keys") {
			members = append(members, space.Draw(t, "s")+`"`+k+`"`+space.Draw(t, "s")+":"+space.Draw(t, "s")+inner.Draw(t, "value"))
		}
		return "{" + strings.Join(members, space.Draw(t, "s")+",") + space.Draw(t, "s") + "}"
	})
	return rapid.OneOf(leaf, list, object)
}

// Whatever the file looks like, an edit changes the one entry and no other
// value, setting it again changes no byte, and dropping it brings the rest.
func TestAnEditChangesOneEntryAndNoOtherByte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.SampledFrom([]string{"", " ", "\n", "\n  ", "\r\n\t"})
		var entries []string
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a.test", "reg.test", "b.test:5000", "https://c.test/v1/"}), 0, 4, func(k string) string { return k }).Draw(t, "hosts") {
			entries = append(entries, fmt.Sprintf("%s%q:%s{%s}", space.Draw(t, "s"), k, space.Draw(t, "s"), space.Draw(t, "s")))
		}
		members := []string{fmt.Sprintf("%s\"auths\":%s{%s%s}", space.Draw(t, "s"), space.Draw(t, "s"), strings.Join(entries, ","), space.Draw(t, "s"))}
		for i := range rapid.IntRange(0, 3).Draw(t, "others") {
			member := fmt.Sprintf("%s\"key%d\":%s%s", space.Draw(t, "s"), i, space.Draw(t, "s"), jsonValue(3).Draw(t, "value"))
			members = append(members, member)
		}
		before := "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + space.Draw(t, "s") + "}" + space.Draw(t, "s")
		after := edited(t, before, "bmV3")
		if again := edited(t, after, "bmV3"); again != after {
			t.Fatalf("not the same the second time:\n%s\n%s", after, again)
		}
		was, is := decoded(t, before), decoded(t, after)
		if got := is.Auths["reg.test"]; string(got) == "" || entryOf(t, got).Auth != "bmV3" {
			t.Fatalf("the entry is %s", got)
		}
		delete(was.Auths, "reg.test")
		delete(is.Auths, "reg.test")
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("before %s\nafter  %s", before, after)
		}
		if gone := decoded(t, edited(t, after, "")); !reflect.DeepEqual(was, gone) {
			t.Fatalf("before %s\nafter  %s", before, edited(t, after, ""))
		}
	})
}

// raws is a config.json with the bytes of all values but the entries of auths.
type raws struct {
	Auths  map[string]json.RawMessage
	Others map[string]string
}

func decoded(t interface{ Fatal(...any) }, data string) raws {
	var all map[string]json.RawMessage
	r := raws{Auths: map[string]json.RawMessage{}, Others: map[string]string{}}
	if err := json.Unmarshal([]byte(data), &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all["auths"], &r.Auths); err != nil {
		t.Fatal(err)
	}
	delete(all, "auths")
	for k := range maps.Keys(all) {
		r.Others[k] = string(all[k])
	}
	return r
}

func entryOf(t interface{ Fatal(...any) }, data json.RawMessage) (a types.AuthConfig) {
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFilesThatCannotBeEdited(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"auths is a list":    `{"auths": ["canary"]}`,
		"auths is a string":  `{"auths": "canary"}`,
		"auths twice":        `{"auths": {}, "auths": {"canary": {}}}`,
		"comments":           "{ // canary\n}",
		"trailing comma":     `{"canary": {},}`,
		"deep":               `{"canary":` + strings.Repeat("[", 1<<20),
		"auths in two cases": `{"auths": {}, "AUTHS": {"canary": {}}}`,
	} {
		e, err := newEditor("config.json", []byte(data))
		if err == nil {
			err = e.set("reg.test", types.AuthConfig{Auth: "x"})
		}
		if c, ok := errors.AsType[*ConfigError](err); !ok || strings.Contains(c.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzEdit(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"auths":{"reg.test":{"auth":"x","email":"e"}}}`, "{\r\n  \"auths\" : null , \"x\" : [ ] }\n", `{"a":1,"auths":{"a":{},"reg.test":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := newEditor("config.json", data)
		if err != nil {
			return
		}
		if err := e.set("reg.test", types.AuthConfig{Auth: "bmV3"}); err != nil {
			return
		}
		after, _, err := e.bytes()
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		if err := json.Unmarshal(after, &d); err != nil {
			t.Fatalf("%q: %v", after, err)
		}
		if entryOf(t, d.Auths["reg.test"]).Auth != "bmV3" {
			t.Fatalf("%q became %q", data, after)
		}
	})
}
