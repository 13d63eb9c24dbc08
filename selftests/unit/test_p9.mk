# SPDX-License-Identifier: GPL-2.0-only
test_p9_SRCS := $(addprefix ../../tools/runvm/virtio/p9_,msg.c fid.c dir.c file.c server.c) \
	p9_client/p9_client.c
test_p9_USER := 1
test_p9_CFLAGS := -I$(HERE)/p9_client
