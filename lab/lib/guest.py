# SPDX-License-Identifier: GPL-2.0-only
"""Linux guests for the emulated hosts: an initramfs for each of Debian's kernels."""

import hashlib
import lzma
import os
import struct
import subprocess
import sys
import tempfile

import image
import klog

HERE = os.path.dirname(os.path.realpath(__file__))
INIT = os.path.join(os.path.dirname(HERE), "linux")

KERNELS = ["6.1", "6.12", "sid", "6.1-full", "6.12-full", "sid-full"]
# The ELF program that is in a kernel's bzImage, to be started by its PVH entry.
PVH = {"6.1-pvh": "6.1-full"}
# Guests that bring all they need; lab/lib/debian.sh makes them.
WHOLE = {"debian": ["vmlinuz", "initrd", "hello.deb"], "installer": ["vmlinuz", "initrd"]}

# What a virtual machine has; those that a kernel has built in, or has not, are left out.
MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio-rng",
           "virtio_balloon", "vmw_vsock_virtio_transport", "9pnet_virtio", "9p", "virtiofs", "ext4",
           "crc32c_generic",  # which ext4 asks the kernel for by another name
           "pvpanic-mmio", "pvpanic-pci", "button", "evdev"]

# Faults that a guest has only if its machine is at fault.
MACHINE = [r"clocksource: .*unstable", r"tsc: Marking TSC unstable due to (clocksource|check)",
           r".* TSC warp between CPUs",
           r"MP-BIOS bug", r"APIC error on CPU", r"smpboot: do_boot_cpu failed", r"ACPI (BIOS )?Error",
           r"spurious APIC interrupt", r"irq [0-9]+: nobody cared", r"FAIL: ", r"INFO: ",
           r".*: probe .*failed with error", r".*I/O error", r"EXT4-fs error"]

MOTD = b"""
This is a Linux guest under hvx. To leave: 'exit', or Ctrl-A x.

"""


def piece(kernel):
    """The piece of lab/setup that a guest kernel comes from."""
    return kernel if kernel in WHOLE else f"kernel-{PVH.get(kernel, kernel)}"


def disks(cache, kernel):
    """The disks that a guest wants its host to have."""
    return [os.path.join(cache, "debian/disk")] if kernel == "debian" else []


def complaints():
    """klog's patterns as lines for 'grep -E' over messages without time stamps."""
    lines = ["^(" + "|".join([klog.START.pattern, *MACHINE]) + ")", klog.ANYWHERE.pattern]
    return "\n".join(lines) + "\n"


def kept(cache, text):
    """The path of a file that holds this text; made once."""
    path = os.path.join(cache, "initramfs", hashlib.sha256(text.encode()).hexdigest()[:12])
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        tmp = f"{path}.{os.getpid()}"
        with open(tmp, "w", encoding="ascii") as f:
            f.write(text)
        os.rename(tmp, path)
    return path


def programs(cache):
    """What lab/linux has in C, linked statically: paths by name; each made once."""
    made = {}
    for name in sorted(os.listdir(INIT)):
        if not name.endswith(".c"):
            continue
        source = os.path.join(INIT, name)
        out = os.path.join(cache, "initramfs", hashlib.sha256(image.read(source)).hexdigest()[:12], name[:-2])
        if not os.path.exists(out):
            os.makedirs(os.path.dirname(out), exist_ok=True)
            tmp = f"{out}.{os.getpid()}"
            subprocess.run(["gcc", "-O2", "-Wall", "-static", "-s", "-o", tmp, source], check=True)
            os.rename(tmp, out)
        made[name[:-2]] = out
    return made


def initramfs(cache, kernel):
    """The guest's initramfs for a kernel of the cache; made once."""
    kernel_dir = os.path.join(cache, "kernel", kernel)
    with open(os.path.join(kernel_dir, "release"), encoding="ascii") as f:
        release = f.read().strip()
    files = {name: image.read(os.path.join(INIT, name)) for name in sorted(os.listdir(INIT))
             if os.path.isfile(os.path.join(INIT, name)) and not name.endswith(".c")}
    files.update((os.path.basename(path), image.read(path)) for path in programs(cache).values())
    parts = [release.encode(), image.read(__file__), image.read(image.__file__), complaints().encode()]
    key = hashlib.sha256(b"\n".join(parts + [n.encode() + d for n, d in files.items()]))
    stamp = os.stat(os.path.join(kernel_dir, "release")).st_mtime_ns
    path = os.path.join(cache, "initramfs", f"guest-{kernel}-{key.hexdigest()[:12]}-{stamp}.cpio")
    if os.path.exists(path):
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cpio = image.busybox_tree(cache)
    cpio.dir("work")
    cpio.file("complaints", complaints().encode())
    cpio.file("etc/motd", MOTD)
    cpio.file("root/.profile", b"PS1='guest # '\n")
    cpio.file("etc/acpi/PWRF/00000080",
              b"#!/bin/sh\necho 'guest: power button' >/dev/console\npoweroff -f\n", 0o755)
    for name, data in files.items():
        cpio.file("init" if name == "init" else f"work/{name}", data, 0o755)
    with tempfile.TemporaryDirectory() as scratch:
        image.add_modules(cpio, kernel_dir, release, MODULES, scratch)
    cpio.write(path)
    return path


def payload(bzimage):
    """What a bzImage unpacks: fields of its header are named as in Linux's boot protocol."""
    setup_sects = bzimage[0x1f1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sects + 1) * 512 + offset
    # The last four bytes are the unpacked size.
    return lzma.decompress(bzimage[start:start + length - 4])


def vmlinux(cache, kernel):
    """The ELF program in a kernel's bzImage, which must be packed by xz; made once."""
    source = os.path.realpath(os.path.join(cache, "kernel", kernel, "vmlinuz"))
    path = os.path.join(cache, "initramfs", f"vmlinux-{kernel}-{os.stat(source).st_mtime_ns}")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        tmp = f"{path}.{os.getpid()}"
        with open(tmp, "wb") as out:
            out.write(payload(image.read(source)))
        subprocess.run(["strip", "--strip-all", tmp], check=True)
        os.rename(tmp, path)
    return path


def files(cache, kernel):
    """What of one guest kernel goes where in the host, with what the tests of guests use."""
    return [*files_of(cache, kernel), (kept(cache, complaints()), "guest/complaints"),
            *((path, f"guest/bin/{name}") for name, path in programs(cache).items())]


def files_of(cache, kernel):
    if kernel in WHOLE:
        return [(os.path.join(cache, kernel, name), f"guest/{kernel}/{name}") for name in WHOLE[kernel]]
    if kernel in PVH:
        return [(vmlinux(cache, PVH[kernel]), f"guest/{kernel}/vmlinuz"),
                (initramfs(cache, PVH[kernel]), f"guest/{kernel}/initrd")]
    return [(os.path.realpath(os.path.join(cache, "kernel", kernel, "vmlinuz")), f"guest/{kernel}/vmlinuz"),
            (initramfs(cache, kernel), f"guest/{kernel}/initrd")]


if __name__ == "__main__":
    # For scripts: the path of a kernel's initramfs.
    print(initramfs(sys.argv[1], sys.argv[2]))
