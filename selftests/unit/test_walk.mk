# SPDX-License-Identifier: GPL-2.0-only
test_walk_SRCS := ../../src/mmu/walk.c
