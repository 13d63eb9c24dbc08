# SPDX-License-Identifier: GPL-2.0-only
#
# 'make help' says what there is. The module's objects are listed in Kbuild.

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))

# The kernel to build for, as DKMS names it, or its build directory.
KERNELRELEASE ?= $(if $(KDIR_GIVEN),$(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h),$(shell uname -r))
KDIR_GIVEN := $(filter command environment,$(word 1,$(origin KDIR)))
KDIR ?= /lib/modules/$(KERNELRELEASE)/build

# Everything is built below build/, the source tree stays clean.
BUILD := $(TOP)/build
OUT ?= build/$(KERNELRELEASE)
override OUT := $(abspath $(OUT))

PREFIX ?= /usr/local
DEPMOD ?= depmod

# What 'make run' runs instead of Linux: RUN='runvm hello', say.
RUN ?=

# Folders with user-space programs; each Makefile puts them in $(O)/bin.
PROGRAMS := $(patsubst %/Makefile,%,$(wildcard selftests/Makefile tools/*/Makefile bench/Makefile samples/Makefile))

.PHONY: all module test-modules programs unit install run test bench check-style clean help $(PROGRAMS:%=program-%)

all: module programs

help:
	@echo 'make                 hvx.ko for the running kernel (or KERNELRELEASE=, KDIR=), and the programs'
	@echo 'make install         hvx.ko, hvx.h, runvm and its manual page into this system'
	@echo 'make run             a Linux guest with a shell: on this machine if it can, else in an emulated host'
	@echo 'make test            all tests; narrowed by CPU=svm|svm-nrip|vmx|vmx-old|vmx-new|vmx-spec,'
	@echo '                     KERNEL=6.1|6.12|sid|debug, TEST=GLOB'
	@echo 'make bench           instructions per exit, for memory, to boot Linux and of its work, beside KVM'
	@echo 'make unit            the tests that need no emulated host'
	@echo 'make check-style     checkpatch --strict, sparse, W=1, shellcheck'
	@echo 'make clean           remove build/'
	@echo 'lab/run --help       one command in an emulated host'

# Kbuild writes next to what it reads, and several kernels are wanted side by
# side: each gets a directory of links to the sources. M= must be absolute.
SOURCES := $(shell find src include Kbuild -type f ! -name '.*' 2>/dev/null)

$(OUT)/hvx.ko: $(SOURCES) Makefile
	@test -e $(KDIR)/Makefile || { \
		echo "No kernel headers in $(KDIR): install linux-headers-$(KERNELRELEASE), or set KDIR=" >&2; exit 1; }
	@mkdir -p $(OUT)
	@find $(OUT) -xtype l -delete
	@cp -rs --no-clobber $(TOP)/src $(TOP)/include $(TOP)/Kbuild $(OUT)
	+$(MAKE) -C $(KDIR) M=$(OUT) CONFIG_DEBUG_INFO_BTF_MODULES= modules
	@touch $@

module: $(OUT)/hvx.ko

# Modules that only tests load
$(OUT)/kmod/.built: $(wildcard selftests/kmod/*) Makefile
	@mkdir -p $(@D)
	@find $(@D) -xtype l -delete
	@cp -rs --no-clobber $(TOP)/selftests/kmod $(OUT)
	+$(MAKE) -C $(KDIR) M=$(@D) CONFIG_DEBUG_INFO_BTF_MODULES= modules
	@touch $@

test-modules: $(OUT)/kmod/.built

programs: $(PROGRAMS:%=program-%)

$(PROGRAMS:%=program-%): program-%:
	+$(MAKE) -C $* O=$(BUILD)/$*

install: all
	install -D -m 644 $(OUT)/hvx.ko $(DESTDIR)/lib/modules/$(KERNELRELEASE)/updates/hvx.ko
	install -D -m 644 include/uapi/linux/hvx.h $(DESTDIR)$(PREFIX)/include/linux/hvx.h
	install -D -m 644 Documentation/man/runvm.1 $(DESTDIR)$(PREFIX)/share/man/man1/runvm.1
	for p in $(BUILD)/tools/*/bin/*; do install -D -m 755 $$p $(DESTDIR)$(PREFIX)/bin/$${p##*/}; done
	$(if $(DESTDIR),,$(DEPMOD) $(KERNELRELEASE))

run:
	@lab/make-run $(RUN)

unit:
	@lab/test --unit

test:
	@lab/test $(CPU:%=--cpu %) $(KERNEL:%=--kernel %) $(if $(TEST),--test '$(TEST)')

bench:
	@bench/run
	@bench/memory
	@bench/guests

check-style:
	@lab/check-style

clean:
	rm -rf build
