/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rules of both vendors are made of: shared rules, refusals, names. See entry_check.h. */
#ifndef HVX_ENTRY_RULES_H
#define HVX_ENTRY_RULES_H

#include <linux/bitops.h>

#include "cr.h"
#include "entry_check.h"

#define RFLAGS_FIXED	BIT_ULL(1)
#define RFLAGS_TF	BIT_ULL(8)
#define RFLAGS_IF	BIT_ULL(9)
#define RFLAGS_VM	BIT_ULL(17)
#define HIGH_HALF	GENMASK_ULL(63, 32)

#define FIELD(member)		offsetof(struct hvx_run, member)
#define FIELD_SEG(i, member)	(FIELD(seg.seg) + (i) * sizeof(struct hvx_seg) + \
				 offsetof(struct hvx_seg, member))

/* Shared rules in two parts; a vendor puts its own behind each */
bool hvx_guest_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f);
bool hvx_event_rules(const struct hvx_entry_state *s, struct hvx_entry_failure *f);

/* Fill in @f and return true. Stage GUEST but for the second. */
bool hvx_refuse(struct hvx_entry_failure *f, u32 check, u32 field, u64 value, const char *name,
		const char *rule);
bool hvx_refuse_stage(struct hvx_entry_failure *f, u32 stage, u32 check, u64 value,
		      const char *name, const char *rule);
/* A part of segment register @seg */
bool hvx_refuse_attr(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
		     unsigned int seg, const char *rule);
bool hvx_refuse_selector(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
			 unsigned int seg, const char *rule);
bool hvx_refuse_limit(struct hvx_entry_failure *f, u32 check, const struct hvx_entry_state *s,
		      unsigned int seg, const char *rule);

bool hvx_pat_valid(u64 pat);

static inline bool entry_canonical(const struct hvx_entry_state *s, u64 address)
{
	unsigned int unused = 64 - s->la_bits;

	return (u64)((s64)(address << unused) >> unused) == address;
}

static inline bool entry_long_mode(const struct hvx_entry_state *s)
{
	return s->regs->efer & EFR_LMA;
}

static inline bool entry_64bit(const struct hvx_entry_state *s)
{
	return entry_long_mode(s) && (s->regs->seg[SEG_CS].attr & SA_L);
}

static inline bool entry_v86(const struct hvx_entry_state *s)
{
	return s->regs->rflags & RFLAGS_VM;
}

/* Page-aligned and within the physical-address width */
static inline bool entry_page(const struct hvx_entry_state *s, u64 address)
{
	return !(address & ~GENMASK_ULL(s->pa_bits - 1, 12));
}

#endif
