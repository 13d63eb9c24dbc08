# SPDX-License-Identifier: GPL-2.0-only
test_rtc_SRCS := ../../tools/runvm/dev/rtc.c
test_rtc_USER := 1
