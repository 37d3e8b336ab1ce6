package trust

import (
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	mostSiblings = 4096 // folders of one certs.d that are looked at
	nearBy       = 2    // letters that differ in a typing error
	tooShort     = 5    // letters of a name of which that is too large a part
)

// NearMisses are the folders beside those that tools look for when they want
// the CAs of h, whose names look as if they were meant: a letter is wrong, the
// port is missing or too much. They may hold any byte.
func NearMisses(m machine.Machine, h ref.Host) []string {
	if h.IsZero() {
		return nil
	}
	var certs []string
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		for _, dir := range e.certs {
			certs = appendNew(certs, dir)
		}
	}
	for _, dir := range []string{m.Podman.UserCerts, m.Podman.CertsDir, m.Containerd.CertsDir, m.Containerd.UserCerts} {
		if dir != "" {
			certs = appendNew(certs, dir)
		}
	}
	var out []string
	for _, dir := range certs {
		entries, err := m.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries[:min(len(entries), mostSiblings)] {
			if e.IsDir() && nearMiss(m, h, e.Name()) {
				out = append(out, m.Join(dir, e.Name()))
			}
		}
	}
	return out
}

func nearMiss(m machine.Machine, h ref.Host, name string) bool {
	want := h.Spellings()
	if m.GOOS == "windows" {
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], ":", "")
		}
	}
	if slices.Contains(want, name) || len(name) > 300 {
		return false
	}
	if low := strings.ToLower(name); slices.Contains(want, low) {
		return true // it counts for a reference in capitals alone
	}
	if other, err := ref.ParseHost(strings.TrimSuffix(strings.Replace(name, "_", ":", 1), "_")); err == nil {
		switch {
		case other.Name() == h.Name() && strings.Contains(name, "_"):
			return true // the form that only containerd knows
		case other.Name() == h.Name():
			return other.HasPort() != h.HasPort() || !other.HasPort()
		case h.IsIP() || other.IsIP():
			return false // addresses are alike
		}
	}
	// Names that differ by a number are those of two machines.
	return len(name) >= tooShort && slices.ContainsFunc(want, func(w string) bool {
		return letters(w) != letters(name) && distance(w, name) <= nearBy
	})
}

// letters is a name with all its digits alike.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
}

// distance is how many bytes have to be put in, taken out or changed (Levenshtein).
func distance(a, b string) int {
	if max(len(a)-len(b), len(b)-len(a)) > nearBy {
		return nearBy + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			corner, row[j+1] = row[j+1], min(corner+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
