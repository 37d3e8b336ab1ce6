package edit

import "strings"

// Lines are the edit as people read it: what comes and what goes, and nothing
// of what else the file holds, which may be somebody's secret.
func (e Edit) Lines() []string {
	sign := "+ "
	if e.Remove {
		sign = "- "
	}
	var lines []string
	switch e.Format {
	case JSON:
		lines = []string{e.Key + `: "` + e.Value + `"`}
	case Shell:
		lines = []string{e.Key + ": " + insecureFlag + " " + e.Value}
	case Set:
		lines = []string{"[" + e.Key + "]", "  " + e.Value + " = " + e.Body}
	case TOML:
		lines = append([]string{"[" + e.Key + `."` + e.Value + `"]`}, bodyLines(e.Body)...)
	case YAML:
		lines = bodyLines(e.Body)
	}
	for i := range lines {
		lines[i] = sign + lines[i]
	}
	return lines
}

func bodyLines(body string) []string { return strings.Split(strings.TrimRight(body, "\n"), "\n") }
