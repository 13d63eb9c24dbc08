# SPDX-License-Identifier: GPL-2.0-only
"""lab/test: run the tests, in this process and in emulated hosts, and count."""

import argparse
import fnmatch
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time

LAB = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
TOP = os.path.dirname(LAB)
sys.path.insert(0, os.path.join(LAB, "lib"))

import guest    # noqa: E402

LOGS = os.path.join(TOP, "build/test")

CPUS = ["svm", "svm-nrip", "vmx", "vmx-old", "vmx-new", "vmx-spec"]
KERNELS = ["6.1", "6.12", "sid", "debug"]

# What depends on next-RIP save: instructions that are gone past. And what QEMU's AMD-V lacks or does
# in another way than processors do, see Documentation/lab.md.
NRIP = ("smoke io mmio corners cpuid msr hypercall crdr modes task debug exceptions inject spin "
        "sensitive suspend")
# Where locks, lifetimes and user pointers are at stake.
DEBUG = ("smoke lifetime memory signals errors nomem fuzz_ioctl follow lost dirty irqfd ioeventfd "
         "ioapic pv_sched")
# The same for VT-x's own part
DEBUG_VMX = "smoke nomem fuzz_ioctl suspend"

# With the preemption timer armed windows end at any instruction.
TIMER = "smoke signals fpu"

MEMORY = "large dirty pressure"

# What the host does with guest memory, where it has nodes, and pages can be broken (not in 6.1)
HOST_MEMORY = "smoke hostmm follow lost pressure limits runvm_lost"

# A BAR that the host maps by large entries, which kernels before 6.12 do not
BAR = ["--flavour", "cloud", "--iommu", "intel", "--device", "nvme,serial=hvx,cmb_size_mb=1024"]

# What is different without APIC virtualization.
APIC = "apicv lapic lapic_messages lapic_state pv_eoi"

# What depends on speculation control: exits, entries, MSRs.
SPEC = "smoke spec_ctrl msr cpuid"

# The host's sleep needs a host with one CPU.
SLEEP = "smoke suspend"

# Linux guests (lab/guests): CPU, tests, guests that they need, more arguments of lab/run, seconds.
EVERY = "boot:6.1:1 boot:6.1:4 boot:6.12:1 boot:6.12:4 boot:sid:1 boot:sid:4"
KERNELS_OF_GUESTS = ["6.1", "6.12", "sid"]
GUESTS = [
    ("vmx", f"{EVERY} devices:6.1:1 nodes:6.1 two:6.1 fates:6.1 suspend:6.1:2:button:alarm",
     KERNELS_OF_GUESTS, ["--mem", "1024"], 1500),
    ("vmx", "reboots:6.1:20", ["6.1"], [], 2000),
    ("vmx", "balloon:6.1 boot:6.1:2", ["6.1"], ["--smp", "2", "--mem", "1024"], 1500),
    ("svm", f"{EVERY} boot:6.1:16 devices:6.12:2 two:6.12 fates:6.1 balloon:6.12 "
     "suspend:6.1:2:button:alarm:freeze suspend:6.12:1:command", KERNELS_OF_GUESTS,
     ["--smp", "2", "--mem", "2048"], 1200),
    ("vmx", "again:6.1-full vhost:6.1-full mmio:6.1-full:1", ["6.1-full"], ["--mem", "1024"], 1200),
    ("vmx", "installer", ["installer"], ["--mem", "2048"], 600),
    ("svm", "debian installer", ["debian", "installer"], ["--smp", "2", "--mem", "2048"], 1200),
    ("svm", "reboots:6.12:20", ["6.12"], ["--smp", "2"], 1200),
    ("svm", "numa:6.12", ["6.12"], ["--smp", "2", "--numa", "2", "--mem", "2048"], 400),
    ("svm", "network:6.1-full share:6.1-full again:6.1-full mmio:6.1-full:2 "
     "hvc:6.1-full:2:--virtio-transport:mmio boot:6.1-pvh:2 boot:6.12-full:1 boot:sid-full:4",
     ["6.1-full", "6.1-pvh", "6.12-full", "sid-full"],
     ["--smp", "2", "--mem", "2048"], 1200),
]

# What runs by default: CPU, kernel, programs, more arguments of lab/run.
# The long ones come first, so that the two lanes end at about the same time.
DEFAULT = [
    # With 768 MiB the host has transparent huge pages
    ("vmx", "6.1", "*", ["--smp", "2", "--mem", "768"]),
    ("svm", "6.1", "*", ["--smp", "2", "--numa", "2"]),
    ("svm", "sid", "*", ["--smp", "2", "--numa", "2"]),
    ("vmx-old", "6.1", "smoke apicv lapic_state", []),
    ("vmx-new", "6.1", "smoke sensitive apicv lapic lapic_state", []),
    ("vmx-spec", "6.12", SPEC, []),
    # Mitigations on, as people run it
    ("svm", "6.1", SPEC, ["--smp", "2", "--append", "mitigations=auto"]),
    # Mitigations on: large pages that hold no code; and EPT without accessed and dirty flags
    ("vmx", "6.1", MEMORY, ["--smp", "2", "--mem", "768", "--append", "mitigations=auto",
                            "--param", "ept_ad=0"]),
    # 1 GiB of aligned memory that the firmware leaves whole: from 4 GiB on
    ("svm", "6.1", "large", ["--mem", "3584", "--append", "hugepagesz=1G hugepages=1"]),
    ("vmx", "6.1", "large", ["--mem", "5120"]),
    ("vmx", "6.1", APIC, ["--param", "apicv=0"]),
    ("vmx", "6.1", TIMER, ["--param", "vmx_timer_us=200"]),
    # The cloud flavour knows no machine checks
    ("svm", "6.1", "machine_check", ["--smp", "2", "--flavour", "full"]),
    ("svm-nrip", "6.1", NRIP, []),
    ("vmx", "6.12", SLEEP, []),
    ("vmx", "sid", SLEEP, []),
    ("svm", "6.12", "suspend", []),
    ("vmx", "6.12", HOST_MEMORY, ["--mem", "768"]),
    ("svm", "6.12", HOST_MEMORY, ["--smp", "2", "--numa", "2"]),
    *(("svm", kernel, "bar", BAR) for kernel in ["6.1", "6.12", "sid"]),
    ("svm", "debug", DEBUG, ["--smp", "2", "--mem", "1024", "--leaks"]),
    ("vmx", "debug", DEBUG_VMX, ["--leaks"]),
]
# Seconds for one boot with all its programs; hangs of single programs end earlier.
LIMIT = {"*": 1500, "smoke": 240, "smoke apicv lapic_state": 240,
         "smoke sensitive apicv lapic lapic_state": 240, SPEC: 240, SLEEP: 240, "suspend": 120, "bar": 120,
         NRIP: 600, DEBUG: 500, DEBUG_VMX: 300, TIMER: 240, MEMORY: 400, APIC: 400, HOST_MEMORY: 500,
         "large": 480, "machine_check": 240}

RESULT = re.compile(r"^(ok|not ok)\b(?:\s+\d+)?\s*(?:-\s*)?(.*)$")
PROGRAM = re.compile(r"^# (?:selftest|unit test): (\S+)")
COLOUR = sys.stdout.isatty()


class Run:
    """One command that prints TAP."""

    def __init__(self, name, argv, needs=()):
        self.name, self.argv, self.needs = name, argv, needs
        self.passed = self.skipped = 0
        self.failures = []
        self.done, self.reasons = set(), {}
        self.log = os.path.join(LOGS, name.replace(" ", "-") + ".log")

    def fail(self, what):
        self.failures.append(f"{self.name}: {what}")
        say(f"{self.name}: FAILED {what}")

    def line(self, text):
        """Count a line; those of sub-tests are indented, and do not match."""
        found = PROGRAM.match(text)
        if found:
            self.close()
            self.program, self.before = found[1], (self.passed, self.skipped, len(self.failures))
            return
        found = RESULT.match(text)
        if not found:
            self.bailed = self.bailed or text.startswith("Bail out!")
        elif found[1] == "not ok":
            self.fail(f"{self.program}: {found[2]}".strip(": "))
        else:
            self.count(found[2])

    def count(self, text):
        """A test that has passed, or is skipped and says why."""
        name, skip, reason = re.match(r"(.*?)\s*(# SKIP\b\s*(.*))?$", text, re.I).groups()
        if skip:
            self.skipped += 1
            self.reasons[f"{self.program}: {name}"] = reason
        else:
            self.passed += 1
            self.done.add(f"{self.program}: {name}")

    def close(self):
        """The line about a program that has ended."""
        if self.program:
            passed, skipped, failed = self.before
            say(f"{self.name}: {self.program}: {self.passed - passed} passed, "
                f"{len(self.failures) - failed} failed, {self.skipped - skipped} skipped")
        self.program = ""

    def run(self):
        self.program, self.bailed = "", False
        start = time.monotonic()
        with open(self.log, "w", encoding="utf-8") as log:
            print("+ " + shlex.join(self.argv), file=log, flush=True)
            with subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", cwd=TOP) as proc:
                for text in proc.stdout:
                    log.write(text)
                    log.flush()
                    self.line(text.rstrip("\r\n"))
        self.close()
        if self.bailed:
            self.fail("bailed out")
        # 1 is how the programs say what their 'not ok' lines have said already.
        if proc.returncode and not (proc.returncode in (1, 2) and self.failures):
            self.fail(f"ended with status {proc.returncode}, see below")
            self.show_end()
        elif not self.passed and not self.failures and not self.skipped:
            self.fail("ran no test")
            self.show_end()
        say(f"{self.name}: {time.monotonic() - start:.0f} s")

    def show_end(self, lines=60):
        with open(self.log, encoding="utf-8") as log:
            end = log.readlines()[-lines:]
        with PRINT:
            print(f"--- the end of {os.path.relpath(self.log, TOP)}")
            sys.stdout.writelines("    " + x for x in end)
            print("---", flush=True)


PRINT = threading.Lock()


def say(text):
    with PRINT:
        print(text, flush=True)


def host_run(cpu, kernel, glob, extra):
    emulator = "qemu" if cpu == "svm" else "bochs-smp" if "--smp" in extra else "bochs"
    limit = LIMIT.get(glob, LIMIT["*"]) * (3 if kernel == "debug" else 1)
    argv = [f"{LAB}/run", "--cpu", cpu, "--kernel", kernel, "--timeout", str(limit), *extra,
            "--", "run", *glob.split()]
    name = f"{cpu} {kernel}" + {TIMER: " timer", SPEC: " speculation", MEMORY: " memory",
                                HOST_MEMORY: " memory", APIC: " apicv=0", "large": " large", "bar": " bar",
                                "machine_check": " full"}.get(glob, "")
    return Run(name, argv, [emulator, f"kernel-{kernel}" + ("-full" if "full" in extra else "")])


def guest_run(cpu, tests, guests, extra, limit):
    argv = [f"{LAB}/run", "--cpu", cpu, "--timeout", str(limit), "--add", f"{LAB}/guests:/hvx/bin/"]
    for name in guests:
        argv += ["--guest", name]
    first = tests.split()[0].partition(":")[0]
    emulator = "qemu" if cpu == "svm" else "bochs-smp" if "--smp" in extra else "bochs"
    return Run(f"{cpu} guests {first}", [*argv, *extra, "--", "guests", *tests.split()],
               [emulator, *(guest.piece(name) for name in guests)])


def unit_run():
    return Run("unit", ["make", "-s", "--no-print-directory", "-C", "selftests/unit", "check"])


def lab_run():
    return Run("lab", [sys.executable, "-B", f"{LAB}/lib/selfcheck.py"])


def plan(opts):
    """The runs that the options ask for."""
    if opts.unit:
        return [lab_run(), unit_run()]
    guests = [guest_run(*x) for x in GUESTS if opts.cpu in (None, x[0])]
    if opts.test == "guests":
        return guests
    if not (opts.cpu or opts.kernel or opts.test):
        runs = [host_run(*x) for x in DEFAULT]
        runs[3:3] = guests
        # Two lanes: these go next to the longest one.
        runs[1:1] = [lab_run(), unit_run(), Run("selfcheck", [f"{LAB}/selfcheck"], ["qemu", "kernel-6.1"]),
                     Run("refusals", [f"{LAB}/refusals"], ["qemu", "bochs", "kernel-6.1"])]
        # The kernel that takes long to build is needed last.
        runs.append(Run("checkers", [f"{LAB}/checkers"], ["qemu", "kernel-debug"]))
        return runs
    # Who names a test wants that one
    runs = [] if opts.test else [lab_run(), unit_run()]
    for kernel in [opts.kernel] if opts.kernel else ["6.1"]:
        extra = ["--smp", "2"] + (["--mem", "1024", "--leaks"] if kernel == "debug" else [])
        for cpu in [opts.cpu] if opts.cpu else ["vmx", "svm"]:
            runs.append(host_run(cpu, kernel, opts.test or "*", extra))
    if not (opts.kernel or opts.test):
        runs += guests
    return runs


def prefetch(runs):
    """Get what later runs need while the first ones are at work."""
    pieces = ["base"]
    for run in runs:
        pieces += [p for p in run.needs if p not in pieces]
    # Slow to build and needed last, but everything waits for it in the end.
    pieces.sort(key=lambda p: p == "kernel-debug")
    subprocess.run([f"{LAB}/setup", *pieces], stdin=subprocess.DEVNULL, check=False)


def lane(todo):
    while True:
        try:
            todo.get_nowait().run()
        except queue.Empty:
            return


def show_skipped(runs):
    """Tests that no run has done: what they lack is in none of the emulated hosts."""
    done = set().union(*(run.done for run in runs))
    reasons = {name: why for run in runs for name, why in run.reasons.items()}
    for name, why in sorted(reasons.items()):
        if name not in done:
            print(f"skipped everywhere: {name}: {why}")


def check_test(p, globs):
    """Refuse what is the name of no test."""
    there = sorted(name[:-2] for name in os.listdir(os.path.join(TOP, "selftests")) if name.endswith(".c"))
    for glob in globs.split() or [globs]:
        if glob != "guests" and not fnmatch.filter(there, glob.removeprefix("!")):
            p.error(f"no test has the name '{glob}': there are {', '.join(there)}; "
                    "and guests, which are Linux guests")
    if "guests" in globs.split() and globs != "guests":
        p.error("'guests' is no program of selftests/: give it alone")


def main():
    p = argparse.ArgumentParser(prog="lab/test", description="Run the tests.", allow_abbrev=False)
    p.add_argument("--cpu", choices=CPUS)
    p.add_argument("--kernel", choices=KERNELS)
    p.add_argument("--test", metavar="GLOB",
                   help="programs of selftests/ whose name matches; or guests: Linux guests")
    p.add_argument("--unit", action="store_true", help="only the tests that need no emulated host")
    opts = p.parse_args()
    if opts.test is not None:
        check_test(p, opts.test)
    # Variables of 'make test' are not for the makes that run below it.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
        os.environ.pop(name, None)
    runs = plan(opts)
    if not runs:
        tested = " and ".join(sorted({x[0] for x in GUESTS}))
        p.error(f"Linux guests are tested on {tested}, not on {opts.cpu}")
    os.makedirs(LOGS, exist_ok=True)
    if subprocess.run([f"{LAB}/setup", "base"], stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit(1)
    threading.Thread(target=prefetch, args=(runs,), daemon=True).start()
    todo = queue.Queue()
    for run in runs:
        todo.put(run)
    lanes = [threading.Thread(target=lane, args=(todo,)) for _ in range(2)]
    for t in lanes:
        t.start()
    for t in lanes:
        t.join()
    failures = [f for run in runs for f in run.failures]
    passed = sum(run.passed for run in runs)
    for failure in failures:
        print(f"FAILED {failure}")
    show_skipped(runs)
    print(f"Logs are in {os.path.relpath(LOGS, TOP)}/")
    print(f"{passed} passed, {len(failures)} failed, {sum(run.skipped for run in runs)} skipped")
    sys.exit(bool(failures) or not passed)


if __name__ == "__main__":
    main()
