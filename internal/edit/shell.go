package edit

import (
	"bytes"
	"slices"
	"strings"
)

const insecureFlag = "--insecure-registry"

type shellEditor struct{ Edit }

// A shellHit is one --insecure-registry in an assignment.
type shellHit struct {
	in       *shellAssign
	value    string
	from, to int // of its characters
}

// effective are the assignments that make up the variable's value, the last
// one first: it counts, and the one before it as far as it names itself.
func effective(data []byte, name string) ([]shellAssign, error) {
	all, err := scanShell(data, name)
	if err != nil {
		return nil, err
	}
	var out []shellAssign
	for _, a := range slices.Backward(all) {
		line := lineAt(data, a.from)
		switch {
		case a.conditional:
			return nil, &SyntaxError{Shell, line, "the variable is set under a condition"}
		case a.subst:
			return nil, &SyntaxError{Shell, line, "the value runs a command, which is not run here"}
		case a.odd:
			return nil, &SyntaxError{Shell, line, "the value holds an expansion that is not understood"}
		}
		out = append(out, a)
		if !slices.ContainsFunc(a.chars, func(c shellChar) bool { return c.ref == name }) {
			break
		}
	}
	return out, nil
}

// split cuts the value into words, as ranges of its characters.
func (a *shellAssign) split() (words [][2]int) {
	for i := 0; i < len(a.chars); i++ {
		if a.chars[i].blank() {
			continue
		}
		from := i
		for i < len(a.chars) && !a.chars[i].blank() {
			i++
		}
		words = append(words, [2]int{from, i})
	}
	return words
}

// text is a word as the shell makes it; variables in it stay names.
func (a *shellAssign) text(word [2]int) (text string, known bool) {
	var b strings.Builder
	known = true
	for _, c := range a.chars[word[0]:word[1]] {
		if c.ref != "" {
			b.WriteString("${" + c.ref + "}")
			known = false
			continue
		}
		b.WriteByte(c.c)
	}
	return b.String(), known
}

func (a *shellAssign) hits() (hits []shellHit) {
	words := a.split()
	for i := 0; i < len(words); i++ {
		text, known := a.text(words[i])
		if !known {
			continue
		}
		if v, ok := strings.CutPrefix(text, insecureFlag+"="); ok {
			hits = append(hits, shellHit{a, v, words[i][0], words[i][1]})
			continue
		}
		if text != insecureFlag || i+1 == len(words) {
			continue
		}
		if v, known := a.text(words[i+1]); known {
			hits = append(hits, shellHit{a, v, words[i][0], words[i+1][1]})
		}
		i++
	}
	return hits
}

func hitsOf(assigns []shellAssign) (hits []shellHit) {
	for i := range slices.Backward(assigns) {
		hits = append(hits, assigns[i].hits()...)
	}
	return hits
}

// ShellFlags are the values of --insecure-registry in a variable of a file that
// sh reads, and the line of the assignment that counts; 0: there is none. The
// error is a [SyntaxError]. Nothing in the file is run.
func ShellFlags(data []byte, variable string) ([]string, int, error) {
	if err := check(Shell, data); err != nil {
		return nil, 0, err
	}
	assigns, err := effective(data, variable)
	if err != nil || len(assigns) == 0 {
		return nil, 0, err
	}
	var values []string
	for _, h := range hitsOf(assigns) {
		values = append(values, h.value)
	}
	return values, lineAt(data, assigns[0].from), nil
}

func (e shellEditor) has(data []byte) (bool, error) {
	values, _, err := ShellFlags(data, e.Key)
	return slices.Contains(values, e.Value), err
}

func (e shellEditor) flag() string { return insecureFlag + "=" + e.Value }

// created is the line of a variable that was not there. Its blank tells it from
// an empty value that has got the flag.
func (e shellEditor) created() string { return e.Key + `="` + insecureFlag + " " + e.Value + `"` }

func (e shellEditor) add(data []byte) ([]byte, error) {
	assigns, err := effective(data, e.Key)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(hitsOf(assigns), func(h shellHit) bool { return h.value == e.Value }) {
		return data, nil
	}
	if len(assigns) == 0 {
		out := appendLines(data, e.created()+"\n")
		return out, e.prove(data, out, []string{insecureFlag, e.Value}, nil)
	}
	a := assigns[0]
	value := string(data[a.valFrom:a.to])
	flag := e.flag()
	var out []byte
	switch n := len(a.segs); {
	case value == "":
		out = splice(data, a.to, a.to, flag)
	case a.segs[n-1].quote != 0 && a.segs[n-1].to == a.to-1:
		if len(a.chars) > 0 {
			flag = " " + flag
		}
		out = splice(data, a.to-1, a.to-1, flag)
	case simple(value):
		// First, so that drop knows that there were no quotes.
		out = splice(data, a.valFrom, a.to, `"`+flag+" "+value+`"`)
	default:
		out = splice(data, a.to, a.to, `\ `+flag)
	}
	return out, e.prove(data, out, []string{e.flag()}, nil)
}

// simple says whether a value needs no quotes and has none.
func simple(value string) bool {
	return plainWord(strings.Map(func(r rune) rune {
		if strings.ContainsRune("=,@+", r) {
			return '.'
		}
		return r
	}, value))
}

func (e shellEditor) drop(data []byte, undo bool) ([]byte, error) {
	start := data
	var gone []string
	for {
		assigns, err := effective(data, e.Key)
		if err != nil {
			return nil, err
		}
		hits := hitsOf(assigns)
		i := slices.IndexFunc(hits, func(h shellHit) bool { return h.value == e.Value })
		if i < 0 {
			return data, e.prove(start, data, nil, gone)
		}
		h := hits[i]
		for _, w := range h.in.split() {
			if w[0] >= h.from && w[1] <= h.to {
				text, _ := h.in.text(w)
				gone = append(gone, text)
			}
		}
		if data, err = e.cut(data, h, undo); err != nil {
			return nil, err
		}
	}
}

func (e shellEditor) cut(data []byte, h shellHit, undo bool) ([]byte, error) {
	a := h.in
	begin, end := lineStart(data, a.from), lineEnd(data, a.to)
	if undo && strings.TrimSuffix(string(data[begin:end]), "\n") == e.created() {
		return cutLines(data, begin, end), nil
	}
	for _, c := range a.chars[h.from:h.to] {
		if c.seg != a.chars[h.from].seg {
			return nil, &SyntaxError{Shell, lineAt(data, a.chars[h.from].from), "the flag is written in several kinds of quotes"}
		}
	}
	if undo {
		rest, first := strings.CutPrefix(string(data[a.valFrom:a.to]), `"`+e.flag()+" ")
		if rest, ends := strings.CutSuffix(rest, `"`); first && ends && simple(rest) {
			return splice(data, a.valFrom, a.to, rest), nil
		}
	}
	from, to := a.chars[h.from].from, a.chars[h.to-1].to
	if l, next := lineStart(data, from), lineEnd(data, to); l > a.valFrom && next < a.to && a.segs[a.chars[h.from].seg].quote != '\'' &&
		len(bytes.TrimSpace(data[l:from])) == 0 && string(bytes.TrimSpace(data[to:next])) == `\` && data[next-2] == '\\' {
		return splice(data, l, next, ""), nil // a line of its own, within continued ones
	}
	seg := a.chars[h.from].seg
	switch {
	case h.from > 0 && a.chars[h.from-1].blank() && a.chars[h.from-1].seg == seg:
		from = a.chars[h.from-1].from
	case h.to < len(a.chars) && a.chars[h.to].blank() && a.chars[h.to].seg == seg:
		to = a.chars[h.to].to
	}
	return splice(data, from, to, ""), nil
}

// prove compares the words of the variable: the old ones and ours, no others.
func (e shellEditor) prove(before, after []byte, more, gone []string) error {
	b, errB := e.words(before)
	a, errA := e.words(after)
	b, a = append(b, more...), append(a, gone...)
	slices.Sort(a)
	slices.Sort(b)
	if errA != nil || errB != nil || !slices.Equal(a, b) {
		return e.wrong("the value is written in a way that cannot be edited safely")
	}
	return nil
}

func (e shellEditor) words(data []byte) (words []string, err error) {
	assigns, err := effective(data, e.Key)
	for i := range assigns {
		for _, w := range assigns[i].split() {
			text, _ := assigns[i].text(w)
			words = append(words, text)
		}
	}
	return words, err
}

func changesVariables(command string) bool {
	return slices.Contains([]string{"unset", "read", "declare", "typeset", "local", "readonly", "getopts", "for"}, command)
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}
