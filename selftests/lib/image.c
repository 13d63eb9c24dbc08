// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "image.h"

int image_take(struct vcpu *v, struct image *image)
{
	struct hvx_blob b = {
		.size = sizeof(b), .len = sizeof(*image), .data = (uintptr_t)image,
	};

	return xioctl(v->fd, HVX_GET_STATE, &b);
}

int image_put(struct vcpu *v, const struct image *image)
{
	struct hvx_blob b = {
		.size = sizeof(b), .len = image->header.len, .data = (uintptr_t)image,
	};

	return xioctl(v->fd, HVX_SET_STATE, &b);
}

void *image_section(struct image *image, uint32_t id, uint32_t *len)
{
	uint8_t *at = image->sections, *end = (uint8_t *)image + image->header.len;

	while (at + sizeof(struct hvx_state_section) <= end) {
		struct hvx_state_section *s = (void *)at;

		if (s->id == id) {
			if (len)
				*len = s->len;
			return s + 1;
		}
		at += sizeof(*s) + s->len;
	}
	return NULL;
}

void *image_add(struct image *image, uint32_t id, uint32_t len)
{
	struct hvx_state_section *s = (void *)((uint8_t *)image + image->header.len);

	*s = (struct hvx_state_section){ .id = id, .len = len };
	memset(s + 1, 0, len);
	image->header.len += sizeof(*s) + len;
	image->header.nr_sections++;
	return s + 1;
}
