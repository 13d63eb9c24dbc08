/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace events of exits. Where they are off they cost a no-operation each. */
#ifndef HVX_TRACE_EXIT_H
#define HVX_TRACE_EXIT_H

#include <linux/tracepoint-defs.h>

struct hvx_exit;
struct hvx_vcpu;

DECLARE_TRACEPOINT(hvx_exit);
DECLARE_TRACEPOINT(hvx_user_exit);

#define hvx_exit_traced()	tracepoint_enabled(hvx_exit)
#define hvx_user_exit_traced()	tracepoint_enabled(hvx_user_exit)

/* Context: window, after enter(). */
void hvx_trace_exit(struct hvx_vcpu *vcpu, const struct hvx_exit *x);
/* Context: process. @error: what HVX_RUN returns, 0 or negative. */
void hvx_trace_user_exit(struct hvx_vcpu *vcpu, int error);

#endif
