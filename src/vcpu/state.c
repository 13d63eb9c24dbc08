// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of a vCPU.
 *
 * The state image is a header and sections, each with an id and a length, built in one buffer. On
 * the way in everything is checked before anything is taken: a wrong image changes nothing.
 * Sections of unknown id are refused, missing ones keep what the vCPU has.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "fpu.h"
#include "irq/lapic.h"
#include "cpu/msr.h"
#include "cpu/task.h"
#include "state.h"
#include "sync.h"
#include "wait.h"

static u32 xsave_section_len(void)
{
	return ALIGN(hvx_fpu_info.size, 8);
}

u32 hvx_state_size(void)
{
	return sizeof(struct hvx_state_header) + 9 * sizeof(struct hvx_state_section) +
	       sizeof(struct hvx_gprs) + sizeof(struct hvx_segs) + sizeof(struct hvx_ctrl) +
	       sizeof(struct hvx_dregs) + sizeof(struct hvx_events) +
	       hvx_nr_msrs * sizeof(struct hvx_msr) + xsave_section_len() +
	       sizeof(struct hvx_lapic_state) + sizeof(struct hvx_task_state);
}

static long copy_image_out(struct hvx_blob *args, const void *image, u32 len)
{
	u32 room = args->len;

	args->len = len;
	if (room < len)
		return -E2BIG;
	return copy_to_user(u64_to_user_ptr(args->data), image, len) ? -EFAULT : 0;
}

static void *copy_image_in(const struct hvx_blob *args, u32 max)
{
	if (!args->len)
		return ERR_PTR(-EINVAL);
	if (args->len > max)
		return ERR_PTR(-E2BIG);
	return vmemdup_user(u64_to_user_ptr(args->data), args->len);
}

long hvx_xsave_get(struct hvx_vcpu *vcpu, struct hvx_blob *args)
{
	lockdep_assert_held(&vcpu->lock);
	return copy_image_out(args, vcpu->fpu, hvx_fpu_info.size);
}

long hvx_xsave_put(struct hvx_vcpu *vcpu, const struct hvx_blob *args)
{
	void *image = copy_image_in(args, hvx_fpu_info.size);
	int err;

	if (IS_ERR(image))
		return PTR_ERR(image);
	err = hvx_fpu_set(vcpu, image, args->len);
	kvfree(image);
	return err;
}

/* ---------------------------------------------------------------------- out */

struct writer {
	char *next;
	struct hvx_state_header *header;
};

static void *section(struct writer *w, u32 id, u32 len)
{
	struct hvx_state_section *s = (struct hvx_state_section *)w->next;
	void *data = s + 1;

	s->id = id;
	s->len = ALIGN(len, 8);
	w->next += sizeof(*s) + s->len;
	w->header->nr_sections++;
	return data;
}

static void put_section(struct writer *w, u32 id, const void *data, u32 len)
{
	memcpy(section(w, id, len), data, len);
}

static void put_msrs(struct writer *w, struct hvx_vcpu *vcpu)
{
	struct hvx_msr *msr = section(w, HVX_STATE_MSRS, hvx_nr_msrs * sizeof(*msr));
	u32 i;

	for (i = 0; i < hvx_nr_msrs; i++) {
		msr[i].index = hvx_msr_list[i];
		hvx_msr_get(vcpu, msr[i].index, &msr[i].data, true);
	}
}

static void put_lapic(struct writer *w, struct hvx_vcpu *vcpu)
{
	struct hvx_lapic_state *state = section(w, HVX_STATE_LAPIC, sizeof(*state));

	hvx_lapic_get_state(vcpu, state);
	/* Memory is the VMM's to move: who goes on with the image looks at the word */
	state->pv_eoi = vcpu->pv.eoi_set;
}

static void put_task(struct writer *w, struct hvx_vcpu *vcpu)
{
	struct hvx_task_state *state = section(w, HVX_STATE_TASK, sizeof(*state));

	hvx_task_get_state(vcpu, state);
}

static u32 write_image(struct hvx_vcpu *vcpu, struct hvx_run *regs, char *image)
{
	struct writer w = {
		.next = image + sizeof(struct hvx_state_header),
		.header = (struct hvx_state_header *)image,
	};

	hvx_sync_fill(vcpu, regs, HVX_REGS_ALL);
	put_section(&w, HVX_STATE_GPRS, &regs->regs, sizeof(regs->regs));
	put_section(&w, HVX_STATE_SEGS, &regs->seg, sizeof(regs->seg));
	put_section(&w, HVX_STATE_CTRL, &regs->ctrl, sizeof(regs->ctrl));
	put_section(&w, HVX_STATE_DREGS, &regs->debug, sizeof(regs->debug));
	put_section(&w, HVX_STATE_EVENTS, &regs->event, sizeof(regs->event));
	put_msrs(&w, vcpu);
	put_section(&w, HVX_STATE_XSAVE, vcpu->fpu, hvx_fpu_info.size);
	if (vcpu->lapic)
		put_lapic(&w, vcpu);
	/* Alone of what may be open: no VMM can finish it whose memory is elsewhere */
	if (vcpu->pending == HVX_PENDING_TASK)
		put_task(&w, vcpu);
	w.header->magic = HVX_STATE_MAGIC;
	w.header->version = HVX_STATE_VERSION;
	w.header->len = w.next - image;
	return w.header->len;
}

long hvx_state_get(struct hvx_vcpu *vcpu, struct hvx_blob *args)
{
	struct hvx_run *regs = kzalloc(sizeof(*regs), GFP_KERNEL_ACCOUNT);
	char *image = kvzalloc(hvx_state_size(), GFP_KERNEL_ACCOUNT);
	long err = -ENOMEM;

	lockdep_assert_held(&vcpu->lock);
	/* The image has no place for an INIT that has not been taken */
	if (vcpu->lapic && vcpu->pending == HVX_PENDING_NONE)
		hvx_take_messages(vcpu);
	if (regs && image)
		err = copy_image_out(args, image, write_image(vcpu, regs, image));
	kvfree(image);
	kfree(regs);
	return err;
}

/* ----------------------------------------------------------------------- in */

struct reader {
	struct hvx_run *regs;
	u64 groups;
	const struct hvx_msr *msrs;
	u32 nr_msrs;
	const void *xsave;
	const struct hvx_lapic_state *lapic;
	const struct hvx_task_state *task;
};

static int take_group(struct reader *r, u64 group, void *to, u32 size, const void *data, u32 len)
{
	if (len != ALIGN(size, 8) || r->groups & group)
		return -EINVAL;
	memcpy(to, data, size);
	r->groups |= group;
	return 0;
}

static int take_msrs(struct reader *r, const void *data, u32 len)
{
	if (len % sizeof(struct hvx_msr) || r->msrs || len / sizeof(struct hvx_msr) > HVX_MAX_MSRS)
		return -EINVAL;
	r->msrs = data;
	r->nr_msrs = len / sizeof(struct hvx_msr);
	return 0;
}

static int take_section(struct reader *r, u32 id, const void *data, u32 len)
{
	struct hvx_run *regs = r->regs;

	switch (id) {
	case HVX_STATE_GPRS:
		return take_group(r, HVX_REGS_GPR, &regs->regs, sizeof(regs->regs), data, len);
	case HVX_STATE_SEGS:
		return take_group(r, HVX_REGS_SEG, &regs->seg, sizeof(regs->seg), data, len);
	case HVX_STATE_CTRL:
		return take_group(r, HVX_REGS_CTRL, &regs->ctrl, sizeof(regs->ctrl), data, len);
	case HVX_STATE_DREGS:
		return take_group(r, HVX_REGS_DEBUG, &regs->debug, sizeof(regs->debug), data, len);
	case HVX_STATE_EVENTS:
		return take_group(r, HVX_REGS_EVENT, &regs->event, sizeof(regs->event), data, len);
	case HVX_STATE_MSRS:
		return take_msrs(r, data, len);
	case HVX_STATE_XSAVE:
		if (len != xsave_section_len() || r->xsave)
			return -EINVAL;
		r->xsave = data;
		return 0;
	case HVX_STATE_LAPIC:
		if (len != sizeof(*r->lapic) || r->lapic)
			return -EINVAL;
		r->lapic = data;
		return 0;
	case HVX_STATE_TASK:
		if (len != sizeof(*r->task) || r->task || !hvx_task_state_valid(data))
			return -EINVAL;
		r->task = data;
		return 0;
	}
	return -EINVAL;
}

static int read_sections(struct reader *r, const char *image, u32 len)
{
	const struct hvx_state_header *header = (const struct hvx_state_header *)image;
	const struct hvx_state_section *s;
	u32 pos = sizeof(*header), i;
	int err;

	if (len < sizeof(*header) || header->magic != HVX_STATE_MAGIC ||
	    header->version != HVX_STATE_VERSION || header->len != len)
		return -EINVAL;
	for (i = 0; i < header->nr_sections; i++) {
		if (len - pos < sizeof(*s))
			return -EINVAL;
		s = (const struct hvx_state_section *)(image + pos);
		pos += sizeof(*s);
		if (s->len > len - pos || s->len % 8)
			return -EINVAL;
		err = take_section(r, s->id, image + pos, s->len);
		if (err)
			return err;
		pos += s->len;
	}
	return pos == len ? 0 : -EINVAL;
}

/* Set the MSRs, or none of them: @old has room for the values that there were */
static int apply_msrs(struct hvx_vcpu *vcpu, const struct reader *r, u64 *old)
{
	u32 i;

	for (i = 0; i < r->nr_msrs; i++) {
		const struct hvx_msr *msr = &r->msrs[i];

		if (msr->reserved || !hvx_msr_get(vcpu, msr->index, &old[i], true) ||
		    !hvx_msr_set(vcpu, msr->index, msr->data, true))
			goto undo;
	}
	return 0;
undo:
	while (i--)
		hvx_msr_set(vcpu, r->msrs[i].index, old[i], true);
	return -EINVAL;
}

/*
 * MSRs before registers: an MSR value depends on no register. FS_BASE and GS_BASE come with the
 * segments, EFER with the control registers, so those groups come after.
 */
static int apply(struct hvx_vcpu *vcpu, const struct reader *r)
{
	u64 *old;
	int err;

	err = hvx_sync_check(vcpu, r->regs, r->groups);
	if (err)
		return err;
	if (r->lapic && !(vcpu->lapic && hvx_lapic_state_valid(vcpu, r->lapic)))
		return -EINVAL;
	if (r->xsave && !hvx_fpu_image_valid(r->xsave, hvx_fpu_info.size))
		return -EINVAL;
	old = kcalloc(r->nr_msrs + 1, sizeof(*old), GFP_KERNEL_ACCOUNT);
	if (!old)
		return -ENOMEM;
	err = apply_msrs(vcpu, r, old);
	kfree(old);
	if (err)
		return err;
	if (r->xsave)
		hvx_fpu_set(vcpu, r->xsave, hvx_fpu_info.size);
	/* The local APIC: its mode comes with CTRL, then its registers, then what it has sent */
	err = hvx_sync_take(vcpu, r->regs, r->groups & ~HVX_REGS_EVENT);
	if (err)
		return err;
	if (r->lapic) {
		hvx_lapic_set_state(vcpu, r->lapic);
		hvx_eoi_restore(vcpu, r->lapic->pv_eoi);
		hvx_request(vcpu, HVX_REQ_PINS);
	}
	return hvx_sync_take(vcpu, r->regs, r->groups & HVX_REGS_EVENT);
}

/* What the last exit left to be done was the business of the state that is gone */
static void forget_exit(struct hvx_vcpu *vcpu)
{
	vcpu->pending = HVX_PENDING_NONE;
	clear_bit(HVX_REQ_STEPPED, &vcpu->requests);
	clear_bit(HVX_REQ_SHUTDOWN, &vcpu->requests);
}

long hvx_state_put(struct hvx_vcpu *vcpu, const struct hvx_blob *args)
{
	struct reader r = { };
	char *image;
	long err;

	lockdep_assert_held(&vcpu->lock);
	image = copy_image_in(args, hvx_state_size());
	if (IS_ERR(image))
		return PTR_ERR(image);
	err = -ENOMEM;
	r.regs = kzalloc(sizeof(*r.regs), GFP_KERNEL_ACCOUNT);
	if (r.regs)
		err = read_sections(&r, image, args->len);
	if (!err)
		err = apply(vcpu, &r);
	if (!err)
		forget_exit(vcpu);
	if (!err && r.task)
		hvx_task_set_state(vcpu, r.task);
	kfree(r.regs);
	kvfree(image);
	return err;
}
