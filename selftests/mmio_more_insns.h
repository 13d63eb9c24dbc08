/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmio_more_insns.h: not what a device driver uses every day, but seen in kernels and
 * firmware.
 *
 * X(number, text, flags that count, alignment, source, destination, flags before)
 * Included twice by mmio.c, for a function each and for the table of them.
 */
X(80, "adcl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)
X(81, "sbbq (%%rbx), %%rax", ARITH, 1, NONE, NONE, FL_CF)
X(82, "incl (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)
X(83, "decw (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)
X(84, "notl (%%rbx)", NONE, 1, NONE, NONE, 0)
X(85, "negq (%%rbx)", ARITH, 1, NONE, NONE, 0)
X(86, "btl $5, (%%rbx)", CF, 1, NONE, NONE, 0)
X(87, "btsl $7, (%%rbx)", CF, 1, NONE, NONE, 0)
X(88, "lock btrq $33, (%%rbx)", CF, 1, NONE, NONE, 0)
X(89, "btcw $3, (%%rbx)", CF, 1, NONE, NONE, 0)
X(90, "xaddl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, 0)
X(91, "cmpxchgl %%edx, (%%rbx)", ARITH, 1, NONE, NONE, 0)
X(92, "mov (%%rbx), %%rax; lock cmpxchgq %%rdx, (%%rbx)", ARITH, 1, NONE, NONE, 0)
X(93, "cmpxchg8b (%%rdi)", NONE, 1, NONE, DEV, 0)
X(94, "pushq (%%rbx); popq %%rdx", NONE, 1, NONE, NONE, 0)
X(95, "pushq %%rdx; popq (%%rbx)", NONE, 1, NONE, NONE, 0)
X(96, "repe cmpsb", ARITH, 1, DEV, RAM, 0)
X(97, "repne scasw", ARITH, 1, NONE, DEV, 0)
X(98, "movups (%%rbx), %%xmm0", NONE, 1, NONE, NONE, 0)
X(99, "movdqa %%xmm0, (%%rbx)", NONE, 16, NONE, NONE, 0)
X(100, "movdqu %%xmm0, (%%rbx)", NONE, 1, NONE, NONE, 0)
X(101, "movq (%%rbx), %%xmm0", NONE, 1, NONE, NONE, 0)
X(102, "movd %%xmm0, (%%rbx)", NONE, 1, NONE, NONE, 0)
X(103, "btl %%eax, (%%rbx)", CF, 1, NONE, NONE, 0)
X(104, "scasb", ARITH, 1, NONE, DEV, 0)
