# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Kernels for the emulated hosts. Each ends up as
#
#   $CACHE/kernel/NAME/vmlinuz, lib/modules/RELEASE/, release   what is booted
#   $CACHE/kernel/NAME/kdir                                      the 'make -C' directory
#
# NAME is 6.1, 6.12, sid (Debian's cloud flavour, which boots fastest), the same
# with '-full' (the flavour with all drivers), or debug.

KERNEL_DIR=$CACHE/kernel

# What a name stands for: apt group, how package names begin, flavour.
kernel_facts() {
	case $1 in
	6.1 | 6.1-full) group=stable ver='6\.1\.0-[0-9]+' prefix=6.1. ;;
	6.12 | 6.12-full) group=stable ver='6\.12\.[0-9]+\+deb12' prefix=6.12. ;;
	sid | sid-full) group=sid ver='[0-9][0-9.]*\+deb[0-9]+' prefix='' ;;
	*) die "no such kernel: $1" ;;
	esac
	case $1 in
	*-full) flavour=amd64 ;;
	*) flavour=cloud-amd64 ;;
	esac
}

# Sets $release for a kernel name.
find_release() {
	local group ver prefix flavour image
	kernel_facts "$1"
	apt_lists "$group"
	image=$(newest "$group" "linux-image-$prefix" "linux-image-$ver-$flavour")
	[ -n "$image" ] || die "no Debian kernel found for $1 (linux-image-$ver-$flavour)"
	release=${image#linux-image-}
}

stock_kernel() {
	local name=$1 dir=$KERNEL_DIR/$1 release group ver prefix flavour deps
	kernel_facts "$name"
	find_release "$name"
	say "kernel $name is $release"
	rm -rf "$dir" "$dir.new"
	# Newer Debian kernels spread the image over several packages.
	mapfile -t deps < <(depends "$group" "linux-image-$release" \
		"linux-(binary|modules|base)-${release//+/\\+}")
	extract "$group" "$dir.new" "linux-image-$release" "${deps[@]}"
	kernel_layout "$dir.new" "$release"
	if [ "$group" = sid ]; then
		sid_headers "$release"
		echo "/usr/src/linux-headers-$release" >"$dir.new/kdir"
	else
		stock_headers "$dir" "$release" "$group"
	fi
	mv "$dir.new" "$dir"
}

# Bring the places of the image and the modules into one form.
kernel_layout() {
	local dir=$1 release=$2 f
	for f in "$dir/boot/vmlinuz-$release" "$dir/usr/lib/modules/$release/vmlinuz" \
		"$dir/lib/modules/$release/vmlinuz"; do
		[ ! -f "$f" ] || ln -sf "${f#"$dir"/}" "$dir/vmlinuz"
	done
	[ -e "$dir/vmlinuz" ] || die "no vmlinuz in the packages of $release"
	[ -e "$dir/lib/modules" ] || ln -s usr/lib "$dir/lib"
	depmod -b "$dir" "$release"
	echo "$release" >"$dir/release"
}

stock_headers() {
	local dir=$1 release=$2 group=$3 deps
	mapfile -t deps < <(depends "$group" "linux-headers-$release" \
		'linux-(headers-.*-common|kbuild-.*)')
	extract "$group" "$dir.new" "linux-headers-$release" "${deps[@]}"
	# The packages say /usr/src; these live elsewhere.
	sed -i "s#/usr/src/#$dir/usr/src/#" "$dir.new/usr/src/linux-headers-$release/Makefile"
	echo "$dir/usr/src/linux-headers-$release" >"$dir.new/kdir"
}

# The newest kernel is built with the newest compiler and C library, which only
# its own suite has.
SID=$CACHE/sid

sid_chroot() {
	packages debootstrap debian-archive-keyring
	need_root "making a chroot"
	[ -n "$(mirror Debian)" ] || refresh_lists
	local site
	site=$(mirror Debian)
	[ -n "$site" ] || die "apt knows no Debian mirror for the chroot"
	say "making a chroot of Debian sid"
	rm -rf --one-file-system "$SID" "$SID.new"
	quietly debootstrap debootstrap --variant=minbase --include=make,kmod sid "$SID.new" "$site" ||
		die "debootstrap failed"
	# Downloads go the way that this system's do (proxy, checks of dates).
	apt-config dump | grep -E '^Acquire::(Check-|Retries|https?::|Force)' >"$SID.new/etc/apt/apt.conf.d/00lab" || true
	mv "$SID.new" "$SID"
}

sid_headers() {
	once chroot-sid 1 sid_chroot
	say "installing linux-headers-$1 in the chroot"
	quietly sid-headers in_sid sh -c "apt-get update -q &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends linux-headers-$1" ||
		die "could not install linux-headers-$1 in the chroot"
	rm -f "$SID"/var/cache/apt/archives/*.deb
}

# in_sid COMMAND...: run it in the chroot, the source tree in its usual place.
in_sid() {
	[ "$(id -u)" = 0 ] || die "the chroot for sid's kernel needs root"
	mkdir -p "$SID$TOP_DIR"
	# shellcheck disable=SC2016
	unshare -m --propagation private sh -ec '
		mount -t proc proc "$0/proc"
		mount --bind /dev "$0/dev"
		mount --bind "$1" "$0$1"
		root=$0; dir=$1; shift
		exec chroot "$root" env -C "$dir" "$@"' "$SID" "$TOP_DIR" "$@"
}

DEBUG_PACKAGES="build-essential flex bison bc libelf-dev libssl-dev kmod xz-utils lz4 python3 rsync"

# linux-source of the 6.1 series, for the debug kernel and for checkpatch.
source_61() {
	local dir=$CACHE/linux-source
	apt_lists stable
	rm -rf "$dir" "$dir.new" "$dir.deb"
	extract stable "$dir.deb" linux-source-6.1
	say "unpacking the kernel source"
	mkdir "$dir.new"
	tar -C "$dir.new" --strip-components=1 -xf "$dir.deb/usr/src/linux-source-6.1.tar.xz"
	rm -rf "$dir.deb"
	mv "$dir.new" "$dir"
}

debug_kernel() {
	local src=$CACHE/linux-source dir=$KERNEL_DIR/debug bld=$CACHE/build-debug release
	# shellcheck disable=SC2086
	packages $DEBUG_PACKAGES
	once source-6.1 1 source_61
	say "building the debug kernel (7 to 15 minutes)"
	rm -rf "$dir" "$dir.new"
	mkdir -p "$bld" "$dir.new"
	quietly debug-config make -C "$src" O="$bld" tinyconfig
	quietly debug-merge "$src/scripts/kconfig/merge_config.sh" -m -O "$bld" \
		"$bld/.config" "$LAB_DIR/debug.config"
	quietly debug-olddefconfig make -C "$src" O="$bld" olddefconfig
	check_config "$bld/.config"
	quietly debug-kernel nice -n 10 make -C "$bld" -j"${LAB_JOBS:-$(nproc)}" bzImage modules ||
		die "the debug kernel did not build"
	quietly debug-modules make -C "$bld" INSTALL_MOD_PATH="$dir.new" INSTALL_MOD_STRIP=1 modules_install
	cp "$bld/arch/x86/boot/bzImage" "$dir.new/vmlinuz"
	release=$(make -s -C "$bld" kernelrelease)
	echo "$release" >"$dir.new/release"
	echo "$bld" >"$dir.new/kdir"
	mv "$dir.new" "$dir"
}

# A debug option that silently did not take would make the debug runs worthless.
check_config() {
	local line missing=()
	while read -r line; do
		grep -qxF "$line" "$1" || missing+=("$line")
	done < <(sed -n '/^# must hold/,$p' "$LAB_DIR/debug.config" | grep -E '^CONFIG_')
	[ ${#missing[@]} -eq 0 ] || die "the debug kernel lost these options: ${missing[*]}"
}
