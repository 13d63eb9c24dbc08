/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tap.h: what a test program is made of. TEST(name) { ... } defines a test; main() in tap.c runs
 * each in a process of its own, so that a crash or a hang is one failed test and not the end of
 * the rest, and reports in the TAP dialect of the kernel's kselftests.
 *
 *   EXPECT(cond, ...)		records a failure with file and line, goes on
 *   EXPECT_EQ(a, b)		the same, showing both values
 *   REQUIRE(cond, ...)		records a failure and ends the test
 *   SKIP(fmt, ...)		ends the test: this hardware lacks what it needs
 */
#ifndef HVX_TEST_TAP_H
#define HVX_TEST_TAP_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_PASS	0
#define TAP_FAIL	1
#define TAP_SKIP	4

struct tap_test {
	const char *name;
	void (*fn)(void);
	struct tap_test *next;
	unsigned int seconds;
	int line;
};

void tap_register(struct tap_test *test);
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool tap_failed(const char *file, int line, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
__attribute__((noreturn)) void tap_abort(void);
void tap_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* What is to be put right when this test ends, unless it crashes or takes too long; one function */
void tap_at_end(void (*fn)(void));
/* Failures of this test so far, to stop a loop of many alike. */
unsigned int tap_failures(void);
/* Factor for every duration, for slow hosts. */
unsigned int tap_scale(void);

/* TEST_TIME gives a test @sec seconds, where 20 do not do. */
#define TEST_TIME(ident, sec)						\
	static void test_##ident(void);					\
	static struct tap_test tap_test_##ident = {			\
		.name = #ident, .fn = test_##ident, .seconds = (sec),	\
		.line = __LINE__,					\
	};								\
	static void __attribute__((constructor)) tap_ctor_##ident(void)	\
	{								\
		tap_register(&tap_test_##ident);			\
	}								\
	static void test_##ident(void)
#define TEST(ident) TEST_TIME(ident, 20)

#define EXPECT(cond, ...)						\
	((cond) ? true : tap_failed(__FILE__, __LINE__, #cond, " " __VA_ARGS__))
#define EXPECT_EQ(a, b) ({						\
	unsigned long long a_ = (unsigned long long)(a);		\
	unsigned long long b_ = (unsigned long long)(b);		\
	a_ == b_ ? true : tap_failed(__FILE__, __LINE__, #a " == " #b,	\
				     " %#llx, not %#llx", a_, b_);	\
})
#define REQUIRE(cond, ...) do {						\
	if (!EXPECT(cond, __VA_ARGS__))					\
		tap_abort();						\
} while (0)
#define SKIP(...) tap_skip(__VA_ARGS__)

#endif
