# SPDX-License-Identifier: GPL-2.0-only
test_landlock_SRCS := ../../tools/runvm/machine/landlock.c
test_landlock_USER := 1
