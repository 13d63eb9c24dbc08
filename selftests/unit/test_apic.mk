# SPDX-License-Identifier: GPL-2.0-only
test_apic_SRCS := ../../src/irq/apic_regs.c
