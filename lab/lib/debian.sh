# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Guests that are a whole Debian, as users have it:
#
#   $CACHE/debian/vmlinuz, initrd, disk     Debian 12 with systemd on an ext4 disk
#   $CACHE/debian/hello.deb                 a package that is not installed in it
#   $CACHE/installer/vmlinuz, initrd        the Debian installer, as it boots from the network

DEBIAN=$CACHE/debian
INSTALLER=$CACHE/installer

# What is in it beside what Debian calls essential: a kernel, init, network, and
# programs to do something with.
DEBIAN_PACKAGES=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,iproute2,wget,jq

# Root's password on the console is 'guest'.
debian_image() {
	local site tree=$DEBIAN.tree opt=()
	packages mmdebstrap e2fsprogs
	need_root "making a Debian file system"
	apt_lists stable
	site=$(mirror Debian)
	say "making a Debian guest"
	rm -rf --one-file-system "$DEBIAN" "$DEBIAN.new" "$tree"
	mkdir -p "$DEBIAN.new"
	# Downloads go the way that this system's do (proxy, checks of dates).
	mapfile -t opt < <(apt-config dump | grep -E '^Acquire::(Check-|Retries|https?::|Force)' | sed 's/^/--aptopt=/')
	quietly debian-mmdebstrap mmdebstrap --mode=root --variant=minbase "${opt[@]}" \
		--include="$DEBIAN_PACKAGES" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook="$LAB_DIR/debian/customize \"\$1\"" \
		bookworm "$tree" "$site" || die "mmdebstrap could not make a Debian file system"
	cp -L "$tree/vmlinuz" "$DEBIAN.new/vmlinuz"
	cp -L "$tree/initrd.img" "$DEBIAN.new/initrd"
	quietly debian-mke2fs mke2fs -q -t ext4 -L root -d "$tree" "$DEBIAN.new/disk" 1G ||
		die "mke2fs could not make the disk of the Debian guest"
	rm -rf --one-file-system "$tree"
	(cd "$DEBIAN.new" && quietly debian-hello apt_private stable apt-get download -q hello && mv hello_*.deb hello.deb) ||
		die "could not download the package hello"
	mv "$DEBIAN.new" "$DEBIAN"
}

debian_installer() {
	local dir=$INSTALLER.new
	apt_lists stable
	rm -rf "$INSTALLER" "$dir" "$dir.deb"
	mkdir -p "$dir"
	extract stable "$dir.deb" debian-installer-12-netboot-amd64
	cp "$dir.deb"/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux "$dir/vmlinuz"
	cp "$dir.deb"/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz "$dir/initrd"
	rm -rf "$dir.deb"
	mv "$dir" "$INSTALLER"
}
