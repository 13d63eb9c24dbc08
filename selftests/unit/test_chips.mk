# SPDX-License-Identifier: GPL-2.0-only
test_chips_SRCS := ../../src/irq/pic.c ../../src/irq/i8254.c ../../src/irq/ioapic.c
