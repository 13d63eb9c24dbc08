# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# QEMU from Debian 12's source package, with little more than the emulated hosts
# need, and with the faults mended that would otherwise look like faults of hvx.

# The source that was found stays until 'lab/setup --update' looks for a newer one.
QEMU_SOURCE=$CACHE/src/qemu.name

qemu_source() {
	local uri name sum
	mkdir -p "$CACHE/src"
	apt_lists bookworm
	apt_private bookworm apt-get source --print-uris qemu 2>/dev/null |
		grep -E '\.(orig|debian)\.tar\.' >"$CACHE/src/qemu.uris" ||
		die "apt does not know the source of qemu in bookworm"
	say "downloading the source of QEMU"
	while read -r uri name _ sum; do
		quietly qemu-download /usr/lib/apt/apt-helper download-file "${uri//\'/}" \
			"$CACHE/src/$name" "$sum" || die "could not download $name"
		echo "$name"
	done <"$CACHE/src/qemu.uris" >"$QEMU_SOURCE.new"
	mv "$QEMU_SOURCE.new" "$QEMU_SOURCE"
}

QEMU_OPTIONS=(--meson=/usr/bin/meson --target-list=x86_64-softmmu --without-default-features
	--without-default-devices --with-devices-x86_64=hvx --enable-system --enable-tcg --enable-slirp
	--enable-fdt=system --disable-werror --disable-debug-info --disable-install-blobs
	--firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu)

# Builds from other sources, patches or options lie beside this one.
qemu_dir() { echo "$CACHE/qemu-$(key_of "$QEMU_SOURCE" "$LAB_DIR"/qemu/* "${QEMU_OPTIONS[@]}")"; }

qemu_unpack() {
	local dir=$1 p
	tar -C "$dir" --strip-components=1 -xf "$CACHE/src/$(grep -F .orig. "$QEMU_SOURCE")"
	tar -C "$dir" -xf "$CACHE/src/$(grep -F .debian. "$QEMU_SOURCE")"
	while read -r p; do
		quietly qemu-patch patch --batch -d "$dir" -p1 -i "debian/patches/$p" || die "Debian's $p does not apply"
	done < <(grep -vE '^(#|$)' "$dir/debian/patches/series")
	for p in "$LAB_DIR"/qemu/*.patch; do
		quietly qemu-patch patch --batch -d "$dir" -p1 -i "$p" || die "$p does not apply"
	done
	cp "$LAB_DIR/qemu/devices.mak" "$dir/configs/devices/x86_64-softmmu/hvx.mak"
}

qemu_build() {
	local to dir
	to=$(qemu_dir)
	dir=$to/src
	packages gcc make patch xz-utils python3 meson ninja-build pkg-config libglib2.0-dev \
		libpixman-1-dev libslirp-dev libfdt-dev zlib1g-dev
	rm -rf "$dir"
	mkdir -p "$dir/build"
	qemu_unpack "$dir"
	say "building QEMU (about 3 minutes)"
	(
		cd "$dir/build" &&
			quietly qemu-configure ../configure "${QEMU_OPTIONS[@]}" &&
			quietly qemu-build ninja -j"${LAB_JOBS:-$(nproc)}" qemu-system-x86_64
	) || die "QEMU did not build"
	strip -o "$to/qemu.new" "$dir/build/qemu-system-x86_64"
	mv "$to/qemu.new" "$to/qemu-system-x86_64"
	rm -rf "$dir"
}
