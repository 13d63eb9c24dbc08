// SPDX-License-Identifier: GPL-2.0-only
/*
 * options_file.c: options from a file of 'name = value' lines, with the names of the long options.
 * A value goes to the end of its line; empty lines and those that begin with '#' are comments.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = 0;
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static void take_line(struct options *o, const char *path, unsigned int nr, char *line)
{
	char *name = trim(line), *equals = strchr(name, '=');

	if (!*name || *name == '#')
		return;
	if (!equals)
		usage_error("%s, line %u: '%s' is not 'name = value'", path, nr, name);
	*equals = 0;
	options_set(o, trim(name), trim(equals + 1));
}

void options_read_file(struct options *o, const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned int nr = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	if (!f)
		die("configuration %s: %s", path, strerror(errno));
	while ((len = getline(&line, &room, f)) >= 0) {
		nr++;
		if (memchr(line, 0, len))
			usage_error("%s, line %u: not a text file", path, nr);
		take_line(o, path, nr, line);
	}
	if (ferror(f))
		die("configuration %s: %s", path, strerror(errno));
	free(line);
	fclose(f);
}
