# SPDX-License-Identifier: GPL-2.0-only
test_task_SRCS := ../../src/cpu/task_rules.c
