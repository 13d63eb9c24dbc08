# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Things that every script of the lab needs: where the cache is, how to talk,
# how to do a step of set-up once.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOP_DIR=$(dirname "$LAB_DIR")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hvx
export LAB_DIR TOP_DIR CACHE

say() { printf 'lab: %s\n' "$*" >&2; }

die() {
	printf 'lab: error: %s\n' "$*" >&2
	exit 1
}

# The log of a step that is too chatty for the terminal; shown if it fails.
quietly() {
	local name=$1 log
	shift
	log=$CACHE/log/$name.log
	mkdir -p "$CACHE/log"
	"$@" >"$log" 2>&1 && return 0
	say "$name failed; the end of $log:"
	tail -n 25 "$log" >&2
	return 1
}

# The digest of what a step was made from; arguments are words or files.
key_of() {
	local a
	for a in "$@"; do
		if [ -f "$a" ]; then cat "$a"; else printf '%s\n' "$a"; fi
	done | sha256sum | cut -c1-16
}

# once NAME KEY FUNCTION: run FUNCTION unless it was already done for this KEY.
# Callers at the same time wait for the one that does it.
once() {
	local name=$1 key=$2 func=$3 stamp=$CACHE/stamp/$1 t0
	[ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return 0
	mkdir -p "$CACHE/stamp"
	(
		flock -n 9 || {
			say "$name: waiting for another set-up of it"
			flock 9
		}
		[ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && exit 0
		t0=$SECONDS
		# No '||' here: it would switch 'set -e' off inside the step.
		"$func"
		printf '%s\n' "$key" >"$stamp"
		say "$name: ready ($((SECONDS - t0)) s)"
	) 9>"$CACHE/stamp/$name.lock"
}

need_root() {
	[ "$(id -u)" = 0 ] || die "$1 needs root: run this once as root, or install it by hand"
}
