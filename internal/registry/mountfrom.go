package registry

// mountable is the repository to mount blobs out of; "" if there is none.
func (r *Repository) mountable() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noFrom || r.from == r.img.Repository {
		return ""
	}
	return r.from
}

// notMountable notes that a blob did not come out of the other repository: the
// registry does not mount, or refuses this user (Harbor, with 401, for which a
// new token is fetched each time). It is not asked for every other blob again.
func (r *Repository) notMountable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noFrom = true
}
