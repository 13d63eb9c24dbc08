/* SPDX-License-Identifier: GPL-2.0-only */
/* config.h: options from a file. */
#ifndef RUNVM_CONFIG_H
#define RUNVM_CONFIG_H

#include "options.h"

/* Sets what the file says; ends the program with a line for what is wrong */
void config_read(struct options *o, const char *path);

#endif
