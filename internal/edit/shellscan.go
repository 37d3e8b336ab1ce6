package edit

import (
	"bytes"
	"strings"
)

// maxSubst is how deep command substitutions may lie in each other.
const maxSubst = 20

// A shellChar is one character of a word's value, and where it is written.
type shellChar struct {
	c        byte
	ref      string // the variable that stands here instead; "": none
	from, to int
	seg      int // index in segs: a run of one kind of quotes
}

func (c shellChar) blank() bool { return c.ref == "" && (isBlank(c.c) || c.c == '\n') }

// A shellSeg is a run of a word in one kind of quotes: ' or ", or 0 for none.
type shellSeg struct {
	quote    byte
	from, to int // within the quotes
}

// A shellWord is a word before any expansion. Nothing is ever run.
type shellWord struct {
	from, to int
	chars    []shellChar
	segs     []shellSeg
	subst    bool // holds a command substitution
	odd      bool // holds an expansion that is not understood
}

// A shellAssign is one assignment to the variable that is looked for.
type shellAssign struct {
	shellWord
	valFrom     int
	conditional bool
}

// shellScan reads a file of sh well enough to find the assignments to one
// variable, and to refuse where it cannot tell.
type shellScan struct {
	data    []byte
	pos     int
	name    string
	open    []byte // the compound commands that have not ended: ( { and i, d, c for if, do, case
	subst   int
	assigns []shellAssign

	// the command that is being read
	first       string // its first word; "": none so far
	any         bool
	target      bool // the next word belongs to a redirection
	conditional bool
	pending     []shellAssign
}

func (s *shellScan) fail(offset int, why string) error {
	return &SyntaxError{Shell, lineAt(s.data, offset), why}
}

func scanShell(data []byte, name string) ([]shellAssign, error) {
	s := &shellScan{data: data, name: name}
	if i := bytes.Index(data, []byte("\r\n")); i >= 0 {
		return nil, s.fail(i, "the lines end as on Windows: a shell takes that as part of the value")
	}
	for s.pos < len(data) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.endCommand(false)
	if len(s.open) > 0 {
		return nil, s.fail(len(data), "a compound command does not end")
	}
	return s.assigns, nil
}

func (s *shellScan) peek(n int) byte {
	if s.pos+n < len(s.data) {
		return s.data[s.pos+n]
	}
	return 0
}

func (s *shellScan) step() error {
	c := s.data[s.pos]
	switch {
	case isBlank(c):
		s.pos++
	case c == '\\' && s.peek(1) == '\n':
		s.pos += 2
	case c == '#':
		for s.pos < len(s.data) && s.data[s.pos] != '\n' {
			s.pos++
		}
	case c == '\n' || c == ';':
		if c == ';' || s.any { // a line that ends in && goes on
			s.endCommand(false)
		}
		s.pos++
	case c == '&' || c == '|':
		s.conditional = true
		more := c == '|' || s.peek(1) == '&'
		s.endCommand(more)
		s.pos++
		if more && s.peek(0) == c {
			s.pos++
		}
	case c == '(':
		s.endCommand(false)
		s.open = append(s.open, c)
		s.pos++
	case c == ')':
		s.endCommand(false)
		s.pos++
		if n := len(s.open); n > 0 && s.open[n-1] == 'c' {
			return nil // ends a pattern
		}
		return s.close('(')
	case c == '<' || c == '>':
		if s.peek(1) == '<' && c == '<' {
			return s.fail(s.pos, "here-documents are not understood")
		}
		s.pos++
		for s.peek(0) == '>' || s.peek(0) == '&' || s.peek(0) == '|' {
			s.pos++
		}
		s.target, s.any = true, true
	default:
		return s.readWord()
	}
	return nil
}

func (s *shellScan) endCommand(conditional bool) {
	if s.first == "" || s.first == "export" {
		for _, a := range s.pending {
			a.conditional = s.conditional || len(s.open) > 0
			s.assigns = append(s.assigns, a)
		}
	}
	s.first, s.any, s.target, s.pending = "", false, false, nil
	s.conditional = conditional
}

func (s *shellScan) readWord() error {
	w, err := s.word()
	if err != nil {
		return err
	}
	raw := string(s.data[w.from:w.to])
	name, _, isAssign := strings.Cut(raw, "=")
	isAssign = isAssign && isName(strings.TrimSuffix(name, "+"))
	ours := isAssign && strings.TrimSuffix(name, "+") == s.name
	s.any = true
	switch {
	case s.target:
		s.target = false
	case s.first != "" && s.first != "export":
		if changesVariables(s.first) && (raw == s.name || ours) {
			return s.fail(w.from, "a command changes the variable, or makes it read-only")
		}
	case isAssign:
		if ours && strings.HasSuffix(name, "+") {
			return s.fail(w.from, "+= is no sh")
		}
		if ours {
			a := shellAssign{shellWord: w, valFrom: w.from + len(name) + 1}
			a.chars = a.chars[min(len(name)+1, len(a.chars)):]
			s.pending = append(s.pending, a)
		}
	case s.first == "":
		return s.command(raw, w.from)
	}
	return nil
}

// command takes the first word of a command, or a reserved word.
func (s *shellScan) command(word string, offset int) error {
	if len(s.pending) > 0 { // NAME=value command: for that command alone
		s.first = word
		return nil
	}
	var err error
	switch word {
	case "if", "do", "{", "case":
		s.open = append(s.open, word[0])
	case "fi":
		err = s.close('i')
	case "done":
		err = s.close('d')
	case "}":
		err = s.close('{')
	case "esac":
		err = s.close('c')
	case ".", "source", "eval", "exit", "return", "exec":
		return s.fail(offset, "what this command does to the variable cannot be told")
	default:
	}
	switch word {
	case "if", "then", "else", "elif", "do", "while", "until", "!", "{":
		s.any = false // a command follows
	default:
		s.first = word
	}
	return err
}

// close ends the innermost compound command, which must be of this kind.
func (s *shellScan) close(kind byte) error {
	n := len(s.open)
	if n == 0 || s.open[n-1] != kind {
		return s.fail(s.pos-1, "a compound command ends that did not begin")
	}
	s.open = s.open[:n-1]
	return nil
}

// word reads one word from pos.
func (s *shellScan) word() (shellWord, error) {
	w := shellWord{from: s.pos}
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c == '\n' || isBlank(c) || strings.IndexByte(";&|<>()", c) >= 0 {
			break
		}
		var err error
		switch {
		case c == '\\' && s.peek(1) == '\n':
			s.pos += 2
		case c == '\\' && s.pos+1 == len(s.data):
			err = s.fail(s.pos, "the file ends in a backslash")
		case c == '\\':
			w.put(shellChar{c: s.peek(1), from: s.pos, to: s.pos + 2}, 0)
			s.pos += 2
		case c == '\'':
			err = s.single(&w)
		case c == '"':
			err = s.double(&w)
		case c == '$' && (s.peek(1) == '\'' || s.peek(1) == '"'):
			w.odd = true
			s.pos++
		case c == '$' || c == '`':
			err = s.expand(&w, 0)
		default:
			w.put(shellChar{c: c, from: s.pos, to: s.pos + 1}, 0)
			s.pos++
		}
		if err != nil {
			return w, err
		}
	}
	w.to = s.pos
	return w, nil
}

// put adds a character; unquoted ones open a run of their own.
func (w *shellWord) put(c shellChar, quote byte) {
	if n := len(w.segs); quote == 0 && (n == 0 || w.segs[n-1].quote != 0) {
		w.segs = append(w.segs, shellSeg{from: c.from})
	}
	c.seg = len(w.segs) - 1
	w.segs[c.seg].to = c.to
	w.chars = append(w.chars, c)
}

func (s *shellScan) single(w *shellWord) error {
	start := s.pos
	n := bytes.IndexByte(s.data[start+1:], '\'')
	if n < 0 {
		return s.fail(start, "a quote does not end")
	}
	w.segs = append(w.segs, shellSeg{quote: '\'', from: start + 1})
	for s.pos++; s.pos < start+1+n; s.pos++ {
		w.put(shellChar{c: s.data[s.pos], from: s.pos, to: s.pos + 1}, '\'')
	}
	w.segs[len(w.segs)-1].to = s.pos
	s.pos++
	return nil
}

func (s *shellScan) double(w *shellWord) error {
	start := s.pos
	w.segs = append(w.segs, shellSeg{quote: '"', from: start + 1})
	for s.pos++; s.pos < len(s.data); {
		c := s.data[s.pos]
		switch {
		case c == '"':
			w.segs[len(w.segs)-1].to = s.pos
			s.pos++
			return nil
		case c == '\\' && s.peek(1) == '\n':
			s.pos += 2
		case c == '\\' && strings.IndexByte("$`\"\\", s.peek(1)) >= 0:
			w.put(shellChar{c: s.peek(1), from: s.pos, to: s.pos + 2}, '"')
			s.pos += 2
		case c == '$' || c == '`':
			if err := s.expand(w, '"'); err != nil {
				return err
			}
		default:
			w.put(shellChar{c: c, from: s.pos, to: s.pos + 1}, '"')
			s.pos++
		}
	}
	return s.fail(start, "a quote does not end")
}

// expand reads past what begins with $ or a backtick.
func (s *shellScan) expand(w *shellWord, quote byte) error {
	start := s.pos
	c := shellChar{c: '$', from: start, to: start + 1}
	next := s.peek(1)
	switch {
	case s.data[start] == '`':
		s.pos++
		for s.pos < len(s.data) && s.data[s.pos] != '`' {
			if s.data[s.pos] == '\\' {
				s.pos++
			}
			s.pos++
		}
		if s.pos >= len(s.data) {
			return s.fail(start, "a command substitution does not end")
		}
		s.pos++
		w.subst, c.ref = true, "`"
	case next == '(':
		s.pos += 2
		if err := s.nested(start, '(', ')', 0); err != nil {
			return err
		}
		w.subst, c.ref = true, "("
	case next == '{':
		s.pos += 2
		if err := s.nested(start, '{', '}', quote); err != nil {
			return err
		}
		c.ref = string(s.data[start+2 : s.pos-1])
		w.odd = w.odd || !isName(c.ref)
		if rest, ok := strings.CutPrefix(c.ref, s.name); ok && strings.HasPrefix(strings.TrimPrefix(rest, ":"), "=") {
			return s.fail(start, "the variable is changed by an expansion")
		}
	case isNameByte(next):
		s.pos++
		for isNameByte(s.peek(0)) {
			s.pos++
		}
		c.ref = string(s.data[start+1 : s.pos])
	case next != 0 && strings.IndexByte("@*#?-$!", next) >= 0:
		s.pos += 2
		c.ref = string(next)
	default:
		s.pos++
	}
	c.to = s.pos
	w.put(c, quote)
	return nil
}

// nested reads past the end of an expansion, with pos behind what opened it.
// Within double quotes single ones mean themselves.
func (s *shellScan) nested(start int, opened, closed, quote byte) error {
	if s.subst++; s.subst > maxSubst {
		return s.fail(start, "expansions lie too deep")
	}
	defer func() { s.subst-- }()
	var skipped shellWord
	for depth := 1; s.pos < len(s.data); {
		var err error
		switch c := s.data[s.pos]; {
		case c == '\\':
			s.pos += 2
		case c == '\'' && quote == 0:
			err = s.single(&skipped)
		case c == '"':
			err = s.double(&skipped)
		case c == '$' || c == '`':
			err = s.expand(&skipped, 0)
		case c == closed:
			s.pos++
			if depth--; depth == 0 {
				return nil
			}
		case c == opened && c == '(':
			depth++
			s.pos++
		default:
			s.pos++
		}
		if err != nil {
			return err
		}
	}
	return s.fail(start, "an expansion does not end")
}
