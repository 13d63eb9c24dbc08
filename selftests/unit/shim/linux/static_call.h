/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_STATIC_CALL_H
#define SHIM_STATIC_CALL_H

/* A static call is a function pointer, which the test defines when the code under test makes it. */
#define DECLARE_STATIC_CALL(name, func)	extern typeof(func) *shim_call_##name
#define static_call(name)		(*shim_call_##name)

#endif
