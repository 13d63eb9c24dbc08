# SPDX-License-Identifier: GPL-2.0-only
test_power_SRCS := ../../tools/runvm/dev/power.c
test_power_USER := 1
