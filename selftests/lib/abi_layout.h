/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi_layout.h: sizes and offsets of the ABI's structs as every caller must see them. Built for
 * 32-bit and 64-bit callers in C and C++, so that a field whose place depends on the caller does
 * not compile.
 */
#include <linux/hvx.h>
#include <stddef.h>

#ifdef __cplusplus
#define _Static_assert static_assert
#endif

#define SIZE(type, n)		_Static_assert(sizeof(struct type) == (n), #type)
#define PLACE(type, field, n)						\
	_Static_assert(offsetof(struct type, field) == (n), #type "." #field)

SIZE(hvx_host_info, 40);
SIZE(hvx_create_vm, 32);
SIZE(hvx_cpuid_entry, 32);
SIZE(hvx_cpuid, 24);
PLACE(hvx_cpuid, entries, 16);
SIZE(hvx_msr_list, 24);
SIZE(hvx_region, 40);
PLACE(hvx_region, gpa, 16);
SIZE(hvx_create_vcpu, 16);
SIZE(hvx_msr_range, 16);
SIZE(hvx_msr_filter, 24);
SIZE(hvx_memory_info, 64);
SIZE(hvx_dirty, 48);
PLACE(hvx_dirty, first, 16);
SIZE(hvx_prefault, 24);
SIZE(hvx_event, 24);
PLACE(hvx_event, payload, 16);
SIZE(hvx_msrs, 24);
SIZE(hvx_msr, 16);
SIZE(hvx_blob, 24);
PLACE(hvx_blob, data, 16);
SIZE(hvx_debug, 56);
PLACE(hvx_debug, dr, 16);
SIZE(hvx_translate, 48);
PLACE(hvx_translate, gva, 16);
SIZE(hvx_irq_line, 16);
SIZE(hvx_route, 24);
SIZE(hvx_routing, 24);
SIZE(hvx_irqfd, 24);
SIZE(hvx_ioeventfd, 32);
SIZE(hvx_chip, 24);
SIZE(hvx_pic_state, 16);
SIZE(hvx_ioapic_state, 208);
SIZE(hvx_pit_channel, 24);
SIZE(hvx_pit_state, 80);
PLACE(hvx_routing, routes, 16);
PLACE(hvx_ioeventfd, addr, 8);
PLACE(hvx_ioeventfd, match, 24);
PLACE(hvx_chip, data, 16);
PLACE(hvx_pit_state, speaker, 72);
SIZE(hvx_task_state, 8);
PLACE(hvx_task_state, error, 4);
SIZE(hvx_gprs, 144);
SIZE(hvx_segs, 160);
SIZE(hvx_ctrl, 64);
SIZE(hvx_dregs, 48);
SIZE(hvx_events, 32);
PLACE(hvx_run, regs_wanted, 8);
PLACE(hvx_run, exits, 48);
PLACE(hvx_run, io, 56);
PLACE(hvx_run, pad, 56);
PLACE(hvx_run, regs, 312);
PLACE(hvx_run, seg, 456);
PLACE(hvx_run, ctrl, 616);
PLACE(hvx_run, debug, 680);
PLACE(hvx_run, event, 728);
