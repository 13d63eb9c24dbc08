/* SPDX-License-Identifier: GPL-2.0-only */
/* Images of a vCPU: XSAVE state, and all state, versioned. Context: process, vcpu->lock. */
#ifndef HVX_STATE_H
#define HVX_STATE_H

#include "vcpu.h"

long hvx_xsave_get(struct hvx_vcpu *vcpu, struct hvx_blob *args);
long hvx_xsave_put(struct hvx_vcpu *vcpu, const struct hvx_blob *args);
long hvx_state_get(struct hvx_vcpu *vcpu, struct hvx_blob *args);
long hvx_state_put(struct hvx_vcpu *vcpu, const struct hvx_blob *args);
u32 hvx_state_size(void);

#endif
