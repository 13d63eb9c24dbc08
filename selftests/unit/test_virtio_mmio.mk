# SPDX-License-Identifier: GPL-2.0-only
include $(HERE)/fake_machine/virtio.mk
test_virtio_mmio_SRCS := $(virtio_SRCS) fake_machine/fake_driver.c
test_virtio_mmio_USER := 1
test_virtio_mmio_PACKAGES := liburing
