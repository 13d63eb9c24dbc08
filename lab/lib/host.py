# SPDX-License-Identifier: GPL-2.0-only
"""The emulators: their command lines, and one run of them watched to its end."""

import ctypes
import mmap
import os
import pty
import re
import selectors
import signal
import subprocess
import sys
import termios
import time
import tty

import klog

STATUS = re.compile(r"lab: status (\d+)")
# A test asks for a machine check: CPU, bank, MCi_STATUS, MCG_STATUS.
MACHINE_CHECK = re.compile(r"lab: machine check (\d+ \d+ 0x[0-9a-f]+ 0x[0-9a-f]+)$")
# How lab/qemu/svm-clean-bits.patch says that a field was changed and not marked.
UNMARKED = "clean bit"
# Bochs counts one tick an instruction; this many make a second of its clocks.
# It does about so many a second, so that an emulated second is a real one.
IPS = 200000000
# MiB that Bochs keeps in memory, at most; of what is more it keeps blocks in a file.
BOCHS_RAM = 2048

QEMU_CPU = {"svm": "EPYC,+svm,+npt,+umip,+vmcb-clean"}
# What the lab's own QEMU has besides, by a patch
QEMU_MORE = ",+ibpb,+ibrs,+amd-stibp,+amd-ssbd,+tsc-scale"
BOCHS_CPU = {"svm-nrip": "ryzen", "vmx": "corei7_skylake_x", "vmx-old": "corei7_haswell_4770",
             "vmx-new": "corei3_cnl", "vmx-spec": "corei7_icelake_u"}

CMDLINE = ("console=ttyS0,115200 loglevel=5 panic=-1 mitigations=off tsc=reliable nokaslr "
           "no_timer_check printk.devkmsg=on rdinit=/init")
# Some of Bochs's models announce a TSC of gigahertz: say what it really does, or
# the kernel's clocks disagree.
BOCHS_CMDLINE = f"{CMDLINE} tsc_early_khz={IPS // 1000}"


def kernel_cmdline(opts, base):
    """The debug kernel is to report every fault, not only the first; and to boot fast."""
    if opts.kernel != "debug":
        return base
    # Of all allocations kmemleak notes where they were made, which is a quarter of a boot
    return f"{base} kasan_multi_shot dma_debug_entries=4096" + ("" if opts.leaks else " kmemleak=off")


def qemu_numa(opts):
    """Nodes of QEMU: equal parts of memory and of the CPUs that programs run on."""
    argv = []
    for i in range(opts.numa):
        size = opts.mem // opts.numa + (opts.mem % opts.numa if i == 0 else 0)
        cpus = [cpu for cpu in range(opts.smp) if cpu * opts.numa // opts.smp == i]
        argv += ["-object", f"memory-backend-ram,id=node{i},size={size}M",
                 "-numa", f"node,nodeid={i},memdev=node{i}" + "".join(f",cpus={cpu}" for cpu in cpus)]
    return argv


def tsc_khz():
    """This machine's TSC, which QEMU passes on.

    An emulated host that measures it on a busy machine is wrong by up to a factor of four, and so
    are all its clocks and time limits.
    """
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
    code.write(b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3")
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def both():
        # The pair that was least disturbed.
        def pair():
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            ticks = rdtsc()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            return after - before, before, ticks
        return min(pair() for _ in range(50))

    _, t0, ticks0 = both()
    time.sleep(0.05)
    _, t1, ticks1 = both()
    return round((ticks1 - ticks0) * 1000000 / (t1 - t0))


def qemu_argv(opts, work, image):
    """One QEMU: console on the first serial line, the command on the second."""
    con = os.path.join(work, "console")
    out = os.path.join(work, "output")
    argv = [opts.emulator, "-M", "q35", "-accel", "tcg",
            "-cpu", QEMU_CPU[opts.cpu] + ("" if opts.stock_qemu else QEMU_MORE),
            "-smp", str(opts.smp) + (f",sockets={opts.smp}" if opts.numa else ""), "-m", str(opts.mem),
            "-display", "none", "-vga", "none",
            "-chardev", f"pipe,id=monitor,path={work}/monitor", "-mon", "chardev=monitor",
            "-d", "guest_errors", "-D", f"{work}/processor.log",
            "-net", "none", "-no-reboot", "-nodefaults",
            "-chardev", f"file,id=con,path={con}", "-serial", "chardev:con"]
    if not opts.terminal:
        argv += ["-chardev", f"file,id=cmd,path={out}", "-serial", "chardev:cmd"]
    else:
        argv += ["-chardev", "stdio,id=cmd,signal=off", "-serial", "chardev:cmd"]
    if opts.icount:
        argv += ["-icount", "shift=0,align=off,sleep=off"]
    argv += qemu_numa(opts)
    # The IOMMU comes first, so that the devices are behind it.
    if opts.iommu == "intel":
        argv += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
    elif opts.iommu == "amd":
        argv += ["-device", "amd-iommu,intremap=on"]
    for dev in opts.device:
        argv += ["-device", dev]
    for i, path in enumerate(opts.disk):
        argv += ["-drive", f"file={path},if=none,id=disk{i},format=raw,snapshot=on",
                 "-device", f"virtio-blk-pci,drive=disk{i}"]
    argv += opts.qemu
    # An instruction takes a nanosecond with -icount shift=0.
    base = f"{CMDLINE} tsc_early_khz={1000000 if opts.icount else tsc_khz()}"
    cmdline = kernel_cmdline(opts, base) + (" intel_iommu=on" if opts.iommu == "intel" else "")
    return argv + ["-kernel", os.path.join(opts.kernel_dir, "vmlinuz"), "-initrd", image,
                   "-append", " ".join(filter(None, (cmdline, opts.append)))]


BOCHSRC = """\
plugin_ctrl: unmapped=true, biosdev=true, speaker=false, extfpuirq=true, \
parallel=false, serial=true, e1000=false
display_library: nogui
cpu: model={model}, count={smp}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={mem}, host={hostmem}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={work}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={work}/console
com2: enabled=1, mode={mode}, dev={tty}
clock: sync=none, time0=1700000000
log: {work}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


def make_iso(opts, work, image):
    """Bochs boots from a CD."""
    root = os.path.join(work, "iso")
    boot = os.path.join(root, "isolinux")
    os.makedirs(boot)
    for src, dest in ((os.path.join(opts.kernel_dir, "vmlinuz"), f"{root}/vmlinuz"),
                      (image, f"{root}/initrd"),
                      ("/usr/lib/ISOLINUX/isolinux.bin", f"{boot}/isolinux.bin"),
                      ("/usr/lib/syslinux/modules/bios/ldlinux.c32", f"{boot}/ldlinux.c32")):
        subprocess.run(["cp", "-L", src, dest], check=True)
    with open(f"{boot}/isolinux.cfg", "w", encoding="ascii") as f:
        f.write("default l\nprompt 0\ntimeout 1\nlabel l\n kernel /vmlinuz\n"
                f" append initrd=/initrd {kernel_cmdline(opts, BOCHS_CMDLINE)} {opts.append}\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", f"{work}/boot.iso",
                    "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
                    "-boot-load-size", "4", "-boot-info-table", root],
                   check=True, stderr=subprocess.DEVNULL)


def bochs_argv(opts, work, image, slave):
    make_iso(opts, work, image)
    with open(f"{work}/bochsrc", "w", encoding="ascii") as f:
        f.write(BOCHSRC.format(model=BOCHS_CPU[opts.cpu], smp=opts.smp, mem=opts.mem,
                               hostmem=min(opts.mem, BOCHS_RAM), work=work,
                               ips=IPS, mode="term" if slave else "file",
                               tty=slave or f"{work}/output"))
        f.writelines(line + "\n" for line in opts.bochsrc)
    return [opts.bochs, "-q", "-f", f"{work}/bochsrc"]


def die_with_parent():
    """In the child: end when lab/run ends, however it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Watch:
    """One emulated host from start to end."""

    def __init__(self, opts, work):
        self.opts, self.work = opts, work
        self.lines, self.partial = [], b""
        self.status = None          # what the command said, if it came that far
        self.why = None             # why the run was ended early
        self.deadline = time.monotonic() + opts.timeout
        self.started = time.monotonic()
        self.up_after = None
        self.sel = selectors.DefaultSelector()

    def fifo(self, name):
        path = os.path.join(self.work, name)
        os.mkfifo(path)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def console(self, data):
        """Kernel messages: kept, and looked at line by line."""
        *full, self.partial = (self.partial + data).split(b"\n")
        for raw in full:
            line = raw.decode("latin1").rstrip("\r")
            self.lines.append(line)
            if self.opts.verbose:
                print(line, file=sys.stderr, flush=True)
            if "lab: up after" in line:
                if self.up_after:
                    # Bochs boots again where QEMU ends.
                    self.why = "the emulated host reset itself"
                    self.shorten(0)
                self.up_after = time.monotonic() - self.started
            asked = MACHINE_CHECK.search(line)
            if asked and not self.opts.bochs:
                os.write(self.monitor, f"mce {asked[1]} 0 0\n".encode())
            found = STATUS.search(line)
            if found:
                self.status = int(found[1])
                self.shorten(5)
            elif klog.is_death(line):
                self.why = "the emulated host's kernel panicked"
                self.shorten(2)
            elif klog.is_bad(line):
                # After an oops locks may never be given back: do not wait for ever.
                self.shorten(30 * self.opts.scale)

    def shorten(self, seconds):
        self.deadline = min(self.deadline, time.monotonic() + seconds)

    def start(self, image):
        opts = self.opts
        if not opts.bochs:
            # What QEMU answers is not read: it fits into the pipe.
            for name in ("monitor.in", "monitor.out"):
                os.mkfifo(os.path.join(self.work, name))
            self.monitor = os.open(os.path.join(self.work, "monitor.in"), os.O_RDWR)
        con = self.fifo("console")
        self.sel.register(con, selectors.EVENT_READ, "console")
        slave = None
        if not opts.terminal:
            self.sel.register(self.fifo("output"), selectors.EVENT_READ, "output")
        elif opts.bochs:
            self.master, fd = pty.openpty()
            slave = os.ttyname(fd)
            self.sel.register(self.master, selectors.EVENT_READ, "output")
            self.sel.register(sys.stdin, selectors.EVENT_READ, "input")
        argv = bochs_argv(opts, self.work, image, slave) if opts.bochs else \
            qemu_argv(opts, self.work, image)
        log = open(os.path.join(self.work, "emulator.log"), "wb")
        self.started = time.monotonic()
        env = dict(os.environ, BOCHS_TRACE=os.path.abspath(opts.trace)) if opts.trace else None
        guard = ["timeout", "-k", "5"] + (["--foreground"] if opts.terminal else [])
        own_tty = opts.terminal and not opts.bochs
        self.proc = subprocess.Popen(
            guard + [str(int(opts.timeout) + 20)] + argv, stderr=log,
            stdin=None if own_tty else subprocess.DEVNULL, stdout=None if own_tty else log, env=env,
            preexec_fn=die_with_parent)
        self.deadline = self.started + opts.timeout

    def read(self, key):
        try:
            data = os.read(key.fd, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.sel.unregister(key.fileobj)
        elif key.data == "console":
            self.console(data)
        elif key.data == "input":
            os.write(self.master, data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def loop(self):
        while True:
            alive = self.proc.poll() is None
            for key, _ in self.sel.select(0.2 if alive else 0):
                self.read(key)
            if not alive:
                self.drain()
                return
            if time.monotonic() > self.deadline:
                if self.why is None and self.status is None:
                    self.why = f"no end within the time limit of {int(self.opts.timeout)} s"
                    if any(klog.is_bad(x) for x in self.lines):
                        self.why = "the host did not go on after a kernel complaint"
                self.stop()

    def drain(self):
        """What is still in the pipes after the emulator has ended."""
        for key in list(self.sel.get_map().values()):
            while key.data != "input" and key.fileobj in self.sel.get_map():
                before = (len(self.lines), self.partial)
                ready = self.sel.select(0)
                if not any(k.fd == key.fd for k, _ in ready):
                    break
                self.read(key)
                if key.data == "console" and before == (len(self.lines), self.partial):
                    break
        if self.partial:
            self.lines.append(self.partial.decode("latin1"))

    def stop(self):
        self.proc.terminate()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()

    def run(self, image):
        saved = None
        self.start(image)
        if self.opts.terminal and self.opts.bochs and sys.stdin.isatty():
            saved = termios.tcgetattr(sys.stdin)
            tty.setraw(sys.stdin)
        try:
            self.loop()
        finally:
            if saved:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
            if self.proc.poll() is None:
                self.stop()
        if self.status is None and self.why is None:
            self.why = self.cause_of_death()
        return self.status

    def unmarked(self):
        """What the processor says of fields of a VMCB that were changed, but are marked clean."""
        try:
            with open(os.path.join(self.work, "processor.log"), encoding="latin1") as f:
                return [x.rstrip() for x in f if UNMARKED in x]
        except FileNotFoundError:
            return []

    def cause_of_death(self):
        """The emulator ended, but the command never did."""
        text = ""
        for name in ("bochs.log", "emulator.log"):
            try:
                with open(os.path.join(self.work, name), encoding="latin1") as f:
                    text += f.read()
            except OSError:
                pass
        if "3rd (" in text or "exception with no resolution" in text:
            return "the emulated host took a triple fault"
        notes = [x for x in text.splitlines() if x.strip() and "TCG doesn't support" not in x]
        notes = [x for x in notes if "PANIC" in x] or notes
        if self.proc.returncode or not self.lines:
            return "the emulator failed: " + (" / ".join(notes[-4:]) or f"status {self.proc.returncode}")
        return "the emulated host reset itself or took a triple fault"
