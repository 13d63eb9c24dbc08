// SPDX-License-Identifier: GPL-2.0-only
//
// Execution log: the address of each instruction, host's and guest's alike, 8 bytes each, to the
// file that BOCHS_TRACE names. "exits: begin" on the second serial port begins a part: a zero, then
// up to PART addresses, fewer when "exits: end" comes before. An instruction with a REP prefix is
// there for each iteration, as the TSC counts it.
#include <cstdlib>
#include "bochs.h"
#include "cpu/cpu.h"

#define COM2	0x2f8
#define PART	800000

bool trace_on;

static FILE *file;
static unsigned long written;
static bool begun;	// the first iteration is that of the instruction itself

static void put(Bit64u value)
{
	if (fwrite(&value, sizeof(value), 1, file) == 1)
		return;
	perror("execution log");
	exit(1);
}

static void begin()
{
	const char *name = getenv("BOCHS_TRACE");

	if (!file && name)
		file = fopen(name, "wb");
	if (!file) {
		perror(name ? name : "BOCHS_TRACE is not set");
		exit(1);
	}
	trace_on = true;
	written = 0;
	put(0);
}

static void end()
{
	trace_on = false;
	if (file)
		fflush(file);
}

void trace_instruction(unsigned cpu)
{
	begun = true;
	put(BX_CPU(cpu)->get_instruction_pointer());
	if (++written == PART)
		end();
}

void trace_iteration(unsigned cpu)
{
	if (!begun)
		trace_instruction(cpu);
	begun = false;
}

// True when the last characters of @last are those of @word
static bool ends_with(const char *last, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && !memcmp(last + len - n, word, n);
}

void trace_out(unsigned port, unsigned value)
{
	static char last[16];

	if (port != COM2)
		return;
	memmove(last, last + 1, sizeof(last) - 1);
	last[sizeof(last) - 1] = value;
	if (ends_with(last, sizeof(last), "exits: begin"))
		begin();
	else if (ends_with(last, sizeof(last), "exits: end"))
		end();
}
