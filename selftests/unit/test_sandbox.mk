# SPDX-License-Identifier: GPL-2.0-only
test_sandbox_SRCS := ../../tools/runvm/machine/sandbox.c
test_sandbox_USER := 1
test_sandbox_PACKAGES := libseccomp
