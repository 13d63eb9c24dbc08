/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_MODULEPARAM_H
#define SHIM_MODULEPARAM_H

#define module_param(name, type, mode)	struct shim_param
#define MODULE_PARM_DESC(name, text)	struct shim_param

#endif
