package harbor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The states of a [Scan].
const (
	ScanNone    = "none"    // the image was not scanned
	ScanRunning = "running" // or waits for it
	ScanFailed  = "failed"
	ScanDone    = "done"
)

// severities, the worst first, as Harbor 2.x writes them
// (src/pkg/scan/vuln/severity.go).
var severities = []string{"Critical", "High", "Medium", "Low", "Negligible", "Unknown"}

// A Scan is the summary of what a scanner found in an image.
type Scan struct {
	State string
	Found map[string]int // by severity in lower case, "critical": 2; those with none are left out
}

// String is "2 critical, 5 high", "nothing found", "not scanned", "scan running"
// or "scan failed".
func (s *Scan) String() string {
	switch s.State {
	case ScanNone:
		return "not scanned"
	case ScanDone:
	default:
		return "scan " + s.State
	}
	var parts []string
	for _, severity := range severities {
		severity = strings.ToLower(severity)
		if n := s.Found[severity]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, severity))
		}
	}
	if len(parts) == 0 {
		return "nothing found"
	}
	return strings.Join(parts, ", ")
}

// parseScan reads the reports of all scanners, by media type. Of several, what
// one found counts before what one is still to find.
func parseScan(reports map[string]json.RawMessage) *Scan {
	order := []string{ScanNone, ScanFailed, ScanRunning, ScanDone}
	best := &Scan{State: ScanNone}
	for _, key := range slices.Sorted(maps.Keys(reports)) {
		if s := readScan(reports[key]); slices.Index(order, s.State) > slices.Index(order, best.State) {
			best = s
		}
	}
	return best
}

func readScan(raw json.RawMessage) *Scan {
	var r struct {
		Status  string `json:"scan_status"`
		Summary struct {
			Summary map[string]int `json:"summary"`
		} `json:"summary"`
	}
	if json.Unmarshal(raw, &r) != nil {
		return &Scan{State: ScanNone}
	}
	switch r.Status {
	case "Success":
		s := &Scan{State: ScanDone, Found: map[string]int{}}
		for _, severity := range severities {
			if n := r.Summary.Summary[severity]; n > 0 {
				s.Found[strings.ToLower(severity)] = n
			}
		}
		return s
	case "Pending", "Scheduled", "Running":
		return &Scan{State: ScanRunning}
	case "Error", "Stopped":
		return &Scan{State: ScanFailed}
	}
	return &Scan{State: ScanNone}
}
