package cmd

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vicr-cli/vicr"

// mayImport is the house: what each package may import of ours. An arrow that
// is not here fails; a new one changes this table and says why in its commit.
var mayImport = map[string]string{
	"":                    "cmd",
	"cmd":                 "*",
	"internal/ref":        "",
	"internal/pki":        "",
	"internal/atomicfile": "",
	"internal/edit":       "",
	// How a command is written so that it can be pasted: five rooms did it, each in its own way.
	"internal/shell":   "",
	"internal/change":  "internal/atomicfile internal/edit internal/shell",
	"internal/machine": "",
	"internal/wire":    "internal/ref internal/pki",
	"internal/auth":    "internal/ref internal/atomicfile internal/wire",
	"internal/probe":   "internal/ref internal/pki internal/wire",
	"internal/harbor":  "internal/ref",
	"internal/trust":   "internal/ref internal/pki internal/edit internal/change internal/machine internal/shell",
	"internal/memo":    "internal/atomicfile",
	// The defaults of flags that the user keeps: a file of vicr's own, which only cmd reads.
	"internal/settings": "internal/atomicfile",
	// What was pushed is remembered, so that the HEAD that saves a second push is not spent on the first.
	"internal/registry": "internal/ref internal/wire internal/transfer internal/memo",
	"internal/store":    "internal/ref internal/atomicfile internal/transfer",
	// An archive is a file or a stream and no folder: what the store promises of its
	// folder does not hold there, and what waits is in scratch files as in engine.
	"internal/archive": "internal/atomicfile internal/transfer",
	// What an engine gives out by save and takes by load is an archive.
	"internal/engine": "internal/ref internal/transfer internal/atomicfile internal/archive internal/memo internal/relay",
	// The registry on loopback is a server; engine, which has it used, is a client of the engine's API.
	"internal/relay":    "internal/transfer",
	"internal/transfer": "",
	// Proving asks several rooms; in cmd it would be logic.
	"internal/proof":  "internal/ref internal/pki internal/atomicfile internal/edit internal/change internal/machine internal/wire internal/engine",
	"internal/doctor": "internal/ref internal/pki internal/wire internal/auth internal/probe internal/harbor internal/machine internal/trust internal/registry internal/engine internal/shell",
	// The owner of a file is read as package atomicfile records it.
	"internal/status": "internal/ref internal/pki internal/atomicfile internal/edit internal/change internal/machine internal/trust internal/shell",
	// What a registry has, by whichever API it speaks; in cmd it would be logic.
	"internal/listing": "internal/ref internal/harbor internal/registry internal/transfer",
	// What trust does once it was agreed to; in cmd it would be logic.
	"internal/install": "internal/pki internal/atomicfile internal/change internal/machine internal/trust internal/proof internal/engine internal/edit internal/ref",
	"internal/sandbox": "internal/atomicfile",
	"internal/testkit": "*",
	// A program of its own: it runs vicr as everybody does.
	"internal/bench": "",
	// The contract of Source and Sink as a suite, for tests of the rooms that fit them.
	"internal/transfer/transfertest": "internal/transfer",
}

func TestImportsFollowTheHouse(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for l := range strings.Lines(string(out)) {
		f := strings.Fields(l)
		pkg := strings.TrimPrefix(strings.TrimPrefix(f[0], module), "/")
		allowed, ok := mayImport[pkg]
		if !ok {
			t.Errorf("%s is no room of the house", pkg)
			continue
		}
		seen++
		for _, imp := range f[1:] {
			own, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if own == "internal/testkit" || own == "internal/transfer/transfertest" {
				t.Errorf("%s is not a test and imports %s", pkg, own)
			}
			if allowed != "*" && !slices.Contains(strings.Fields(allowed), own) {
				t.Errorf("%s must not import %s", pkg, own)
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("the table has %d rooms, the house %d", len(mayImport), seen)
	}
}
