/* SPDX-License-Identifier: GPL-2.0-only */
/* image.h: state images of vCPUs: taken from one, put into another, looked into. */
#ifndef HVX_TEST_IMAGE_H
#define HVX_TEST_IMAGE_H

#include "vm.h"

struct image {
	struct hvx_state_header header;
	uint8_t sections[0x10000 - sizeof(struct hvx_state_header)];
} __attribute__((aligned(64)));

/* HVX_GET_STATE and HVX_SET_STATE: 0 or -errno */
int image_take(struct vcpu *v, struct image *image);
int image_put(struct vcpu *v, const struct image *image);

/* Data of a section, NULL where there is none; its length if @len is not NULL */
void *image_section(struct image *image, uint32_t id, uint32_t *len);
/* One more section of @len bytes, a multiple of 8, at the end; all 0 */
void *image_add(struct image *image, uint32_t id, uint32_t len);

#endif
