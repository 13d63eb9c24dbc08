# SPDX-License-Identifier: GPL-2.0-only
"""lab/run: boot an emulated host, run a command in it, judge its kernel log."""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LIB = os.path.dirname(os.path.realpath(__file__))
LAB = os.path.dirname(LIB)
TOP = os.path.dirname(LAB)
sys.path.insert(0, LIB)

import guest    # noqa: E402
import host     # noqa: E402
import image    # noqa: E402
import klog     # noqa: E402

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hvx")

# How lab/run itself ends; any other status is the command's.
USAGE, DIED, COMPLAINED, LATE, BROKEN = 2, 98, 99, 124, 97

HELP = """\
The hosts:
  svm       QEMU, AMD-V without next-RIP and decode assists, and an IOMMU if asked
  svm-nrip  Bochs, AMD-V with next-RIP
  vmx       Bochs, VT-x of 2017 (APICv, PML, posted interrupts)
  vmx-old   Bochs, VT-x of 2013
  vmx-new   Bochs, VT-x of 2018 (UMIP)
  vmx-spec  Bochs, VT-x of 2019 (SPEC_CTRL); not with 6.1
Exit status: the command's; or 97 the lab could not run, 98 the emulated host
died, 99 its kernel complained, 124 time limit, 2 wrong arguments.
"""


class Parser(argparse.ArgumentParser):
    """One clear line for a mistake."""

    def error(self, message):
        self.exit(USAGE, f"lab/run: {message} (--help lists the options)\n")


def split_add(text):
    src, _, dest = text.partition(":")
    if not os.path.exists(src):
        raise argparse.ArgumentTypeError(f"'{src}' does not exist")
    if not dest:
        dest = "/root/" + os.path.basename(src.rstrip("/"))
    elif dest.endswith("/"):
        dest += os.path.basename(src.rstrip("/"))
    return src, dest


def parse(argv):
    p = Parser(prog="lab/run", description="Boot an emulated host and run COMMAND in it as root.",
               epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    cpus = list(host.QEMU_CPU) + list(host.BOCHS_CPU)
    p.add_argument("--cpu", default="svm", choices=cpus, help="svm if not given")
    p.add_argument("--kernel", default="6.1", choices=["6.1", "6.12", "sid", "debug"])
    p.add_argument("--flavour", choices=["cloud", "full"],
                   help="of Debian's kernel: cloud boots faster, full has all drivers "
                   "(default: full with --iommu or --device, else cloud)")
    p.add_argument("--smp", type=int, default=1, metavar="N", help="CPUs of the host (1)")
    p.add_argument("--mem", type=int, metavar="MB",
                   help="memory of the host (QEMU 1024, Bochs and debug 512)")
    p.add_argument("--numa", type=int, default=0, metavar="N", help="QEMU only: memory and CPUs in N nodes")
    p.add_argument("--icount", action="store_true",
                   help="one TSC tick is one instruction (Bochs with one CPU always counts so)")
    p.add_argument("--iommu", choices=["intel", "amd"])
    p.add_argument("--device", action="append", default=[], metavar="QEMU-DEVICE")
    p.add_argument("--qemu", action="append", default=[], metavar="ARG", help="one more argument of QEMU")
    p.add_argument("--stock-qemu", action="store_true",
                   help="QEMU as Debian has it: nothing to build, but its faults remain")
    p.add_argument("--bochs", dest="bochsrc", action="append", default=[], metavar="LINE",
                   help="one more line of Bochs' configuration")
    p.add_argument("--trace", metavar="FILE", help="Bochs only: execution log, as bench/account wants it")
    p.add_argument("--add", action="append", default=[], type=split_add, metavar="SRC[:DEST]",
                   help="put a file or directory into the host (/root)")
    guests = [*guest.KERNELS, *guest.PVH, *guest.WHOLE]
    p.add_argument("--guest", action="append", default=[], metavar="KERNEL", choices=guests,
                   help="put a guest's Linux into the host: /guest/KERNEL/vmlinuz and initrd "
                   "(" + ", ".join(guests) + "; debian with a disk)")
    p.add_argument("--disk", action="append", default=[], metavar="FILE",
                   help="QEMU only: /dev/vda, vdb ... of the host; what it writes is lost")
    p.add_argument("--append", default="", metavar="CMDLINE", help="more kernel command line")
    p.add_argument("--param", action="append", default=[], metavar="X=Y", help="parameter of hvx.ko")
    p.add_argument("--no-load", dest="load", action="store_false", help="do not load hvx.ko")
    p.add_argument("--no-build", dest="build", action="store_false", help="use what is built")
    p.add_argument("--leaks", action="store_true",
                   help="look for leaked memory (--kernel debug; without it kmemleak is off)")
    p.add_argument("-t", "--terminal", action="store_true", help="this terminal is COMMAND's, input and all")
    p.add_argument("--timeout", type=float, metavar="SEC", help="for the whole run")
    p.add_argument("--log", metavar="FILE", help="keep the host's kernel log")
    p.add_argument("-v", "--verbose", action="store_true", help="kernel log to stderr as it comes")
    p.add_argument("command", nargs="*", metavar="COMMAND", help="none: an interactive shell")
    # What follows '--' is the command's, options and all.
    own, command = argv, []
    if "--" in argv:
        cut = argv.index("--")
        own, command = argv[:cut], argv[cut + 1:]
    opts = p.parse_args(own)
    opts.command += command
    check(p, opts)
    return opts


def check(p, opts):
    """Combinations that no emulator can do, said at once."""
    bochs = opts.cpu in host.BOCHS_CPU
    if bochs and (opts.iommu or opts.device or opts.qemu or opts.disk or opts.numa or "debian" in opts.guest):
        p.error("--iommu, --device, --disk, --numa, --qemu and --guest debian need QEMU, that is --cpu svm; "
                f"{opts.cpu} runs in Bochs")
    if opts.stock_qemu and (bochs or opts.smp != 1):
        p.error("--stock-qemu is for --cpu svm with one CPU: with more, faults of QEMU's come in the way")
    if opts.bochsrc and not bochs:
        p.error(f"--bochs needs Bochs, that is --cpu vmx; {opts.cpu} runs in QEMU")
    if opts.cpu == "vmx-spec" and opts.kernel in ("6.1", "debug"):
        p.error("6.1 does not come up on --cpu vmx-spec: take --kernel 6.12 or sid")
    if opts.trace and (not bochs or opts.smp != 1):
        p.error("--trace needs Bochs with one CPU, such as --cpu vmx")
    for path in opts.disk:
        if not os.path.exists(path):
            p.error(f"--disk: '{path}' does not exist")
    if opts.icount and opts.smp != 1:
        p.error("--icount needs --smp 1: with more CPUs no emulator counts evenly")
    if not 1 <= opts.smp <= 8:
        p.error("--smp must be 1 to 8")
    if not 0 <= opts.numa <= 8:
        p.error("--numa must be 1 to 8")
    if opts.leaks and opts.kernel != "debug":
        p.error("--leaks needs --kernel debug: only that has kmemleak")
    if opts.flavour and opts.kernel == "debug":
        p.error("the debug kernel has one flavour only")
    if not opts.command and not sys.stdin.isatty():
        p.error("no COMMAND, and standard input is no terminal for a shell")
    opts.terminal = opts.terminal or not opts.command
    opts.bochs = bochs
    opts.scale = (4 if opts.kernel == "debug" else 1) * (2 if bochs else 1)
    opts.mem = opts.mem or (512 if bochs or opts.kernel == "debug" else 1024)
    if opts.timeout is None:
        opts.timeout = 12 * 3600 if opts.terminal and sys.stdin.isatty() else 120 * opts.scale
    full = opts.flavour == "full" or (not opts.flavour and (opts.iommu or opts.device))
    opts.kernel_name = opts.kernel + ("-full" if full and opts.kernel != "debug" else "")
    opts.kernel_dir = os.path.join(CACHE, "kernel", opts.kernel_name)
    opts.disk = [disk for g in opts.guest for disk in guest.disks(CACHE, g)] + opts.disk


def fail(message, status=BROKEN):
    print(f"lab: {message}", file=sys.stderr)
    sys.exit(status)


def where(emulator):
    """The directory that lab/setup has built it in."""
    said = subprocess.run([f"{LAB}/setup", f"--{emulator}-dir"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def set_up(opts):
    if opts.bochs:
        emulator = "bochs-smp" if opts.smp > 1 else "bochs-trace" if opts.trace else "bochs"
    else:
        emulator = "qemu-stock" if opts.stock_qemu else "qemu"
    pieces = ["base", emulator, f"kernel-{opts.kernel_name}"] + [guest.piece(k) for k in opts.guest]
    if subprocess.run([f"{LAB}/setup", *pieces],
                      stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
        sys.exit(BROKEN)
    if opts.bochs:
        opts.bochs = os.path.join(where("bochs"), emulator)
    else:
        opts.emulator = "qemu-system-x86_64" if opts.stock_qemu else f"{where('qemu')}/qemu-system-x86_64"


def build(opts):
    """The module for this kernel and the programs; the path of hvx.ko."""
    module = os.path.join(TOP, "build", opts.kernel_name, "hvx.ko")
    if not opts.build:
        return module if os.path.exists(module) else None
    if not os.path.exists(os.path.join(TOP, "src/main.c")):
        return None
    os.makedirs(os.path.join(TOP, "build"), exist_ok=True)
    with open(os.path.join(TOP, "build/.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for argv in ([f"{LAB}/module", opts.kernel_name],
                     ["make", "-s", "--no-print-directory", "-C", TOP, "programs"]):
            if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
                fail("the build failed")
    return module


def join_images(parts, path):
    """The kernel unpacks archives one after the other from one file."""
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)


def report(opts, watch):
    """Say what went wrong, and give the exit status."""
    bad = klog.bad_lines(watch.lines)
    unmarked = watch.unmarked()
    if unmarked:
        print(f"lab: VMCB fields were changed, but are marked clean ({len(unmarked)} times):",
              file=sys.stderr)
        print("\n".join("  " + x for x in unmarked[:10]), file=sys.stderr)
    name = f"--cpu {opts.cpu} --kernel {opts.kernel}"
    if opts.log:
        with open(opts.log, "w", encoding="latin1") as f:
            f.writelines(line + "\n" for line in watch.lines)
    if watch.why:
        late = watch.why.startswith("no end")
        print(f"lab: {name}: {watch.why}", file=sys.stderr)
        shown = bad or watch.lines[-25:]
        print("lab: kernel messages:" if bad else "lab: the last kernel messages:", file=sys.stderr)
        print("\n".join("  " + x for x in shown), file=sys.stderr)
        return LATE if late else DIED
    if bad:
        print(f"lab: {name}: the kernel complained:", file=sys.stderr)
        print("\n".join("  " + x for x in bad), file=sys.stderr)
        return COMPLAINED
    return COMPLAINED if unmarked else watch.status


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    opts = parse(sys.argv[1:])
    # The makes below are not part of one that may have called us.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
        os.environ.pop(name, None)
    set_up(opts)
    module = build(opts)
    with open(os.path.join(opts.kernel_dir, "release"), encoding="ascii") as f:
        release = f.read().strip()
    with tempfile.TemporaryDirectory(prefix="hvx-lab-") as work:
        base = image.base_image(CACHE, opts.kernel_name, release, opts.iommu or opts.device)
        opts.guest_files = [x for k in opts.guest for x in guest.files(CACHE, k)]
        image.overlay(f"{work}/overlay.cpio", LAB, TOP, opts, module)
        join_images([base, f"{work}/overlay.cpio"], f"{work}/initrd")
        watch = host.Watch(opts, work)
        watch.run(f"{work}/initrd")
        sys.stdout.flush()
        status = report(opts, watch)
        if opts.verbose and watch.up_after:
            print(f"lab: start to command {watch.up_after:.1f} s, "
                  f"whole run {time.monotonic() - watch.started:.1f} s", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
