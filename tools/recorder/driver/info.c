// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the running kernel is: levels, addresses, protections, control registers. */
#include <linux/io.h>
#include <linux/memblock.h>
#include <linux/sched.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>
#ifdef CONFIG_X86
#include <asm/special_insns.h>
#include <asm/cpufeature.h>
#endif
#ifdef CONFIG_ARM64
#include <asm/sysreg.h>
#endif
#ifdef CONFIG_RISCV
#include <asm/csr.h>
#endif

#include "recorder.h"

static void hex(const char *name, u64 value)
{
	say(",\"%s\":\"0x%llx\"", name, value);
}

static void plain(const char *name, long value)
{
	say(",\"%s\":%ld", name, value);
}

/* Where nothing is, loongarch has links to tables that are part of the kernel's image. */
static void say_empty(void)
{
#ifdef CONFIG_LOONGARCH
	say(",\"empty\":[\"0x0\",\"0x%lx\"", (unsigned long)invalid_pte_table);
#ifndef __PAGETABLE_PMD_FOLDED
	say(",\"0x%lx\"", (unsigned long)invalid_pmd_table);
#endif
#ifndef __PAGETABLE_PUD_FOLDED
	say(",\"0x%lx\"", (unsigned long)invalid_pud_table);
#endif
	say("]");
#endif
}

static void say_levels(void)
{
	plain("page_shift", PAGE_SHIFT);
	plain("pmd_shift", PMD_SHIFT);
	plain("pud_shift", PUD_SHIFT);
	plain("p4d_shift", P4D_SHIFT);
	plain("pgdir_shift", PGDIR_SHIFT);
	plain("ptrs_per_pte", PTRS_PER_PTE);
	plain("ptrs_per_pmd", PTRS_PER_PMD);
	plain("ptrs_per_pud", PTRS_PER_PUD);
	plain("ptrs_per_p4d", PTRS_PER_P4D);
	plain("ptrs_per_pgd", PTRS_PER_PGD);
	plain("config_pgtable_levels", CONFIG_PGTABLE_LEVELS);
	plain("levels", root_level(&init_mm));
	plain("user_levels", root_level(current->mm));
	plain("pte_bytes", sizeof(pte_t));
	say_empty();
}

/* Where an area that ioremap makes has its protection from, only ioremap knows: one page of it tells. */
static void say_ioremap(void)
{
#if defined(CONFIG_HAS_IOMEM) && !defined(CONFIG_SPARC64) && !defined(CONFIG_LOONGARCH) && !defined(CONFIG_S390)
	phys_addr_t pa = (phys_addr_t)(max_pfn + 16) << PAGE_SHIFT;
	void __iomem *io = ioremap(pa, PAGE_SIZE);
	unsigned long va = (unsigned long)io & PAGE_MASK;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	if (!io)
		return;
	pgd = pgd_offset_k(va);
	p4d = p4d_offset(pgd, va);
	pud = pud_offset(p4d, va);
	pmd = pmd_offset(pud, va);
	/* Without what says where the page is. */
	hex("prot_ioremap", pte_val(ptep_get(pte_offset_kernel(pmd, va))) ^ pte_val(pfn_pte(PHYS_PFN(pa), __pgprot(0))));
	iounmap(io);
#endif
}

static void say_protections(void)
{
	hex("PAGE_KERNEL", pgprot_val(PAGE_KERNEL));
	hex("PAGE_KERNEL_RO", pgprot_val(PAGE_KERNEL_RO));
	hex("PAGE_KERNEL_EXEC", pgprot_val(PAGE_KERNEL_EXEC));
	hex("prot_nc", pgprot_val(protection("nc")));
	hex("prot_wc", pgprot_val(protection("wc")));
	hex("prot_io", pgprot_val(protection("io")));
#ifdef PAGE_KERNEL_ROX
	hex("prot_rox", pgprot_val(PAGE_KERNEL_ROX));
#endif
	hex("pfn_pte_0_PAGE_KERNEL", pte_val(pfn_pte(0, PAGE_KERNEL)));
	hex("pgprot_nx_PAGE_KERNEL_EXEC", pgprot_val(pgprot_nx(PAGE_KERNEL_EXEC)));
	say_ioremap();
}

static void say_machine(void)
{
#ifdef CONFIG_X86
	hex("cr0", read_cr0());
	hex("cr3", __read_cr3());
	hex("cr4", __read_cr4());
	plain("pti", cpu_feature_enabled(X86_FEATURE_PTI));
	/* What changed below a program's mm is told of both roots. */
	plain("pti_root_shown", cpu_feature_enabled(X86_FEATURE_PTI));
	plain("gbpages", boot_cpu_has(X86_FEATURE_GBPAGES));
	plain("pse", boot_cpu_has(X86_FEATURE_PSE));
	plain("pge", boot_cpu_has(X86_FEATURE_PGE));
	hex("supported_pte_mask", __supported_pte_mask);
#ifdef SHARED_KERNEL_PMD
	plain("SHARED_KERNEL_PMD", SHARED_KERNEL_PMD);
#endif
#ifdef CONFIG_X86_64
	plain("l5_enabled", pgtable_l5_enabled());
#endif
#endif
#ifdef CONFIG_ARM64
	hex("phys_offset", PHYS_OFFSET);
	hex("kimage_voffset", kimage_voffset);
	plain("vabits_actual", vabits_actual);
	hex("TTBR1_EL1", read_sysreg(ttbr1_el1));
	hex("TTBR0_EL1", read_sysreg(ttbr0_el1));
	hex("TCR_EL1", read_sysreg(tcr_el1));
	hex("MAIR_EL1", read_sysreg(mair_el1));
	hex("SCTLR_EL1", read_sysreg(sctlr_el1));
	hex("ID_AA64MMFR0_EL1", read_sysreg(id_aa64mmfr0_el1));
	hex("ID_AA64MMFR1_EL1", read_sysreg(id_aa64mmfr1_el1));
	hex("ID_AA64MMFR2_EL1", read_sysreg(id_aa64mmfr2_el1));
	hex("ID_AA64ISAR0_EL1", read_sysreg(id_aa64isar0_el1));
#endif
#ifdef CONFIG_RISCV
	hex("satp", csr_read(CSR_SATP));
#ifdef CONFIG_64BIT
	hex("satp_mode", satp_mode);
	hex("va_kernel_pa_offset", kernel_map.va_kernel_pa_offset);
#endif
	hex("va_pa_offset", kernel_map.va_pa_offset);
#endif
#ifdef CONFIG_PPC64
	plain("radix", radix_enabled());
#ifdef CONFIG_PPC_64S_HASH_MMU
	plain("lazy_batch_size", PPC64_TLB_BATCH_NR);
#endif
#endif
#ifdef CONFIG_ARM
	hex("phys_offset", PHYS_OFFSET);
#endif
#ifdef CONFIG_S390
	plain("asce_bits", (long)(init_mm.context.asce & 0xfff));
	hex("phys_offset", -(u64)__identity_base);
#endif
}

void say_info(void)
{
	say(",\"release\":\"%s\",\"machine\":\"%s\"", init_utsname()->release, init_utsname()->machine);
	hex("swapper_pg_dir_va", (unsigned long)init_mm.pgd);
	hex("init_mm_pgd_va", (unsigned long)init_mm.pgd);
	hex("init_mm_pgd_pa", root_pa(&init_mm));
	if (current->mm)
		hex("current_pgd_pa", root_pa(current->mm));
	say_levels();
	hex("vmalloc_start", VMALLOC_START);
	hex("vmalloc_end", VMALLOC_END);
	hex("page_offset", PAGE_OFFSET);
#ifdef IOREMAP_MAX_ORDER
	hex("ioremap_max_order", IOREMAP_MAX_ORDER);
#endif
#ifdef ARCH_PAGE_TABLE_SYNC_MASK
	hex("arch_page_table_sync_mask", ARCH_PAGE_TABLE_SYNC_MASK);
#else
	hex("arch_page_table_sync_mask", 0);
#endif
	hex("task_size", TASK_SIZE);
	hex("high_memory", (unsigned long)high_memory);
	plain("max_pfn", max_pfn);
	hex("pool_pa", page_to_phys(pool));
	plain("pool_pages", pool_pages);
	say_protections();
	say_machine();
}
