# SPDX-License-Identifier: GPL-2.0-only
test_memory_SRCS := ../../tools/runvm/machine/memory.c ../../tools/runvm/machine/guard.c
test_memory_USER := 1
