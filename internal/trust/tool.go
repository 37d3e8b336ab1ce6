// Package trust knows for each container tool where it looks for the CA of one
// registry, which anchors apply to a registry on this machine, and plans what
// makes a tool trust it. It plans for any GOOS on any GOOS and writes nothing.
package trust

import (
	"fmt"
	"slices"
	"strings"
)

// A Tool is something that can be made to trust a registry, named as in --for.
type Tool string

// The tools.
const (
	ToolVicr       Tool = "vicr"
	ToolDocker     Tool = "docker"
	ToolPodman     Tool = "podman" // with Skopeo, Buildah and CRI-O
	ToolContainerd Tool = "containerd"
	ToolBuildKit   Tool = "buildkit"
	ToolK3s        Tool = "k3s" // and rke2
	ToolNotary     Tool = "notary"
	ToolSystem     Tool = "system"
)

// Tools are all that are known, in the order in which they are planned.
func Tools() []Tool {
	return []Tool{ToolVicr, ToolDocker, ToolPodman, ToolContainerd, ToolBuildKit, ToolK3s, ToolNotary, ToolSystem}
}

// An UnknownToolError names a tool that is not known.
type UnknownToolError struct {
	Name  string // as typed; may hold any byte
	Known []Tool
}

func (e *UnknownToolError) Error() string {
	known := make([]string, len(e.Known))
	for i, t := range e.Known {
		known[i] = string(t)
	}
	return fmt.Sprintf("unknown tool %q: known are %s", e.Name, strings.Join(known, ", "))
}

// ParseTools reads the comma-separated list of --for; an empty list means the
// default and is nil. It returns an [*UnknownToolError].
func ParseTools(list string) ([]Tool, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var tools []Tool
	for name := range strings.SplitSeq(list, ",") {
		tools = append(tools, Tool(strings.TrimSpace(name)))
	}
	return distinct(tools)
}

func distinct(tools []Tool) ([]Tool, error) {
	var once []Tool
	for _, t := range tools {
		if !slices.Contains(Tools(), t) {
			return nil, &UnknownToolError{Name: string(t), Known: Tools()}
		}
		if !slices.Contains(once, t) {
			once = append(once, t)
		}
	}
	return once, nil
}
