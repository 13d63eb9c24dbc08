/* SPDX-License-Identifier: GPL-2.0-only */
/* names.h: control sockets of guests that have a name (names.c). */
#ifndef RUNVM_CONTROL_NAMES_H
#define RUNVM_CONTROL_NAMES_H

#include <stdbool.h>

/*
 * The path for a guest's socket, in a directory that is made if need be and locked until @lock is
 * closed. NULL, no lock and a warning where there is no place for it, or the name is none for a
 * file; NULL, too, where the directory could be made, but it is a dry run.
 */
char *control_path_make(const char *name, bool dry_run, int *lock);
/* Of a name, or of a path; ends the program with a line when it is neither */
char *control_path_find(const char *text);

#endif
