package atomicfile

import "testing"

func TestWhoseFilesAreAnothers(t *testing.T) {
	t.Parallel()
	const ann, bob = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
	for _, tt := range []struct {
		name, owner, user string
		want              bool
	}{
		{"her own", ann, ann, false},
		{"administrators'", "S-1-5-32-544", ann, false},
		{"the system's", "S-1-5-18", ann, false},
		{"another user's", bob, ann, true},
		{"all users'", "S-1-5-32-545", ann, true},
		{"everybody's", "S-1-1-0", ann, true}, // what a file system without owners says
		{"a service's", "S-1-5-19", ann, true},
		{"nobody's", "", ann, true},
		{"nobody's, to nobody", "", "", true},
	} {
		if got := foreignSID(tt.owner, tt.user); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
