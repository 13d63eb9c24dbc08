/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events, in /sys/kernel/tracing/events/hvx/; Documentation/api.md says what they tell.
 *
 *   hvx_exit		a guest was left, for whatever the hardware or hvx had to do
 *   hvx_user_exit	HVX_RUN returns to the VMM
 *
 * Kinds and reasons are strings, so that filters and histograms take the names. While hvx_exit is
 * on, the short ways of fast.h are off: between two entries is no place for a tracer's code.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM hvx

#if !defined(HVX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HVX_TRACE_H

#include <linux/tracepoint.h>

#define HVX_TRACE_NAME	16

int hvx_trace_hold(void);
void hvx_trace_release(void);

TRACE_EVENT_FN(hvx_exit,
	TP_PROTO(unsigned int vcpu, const char *kind, u64 rip, u64 detail, u64 detail2),
	TP_ARGS(vcpu, kind, rip, detail, detail2),

	TP_STRUCT__entry(
		__field(u64, rip)
		__field(u64, detail)
		__field(u64, detail2)
		__field(unsigned int, vcpu)
		__array(char, kind, HVX_TRACE_NAME)
	),

	TP_fast_assign(
		__entry->rip = rip;
		__entry->detail = detail;
		__entry->detail2 = detail2;
		__entry->vcpu = vcpu;
		strscpy_pad(__entry->kind, kind, HVX_TRACE_NAME);
	),

	TP_printk("vcpu %u %s rip 0x%llx detail 0x%llx 0x%llx", __entry->vcpu, __entry->kind,
		  __entry->rip, __entry->detail, __entry->detail2),

	hvx_trace_hold, hvx_trace_release
);

TRACE_EVENT_FN(hvx_user_exit,
	TP_PROTO(unsigned int vcpu, const char *reason, int error),
	TP_ARGS(vcpu, reason, error),

	TP_STRUCT__entry(
		__field(unsigned int, vcpu)
		__field(int, error)
		__array(char, reason, HVX_TRACE_NAME)
	),

	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->error = error;
		strscpy_pad(__entry->reason, reason, HVX_TRACE_NAME);
	),

	TP_printk("vcpu %u %s error %d", __entry->vcpu, __entry->reason, __entry->error),

	hvx_trace_hold, hvx_trace_release
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
