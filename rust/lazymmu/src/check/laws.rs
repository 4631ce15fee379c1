//! By what findings are judged.

use std::sync::Arc;

use crate::backend::Backend;
use crate::descriptor::AnyFormat;
use crate::geometry::Geometry;
use crate::kernel::{Kernel, Watch};
use crate::modmask::ModMask;
use crate::scheme::LazyApi;

/// The backend's laws, by which findings are judged.
#[derive(Clone, Debug)]
pub struct Laws {
    pub format: Arc<dyn AnyFormat>,
    pub geometry: Geometry,
    /// Hardware walkers see a store of a valid kernel entry only after a barrier.
    pub needs_barrier: bool,
    /// A DSB alone completes stores (32-bit arm).
    pub dsb_completes: bool,
    /// It is an invalidation that completes stores, or the mark that a mapping is new (riscv).
    pub fences: bool,
    /// begin/end postpones something on this backend.
    pub scope_batches: bool,
    /// The lazy API is the counted one.
    pub counted: bool,
    pub sync_mask: ModMask,
    /// A fault handler copies a missing kernel entry into the current root.
    pub fault_repairs: bool,
    /// The sync function runs to the end of the vmalloc space, whatever it is asked for.
    pub sync_to_end: bool,
}

impl Laws {
    /// The laws of a backend whose walkers see every store at once and whose kernel faults nobody repairs.
    pub fn coherent<B: Backend, W: Watch>(k: &Kernel<B, W>) -> Laws {
        Laws {
            format: Arc::new(k.format()),
            geometry: *k.geometry(),
            needs_barrier: false,
            fences: false,
            dsb_completes: false,
            scope_batches: false,
            counted: k.options.lazy_api == LazyApi::Counted,
            sync_mask: B::sync_mask(k),
            fault_repairs: false,
            sync_to_end: false,
        }
    }
}
