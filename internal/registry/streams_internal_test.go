package registry

import "testing"

// Speeds are in MB/s. More connections help where more of them were faster
// together and each of the others is no faster for being alone.
func TestWhatWasFasterTogetherShowsThatMoreConnectionsHelp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seen []load
		want bool
	}{
		"each is held to a speed":              {[]load{{120, 6}, {50, 2}}, true},
		"one is left":                          {[]load{{120, 6}, {25, 1}}, true},
		"the line is shared":                   {[]load{{120, 6}, {110, 2}}, false},
		"what they share is a machine":         {[]load{{600, 6}, {400, 2}}, false},
		"hardly fewer":                         {[]load{{120, 6}, {100, 5}}, false},
		"as many, and slower for now":          {[]load{{120, 6}, {40, 6}}, false},
		"more, and slower for now":             {[]load{{50, 2}, {40, 6}}, false},
		"they became more":                     {[]load{{25, 1}, {50, 2}}, false},
		"the fastest counts, not the last one": {[]load{{120, 6}, {60, 6}, {50, 2}}, true},
		"nothing is known":                     {[]load{{25, 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewStreams(6)
			var got bool
			for _, l := range test.seen {
				got = s.saw(load{l.rate * 1e6, l.bodies})
			}
			if got != test.want || s.helps() != test.want {
				t.Errorf("got %t, helps %t", got, s.helps())
			}
		})
	}
}
