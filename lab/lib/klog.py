# SPDX-License-Identifier: GPL-2.0-only
"""The kernel log of an emulated host: what in it makes a run fail."""

import re

# '[    1.234567] ' and, with some kernels, '[   T12] ' after it.
STAMP = re.compile(r"^(\[ *\d+\.\d+\] ?)?(\[ *[TC]\d+\] ?)?")

# At the beginning of a message. lab/lib/selfcheck.py has a sample of each.
AT_START = [
    r"WARNING: ", r"BUG: ", r"BUG ", r"kernel BUG at", r"Oops: ", r"general protection fault",
    r"stack segment: ", r"double fault: ", r"divide error: ", r"invalid opcode: ", r"int3: ",
    r"UBSAN: ", r"KASAN: ", r"Memory state around", r"INFO: rcu", r"rcu: INFO: ",
    r"rcu: .* kthread (starved|timer wakeup)", r"INFO: task .* blocked for more",
    r"INFO: trying to register non-static key", r"INFO: NMI handler .* took too long",
    r"watchdog: BUG", r"Kernel panic", r"unchecked MSR access error",
    r"list_(add|del) (corruption|double)", r"refcount_t: ", r"DEBUG_LOCKS_WARN_ON",
    r"kmemleak: .*new suspected memory leaks", r"Bad FPU state", r"-+\[ cut here \]-+",
    r"usercopy: Kernel memory", r"Uhhuh. NMI received for unknown reason", r"Disabling IRQ #", r"lab: FAIL:",
]
# In the middle of one, too
WITHIN = [
    r"possible (circular|recursive|irq lock inversion)", r"inconsistent lock state",
    r"suspicious RCU usage", r"sleeping function called from invalid context",
    r"scheduling while atomic", r"soft lockup", r"hard LOCKUP", r"self-detected stall",
    r"lock held when returning to user space", r"bad unlock balance", r"No irq handler for vector",
]
START = re.compile("|".join(AT_START))
ANYWHERE = re.compile("|".join(WITHIN))

DEATH = re.compile(r"Kernel panic - not syncing|---\[ end Kernel panic")


def message(line):
    """A console line without its time stamp."""
    return STAMP.sub("", line.rstrip("\r\n"), count=1)


def is_bad(line):
    text = message(line)
    return bool(START.match(text) or ANYWHERE.search(text))


def is_death(line):
    return bool(DEATH.search(line))


def bad_lines(lines, context=25, limit=120):
    """The offending lines, each with some that follow it; [] if the log is clean."""
    keep, until = [], -1
    for i, line in enumerate(lines):
        if is_bad(line):
            until = i + context
        if i <= until and "lab: status" not in line:
            keep.append(line.rstrip())
    if len(keep) > limit:
        keep[limit:] = [f"... and {len(keep) - limit} more lines"]
    return keep
