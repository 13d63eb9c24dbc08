// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile 9P client: an input is a list of messages, most of them built as they should be from
 * few fids and names, some spoiled. Answers must be well-formed, nothing outside of the directory
 * may be opened or changed, and no descriptor be lost.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz_input.h"
#include "p9_client.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client c;
static struct stat secret;

static struct stat stat_secret(void)
{
	char path[128] = "";
	struct stat st;

	strcat(strcpy(path, c.base), "/out/file");
	check(!stat(path, &st));
	st.st_atim = secret.st_atim;
	return st;
}

static void close_client(void)
{
	client_close(&c);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	client_open(&c, false, 24);
	secret = stat_secret();
	atexit(close_client);
	return 0;
}

static const char *name(void)
{
	static const char *const names[] = {
		"file", "dir", "pipe", "way-out", "file-out", "a", "b", "..", "../out", "/",
	};

	return names[byte() % (sizeof(names) / sizeof(*names))];
}

static uint64_t number(void)
{
	static const uint64_t edges[] = { 0, 1, 2, 0x200, 4096, 0x7fffffff, 0xffffffff, -1ULL };

	return edges[byte() % 8] + byte() % 4;
}

/* Types that the server knows, with their fields: f a fid, s a name, t a small number */
static const struct {
	uint8_t type;
	const char *fields;
} messages[] = {
	{ 8, "f" }, { 12, "f4" }, { 14, "fs4t4" }, { 16, "fss4" }, { 18, "fs4444" }, { 22, "f" },
	{ 24, "f8" }, { 26, "f44448888" }, { 40, "f84" }, { 50, "f4" }, { 52, "f14884s" },
	{ 54, "f1884s" }, { 70, "ffs" }, { 72, "fs44" }, { 74, "fsfs" }, { 76, "fs4" },
	{ 100, "4v" }, { 104, "fnzz4" }, { 108, "2" }, { 110, "ff2" }, { 110, "ff2s" },
	{ 110, "ff2ss" }, { 116, "f84" }, { 118, "f8t8" }, { 120, "f" }, { 122, "f" },
};

static void put(uint64_t value, unsigned int bytes)
{
	memcpy(c.request + c.len, &value, bytes);
	c.len += bytes;
}

static void put_text(const char *text)
{
	put(strlen(text), 2);
	memcpy(c.request + c.len, text, strlen(text));
	c.len += strlen(text);
}

static void put_field(char field)
{
	switch (field) {
	case 'f':
		put(byte() % 16, 4);
		break;
	case 'n':
		put(0xffffffff, 4);
		break;
	case 't':
		put(byte(), 4);
		break;
	case 's':
		put_text(name());
		break;
	case 'z':
		put_text("");
		break;
	case 'v':
		put_text("9P2000.L");
		break;
	default:
		put(field == '2' ? byte() % 4 : number(), field - '0');
	}
}

static void message(void)
{
	unsigned int which = byte() % (sizeof(messages) / sizeof(*messages)), how = byte();
	const char *fields = messages[which].fields;

	c.len = 4;
	put(messages[which].type, 1);
	put(how, 2);
	while (*fields)
		put_field(*fields++);
	memcpy(c.request, &(uint32_t){ c.len }, 4);
	if (how % 16 == 1)
		c.len -= byte() % c.len;
	if (how % 16 == 2)
		c.request[byte() % c.len] = byte();
	client_send(&c, c.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stat now;

	input_begin(data, size);
	c.server.readonly = byte() & 1;
	check(!client_begin(&c));
	while (left)
		message();
	now = stat_secret();
	check(!memcmp(&now, &secret, sizeof(now)));
	check(c.server.nr_files <= 24);
	p9_clunk_all(&c.server);
	check(!c.server.nr_files);
	return 0;
}
