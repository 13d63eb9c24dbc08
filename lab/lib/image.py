# SPDX-License-Identifier: GPL-2.0-only
"""Initramfs images: what an emulated host finds in its file system."""

import fnmatch
import glob
import hashlib
import os
import re
import shlex
import stat
import subprocess
import tempfile
import time

# Modules of the stock kernel that a run may want; those that a kernel has built
# in, or has not, are left out. Dependencies come along by themselves.
MODULES = ["kvm-amd", "kvm-intel", "msr", "cpuid", "loop", "zram", "lz4", "lzo-rle",
           "tun", "bridge", "vhost_net", "vhost_vsock", "vsock_loopback", "virtio_pci", "virtio_blk", "ext4"]
DEVICE_MODULES = ["vfio-pci", "vfio_iommu_type1", "nvme", "e1000e", "igb", "virtio_net", "virtio_console"]

DIRS = ["bin", "dev", "etc", "hvx", "lab", "mnt", "proc", "root", "sys", "tmp", "lib", "lib64"]
ETC = {"etc/passwd": "root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
       "etc/group": "root:x:0:\nnogroup:x:65534:\n"}
# Of a host: file systems and where they go
MOUNTS = {"/proc": "proc", "/sys": "sysfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/tmp": "tmpfs",
          "/sys/fs/cgroup": "cgroup2", "/sys/kernel/debug": "debugfs", "/sys/kernel/tracing": "tracefs"}


class Cpio:
    """A writer of the 'newc' format that the kernel unpacks."""

    def __init__(self):
        self.parts, self.names, self.ino = [], set(), 1

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        for part in (head, data):
            self.parts += [part, b"\0" * (-len(part) % 4)]

    def dir(self, name):
        """A directory, and those above it."""
        if name in ("", ".") or name in self.names:
            return
        self.dir(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.lstrip("/")
        self.dir(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.dir(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor):
        self.dir(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        tmp = f"{path}.{os.getpid()}"
        with open(tmp, "wb") as out:
            out.writelines(self.parts)
        os.rename(tmp, path)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def stripped(path, cache, arg):
    """The bytes of an ELF file without what only a debugger wants."""
    st = os.stat(path)
    key = hashlib.sha256(f"{os.path.abspath(path)} {st.st_mtime_ns} {st.st_size}".encode())
    out = os.path.join(cache, key.hexdigest()[:24])
    if not os.path.exists(out):
        os.makedirs(cache, exist_ok=True)
        tmp = f"{out}.{os.getpid()}"
        subprocess.run(["strip", arg, "-o", tmp, path], check=True)
        os.rename(tmp, out)
    os.utime(out)
    return read(out)


def prune(cache, days=1):
    """Forget stripped files that no run has used for a while."""
    for name in os.listdir(cache) if os.path.isdir(cache) else []:
        path = os.path.join(cache, name)
        try:
            if time.time() - os.stat(path).st_mtime > days * 86400:
                os.unlink(path)
        except FileNotFoundError:
            pass


def is_elf_program(path):
    if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.X_OK):
        return False
    with open(path, "rb") as f:
        head = f.read(18)
    return head[:4] == b"\x7fELF" and head[16] in (2, 3)


def loaded_at_run_time(programs):
    """Where the libraries are that programs name in their data, for dlopen()."""
    names = set()
    for prog in programs:
        names.update(x.decode() for x in re.findall(rb"\0(libslirp\.so\.\d+)\0", read(prog)))
    out = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False)
    known = dict(re.findall(r"^\s*(\S+) \(.*x86-64.*\) => (\S+)$", out.stdout, re.M))
    return {known[n] for n in names if n in known}


def libraries(programs):
    """The shared libraries that programs need, as ldd finds them."""
    libs = loaded_at_run_time(programs)
    for prog in [*programs, *libs]:
        out = subprocess.run(["ldd", prog], capture_output=True, text=True, check=False)
        for line in out.stdout.splitlines():
            libs.update(w for w in line.split() if w.startswith("/"))
    return libs


def add_modules(cpio, kernel_dir, release, wanted, scratch):
    """Copy modules and their dependencies, uncompressed and unsigned."""
    src = os.path.join(kernel_dir, "lib/modules", release)
    dest = os.path.join(scratch, "lib/modules", release)
    os.makedirs(dest)
    for mod in wanted:
        deps = subprocess.run(["modprobe", "-d", os.path.realpath(kernel_dir), "-S", release,
                               "--show-depends", mod], capture_output=True, text=True, check=False)
        for line in deps.stdout.splitlines():
            if line.startswith("insmod "):
                path = line.split()[1]
                name = os.path.basename(path).removesuffix(".xz")
                with open(os.path.join(dest, name), "wb") as out:
                    subprocess.run(["xz", "-dc" if path.endswith(".xz") else "-dcf", path],
                                   stdout=out, check=True)
    mods = sorted(m for m in os.listdir(dest) if m.endswith(".ko"))
    if mods:
        subprocess.run(["strip", "--strip-debug"] + [os.path.join(dest, m) for m in mods], check=True)
    for extra in ("modules.builtin", "modules.order"):
        if os.path.exists(os.path.join(src, extra)):
            with open(os.path.join(dest, extra), "wb") as out:
                out.write(read(os.path.join(src, extra)))
    # It misses a file that only tools about built-in modules read.
    subprocess.run(["depmod", "-b", scratch, release], check=True, stderr=subprocess.DEVNULL)
    for name in sorted(os.listdir(dest)):
        cpio.file(f"lib/modules/{release}/{name}", read(os.path.join(dest, name)))


def busybox_tree(cache):
    """Directories, busybox with all its names, and the nodes that init begins with."""
    busybox = os.path.join(cache, "busybox/bin/busybox")
    cpio = Cpio()
    for d in DIRS:
        cpio.dir(d)
    cpio.node("dev/console", 5, 1)
    cpio.node("dev/null", 1, 3)
    cpio.file("bin/busybox", read(busybox), 0o755)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        if name != "busybox":
            cpio.link(f"bin/{name}", "busybox")
    for name, text in ETC.items():
        cpio.file(name, text.encode())
    return cpio


def base_image(cache, kernel, release, devices):
    """Busybox and the kernel's modules; made once for a kernel."""
    kernel_dir = os.path.join(cache, "kernel", kernel)
    wanted = MODULES + (DEVICE_MODULES if devices else [])
    key = hashlib.sha256("\n".join(["1", release, *wanted, read(__file__).decode()]).encode())
    stamp = os.stat(os.path.join(kernel_dir, "release")).st_mtime_ns
    path = os.path.join(cache, "initramfs", f"{kernel}-{key.hexdigest()[:12]}-{stamp}.cpio")
    if os.path.exists(path):
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cpio = busybox_tree(cache)
    cpio.file("root/.profile", b"PS1='host # '\n")
    fstab = "".join(f"{fs} {place} {fs} defaults 0 0\n" for place, fs in MOUNTS.items())
    cpio.file("etc/fstab", fstab.encode())
    with tempfile.TemporaryDirectory() as scratch:
        add_modules(cpio, kernel_dir, release, wanted, scratch)
    cpio.write(path)
    return path


def words_of(opts):
    """What COMMAND says, and the scripts that are added for it."""
    texts = [word.encode() for word in opts.command]
    for src, _ in opts.add:
        if os.path.isfile(src) and os.stat(src).st_size <= 65536:
            texts.append(read(src))
    # Not in binaries: there any name would be found
    return {word for text in texts if b"\0" not in text
            for word in re.findall(r"[\w*?\[\]-]+", text.decode("latin1"))}


def meant_by(opts, tests, benchmarks):
    """Those that COMMAND can run: each is a megabyte, which an emulator takes long to load."""
    words = words_of(opts)
    meant = {name for word in words for name in fnmatch.filter([*tests, *benchmarks], word)}
    if opts.terminal:
        meant.update(tests, benchmarks)
    if "selftests" in words or ("run" in words and not meant.intersection(tests)):
        meant.update(tests)
    return meant


def programs_of(top, opts):
    """Where the built programs are, and where they go in the host."""
    found = {}
    runner = os.path.join(top, "selftests/run")
    if os.path.exists(runner):
        found["hvx/selftests/run"] = runner
    built = {folder: {os.path.basename(path): path
                      for path in sorted(glob.glob(f"{top}/build/{folder}/bin/*")) if is_elf_program(path)}
             for folder in ("selftests", "tools/*", "bench", "samples")}
    meant = meant_by(opts, list(built["selftests"]), list(built["bench"]))
    for folder, programs in built.items():
        dest = "hvx/selftests/bin" if folder == "selftests" else "hvx/bin"
        found.update((f"{dest}/{name}", path) for name, path in programs.items()
                     if name in meant or folder not in ("selftests", "bench"))
    return found


def add_tree(cpio, src, dest):
    """One --add: a file or a directory with all below it."""
    if not os.path.isdir(src):
        cpio.file(dest, read(src), os.stat(src).st_mode & 0o777)
        return
    for root, _, files in os.walk(src):
        below = os.path.relpath(root, src)
        for name in files:
            path = os.path.join(root, name)
            cpio.file(os.path.normpath(os.path.join(dest, below, name)), read(path),
                      os.stat(path).st_mode & 0o777)


def overlay(path, lab, top, opts, module):
    """What changes from run to run, unpacked over the base image."""
    strip_cache = os.path.join(top, "build/strip")
    prune(strip_cache)
    cpio = Cpio()
    cpio.file("init", read(os.path.join(lab, "guest/init")), 0o755)
    settings = {"load": "1" if opts.load and module else "", "params": " ".join(opts.param),
                "leaks": "1" if opts.leaks else "", "scale": str(opts.scale),
                "interactive": "1" if opts.terminal else "", "disks": "1" if opts.disk else "",
                "machine_check": "" if opts.bochs or opts.stock_qemu else "1"}
    cpio.file("lab/settings", "".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()).encode())
    cpio.file("lab/command", ("exec " + shlex.join(opts.command or ["sh", "-l"]) + "\n").encode(), 0o755)
    elfs = []
    if module:
        cpio.file("hvx/hvx.ko", stripped(module, strip_cache, "--strip-debug"))
        for kmod in sorted(glob.glob(f"{os.path.dirname(module)}/kmod/*.ko")):
            cpio.file(f"hvx/selftests/kmod/{os.path.basename(kmod)}",
                      stripped(kmod, strip_cache, "--strip-debug"))
    for dest, src in programs_of(top, opts).items():
        if is_elf_program(src):
            elfs.append(src)
            cpio.file(dest, stripped(src, strip_cache, "--strip-unneeded"), 0o755)
        else:
            cpio.file(dest, read(src), os.stat(src).st_mode & 0o777)
    for src, dest in opts.add:
        if is_elf_program(src):
            elfs.append(src)
        add_tree(cpio, src, dest)
    for src, dest in opts.guest_files:
        cpio.file(dest, read(src), os.stat(src).st_mode & 0o777)
    for lib in sorted(libraries(elfs)):
        cpio.file(lib, stripped(os.path.realpath(lib), strip_cache, "--strip-unneeded"), 0o755)
    cpio.write(path)
