#!/bin/sh
# The main road, run for real: sh testdata/demo.sh PATH-OF-VICR
# A registry on 127.0.0.1, a home of its own, nothing left behind.
set -eu
exec 2>&1 # what vicr says stands beside what it answers

vicr=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
home=$(mktemp -d)
sandbox=
cleanup() {
	[ -z "$sandbox" ] || { kill "$sandbox" 2>/dev/null && wait "$sandbox" 2>/dev/null; } || true
	chmod -R u+w "$home"
	rm -rf "$home"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Nothing of the user's own settings takes part.
export HOME="$home" XDG_CONFIG_HOME="$home/config" XDG_DATA_HOME="$home/data" \
	XDG_STATE_HOME="$home/state" XDG_CACHE_HOME="$home/cache" DOCKER_CONFIG="$home/docker"
unset DOCKER_AUTH_CONFIG REGISTRY_AUTH_FILE HTTP_PROXY HTTPS_PROXY http_proxy https_proxy \
	SUDO_UID SSL_CERT_FILE SSL_CERT_DIR

run() {
	printf '\n$ vicr %s\n' "$*"
	"$vicr" "$@"
}

echo '$ vicr sandbox &'
"$vicr" sandbox --format '{{.Host}} {{.Fingerprint}}{{range .Users}} {{.Name}} {{.Password}}{{end}}' >"$home/sandbox" &
sandbox=$!
tries=0
until [ -s "$home/sandbox" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || { echo 'the sandbox did not start' >&2; exit 1; }
	sleep 0.1
done
read -r host fingerprint admin admin_password user password <"$home/sandbox"
echo "a registry is at $host, with a CA that nobody knows"

run trust --for vicr "$host" --fingerprint "$fingerprint"

printf '\n$ vicr login %s -u %s --password-stdin < password\n' "$host" "$user"
printf '%s\n' "$password" | "$vicr" login "$host" -u "$user" --password-stdin

run pull --to store "$host/library/ubuntu:14.04"
run tag --in store "$host/library/ubuntu:14.04" "$host/demo/ubuntu:14.04"
run push --from store "$host/demo/ubuntu:14.04" | tee "$home/pushed"
run pull --to "oci:$home/back" "$host/demo/ubuntu:14.04" | tee "$home/back.digest"
run ls "$host/demo/ubuntu"
run logout "$host"
run untrust "$host"

pushed=$(sed -n 's/.*@//p' "$home/pushed")
back=$(sed -n 's/.*@//p' "$home/back.digest")
echo
if [ -z "$pushed" ] || [ "$pushed" != "$back" ]; then
	echo "pushed $pushed, pulled back $back" >&2
	exit 1
fi
echo "pushed and pulled back are the same: $back"
