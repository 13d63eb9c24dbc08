// SPDX-License-Identifier: GPL-2.0-only
/* runvm status, pause, resume, power, sleep, wake, reset, quit, balloon: to a running guest. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/names.h"
#include "runvm.h"

static void check_socket(const char *path)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISSOCK(st.st_mode))
		die("%s is no control socket: give a guest's name, or what --control made", path);
}

static const char *why_refused(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "the guest is gone";
	case ENOENT:
		return "there is none (runvm run --control makes one)";
	case EACCES:
		return "no permission: it is for the user who started the guest";
	}
	return strerror(error);
}

static FILE *connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	FILE *f;
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		die("control socket %s: the path is too long", path);
	strcpy(addr.sun_path, path);
	check_socket(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		die("control socket %s: %s", path, why_refused(errno));
	f = fdopen(fd, "r+");
	if (!f)
		die("not enough memory");
	return f;
}

/* The answer to @request, which is used up; ends the program if it is a refusal */
static json_t *ask(const char *path, json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	FILE *f = connect_to(path);
	json_error_t error;
	json_t *reply;

	if (!request || json_dumpf(request, f, JSON_COMPACT))
		die("not enough memory");
	fputc('\n', f);
	fflush(f);
	reply = json_loadf(f, JSON_DISABLE_EOF_CHECK, &error);
	fclose(f);
	if (!json_is_object(reply))
		die("control socket %s: no answer: %s", path, error.text);
	if (!json_is_true(json_object_get(reply, "ok")))
		die("%s: %s", command, json_string_value(json_object_get(reply, "error")));
	json_decref(request);
	return reply;
}

static void print(json_t *reply, const char *indent)
{
	const char *key;
	json_t *value;

	json_object_foreach(reply, key, value) {
		if (json_is_string(value))
			printf("%s%s: %s\n", indent, key, json_string_value(value));
		else if (json_is_integer(value))
			printf("%s%s: %lld\n", indent, key, (long long)json_integer_value(value));
		else if (json_is_boolean(value) && strcmp(key, "ok"))
			printf("%s%s: %s\n", indent, key, json_is_true(value) ? "yes" : "no");
		if (!json_is_object(value))
			continue;
		printf("%s%s:\n", indent, key);
		print(value, "  ");
	}
}

static bool wants_help(int argc, char **argv)
{
	return argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
}

int cmd_control(int argc, char **argv)
{
	json_t *reply;
	char *path;

	if (wants_help(argc, argv)) {
		printf("usage: runvm %s GUEST   (of runvm run --name GUEST, or --control GUEST)\n",
		       argv[0]);
		return 0;
	}
	if (argc != 2)
		usage_error("%s takes one argument: the guest's name, or its socket", argv[0]);
	path = control_path_find(argv[1]);
	reply = ask(path, json_pack("{s:s}", "command", argv[0]));
	print(reply, "");
	json_decref(reply);
	free(path);
	return 0;
}

/* ------------------------------------------------------------------------------ balloon */

/* For how long the guest's kernel may take to answer */
#define PATIENCE_MS	1000
#define STEP_MS		20

/* Statistics that are not older than @ms, or a guest that has none to give */
static bool is_fresh(json_t *reply, int ms)
{
	json_t *stats = json_object_get(reply, "statistics");

	return !json_is_true(json_object_get(reply, "driver")) ||
	       (stats && json_integer_value(json_object_get(stats, "age")) <= ms);
}

/* Each question has the guest send newer statistics, which are in a later answer */
static json_t *ask_for_news(const char *path)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	json_t *reply;
	int ms;

	for (ms = 0;; ms += STEP_MS) {
		reply = ask(path, json_pack("{s:s}", "command", "balloon"));
		if (is_fresh(reply, ms) || ms >= PATIENCE_MS)
			return reply;
		json_decref(reply);
		nanosleep(&step, NULL);
	}
}

int cmd_balloon(int argc, char **argv)
{
	json_int_t target;
	json_t *reply;
	char *path;

	if (wants_help(argc, argv)) {
		printf("usage: runvm balloon GUEST [SIZE]\n"
		       "       say what memory the guest has, in bytes\n"
		       "       SIZE: what it shall have, with K, M or G; a bare number is MiB\n");
		return 0;
	}
	if (argc != 2 && argc != 3)
		usage_error("balloon takes GUEST [SIZE]: its name or socket, and MiB (or K, M, G)");
	target = argc == 3 ? parse_size(argv[2], MIN_MEMORY, MAX_MEMORY) : 0;
	path = control_path_find(argv[1]);
	if (target)
		reply = ask(path, json_pack("{s:s, s:I}", "command", "balloon", "target", target));
	else
		reply = ask_for_news(path);
	print(reply, "");
	json_decref(reply);
	free(path);
	return 0;
}
