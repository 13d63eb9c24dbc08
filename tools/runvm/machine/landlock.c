// SPDX-License-Identifier: GPL-2.0-only
/*
 * landlock.c: files that may be opened while the guest runs, for devices that must open some.
 *
 * The system call filter cannot look at paths. With Landlock the kernel refuses to open, make,
 * rename or remove what is not below the directories that were named here: a guest that takes over
 * runvm still has no other files than those. Descriptors that are open already are not affected.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "private.h"

/* Later than the headers of Linux 6.1 */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE	(1ULL << 14)
#endif

/* The first version that lets files be renamed from one directory to another, and that truncates */
#define VERSION_REFER		2
#define VERSION_TRUNCATE	3

#define READ		(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define CHANGE								\
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |	\
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |		\
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |		\
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |		\
	 LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
/* For nobody, anywhere */
#define NEVER								\
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |	\
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK)

void machine_allow_directory(struct machine *m, int fd, bool readonly)
{
	struct sandbox *s = &m->p->sandbox;

	if (s->nr_directories == MAX_SHARES)
		die("more than %d directories for the sandbox", MAX_SHARES);
	s->directory[s->nr_directories].fd = fd;
	s->directory[s->nr_directories++].readonly = readonly;
}

static void allow(int rules, int directory, uint64_t access)
{
	struct landlock_path_beneath_attr attr = {
		.allowed_access = access, .parent_fd = directory,
	};

	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0))
		die("Landlock does not take a shared directory: %s (--no-sandbox does without)",
		    strerror(errno));
}

void landlock_enter(struct machine *m)
{
	const struct sandbox *s = &m->p->sandbox;
	struct landlock_ruleset_attr attr = { .handled_access_fs = READ | CHANGE | NEVER };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	unsigned int i;
	int rules;

	if (!s->nr_directories)
		return;
	if (version < VERSION_REFER) {
		if (m->options->verbose)
			warn("this kernel has no Landlock, or an early one: shares do without it");
		return;
	}
	if (version < VERSION_TRUNCATE)
		attr.handled_access_fs &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	rules = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		die("Landlock: %s (--no-sandbox does without)", strerror(errno));
	for (i = 0; i < s->nr_directories; i++)
		allow(rules, s->directory[i].fd, attr.handled_access_fs &
		      (s->directory[i].readonly ? READ : READ | CHANGE));
	if (syscall(SYS_landlock_restrict_self, rules, 0))
		die("Landlock: %s (--no-sandbox does without)", strerror(errno));
	close(rules);
}
