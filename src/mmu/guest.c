// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access of the host to guest-physical memory: in process context through the VMM's mapping, in a
 * window through the second-level table. Addresses come from the guest; see hvx_slot_hva().
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include "vcpu/vcpu.h"
#include "slots.h"

/*
 * Where @gpa is in the VMM, and how many of @len bytes lie there in one piece.
 * NULL: no region, or one that @write must not change.
 */
static void __user *find_hva(struct hvx_vm *vm, u64 gpa, size_t *len, bool write,
			     const struct hvx_slot **found)
{
	const struct hvx_slot *slot = hvx_slot_find(hvx_slots(vm), gpa);

	*found = slot;
	if (!slot || (write && slot->flags & HVX_REGION_READONLY))
		return NULL;
	*len = min_t(u64, *len, slot->len - (gpa - slot->gpa));
	return (void __user *)hvx_slot_hva(slot, gpa);
}

u64 hvx_gpa_hva(struct hvx_vm *vm, u64 gpa)
{
	const struct hvx_slot *slot;
	size_t len = 1;

	return (unsigned long)find_hva(vm, gpa, &len, false, &slot);
}

static void written(const struct hvx_slot *slot, u64 gpa, size_t len)
{
	if (unlikely(slot->dirty)) {
		/* Memory first: who asks for the log in between is told the next time */
		smp_mb__before_atomic();
		hvx_dirty_mark(slot, gpa, len);
	}
}

int hvx_read_gpa(struct hvx_vm *vm, u64 gpa, void *buf, size_t len)
{
	while (len) {
		size_t part = len;
		const struct hvx_slot *slot;
		void __user *from = find_hva(vm, gpa, &part, false, &slot);

		if (!from)
			return -ENXIO;
		if (copy_from_user(buf, from, part))
			return -EFAULT;
		gpa += part;
		buf += part;
		len -= part;
	}
	return 0;
}

int hvx_write_gpa(struct hvx_vm *vm, u64 gpa, const void *buf, size_t len)
{
	while (len) {
		unsigned long left;
		size_t part = len;
		const struct hvx_slot *slot;
		void __user *to = find_hva(vm, gpa, &part, true, &slot);

		if (!to)
			return -ENXIO;
		left = copy_to_user(to, buf, part);
		/* Some of it may be there even when not all is */
		written(slot, gpa, part);
		if (left)
			return -EFAULT;
		gpa += part;
		buf += part;
		len -= part;
	}
	return 0;
}

int hvx_write_gpa_nofault(struct hvx_vm *vm, u64 gpa, const void *buf, size_t len)
{
	size_t part = len;
	const struct hvx_slot *slot;
	void __user *to = find_hva(vm, gpa, &part, true, &slot);

	if (!to || part != len)
		return -ENXIO;
	if (copy_to_user_nofault(to, buf, len))
		return -EFAULT;
	written(slot, gpa, len);
	return 0;
}

int hvx_read_gpa_once(struct hvx_vm *vm, u64 gpa, u64 *value, size_t len)
{
	size_t part = len;
	const struct hvx_slot *slot;
	void __user *from = find_hva(vm, gpa, &part, false, &slot);
	u32 half;

	if (!from)
		return -ENXIO;
	if (WARN_ON_ONCE((len != 4 && len != 8) || !IS_ALIGNED(gpa, len)))
		return -EINVAL;
	if (len == 8)
		return get_user(*value, (u64 __user *)from);
	if (get_user(half, (u32 __user *)from))
		return -EFAULT;
	*value = half;
	return 0;
}

static int cmpxchg_user4(u32 __user *to, u64 *old, u64 new)
{
	u32 value = *old;
	int ret = __try_cmpxchg_user(to, &value, (u32)new, fault);

	*old = value;
	return ret;
}

static int cmpxchg_user8(u64 __user *to, u64 *old, u64 new)
{
	return __try_cmpxchg_user(to, old, new, fault);
}

int hvx_cmpxchg_gpa(struct hvx_vm *vm, u64 gpa, u64 *old, u64 new, size_t len)
{
	size_t part = len;
	const struct hvx_slot *slot;
	void __user *to = find_hva(vm, gpa, &part, true, &slot);
	int ret;

	if (!to)
		return -ENXIO;
	if (WARN_ON_ONCE((len != 4 && len != 8) || !IS_ALIGNED(gpa, len)))
		return -EINVAL;
	if (!access_ok(to, len))
		return -EFAULT;
	ret = len == 8 ? cmpxchg_user8(to, old, new) : cmpxchg_user4(to, old, new);
	if (ret < 0)
		return ret;
	if (ret)
		return -EAGAIN;
	written(slot, gpa, len);
	return 0;
}

/* The bytes at @gpa as the direct map of the kernel has them, up to the end of the page */
static void *find_peek(struct hvx_vcpu *vcpu, u64 gpa, size_t *len, unsigned int right)
{
	struct hvx_pt_leaf leaf;
	u64 offset;

	if (!hvx_pt_lookup(&vcpu->vm->mmu.pt, gpa, &leaf))
		return NULL;
	if (leaf.prot & HVX_PT_DEVICE || !(leaf.prot & right))
		return NULL;
	offset = gpa & (hvx_pt_level_size(leaf.level) - 1);
	*len = min_t(u64, *len, hvx_pt_level_size(leaf.level) - offset);
	return __va(leaf.pa + offset);
}

/* A page that the table maps stays where it is until this window closes: see "TLB rule" */
static void assert_window(struct hvx_vcpu *vcpu)
{
	lockdep_assert_irqs_disabled();
	WARN_ON_ONCE(READ_ONCE(vcpu->window_cpu) < 0);
}

int hvx_peek_gpa(struct hvx_vcpu *vcpu, u64 gpa, void *buf, size_t len)
{
	assert_window(vcpu);
	while (len) {
		size_t part = len;
		void *from = find_peek(vcpu, gpa, &part, HVX_READ);

		if (!from)
			return -EFAULT;
		memcpy(buf, from, part);
		gpa += part;
		buf += part;
		len -= part;
	}
	return 0;
}

int hvx_peek_gpa_once(struct hvx_vcpu *vcpu, u64 gpa, u64 *value, size_t len)
{
	size_t part = len;
	const void *from;

	assert_window(vcpu);
	from = find_peek(vcpu, gpa, &part, HVX_READ);
	if (!from)
		return -EFAULT;
	*value = len == 8 ? READ_ONCE(*(const u64 *)from) : READ_ONCE(*(const u32 *)from);
	return 0;
}

int hvx_poke_gpa(struct hvx_vcpu *vcpu, u64 gpa, const void *buf, size_t len)
{
	assert_window(vcpu);
	while (len) {
		size_t part = len;
		void *to = find_peek(vcpu, gpa, &part, HVX_WRITE);

		/* First, as the processor does: an entry that goes takes its flag to the log */
		if (!to || !hvx_pt_set_dirty(&vcpu->vm->mmu.pt, gpa))
			return -EFAULT;
		memcpy(to, buf, part);
		gpa += part;
		buf += part;
		len -= part;
	}
	return 0;
}

int hvx_poke_cmpxchg_gpa(struct hvx_vcpu *vcpu, u64 gpa, u64 *old, u64 new, size_t len)
{
	u32 value;
	void *to;
	bool done;

	assert_window(vcpu);
	if (WARN_ON_ONCE((len != 4 && len != 8) || !IS_ALIGNED(gpa, len)))
		return -EINVAL;
	to = find_peek(vcpu, gpa, &len, HVX_WRITE);
	if (!to || !hvx_pt_set_dirty(&vcpu->vm->mmu.pt, gpa))
		return -EFAULT;
	if (len == 8) {
		done = try_cmpxchg64((u64 *)to, old, new);
	} else {
		value = *old;
		done = try_cmpxchg((u32 *)to, &value, (u32)new);
		*old = value;
	}
	return done ? 0 : -EAGAIN;
}
