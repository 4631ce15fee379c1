use lazymmu::backend::{Backend, arm64::Arm64Backend, x86_64::X86_64, xen_pv::XenPv};
use lazymmu::kernel::*;
use lazymmu::walk::*;
use std::time::Instant;
fn go<B: Backend>(
    name: &str,
    geo: &str,
    scheme: &str,
    mk: impl Fn(&lazymmu::geometry::Geometry, &lazymmu::scheme::Options) -> B,
) {
    let g = lazymmu::geometry::by_name(geo).unwrap();
    let s = lazymmu::scheme::by_name(scheme).unwrap();
    let o = s.options();
    let n: u64 = 1 << 20;
    let mut best = [f64::MAX; 5];
    for _ in 0..7 {
        let mut k = Kernel::boot(
            &Config { geometry: *g, scheme: s, options: o },
            &Setup { cpus: 1, mms: 0, tasks: vec![] },
            mk(g, &o),
            Silent,
        )
        .unwrap();
        let va = g.layout.vmalloc_start;
        let end = va + n * 4096;
        let prot = lazymmu::descriptor::Format::prot(&k.format(), "PAGE_KERNEL").unwrap();
        let pages = Pages::run(1 << 32, n);
        let t = Instant::now();
        assert_eq!(k.vmap_pages_range(va, end, prot, &pages, 12).unwrap().0, 0);
        best[0] = best[0].min(t.elapsed().as_secs_f64());
        let mut f = PteFn::of(PteFnKind::Protect);
        f.clear = 2;
        let t = Instant::now();
        k.apply_to_page_range(lazymmu::machine::INIT_MM, va, n * 4096, Some(&f), false).unwrap();
        best[2] = best[2].min(t.elapsed().as_secs_f64());
        let t = Instant::now();
        k.vunmap_range(va, end).unwrap();
        best[1] = best[1].min(t.elapsed().as_secs_f64());
        // map again: tables exist
        let t = Instant::now();
        assert_eq!(k.vmap_pages_range(va, end, prot, &pages, 12).unwrap().0, 0);
        best[3] = best[3].min(t.elapsed().as_secs_f64());
        k.vunmap_range(va, end).unwrap();
        let t = Instant::now();
        assert_eq!(k.vmap_range_noflush(va, end, 1 << 32, prot, 12).unwrap().0, 0);
        best[4] = best[4].min(t.elapsed().as_secs_f64());
    }
    println!(
        "{name} {scheme}: map {:.2} unmap {:.2} protect {:.2} remap {:.2} vmap_range {:.2} ns/page",
        best[0] * 1e9 / n as f64,
        best[1] * 1e9 / n as f64,
        best[2] * 1e9 / n as f64,
        best[3] * 1e9 / n as f64,
        best[4] * 1e9 / n as f64
    );
}
fn main() {
    drop(std::hint::black_box(vec![1u8; 31 << 20]));
    for s in ["v6.12", "v7.0"] {
        go("x86-64", "x86-64-4level", s, |g, o| X86_64::new(g, o));
        go("arm64", "arm64-4k-48", s, |g, o| Arm64Backend::new(g, o));
        go("xen", "x86-64-4level", s, |g, o| XenPv::new(g, o, 1));
    }
}
