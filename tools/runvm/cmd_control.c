// SPDX-License-Identifier: GPL-2.0-only
/* runvm status, pause, resume, power, reset, quit: commands to a running guest. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runvm.h"

static FILE *connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	FILE *f;
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		die("control socket %s: the path is too long", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		die("control socket %s: %s", path,
		    errno == ECONNREFUSED ? "the guest is gone" : strerror(errno));
	f = fdopen(fd, "r+");
	if (!f)
		die("not enough memory");
	return f;
}

static json_t *ask(const char *path, const char *command)
{
	FILE *f = connect_to(path);
	json_error_t error;
	json_t *reply;

	fprintf(f, "{\"command\":\"%s\"}\n", command);
	fflush(f);
	reply = json_loadf(f, JSON_DISABLE_EOF_CHECK, &error);
	fclose(f);
	if (!json_is_object(reply))
		die("control socket %s: no answer: %s", path, error.text);
	return reply;
}

static void print(json_t *reply)
{
	const char *key;
	json_t *value;

	json_object_foreach(reply, key, value) {
		if (json_is_string(value))
			printf("%s: %s\n", key, json_string_value(value));
		else if (json_is_integer(value))
			printf("%s: %lld\n", key, (long long)json_integer_value(value));
	}
}

int cmd_control(int argc, char **argv)
{
	json_t *reply;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		printf("usage: runvm %s SOCKET   (of runvm run --control SOCKET)\n", argv[0]);
		return 0;
	}
	if (argc != 2)
		usage_error("%s takes one argument: the guest's control socket", argv[0]);
	reply = ask(argv[1], argv[0]);
	if (!json_is_true(json_object_get(reply, "ok")))
		die("%s: %s", argv[0], json_string_value(json_object_get(reply, "error")));
	print(reply);
	json_decref(reply);
	return 0;
}
