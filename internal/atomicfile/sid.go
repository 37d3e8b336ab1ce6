package atomicfile

// Well-known security identifiers ([MS-DTYP] section 2.4.2.4).
const (
	sidSystem         = "S-1-5-18"
	sidAdministrators = "S-1-5-32-544"
)

// foreignSID says whether an owner is neither the user, nor the system, nor its
// administrators. "", which is nobody, is.
func foreignSID(owner, user string) bool {
	return owner == "" || owner != user && owner != sidSystem && owner != sidAdministrators
}
