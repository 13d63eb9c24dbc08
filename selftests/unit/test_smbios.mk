# SPDX-License-Identifier: GPL-2.0-only
test_smbios_SRCS := ../../tools/runvm/boot/smbios.c runvm_shim/runvm_shim.c
test_smbios_CFLAGS := -D_GNU_SOURCE= -DRUNVM_VERSION='"1.2"' -Wno-missing-field-initializers \
	-I$(TOP)/tools/runvm -I$(HERE)/runvm_shim
