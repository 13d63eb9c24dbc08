// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a fuzz target without libFuzzer: over the files given as arguments, or over $FUZZ_RUNS
 * inputs made from $FUZZ_SEED, the same ones every time. Reports as one test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUT	4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __attribute__((weak)) LLVMFuzzerInitialize(int *argc, char ***argv);

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

/* A block of its own for each input: AddressSanitizer then sees a read past its end. */
static void one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		exit(1);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void file(const char *name)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(name, "rb");

	if (!f) {
		perror(name);
		exit(1);
	}
	one(data, fread(data, 1, sizeof(data), f));
	fclose(f);
}

/* Most inputs are short: what is fuzzed here mostly looks at a few bytes */
static void random_input(void)
{
	size_t size = next() % (next() % 16 ? 64 : MAX_INPUT);
	uint8_t data[MAX_INPUT];

	for (size_t i = 0; i < size; i++)
		data[i] = next() >> 11;
	one(data, size);
}

int main(int argc, char **argv)
{
	unsigned long runs = setting("FUZZ_RUNS", 20000);
	const char *name = strrchr(argv[0], '/');

	state = setting("FUZZ_SEED", 1) * 0x9e3779b97f4a7c15ULL | 1;
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	printf("TAP version 13\n1..1\n");
	fflush(stdout);
	for (int i = 1; i < argc; i++)
		file(argv[i]);
	for (unsigned long i = 0; argc == 1 && i < runs; i++)
		random_input();
	printf("ok 1 %s\n", name ? name + 1 : argv[0]);
	return 0;
}
