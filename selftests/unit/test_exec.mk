# SPDX-License-Identifier: GPL-2.0-only
# -no-pie: 32-bit and 16-bit code has to reach what is in native_exec.S
test_exec_SRCS := ../../src/emul/decode.c ../../src/emul/exec.c ../../src/emul/alu.c native_exec.S
test_exec_CFLAGS := -Wno-missing-field-initializers -no-pie -fno-pie
