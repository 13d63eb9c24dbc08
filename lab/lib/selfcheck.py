# SPDX-License-Identifier: GPL-2.0-only
"""What of the lab can be tested without a host, in TAP: verdicts on kernel logs, and what images hold."""

import os
import sys
import tempfile
import types

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import image    # noqa: E402
import klog     # noqa: E402

# A message of the kernel's for each pattern of klog's, or more than one.
COMPLAINTS = {
    "WARN": "WARNING: CPU: 1 PID: 214 at src/core/vcpu.c:310 hvx_vcpu_run+0x1c2/0x3a0 [hvx]",
    "the line above a WARN": "------------[ cut here ]------------",
    "KASAN": "BUG: KASAN: slab-use-after-free in hvx_region_get+0x5c/0x90 [hvx]",
    "KASAN, second line of a fault": "KASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]",
    "KASAN, memory dump": "Memory state around the buggy address:",
    "UBSAN": "UBSAN: shift-out-of-bounds in src/mmu/table.c:88:14",
    "page fault": "BUG: unable to handle page fault for address: ffffc90000a3d000",
    "null pointer": "BUG: kernel NULL pointer dereference, address: 0000000000000010",
    "BUG()": "kernel BUG at mm/slub.c:4023!",
    "oops": "Oops: 0002 [#1] PREEMPT SMP KASAN",
    "general protection":
        "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]",
    "stack segment": "stack segment: 0000 [#1] PREEMPT SMP",
    "double fault": "double fault: 0000 [#1] PREEMPT SMP",
    "divide error": "divide error: 0000 [#1] PREEMPT SMP",
    "invalid opcode": "invalid opcode: 0000 [#1] PREEMPT SMP KASAN",
    "breakpoint": "int3: 0000 [#1] PREEMPT SMP",
    "panic": "Kernel panic - not syncing: Fatal exception in interrupt",
    "MSR":
        "unchecked MSR access error: WRMSR to 0x48 (tried to write 0x0000000000000001) at rIP: 0xffffffffa00",
    "lockdep, cycle": "WARNING: possible circular locking dependency detected",
    "lockdep, recursion": "WARNING: possible recursive locking detected",
    "lockdep, inversion": "WARNING: possible irq lock inversion dependency detected",
    "lockdep, state": "WARNING: inconsistent lock state",
    "lockdep, key": "INFO: trying to register non-static key.",
    "lockdep, internal": "DEBUG_LOCKS_WARN_ON(lock->magic != lock)",
    "lockdep, unlock": "WARNING: bad unlock balance detected!",
    "lockdep, lock kept": "WARNING: lock held when returning to user space!",
    "RCU usage": "WARNING: suspicious RCU usage",
    "RCU stall of another CPU": "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "RCU stall": "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "RCU stall, expedited":
        "INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 21 jiffies s: 61 root: 0x1/.",
    "RCU thread":
        "rcu: rcu_preempt kthread starved for 2100 jiffies! g1049 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0",
    "hung task": "INFO: task runvm:312 blocked for more than 120 seconds.",
    "soft lockup": "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [smoke:210]",
    "hard lockup": "watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "sleep in atomic context":
        "BUG: sleeping function called from invalid context at include/linux/sched/mm.h:274",
    "scheduling in atomic context": "BUG: scheduling while atomic: smoke/210/0x00000002",
    "preemption": "BUG: using smp_processor_id() in preemptible [00000000] code: smoke/210",
    "list": "list_del corruption. prev->next should be ffff888004c51010, but was dead000000000100.",
    "list, twice": "list_add double add: new=ffff888004c51010, prev=ffff888004c51010, next=ffffffff83a01240.",
    "refcount": "refcount_t: underflow; use-after-free.",
    "kmemleak": "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "slab cache":
        "BUG hvx_vcpu (Tainted: G           O      ): Objects remaining on __kmem_cache_shutdown()",
    "page": "BUG: Bad page state in process smoke  pfn:03f2a",
    "user copy":
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'hvx_vm' (offset 0, size 4096)!",
    "FPU": "Bad FPU state detected at restore_fpregs_from_fpstate+0x40/0x70, reinitializing FPU registers.",
    "NMI": "Uhhuh. NMI received for unknown reason 21 on CPU 0.",
    "NMI handler": "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.204 msecs",
    "vector": "__common_interrupt: 1.55 No irq handler for vector",
    "interrupt line": "Disabling IRQ #9",
    "module reference": "lab: FAIL: module hvx leaked: its reference count is 1 with no process left",
}

# Those that a pattern must not take for one.
HARMLESS = [
    "smoke[212]: segfault at 0 ip 0000000000401234 sp 00007ffd0b6a5f00 error 4 in smoke[401000+8000]",
    "traps: sensitive[233] general protection fault ip:401a2c sp:7ffc5ab1e2c8 error:0 in sensitive",
    "traps: corners[240] trap invalid opcode ip:40188a sp:7ffe0dd13fb0 error:0 in corners[401000+9000]",
    "process 'fuzz_ioctl' launched '/dev/null' with NULL argv: empty string added",
    "hvx: loading out-of-tree module taints kernel.",
    "hvx: module verification failed: signature and/or required key missing - tainting kernel",
    "hvx: ready (vmx)",
    "Warning: unable to open an initial console.",
    "rcu: \tRCU CPU stall warnings timeout set to 60 (rcu_cpu_stall_timeout).",
    "rcu: RCU calculated value of scheduler-enlistment delay is 10 jiffies.",
    "rcu: Preemptible hierarchical RCU implementation.",
    "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
    "Running RCU-tasks wait API self tests",
    "kasan: KernelAddressSanitizer initialized",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15686)",
    "kmemleak: Automatic memory scanning thread started",
    "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
    "x86/fpu: Supporting XSAVE feature 0x002: 'SSE registers'",
    "[Firmware Bug]: TSC_DEADLINE disabled due to Errata; please update microcode",
    "Failed to access perfctr msr (MSR c4 is 0)",
    "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
    "perf: interrupt took too long (2503 > 2500), lowering kernel.perf_event_max_sample_rate to 79000",
    "hrtimer: interrupt took 2103480 ns",
    "memory: 2048 bytes of a program named BUG: none",
    "Kernel command line: console=ttyS0,115200 loglevel=5 panic=-1 oops=panic",
    "FAULT_INJECTION: forcing a failure.",
    "Memory cgroup out of memory: Killed process 301 (limits) total-vm:24k, anon-rss:8kB",
    "lab: machine check 0 4 0xbe00000000000000 0x5",
    "lab: up after 1.47 s",
    "lab: status 99",
]

# With a stamp alone, and with the thread or processor that some kernels put behind it
STAMPS = ["[    3.141592] ", "[  314.159265][  T214] ", "[    0.000000][    C1] ", ""]

count = failed = 0


def ok(text, condition, detail=""):
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {text}")
    if not condition and detail:
        print("# " + str(detail).replace("\n", "\n# "))


def complaints():
    """One test each, so that a line says which kind is lost."""
    for kind, text in COMPLAINTS.items():
        missed = [stamp + text for stamp in STAMPS if not klog.is_bad(stamp + text + "\r\n")]
        ok(f"{kind} is a complaint", not missed, missed)


def patterns():
    """A pattern that no sample needs is one that nobody has seen work."""
    for pattern in klog.AT_START + klog.WITHIN:
        alone = klog.re.compile(pattern)
        find = alone.match if pattern in klog.AT_START else alone.search
        if not any(find(text) for text in COMPLAINTS.values()):
            ok(f"the pattern '{pattern}' has a sample", False)
            return
    ok("each pattern has a sample", True)


def harmless():
    taken = [stamp + text for text in HARMLESS for stamp in STAMPS if klog.is_bad(stamp + text)]
    ok("what only looks like a complaint is none", not taken, "\n".join(taken))
    healthy = [STAMPS[0] + text for text in HARMLESS]
    ok("a log without complaints is clean", klog.bad_lines(healthy) == [], klog.bad_lines(healthy))


def excerpts():
    """What is shown of a log: the complaint and what follows, never the status line."""
    log = [f"[    1.{i:06}] line {i}" for i in range(100)]
    log[10] = "[    1.000010] " + COMPLAINTS["WARN"]
    log[12] = "[    1.000012] lab: status 0"
    shown = klog.bad_lines(log, context=5)
    ok("a complaint is shown with what follows it", shown == log[10:12] + log[13:16], "\n".join(shown))
    shown = klog.bad_lines([STAMPS[0] + COMPLAINTS["KASAN"]] * 500, limit=120)
    ok("a flood is cut short, and that is said", len(shown) == 121 and "380 more" in shown[-1], shown[-1])
    ok("a panic is the host's death", klog.is_death(STAMPS[0] + COMPLAINTS["panic"]))
    ok("a complaint that it survives is not", not any(
        klog.is_death(text) for kind, text in COMPLAINTS.items() if kind != "panic"))


TESTS = ["bar", "io", "large", "large_pages", "memory", "smoke"]
BENCHMARKS = ["exits", "stopwatch", "work"]


def meant(command, script=None, terminal=False):
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "script")
        with open(path, "wb") as f:
            f.write(script or b"")
        opts = types.SimpleNamespace(command=command, add=[(path, "/root/script")], terminal=terminal)
        return sorted(image.meant_by(opts, TESTS, BENCHMARKS))


def images():
    """Programs that are missing in a host fail a run; too many make it slow."""
    for text, found, wanted in [
            ("a command has no test", meant(["true"]), []),
            ("a command has the test that it is", meant(["smoke", "-v"]), ["smoke"]),
            ("'run' alone has all tests", meant(["run"]), TESTS),
            ("'run' has what its globs match",
             meant(["run", "large*", "io"]), ["io", "large", "large_pages"]),
            ("'run' with one left out has the others",
             meant(["run", "*", "!io"]), sorted(TESTS + BENCHMARKS)),
            ("'run' has all, to say what it does not find", meant(["run", "nosuch"]), TESTS),
            ("words within a word count", meant(["sh", "-c", "x=1;smoke&&exits"]), ["exits", "smoke"]),
            ("who goes through the directory has all", meant(["ls", "/hvx/selftests/bin"]), TESTS),
            ("a script that is added counts",
             meant(["sh", "script"], b"#!/bin/sh\nstopwatch io\n"), ["io", "stopwatch"]),
            ("a binary does not", meant(["x"], b"\x7fELF\0 smoke "), []),
            ("a terminal has all", meant(["sh"], terminal=True), sorted(TESTS + BENCHMARKS))]:
        ok(f"image: {text}", found == wanted, f"{found}, not {wanted}")


def main():
    print("TAP version 13")
    complaints()
    patterns()
    harmless()
    excerpts()
    images()
    print(f"1..{count}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
