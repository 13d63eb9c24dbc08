// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second-level page table: an input is a format and a list of operations, done to the table
 * and to a model of it.
 */
#include "fuzz_input.h"
#include "pt_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hvx_pt_format *const formats[] = {
		&hvx_pt_ept, &hvx_pt_ept_no_ad, &hvx_pt_npt,
	};
	static struct pt_model m;
	u8 how;

	input_begin(data, size);
	how = byte();
	pt_model_init(&m, formats[how % 3], how & 0x40 ? BIT_ULL(47) : 0, byte);
	if (how & 0x80)
		m.pt.on_dirty = NULL;
	for (unsigned int i = 1; left; i++) {
		pt_model_step(&m);
		if (i % 64 == 0)
			pt_model_check(&m);
	}
	pt_model_fini(&m);
	return 0;
}
