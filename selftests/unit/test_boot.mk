# SPDX-License-Identifier: GPL-2.0-only
test_boot_SRCS := $(patsubst $(HERE)/%,%,$(wildcard $(HERE)/../../tools/runvm/boot/*.c)) \
	runvm_shim/runvm_shim.c runvm_shim/boot_images.c
test_boot_CFLAGS := -DRUNVM_VERSION='"1.2"' -D_GNU_SOURCE= -Wno-missing-field-initializers -I$(TOP)/tools/runvm -I$(HERE)/runvm_shim
