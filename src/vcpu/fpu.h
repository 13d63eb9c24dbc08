/* SPDX-License-Identifier: GPL-2.0-only */
/* FPU, SSE and AVX state of a vCPU. */
#ifndef HVX_FPU_H
#define HVX_FPU_H

#include "vcpu.h"

/* XCR0 bits */
#define XF_X87		BIT_ULL(0)
#define XF_SSE		BIT_ULL(1)
#define XF_AVX		BIT_ULL(2)
#define XF_BNDREGS	BIT_ULL(3)
#define XF_BNDCSR	BIT_ULL(4)
#define XF_AVX512	GENMASK_ULL(7, 5)
#define XF_PKRU		BIT_ULL(9)

struct hvx_fpu_info {
	u64 features;		/* XCR0 bits that guests can have */
	u32 size;		/* of an XSAVE image with all of them */
	u32 mxcsr_mask;
	u32 offset[64];		/* of each component in the standard format */
	u32 len[64];
};

extern struct hvx_fpu_info hvx_fpu_info;	/* immutable after load */

int hvx_fpu_start(void);	/* at load: 0, -ENOMEM, or -EOPNOTSUPP after a pr_err() */
void hvx_fpu_stop(void);
int hvx_fpu_init(struct hvx_vcpu *vcpu);
void hvx_fpu_fini(struct hvx_vcpu *vcpu);

/* XCR0 changes, also in the middle of a window. Context: vcpu->lock. */
void hvx_set_xcr0(struct hvx_vcpu *vcpu, u64 xcr0);

/* May XCR0 be set to this? */
bool hvx_xcr0_valid(const struct hvx_vcpu *vcpu, u64 xcr0);

/* Bytes of a standard-format XSAVE image with these features */
u32 hvx_xsave_size(u64 xcr0);

/* XSAVE image in and out. Context: process, vcpu->lock. 0, -EFAULT, -EINVAL. */
bool hvx_fpu_image_valid(const void *image, u32 len);
int hvx_fpu_set(struct hvx_vcpu *vcpu, const void *image, u32 len);

#endif
