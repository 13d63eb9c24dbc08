// SPDX-License-Identifier: GPL-2.0-only
/*
 * FPU, SSE and AVX state of a vCPU.
 *
 * What a guest can have, the vCPU's image of it and XCR0; the exchange at both ends of a window is
 * in fpu_switch.h.
 */
#include <asm/fpu/api.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <linux/gfp.h>
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include "compat.h"
#include "fpu.h"
#include "fpu_switch.h"
#include "run.h"

#define XSAVE_LEGACY	512
#define XSAVE_HEADER	64
#define FCW_DEFAULT	0x37f
#define MXCSR_DEFAULT	0x1f80
#define MXCSR_OFFSET	24
#define MXCSR_MASK_OFF	28

struct hvx_fpu_info hvx_fpu_info;
struct hvx_fpu_host hvx_fpu_host;

DEFINE_STATIC_KEY_FALSE(hvx_fpu_has_xsaveopt);
DEFINE_STATIC_KEY_FALSE(hvx_fpu_has_xss);

u32 hvx_xsave_size(u64 xcr0)
{
	u32 size = XSAVE_LEGACY + XSAVE_HEADER;
	int i;

	for (i = 2; i < 64; i++)
		if (xcr0 & BIT_ULL(i))
			size = max(size, hvx_fpu_info.offset[i] + hvx_fpu_info.len[i]);
	return size;
}

static void read_layout(void)
{
	u32 eax, ebx, ecx, edx;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(hvx_fpu_host.xcr0 & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		hvx_fpu_info.len[i] = eax;
		hvx_fpu_info.offset[i] = ebx;
	}
	cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx);
	if (eax & BIT(0))
		static_branch_enable(&hvx_fpu_has_xsaveopt);
}

static u32 read_mxcsr_mask(void)
{
	char *area = (char *)__get_free_page(GFP_KERNEL | __GFP_ZERO);
	u32 mask = 0;

	if (!area)
		return 0;
	kernel_fpu_begin_mask(0);
	asm volatile("fxsave64 %0" : "+m" (*area) :: "memory");
	kernel_fpu_end();
	memcpy(&mask, area + MXCSR_MASK_OFF, sizeof(mask));
	free_page((unsigned long)area);
	return mask ?: 0xffbf;
}

void hvx_fpu_stop(void)
{
	free_percpu(hvx_fpu_host.area);
}

int hvx_fpu_start(void)
{
	if (!boot_cpu_has(X86_FEATURE_XSAVE)) {
		pr_err("this CPU or kernel has no XSAVE (is \"noxsave\" on the kernel command line?)\n");
		return -EOPNOTSUPP;
	}
	hvx_fpu_host.xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		hvx_fpu_host.xss = hvx_rdmsr(MSR_IA32_XSS);
	if (hvx_fpu_host.xss)
		static_branch_enable(&hvx_fpu_has_xss);
	read_layout();
	hvx_fpu_info.features = hvx_fpu_host.xcr0 & (XF_X87 | XF_SSE | XF_AVX | XF_AVX512);
	hvx_fpu_info.size = hvx_xsave_size(hvx_fpu_info.features);
	hvx_fpu_info.mxcsr_mask = read_mxcsr_mask();
	hvx_fpu_host.area = __alloc_percpu(hvx_fpu_info.size, 64);
	if (hvx_fpu_host.area && hvx_fpu_info.mxcsr_mask)
		return 0;
	hvx_fpu_stop();
	return -ENOMEM;
}

static void init_image(char *area)
{
	u16 fcw = FCW_DEFAULT;
	u32 mxcsr = MXCSR_DEFAULT;

	memset(area, 0, hvx_fpu_info.size);
	memcpy(area, &fcw, sizeof(fcw));
	memcpy(area + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
}

int hvx_fpu_init(struct hvx_vcpu *vcpu)
{
	/* Whole pages: XSAVE needs 64-byte alignment */
	vcpu->fpu = alloc_pages_exact(hvx_fpu_info.size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->fpu)
		return -ENOMEM;
	init_image(vcpu->fpu);
	vcpu->guest_xcr0 = hvx_fpu_info.features;
	vcpu->regs.xcr0 = XF_X87;
	return 0;
}

void hvx_fpu_fini(struct hvx_vcpu *vcpu)
{
	if (vcpu->fpu)
		free_pages_exact(vcpu->fpu, hvx_fpu_info.size);
}

void hvx_set_xcr0(struct hvx_vcpu *vcpu, u64 xcr0)
{
	vcpu->regs.xcr0 = xcr0;
	if (hvx_in_window(vcpu))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
}

/* Intel SDM vol. 1, "Enabling the XSAVE Feature Set and XSAVE-Enabled Features" */
bool hvx_xcr0_valid(const struct hvx_vcpu *vcpu, u64 xcr0)
{
	u64 avx512 = xcr0 & XF_AVX512;

	if (!(xcr0 & XF_X87) || xcr0 & ~vcpu->guest_xcr0)
		return false;
	if (xcr0 & XF_AVX && !(xcr0 & XF_SSE))
		return false;
	return !avx512 || (avx512 == XF_AVX512 && xcr0 & XF_AVX);
}

/* Intel SDM vol. 1, "XRSTOR": what raises #GP must not get into the area */
static bool image_valid(const char *image)
{
	const u64 *header = (const u64 *)(image + XSAVE_LEGACY);
	u32 mxcsr;
	int i;

	memcpy(&mxcsr, image + MXCSR_OFFSET, sizeof(mxcsr));
	if (mxcsr & ~hvx_fpu_info.mxcsr_mask || header[0] & ~hvx_fpu_info.features)
		return false;
	for (i = 1; i < XSAVE_HEADER / 8; i++)
		if (header[i])
			return false;
	return true;
}

bool hvx_fpu_image_valid(const void *image, u32 len)
{
	return len == hvx_fpu_info.size && image_valid(image);
}

int hvx_fpu_set(struct hvx_vcpu *vcpu, const void *image, u32 len)
{
	lockdep_assert_held(&vcpu->lock);
	if (!hvx_fpu_image_valid(image, len))
		return -EINVAL;
	memcpy(vcpu->fpu, image, len);
	return 0;
}
