// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the guest's page tables: every paging mode and every bit of the page-fault error code
 * by hand, then random tables against a model that is written mode by mode, straight from the
 * tables of SDM vol. 3, "Paging", and shares no code with the walk.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <string.h>
#include "mmu/walk.h"
#include "tap.h"

#define P	1ULL
#define RW	2ULL
#define US	4ULL
#define A	0x20ULL
#define D	0x40ULL
#define PS	0x80ULL
#define XD	BIT_ULL(63)
#define ALL	(P | RW | US)

#define CR0_WP	BIT_ULL(16)
#define CR0_PG	BIT_ULL(31)
#define PSE	BIT_ULL(4)
#define PAE	BIT_ULL(5)
#define LA57	BIT_ULL(12)
#define SMEP	BIT_ULL(20)
#define SMAP	BIT_ULL(21)
#define LMA	BIT_ULL(10)
#define NXE	BIT_ULL(11)

#define E_P	1u
#define E_WR	2u
#define E_US	4u
#define E_RSVD	8u
#define E_ID	16u

/* Guest memory: 64 KiB. Tables at 0x1000 (root), 0x2000, ... */
static unsigned char mem[0x10000];
static int steal;	/* cmpxchg number @steal fails: another vCPU was faster */

int hvx_walk_read(struct hvx_vcpu *vcpu, u64 gpa, u64 *entry, size_t len)
{
	if (gpa > sizeof(mem) - len)
		return gpa < 0x100000 ? -EFAULT : -ENXIO;
	EXPECT(IS_ALIGNED(gpa, len));
	memcpy(entry, mem + gpa, len);
	return 0;
}

int hvx_walk_cmpxchg(struct hvx_vcpu *vcpu, u64 gpa, u64 old, u64 new, size_t len)
{
	if (gpa > sizeof(mem) - len)
		return -ENXIO;
	if (steal && !--steal)
		return -EAGAIN;
	if (memcmp(mem + gpa, &old, len))
		return -EAGAIN;
	memcpy(mem + gpa, &new, len);
	return 0;
}

static void set8(u64 gpa, u64 value)
{
	memcpy(mem + gpa, &value, 8);
}

static void set4(u64 gpa, u32 value)
{
	memcpy(mem + gpa, &value, 4);
}

static u64 get8(u64 gpa)
{
	u64 value;

	memcpy(&value, mem + gpa, 8);
	return value;
}

static struct hvx_paging cpu(u64 cr4, u64 efer)
{
	memset(mem, 0, sizeof(mem));
	return (struct hvx_paging){
		.cr0 = CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = cr4, .efer = efer,
		.phys_bits = 40, .gbpages = true,
	};
}

static struct hvx_walk walk(const struct hvx_paging *c, u64 gva, unsigned int access)
{
	struct hvx_walk w;

	EXPECT_EQ(hvx_walk_paging(NULL, c, gva, access, &w), 0);
	return w;
}

#define EXPECT_OK(c, gva, access, want_gpa, size) do {			\
	struct hvx_walk w_ = walk(c, gva, access);			\
									\
	EXPECT_EQ(w_.page_size, size);					\
	EXPECT_EQ(w_.gpa, want_gpa);					\
} while (0)

#define EXPECT_PF(c, gva, access, code) do {				\
	struct hvx_walk w_ = walk(c, gva, access);			\
									\
	EXPECT_EQ(w_.page_size, 0);					\
	EXPECT_EQ(w_.error_code, code);					\
} while (0)

TEST(no_paging)
{
	struct hvx_paging c = cpu(0, 0);

	c.cr0 = 0;
	EXPECT_OK(&c, 0xfffffff0, HVX_READ, 0xfffffff0, 0x1000);
	EXPECT_OK(&c, 0x1fffffff0, HVX_WRITE | HVX_USER, 0xfffffff0, 0x1000);
}

TEST(paging_32bit)
{
	struct hvx_paging c = cpu(PSE, 0);

	set4(0x1000 + 4 * 0x48, 0x2000 | ALL);
	set4(0x2000 + 4 * 0x345, 0x87654000 | ALL);
	EXPECT_OK(&c, 0x12345678, HVX_READ | HVX_USER, 0x87654678, 0x1000);
	EXPECT_PF(&c, 0x12344678, HVX_READ | HVX_USER, E_US);
	EXPECT_PF(&c, 0x22344678, HVX_WRITE, E_WR);
	/* High address bits of a linear address do not exist */
	EXPECT_OK(&c, 0xabc12345678, HVX_READ, 0x87654678, 0x1000);
	/* 4 MiB, with address bits 39:32 from 20:13 */
	set4(0x1000 + 4 * 0x49, 0xabc00000 | 0xa5 << 13 | PS | ALL);
	EXPECT_OK(&c, 0x12765432, HVX_READ, 0xa5abf65432, 0x400000);
	/* Bit 21 is reserved, and with fewer physical bits what they would be */
	set4(0x1000 + 4 * 0x49, 0xabc00000 | 1 << 21 | PS | ALL);
	EXPECT_PF(&c, 0x12765432, HVX_READ, E_P | E_RSVD);
	set4(0x1000 + 4 * 0x49, 0xabc00000 | 1 << 17 | PS | ALL);
	EXPECT_OK(&c, 0x12765432, HVX_READ, 0x10abf65432, 0x400000);
	c.phys_bits = 36;
	EXPECT_PF(&c, 0x12765432, HVX_READ, E_P | E_RSVD);
	/* Without PSE the bit says nothing */
	c.cr4 = 0;
	set4(0x1000 + 4 * 0x49, 0x2000 | PS | ALL);
	set4(0x2000 + 4 * 0x365, 0x5000 | ALL);
	EXPECT_OK(&c, 0x12765432, HVX_READ, 0x5432, 0x1000);
}

TEST(paging_pae)
{
	/* Of a PDPTE: bits 2:1, 8:5, and what is above the 40 physical bits */
	const u64 reserved = 0xffffff00000001e6;
	const u64 regs[4] = { 0, 0x2000 | P, 0, 0 };
	struct hvx_paging c = cpu(PAE, 0);
	unsigned int i;

	c.cr3 = 0x1020;
	set8(0x1028, 0x2000 | P);
	set8(0x2000 + 8 * 1, 0x3000 | ALL);
	set8(0x3000 + 8 * 2, 0xfedcba9000 | ALL);
	EXPECT_OK(&c, 0x40202abc, HVX_WRITE | HVX_USER, 0xfedcba9abc, 0x1000);
	set8(0x2000 + 8 * 1, 0xfedca00000 | PS | ALL);
	EXPECT_OK(&c, 0x40345678, HVX_READ, 0xfedcb45678, 0x200000);
	set8(0x2000 + 8 * 1, 0xfedca00000 | 1 << 13 | PS | ALL);
	EXPECT_PF(&c, 0x40345678, HVX_READ, E_P | E_RSVD);
	EXPECT_PF(&c, 0x80345678, HVX_READ, 0);
	/* Bit 62 is reserved outside of long mode, the XD bit without NXE */
	set8(0x2000 + 8 * 1, 0xfedca00000 | 1ULL << 62 | PS | ALL);
	EXPECT_PF(&c, 0x40345678, HVX_READ, E_P | E_RSVD);
	set8(0x2000 + 8 * 1, 0xfedca00000 | XD | PS | ALL);
	EXPECT_PF(&c, 0x40345678, HVX_EXEC, E_P | E_RSVD);
	c.efer = NXE;
	EXPECT_PF(&c, 0x40345678, HVX_EXEC, E_P | E_ID);
	EXPECT_OK(&c, 0x40345678, HVX_READ, 0xfedcb45678, 0x200000);
	/* PDPTEs: reserved bits in memory, none in registers, which win */
	for (i = 0; i < 64; i++) {
		if (!(reserved >> i & 1))
			continue;
		set8(0x1028, 0x2000 | P | 1ULL << i);
		EXPECT_PF(&c, 0x40345678, HVX_READ, E_P | E_RSVD);
	}
	/* PWT, PCD, ignored bits */
	set8(0x1028, 0x2000 | P | 0xe18);
	EXPECT_OK(&c, 0x40345678, HVX_READ, 0xfedcb45678, 0x200000);
	set8(0x1028, 0x2000 | P | RW);
	c.pdpte = regs;
	EXPECT_OK(&c, 0x40345678, HVX_READ, 0xfedcb45678, 0x200000);
	EXPECT_PF(&c, 0xc0345678, HVX_WRITE, E_WR);
}

TEST(paging_4level)
{
	struct hvx_paging c = cpu(PAE, LMA | NXE);
	u64 gva = 0xffff923456789abcULL;

	set8(0x1000 + 8 * (gva >> 39 & 511), 0x2000 | ALL);
	set8(0x2000 + 8 * (gva >> 30 & 511), 0x3000 | ALL);
	set8(0x3000 + 8 * (gva >> 21 & 511), 0x4000 | ALL);
	set8(0x4000 + 8 * (gva >> 12 & 511), 0x5a5a5a5000 | ALL);
	EXPECT_OK(&c, gva, HVX_WRITE | HVX_USER, 0x5a5a5a5abc, 0x1000);
	/* CR3 has a PCID and flags below the address */
	c.cr3 |= 0xfff;
	EXPECT_OK(&c, gva, HVX_WRITE | HVX_USER, 0x5a5a5a5abc, 0x1000);
	/* Ignored bits */
	set8(0x4000 + 8 * (gva >> 12 & 511), 0x5a5a5a5000 | ALL | 0x7ff0000000000f00ULL);
	EXPECT_OK(&c, gva, HVX_WRITE | HVX_USER, 0x5a5a5a5abc, 0x1000);
	set8(0x4000 + 8 * (gva >> 12 & 511), 1ULL << 40 | ALL);
	EXPECT_PF(&c, gva, HVX_WRITE | HVX_USER, E_P | E_RSVD | E_WR | E_US);
	set8(0x3000 + 8 * (gva >> 21 & 511), 0x5a5a400000 | PS | 1 << 12 | ALL);
	EXPECT_OK(&c, gva, HVX_READ, 0x5a5a589abc, 0x200000);
	set8(0x2000 + 8 * (gva >> 30 & 511), 0x5a40000000 | PS | ALL);
	EXPECT_OK(&c, gva, HVX_READ, 0x5a40000000 | (gva & 0x3fffffff), 0x40000000);
	set8(0x2000 + 8 * (gva >> 30 & 511), 0x5a40000000 | 1 << 29 | PS | ALL);
	EXPECT_PF(&c, gva, HVX_READ, E_P | E_RSVD);
	set8(0x2000 + 8 * (gva >> 30 & 511), 0x5a40000000 | PS | ALL);
	c.gbpages = false;
	EXPECT_PF(&c, gva, HVX_READ, E_P | E_RSVD);
	set8(0x1000 + 8 * (gva >> 39 & 511), 0x2000 | PS | ALL);
	EXPECT_PF(&c, gva, HVX_EXEC, E_P | E_RSVD | E_ID);
}

TEST(paging_5level)
{
	struct hvx_paging c = cpu(PAE | LA57, LMA);
	u64 gva = 0x00ab923456789abcULL;

	set8(0x1000 + 8 * (gva >> 48 & 511), 0x2000 | ALL);
	set8(0x2000 + 8 * (gva >> 39 & 511), 0x3000 | ALL);
	set8(0x3000 + 8 * (gva >> 30 & 511), 0x4000 | ALL);
	set8(0x4000 + 8 * (gva >> 21 & 511), 0x5000 | ALL);
	set8(0x5000 + 8 * (gva >> 12 & 511), 0x6000 | ALL);
	EXPECT_OK(&c, gva, HVX_READ, 0x6abc, 0x1000);
	set8(0x1000 + 8 * (gva >> 48 & 511), 0x2000 | PS | ALL);
	EXPECT_PF(&c, gva, HVX_READ, E_P | E_RSVD);
}

TEST(canonical)
{
	struct hvx_paging c = cpu(PAE, LMA);

	EXPECT(walk(&c, 0x0000800000000000ULL, HVX_READ).non_canonical);
	EXPECT(walk(&c, 0xffff7fffffffffffULL, HVX_READ).non_canonical);
	EXPECT_EQ(walk(&c, 0x0000800000000000ULL, HVX_READ).page_size, 0);
	EXPECT(!walk(&c, 0x00007fffffffffffULL, HVX_READ).non_canonical);
	EXPECT(!walk(&c, 0xffff800000000000ULL, HVX_READ).non_canonical);
	c.cr4 |= LA57;
	EXPECT(!walk(&c, 0x0000800000000000ULL, HVX_READ).non_canonical);
	EXPECT(walk(&c, 0x0100000000000000ULL, HVX_READ).non_canonical);
}

/* A 32-bit page with given rights in both levels */
static void page32(u64 pde, u64 pte)
{
	set4(0x1000, 0x2000 | pde);
	set4(0x2000, 0x5000 | pte);
}

TEST(rights)
{
	struct hvx_paging c = cpu(0, 0);

	page32(ALL, P);
	EXPECT_PF(&c, 0, HVX_READ | HVX_USER, E_P | E_US);
	EXPECT_OK(&c, 0, HVX_READ, 0x5000, 0x1000);
	EXPECT_PF(&c, 0, HVX_WRITE, E_P | E_WR);
	page32(P | RW, ALL);
	EXPECT_PF(&c, 0, HVX_READ | HVX_USER, E_P | E_US);
	page32(P | US, ALL);
	EXPECT_PF(&c, 0, HVX_WRITE | HVX_USER, E_P | E_US | E_WR);
	EXPECT_PF(&c, 0, HVX_WRITE, E_P | E_WR);
	/* Without CR0.WP the supervisor writes anywhere, the user does not */
	c.cr0 &= ~CR0_WP;
	EXPECT_OK(&c, 0, HVX_WRITE, 0x5000, 0x1000);
	EXPECT_PF(&c, 0, HVX_WRITE | HVX_USER, E_P | E_US | E_WR);
	/* Instruction fetch shows only with SMEP or NX */
	EXPECT_PF(&c, 0x1000, HVX_EXEC, 0);
	c.cr4 = SMEP;
	EXPECT_PF(&c, 0x1000, HVX_EXEC, E_ID);
}

TEST(smep_and_smap)
{
	struct hvx_paging c = cpu(SMEP | SMAP, 0);

	page32(ALL, ALL);
	EXPECT_PF(&c, 0, HVX_EXEC, E_P | E_ID);
	EXPECT_OK(&c, 0, HVX_EXEC | HVX_USER, 0x5000, 0x1000);
	EXPECT_PF(&c, 0, HVX_READ, E_P);
	EXPECT_PF(&c, 0, HVX_WRITE, E_P | E_WR);
	EXPECT_OK(&c, 0, HVX_WRITE | HVX_USER, 0x5000, 0x1000);
	/* AC lifts SMAP for explicit accesses, not for implicit ones, and not SMEP */
	c.ac = true;
	EXPECT_OK(&c, 0, HVX_READ, 0x5000, 0x1000);
	EXPECT_PF(&c, 0, HVX_READ | HVX_IMPLICIT, E_P);
	EXPECT_PF(&c, 0, HVX_READ | HVX_IMPLICIT | HVX_USER, E_P);
	EXPECT_PF(&c, 0, HVX_EXEC, E_P | E_ID);
	/* SMAP says nothing about fetches */
	c.ac = false;
	c.cr4 = SMAP;
	EXPECT_OK(&c, 0, HVX_EXEC, 0x5000, 0x1000);
	/* Supervisor pages are none of their business */
	c.cr4 = SMEP | SMAP;
	page32(ALL, P | RW);
	EXPECT_OK(&c, 0, HVX_WRITE, 0x5000, 0x1000);
	EXPECT_OK(&c, 0, HVX_EXEC, 0x5000, 0x1000);
	EXPECT_OK(&c, 0, HVX_READ | HVX_USER | HVX_IMPLICIT, 0x5000, 0x1000);
}

TEST(accessed_and_dirty)
{
	struct hvx_paging c = cpu(PAE, LMA);

	set8(0x1000, 0x2000 | ALL);
	set8(0x2000, 0x3000 | ALL);
	set8(0x3000, 0x4000 | ALL);
	set8(0x4000, 0x5000 | ALL);
	walk(&c, 0, HVX_WRITE);
	EXPECT_EQ(get8(0x1000) | get8(0x4000), 0x2000 | 0x5000 | ALL);
	walk(&c, 0, HVX_READ | HVX_MARK);
	EXPECT_EQ(get8(0x1000), 0x2000 | ALL | A);
	EXPECT_EQ(get8(0x3000), 0x4000 | ALL | A);
	EXPECT_EQ(get8(0x4000), 0x5000 | ALL | A);
	/* A refused access marks nothing dirty; one that lost a race goes again */
	set8(0x4000, 0x5000 | P);
	EXPECT_PF(&c, 0, HVX_WRITE | HVX_MARK, E_P | E_WR);
	EXPECT_EQ(get8(0x4000), 0x5000 | P);
	set8(0x4000, 0x5000 | ALL);
	steal = 1;
	EXPECT_OK(&c, 0, HVX_WRITE | HVX_MARK, 0x5000, 0x1000);
	EXPECT_EQ(get8(0x4000), 0x5000 | ALL | A | D);
	EXPECT_EQ(get8(0x3000), 0x4000 | ALL | A);
}

TEST(unreadable_tables)
{
	struct hvx_paging c = cpu(PAE, LMA);
	struct hvx_walk w;

	c.cr3 = 0x20000;
	EXPECT_EQ(hvx_walk_paging(NULL, &c, 0x1000, HVX_READ, &w), -EFAULT);
	EXPECT_EQ(w.gpa, 0x20000);
	c.cr3 = 0x1000;
	set8(0x1000, 0x10000000 | ALL);
	EXPECT_EQ(hvx_walk_paging(NULL, &c, 1ULL << 30, HVX_READ, &w), -ENXIO);
	EXPECT_EQ(w.gpa, 0x10000008);
	EXPECT_EQ(w.page_size, 0);
}

/* ------------------------------------------------------------------ against a model */

static u64 rnd_state = 0x9e3779b97f4a7c15ULL;

static u64 rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state >> 5;
}

struct result {
	bool fault;
	u32 code;
	u64 gpa;
	u64 size;
};

/* What the entries of one translation say, whatever the mode */
struct model {
	const struct hvx_paging *c;
	unsigned int access;
	bool user_page, writable, xd;
	bool absent, reserved;
};

static void take(struct model *m, u64 e)
{
	m->user_page &= !!(e & US);
	m->writable &= !!(e & RW);
	m->xd |= (m->c->efer & NXE) && m->c->cr4 & PAE && e & XD;
}

static bool bits(u64 e, int high, int low)
{
	return high >= low && (e >> low) & ((2ULL << (high - low)) - 1);
}

/* Reserved bits that all 8-byte entries share */
static bool reserved8(const struct hvx_paging *c, u64 e)
{
	if (bits(e, 51, c->phys_bits))
		return true;
	if (!(c->efer & LMA) && bits(e, 62, 52))
		return true;
	return !(c->efer & NXE) && e & XD;
}

static struct result judge(const struct model *m, u64 gpa, u64 size)
{
	const struct hvx_paging *c = m->c;
	bool user = m->access & HVX_USER && !(m->access & HVX_IMPLICIT);
	bool nx = c->efer & NXE && c->cr4 & PAE;
	bool bad = false;
	u32 code = 0;

	if (!m->absent && !m->reserved) {
		if (user) {
			bad = !m->user_page ||
			      (m->access & HVX_WRITE && !m->writable) ||
			      (m->access & HVX_EXEC && m->xd);
		} else if (m->access & HVX_EXEC) {
			bad = (c->cr4 & SMEP && m->user_page) || m->xd;
		} else {
			bool smap = c->cr4 & SMAP && m->user_page &&
				    (m->access & HVX_IMPLICIT || !c->ac);

			bad = smap || (m->access & HVX_WRITE && c->cr0 & CR0_WP && !m->writable);
		}
	}
	if (!bad && !m->absent && !m->reserved)
		return (struct result){ .gpa = gpa, .size = size };
	code = m->absent ? 0 : E_P;
	code |= m->reserved ? E_RSVD : 0;
	code |= m->access & HVX_WRITE ? E_WR : 0;
	code |= user ? E_US : 0;
	code |= m->access & HVX_EXEC && (nx || c->cr4 & SMEP) ? E_ID : 0;
	return (struct result){ .fault = true, .code = code };
}

static struct result model_32bit(const struct hvx_paging *c, u32 gva, unsigned int access)
{
	struct model m = { .c = c, .access = access, .user_page = true, .writable = true };
	u32 pde, pte;

	memcpy(&pde, mem + (c->cr3 & 0xfffff000) + (gva >> 22) * 4, 4);
	m.absent = !(pde & P);
	if (m.absent)
		return judge(&m, 0, 0);
	take(&m, pde);
	if (pde & PS && c->cr4 & PSE) {
		u64 high = pde >> 13 & 0xff;

		m.reserved = pde >> 21 & 1 || (c->phys_bits < 40 && high >> (c->phys_bits - 32));
		return judge(&m, high << 32 | (pde & 0xffc00000) | (gva & 0x3fffff), 4 << 20);
	}
	memcpy(&pte, mem + (pde & 0xfffff000) + (gva >> 12 & 0x3ff) * 4, 4);
	m.absent = !(pte & P);
	if (!m.absent)
		take(&m, pte);
	return judge(&m, (pte & 0xfffff000) | (gva & 0xfff), 4096);
}

/* From the page directory on, PAE and long mode are alike */
static struct result model_directory(struct model *m, u64 table, u64 gva)
{
	u64 pde = get8(table + (gva >> 21 & 511) * 8), pte;

	m->absent = !(pde & P);
	if (m->absent)
		return judge(m, 0, 0);
	m->reserved = reserved8(m->c, pde) || (pde & PS && bits(pde, 20, 13));
	if (m->reserved)
		return judge(m, 0, 0);
	take(m, pde);
	if (pde & PS)
		return judge(m, (pde & 0x000fffffffe00000ULL) | (gva & 0x1fffff), 2 << 20);
	pte = get8((pde & 0x000ffffffffff000ULL) + (gva >> 12 & 511) * 8);
	m->absent = !(pte & P);
	if (m->absent)
		return judge(m, 0, 0);
	m->reserved = reserved8(m->c, pte);
	take(m, pte);
	return judge(m, (pte & 0x000ffffffffff000ULL) | (gva & 0xfff), 4096);
}

static struct result model_pae(const struct hvx_paging *c, u32 gva, unsigned int access)
{
	struct model m = { .c = c, .access = access, .user_page = true, .writable = true };
	u64 pdpte = c->pdpte ? c->pdpte[gva >> 30] : get8((c->cr3 & ~31ULL) + (gva >> 30) * 8);

	m.absent = !(pdpte & P);
	if (m.absent)
		return judge(&m, 0, 0);
	if (!c->pdpte)
		m.reserved = bits(pdpte, 63, c->phys_bits) || bits(pdpte, 2, 1) ||
			     bits(pdpte, 8, 5);
	if (m.reserved)
		return judge(&m, 0, 0);
	return model_directory(&m, pdpte & 0x000ffffffffff000ULL, gva);
}

static struct result model_long(const struct hvx_paging *c, u64 gva, unsigned int access)
{
	struct model m = { .c = c, .access = access, .user_page = true, .writable = true };
	u64 table = c->cr3 & 0x000ffffffffff000ULL, e;
	int shift;

	for (shift = c->cr4 & LA57 ? 48 : 39; shift >= 39; shift -= 9) {
		e = get8(table + (gva >> shift & 511) * 8);
		m.absent = !(e & P);
		m.reserved = !m.absent && (reserved8(c, e) || e & PS);
		if (m.absent || m.reserved)
			return judge(&m, 0, 0);
		take(&m, e);
		table = e & 0x000ffffffffff000ULL;
	}
	e = get8(table + (gva >> 30 & 511) * 8);
	m.absent = !(e & P);
	if (m.absent)
		return judge(&m, 0, 0);
	m.reserved = reserved8(c, e) || (e & PS && (!c->gbpages || bits(e, 29, 13)));
	if (m.reserved)
		return judge(&m, 0, 0);
	take(&m, e);
	if (e & PS)
		return judge(&m, (e & 0x000fffffc0000000ULL) | (gva & 0x3fffffff), 1 << 30);
	return model_directory(&m, e & 0x000ffffffffff000ULL, gva);
}

/* An entry that leads to @table most of the time, with anything in its other bits */
static u64 random_entry(u64 table, bool wide)
{
	u64 e = table | (rnd() & (RW | US | A | D | 0x18 | 0xe00));

	if (rnd() % 16)
		e |= P;
	if (rnd() % 3)
		e |= RW | US;
	if (rnd() % 4 == 0)
		e |= PS;
	if (rnd() % 16 == 0)
		e |= 1ULL << (12 + rnd() % (wide ? 52 : 20));
	if (!wide)
		return (u32)e;
	if (rnd() % 4 == 0)
		e |= XD;
	if (rnd() % 8 == 0)
		e |= 1ULL << (52 + rnd() % 11);
	return e;
}

static bool inside(u64 address)
{
	return address <= sizeof(mem) - 4096;
}

/* Tables for @gva; false when an entry leads out of memory, which is another test */
static bool random_tables(struct hvx_paging *c, u64 gva, u64 pdpte[4])
{
	int level = c->efer & LMA ? (c->cr4 & LA57 ? 5 : 4) : c->cr4 & PAE ? 3 : 2;
	u64 table = c->cr3, e;

	for (; level; level--, table += 0x1000) {
		u64 next = level > 1 ? table + 0x1000 : rnd() & 0x7ffff000;

		if (!(c->cr4 & PAE)) {
			e = random_entry(next, false);
			set4(table + (gva >> (level == 2 ? 22 : 12) & 1023) * 4, e);
		} else {
			e = random_entry(next, true);
			if (level == 3 && !(c->efer & LMA)) {
				e &= rnd() % 8 ? ~0x80000000000001e6ULL & ~(0x7ffULL << 52) : ~0ULL;
				pdpte[gva >> 30 & 3] = e;
			}
			set8(table + (gva >> (3 + 9 * level) & 511) * 8, e);
		}
		if (level > 1 && e & P && !inside(e & (c->cr4 & PAE ? 0x000ffffffffff000ULL :
						       0xfffff000)))
			return false;
	}
	return true;
}

TEST_TIME(random_tables_against_a_model, 60)
{
	static const unsigned int kinds[] = { HVX_READ, HVX_WRITE, HVX_READ | HVX_WRITE, HVX_EXEC };
	static const u8 widths[] = { 36, 39, 40, 46, 52 };
	unsigned int done = 0, faults = 0;

	for (int i = 0; i < 400000 && !tap_failures(); i++) {
		u64 mode = rnd() % 4, gva = rnd() << 8 ^ rnd(), pdpte[4] = { };
		unsigned int access = kinds[rnd() % 4];
		struct hvx_paging c = cpu(0, 0);
		struct result want;
		struct hvx_walk got;

		c.cr4 = rnd() & (PSE | SMEP | SMAP);
		c.efer = rnd() & NXE;
		c.cr0 = CR0_PG | (rnd() & CR0_WP);
		c.phys_bits = widths[rnd() % 5];
		c.gbpages = rnd() % 2;
		c.ac = rnd() % 2;
		access |= rnd() % 2 ? HVX_USER : 0;
		access |= rnd() % 8 ? 0 : HVX_IMPLICIT;
		access |= rnd() % 4 ? 0 : HVX_MARK;
		if (mode)
			c.cr4 |= PAE;
		if (mode >= 2)
			c.efer |= LMA;
		if (mode == 3)
			c.cr4 |= LA57;
		if (mode < 2)
			gva = (u32)gva;
		else
			gva = sign_extend64(gva, mode == 3 ? 56 : 47);
		if (!random_tables(&c, gva, pdpte))
			continue;
		if (mode == 1 && rnd() % 2)
			c.pdpte = pdpte;
		want = mode == 0 ? model_32bit(&c, gva, access) :
		       mode == 1 ? model_pae(&c, gva, access) : model_long(&c, gva, access);
		got = walk(&c, gva, access);
		done++;
		faults += want.fault;
		EXPECT_EQ(got.page_size, want.fault ? 0 : want.size);
		if (want.fault)
			EXPECT_EQ(got.error_code, want.code);
		else
			EXPECT_EQ(got.gpa, want.gpa);
		if (tap_failures())
			tap_note("mode %d cr0 %#llx cr4 %#llx efer %#llx gva %#llx access %#x",
				 (int)mode, c.cr0, c.cr4, c.efer, gva, access);
	}
	tap_note("%u translations, %u of them faults", done, faults);
	EXPECT(done > 200000 && faults > done / 8 && faults < done - done / 8);
}
