package machine

import "sync"

// LookForCerts sees where Docker engines keep the CAs and the client
// certificates of registries, and nothing else: it is what a connection needs.
// Of these folders, those that are there are the ones that [Look] sees, at the
// price of a few questions to the file system.
func LookForCerts(o Options) Machine {
	m, o := begin(o)
	if o.GOOS != linux { // there nothing else costs more
		m.Docker = lookDocker(m, o)
		return m
	}
	m.Docker = Docker{CertsDir: etcDocker + "/" + certsD}
	v := variants{m: m, o: o, uid: userID(o)}
	v.running = sync.OnceValue(v.whoReadsOwnCerts)
	m.Docker.lookForSnap(v)
	if o.Root == "" {
		s := signs{socket: firstSocket(m, usualSockets()...)} // no rootless engine's
		m.Docker.lookAtUser(v, &s)
		m.Docker.lookAtHost(v, &s)
	}
	m.Docker.leaveToUser(o)
	return m
}

// whoReadsOwnCerts looks through the processes, of which there may be
// thousands, only where it is one of them that says whether a folder counts:
// a user's own, if a rootless engine runs. What a snap has tells of it by itself.
func (v variants) whoReadsOwnCerts() dockerds {
	certs := within(linux, v.o.userConfig(), "docker", certsD)
	if v.uid <= 0 || certs == "" || !v.m.isDir(certs) {
		return dockerds{}
	}
	return lookDockerds(v.m, v.o, v.uid)
}
