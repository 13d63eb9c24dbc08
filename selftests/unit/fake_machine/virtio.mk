# SPDX-License-Identifier: GPL-2.0-only
# runvm's PCI and virtio devices, in the fake machine
virtio_SRCS := $(addprefix ../../tools/runvm/,$(addprefix pci/,host.c config.c msix.c) \
	$(addprefix virtio/,queue.c device.c worker.c pci.c mmio.c blk.c blk_io.c blk_map.c \
	blk_image.c console.c rng.c balloon.c) machine/guard.c) fake_machine/fake_machine.c
