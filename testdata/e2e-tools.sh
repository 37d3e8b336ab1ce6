#!/bin/sh
# The engines that Debian does not have, and a Debian with systemd and Docker in
# a folder, for the end-to-end tests, made in a cache folder: $VICR_E2E_BIN, else
# vicr-e2e/bin in the user's cache folder. What is there already is not made
# again. FULL=1 adds an engine of the 29.0 line, whose containerd store forgets
# a registry's CA at the token request, and a registry of Distribution 3, which
# keeps what arrived of an upload that broke.
set -eu

DOCKERD=v2.0.0-beta.24
DOCKERD_TOKEN_FAULT=v2.0.0-beta.1
DISTRIBUTION=v3.0.0
CONTAINERD=v2.4.2

bin=${VICR_E2E_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/vicr-e2e/bin}
mkdir -p "$bin"

# install FOLDER VERSION MODULE PROGRAM...: programs of a module, by a scratch
# module, since go install refuses a module that excludes others. The stamp has
# the version, so that a new one is built.
install() {
	folder=$1 version=$2 module=$3
	shift 3
	for program; do
		stamp=$folder/.$program
		[ -x "$folder/$program" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && continue
		scratch=$(mktemp -d)
		(
			cd "$scratch"
			go mod init scratch
			go get "$module/cmd/$program@$version"
			CGO_ENABLED=0 go build -ldflags='-s -w' -o "$folder/.new" "$module/cmd/$program"
		)
		rm -r "$scratch"
		mkdir -p "$folder"
		mv "$folder/.new" "$folder/$program"
		echo "$version" >"$stamp"
	done
}

# The machine: about 45 s and 600 MB. Needs root and debootstrap.
if [ ! -e "$bin/machine/.done" ]; then
	rm -rf "$bin/machine"
	debootstrap --variant=minbase --include=ca-certificates,systemd,systemd-sysv,dbus,docker.io,curl,procps \
		bookworm "$bin/machine" >"$bin/machine.log" || { tail "$bin/machine.log"; exit 1; }
	rm -f "$bin"/machine/var/cache/apt/archives/*.deb
	touch "$bin/machine/.done"
fi

install "$bin" $CONTAINERD github.com/containerd/containerd/v2 containerd containerd-shim-runc-v2 ctr
install "$bin" $DOCKERD github.com/moby/moby/v2 dockerd
if [ -n "${FULL:-}" ]; then
	install "$bin/token-fault" $DOCKERD_TOKEN_FAULT github.com/moby/moby/v2 dockerd
	install "$bin/distribution" $DISTRIBUTION github.com/distribution/distribution/v3 registry
fi
