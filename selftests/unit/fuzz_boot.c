// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hostile images: the input says which good image to begin with, how much memory there is, how long
 * the file is, and what to overwrite in it (or it is the file itself). Whatever comes, it is loaded
 * within memory or refused with a sentence, and an entry is where something was loaded to.
 */
#include <string.h>

#include "boot/boot.h"
#include "boot_images.h"
#include "fuzz_input.h"
#include "runvm_shim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Numbers that are at some edge */
static uint64_t number(void)
{
	static const uint64_t edges[] = {
		0, 1, 0x7f, 0xff, 0x1000, 0x80000, 0x9fc00, 0xa0000, 0x100000, 0x200000, 0x7fffffff,
		0xffffffff, 0x100000000, 0x7fffffffffffffff, -1ULL, -0x1000ULL,
	};
	uint64_t v = edges[byte() % ARRAY_SIZE(edges)] + (int8_t)byte();

	return v;
}

static void spoil(uint8_t *image, size_t len)
{
	static const uint8_t widths[] = { 1, 2, 4, 8 };
	/* Where the structures are that a loader looks at */
	static const uint16_t areas[] = { 0, 0x40, 0x78, 0x120, 0x1f1, 0x230, 0x200, 0x1000 };
	size_t at, width;
	uint64_t v;

	while (left) {
		at = areas[byte() % ARRAY_SIZE(areas)] + byte() % 96;
		width = widths[byte() % ARRAY_SIZE(widths)];
		v = number();
		if (at + width <= len)
			memcpy(image + at, &v, width);
	}
}

static size_t make_image(uint8_t *image)
{
	unsigned int which = byte();
	size_t len, cut;

	if (which < 16) {
		len = left;
		memcpy(image, input, left);
		return len;
	}
	len = good_image(which % NR_GOOD_IMAGES, image);
	cut = byte() | byte() << 8;
	if (byte() & 1)
		len = cut % len + 1;
	spoil(image, len);
	return len;
}

static void check_start(struct boot *b, uint64_t low)
{
	const struct start *s = &b->start;

	check(s->entry < low);
	check(s->entry < OWN_BASE || s->entry >= MIB_1);
	check(s->mode == START_REAL ? s->entry < MIB_1 : true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t lows[] = { 64 << 20, 1 << 20, 18 << 20, 1 << 19, 2 << 20 };
	static struct fake_machine *f[ARRAY_SIZE(lows)];
	static uint8_t image[GOOD_MAX];
	unsigned int which, flags;
	struct boot b;
	size_t len;

	input_begin(data, size < GOOD_MAX ? size : GOOD_MAX);
	flags = byte();
	which = byte() % 16;
	which = which < ARRAY_SIZE(lows) ? which : 0;
	if (!f[which])
		f[which] = fake_machine_new(lows[which], 4);
	f[which]->options.flat = (flags & 0xe0) == 0xe0;
	f[which]->options.flat_addr = f[which]->options.flat ? number() : 0;
	len = make_image(image);
	if (!len)
		return 0;	/* image_open() refuses that */
	b = (struct boot){
		.m = &f[which]->m, .cmdline = flags & 1 ? "a command line" : "",
		.kernel = { .path = "fuzz", .fd = -1, .data = malloc(len), .len = len },
	};
	memcpy(b.kernel.data, image, len);
	if (flags & 2)
		b.initrd = (struct image){
			.path = "initrd", .fd = -1, .data = calloc(1, 4097), .len = 4097,
		};
	if (boot_detect(&b) && boot_place(&b))
		check_start(&b, lows[which]);
	else
		check(*b.error);
	image_close(&b.kernel);
	image_close(&b.initrd);
	return 0;
}
