# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Debian packages. What the lab needs on this machine is installed; what it only
# needs the files of (kernels, headers, sources of other suites) is downloaded
# through private lists, so that the system's own apt configuration stays as it is.

# The mirror that this system's apt uses, for a label (Debian, Debian-Security).
mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(SITE)' |
		awk -F'|' -v l="$1" '$1 == l && $2 == "main" { print $3; exit }'
}

refresh_lists() {
	# One 'apt-get update' an hour is enough for all steps.
	local stamp=$CACHE/stamp/apt-update
	mkdir -p "$CACHE/stamp"
	[ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] && return 0
	quietly apt-update apt-get update -q || die "'apt-get update' failed: no package mirror within reach?"
	touch "$stamp"
}

# packages PKG...: install those that are missing.
packages() {
	local missing
	# shellcheck disable=SC2016
	mapfile -t missing < <(printf '%s\n' "$@" | grep -vxF -f <(
		dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
			sed -n 's/ installed$//p'))
	[ ${#missing[@]} -eq 0 ] && return 0
	mkdir -p "$CACHE/stamp"
	(
		flock 9
		need_root "installing ${missing[*]}"
		say "installing ${missing[*]}"
		refresh_lists
		quietly apt-install env DEBIAN_FRONTEND=noninteractive apt-get \
			-o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "${missing[@]}" ||
			die "apt-get could not install ${missing[*]}"
	) 9>"$CACHE/stamp/packages.lock"
}

# apt_private GROUP TOOL ARG...: an apt tool over the lab's own lists.
apt_private() {
	local dir=$CACHE/apt/$1 tool=$2
	shift 2
	"$tool" -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
		-o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false "$@"
}

# Groups of suites: 'stable' is Debian 12 with its updates and backports; the
# others are one suite each.
sources_of() {
	local site sec
	site=$(mirror Debian)
	[ -n "$site" ] || die "apt knows no Debian mirror: add one to /etc/apt/sources.list.d and run 'apt-get update'"
	local by="[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
	case $1 in
	stable)
		sec=$(mirror Debian-Security)
		echo "deb $by $site bookworm main"
		echo "deb $by $site bookworm-backports main"
		[ -z "$sec" ] || echo "deb $by $sec bookworm-security main"
		;;
	bookworm | trixie) echo "deb-src $by $site $1 main" ;;
	sid) echo "deb $by $site sid main" ;;
	esac
}

apt_lists() {
	local dir=$CACHE/apt/$1
	packages debian-archive-keyring
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	[ -n "$(mirror Debian)" ] || refresh_lists
	sources_of "$1" >"$dir/sources.list.new"
	if [ -n "$(find "$dir/updated" -mmin -60 2>/dev/null)" ] &&
		cmp -s "$dir/sources.list.new" "$dir/sources.list"; then
		return 0
	fi
	mv "$dir/sources.list.new" "$dir/sources.list"
	quietly "apt-lists-$1" apt_private "$1" apt-get update -q ||
		die "could not fetch the package lists of $1"
	touch "$dir/updated"
}

# newest GROUP PREFIX REGEX: the newest package name that matches.
newest() {
	apt_private "$1" apt-cache pkgnames "$2" | grep -E "^$3\$" | sort -V | tail -n 1
}

# extract GROUP DEST PKG...: download packages and unpack them under DEST.
extract() {
	local group=$1 dest=$2 tmp
	shift 2
	tmp=$(mktemp -d "$CACHE/deb.XXXXXX")
	say "downloading $*"
	(cd "$tmp" && quietly "download-$1" apt_private "$group" apt-get download -q "$@") ||
		die "could not download $*"
	mkdir -p "$dest"
	for deb in "$tmp"/*.deb; do dpkg -x "$deb" "$dest"; done
	rm -rf "$tmp"
}

# depends GROUP PKG REGEX: the direct dependencies of PKG that match.
depends() {
	apt_private "$1" apt-cache depends --important "$2" |
		awk '/Depends:/ { print $2 }' | grep -E "^$3\$" | sort -u || true
}
