# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Bochs from Debian's source package, without its debugger (twice as fast) and
# with the faults mended that would otherwise look like faults of hvx.

BOCHS_VERSION=3.0+dfsg-1

# -march=native ties a build to this type of CPU, so it is part of the key.
cpu_key() { grep -m1 '^flags' /proc/cpuinfo | sha256sum | cut -c1-8; }

# Builds with other patches lie beside this one: a checkout of another state keeps its own.
BOCHS_KEY=$(cpu_key)-$(key_of "$BOCHS_VERSION" "$LAB_DIR"/bochs/*.patch)
BOCHS_DIR=$CACHE/bochs-$BOCHS_KEY

bochs_source() {
	local line uri name sum
	apt_lists trixie
	line=$(apt_private trixie apt-get source --print-uris "bochs=$BOCHS_VERSION" 2>/dev/null |
		grep -E '\.orig\.tar\.' || true)
	[ -n "$line" ] || die "apt does not know the source of bochs $BOCHS_VERSION in trixie"
	read -r uri name _ sum <<<"$line"
	mkdir -p "$CACHE/src"
	say "downloading the source of Bochs"
	quietly bochs-download /usr/lib/apt/apt-helper download-file "${uri//\'/}" \
		"$CACHE/src/$name" "$sum" || die "could not download $name"
	ln -sf "$name" "$CACHE/src/bochs.tar"
}

# bochs_build NAME CONFIGURE-ARG...
bochs_build() {
	local name=$1 dir=$BOCHS_DIR/src-$1 flags="-O3 -march=native -fno-plt -fomit-frame-pointer -w" p
	shift
	packages g++ make patch xz-utils
	once bochs-source "$BOCHS_VERSION" bochs_source
	rm -rf "$dir"
	mkdir -p "$dir"
	tar -C "$dir" --strip-components=1 -xf "$CACHE/src/bochs.tar"
	for p in "$LAB_DIR"/bochs/*.patch; do
		quietly "$name-patch" patch -d "$dir" -p1 -i "$p" || die "$p does not apply"
	done
	cp -r "$dir/instrument/stubs" "$dir/instrument/trace"
	cp "$LAB_DIR"/bochs/trace/* "$dir/instrument/trace/"
	say "building $name (about 3 minutes)"
	(
		cd "$dir"
		export CFLAGS="$flags" CXXFLAGS="$flags"
		quietly "$name-configure" ./configure --with-nogui --without-x --disable-docbook \
			--disable-plugins --enable-cpu-level=6 --enable-x86-64 --enable-all-optimizations \
			--enable-vmx=2 --enable-svm --enable-avx --enable-evex --enable-cet --enable-amx \
			--enable-protection-keys --enable-uintr --enable-memtype --enable-monitor-mwait \
			--enable-perfmon --enable-pci --enable-long-phy-address --enable-3dnow --enable-fpu \
			--enable-cdrom --disable-debugger --disable-debugger-gui --enable-e1000 \
			--enable-a20-pin --enable-alignment-check --enable-configurable-msrs "$@"
		quietly "$name-build" make -j"${LAB_JOBS:-$(nproc)}"
	) || die "Bochs did not build"
	cp "$dir/bochs" "$BOCHS_DIR/$name.new"
	strip "$BOCHS_DIR/$name.new"
	mv "$BOCHS_DIR/$name.new" "$BOCHS_DIR/$name"
	rm -rf "$dir"
}

bochs_single() { bochs_build bochs; }
bochs_smp() { bochs_build bochs-smp --enable-smp; }
# With an execution log, for lab/run --trace
bochs_trace() { bochs_build bochs-trace --enable-instrumentation=instrument/trace; }
