# SPDX-License-Identifier: GPL-2.0-only
include $(HERE)/fake_machine/virtio.mk
fuzz_virtio_SRCS := $(virtio_SRCS)
fuzz_virtio_USER := 1
fuzz_virtio_PACKAGES := liburing
fuzz_virtio_LIBS := -Wl,--wrap=fallocate
