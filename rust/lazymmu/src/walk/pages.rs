//! The page array of `vmap_pages_range`.

use serde::{Deserialize, Serialize};

/// Physical addresses of the pages to map, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Number of pages.
    pub count: u64,
    /// Address of the first page of a run, unless `list` is given.
    #[serde(default)]
    pub start: u64,
    /// Distance of the pages of a run, in bytes (two's complement); 0: the page size.
    #[serde(default)]
    pub step: u64,
    /// The addresses one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<u64>,
    /// Index of a page that is NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_at: Option<u64>,
    /// Index of a page whose frame number is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<u64>,
}

/// One element of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    At(u64),
    Null,
    Invalid,
}

impl Pages {
    /// `count` pages in a row from `start`.
    #[must_use]
    pub fn run(start: u64, count: u64) -> Pages {
        Pages { count, start, step: 0, list: Vec::new(), null_at: None, invalid_at: None }
    }

    /// These pages.
    #[must_use]
    pub fn list(list: Vec<u64>) -> Pages {
        Pages { count: list.len() as u64, start: 0, step: 0, list, null_at: None, invalid_at: None }
    }

    /// Physical address of a page, if it is an ordinary one.
    #[must_use]
    pub fn address(&self, index: u64, page_size: u64) -> Option<u64> {
        let mut supply = self.supply(page_size);
        supply.next = index;
        match supply.get() {
            Page::At(pa) => Some(pa),
            Page::Null | Page::Invalid => None,
        }
    }

    /// The array ready for a walk over pages of this size.
    pub(crate) fn supply(&self, page_size: u64) -> Supply<'_> {
        let none = |index: Option<u64>| index.unwrap_or(u64::MAX);
        Supply {
            list: &self.list,
            start: self.start,
            step: if self.step == 0 { page_size } else { self.step },
            null_at: none(self.null_at),
            odd: none(self.null_at).min(none(self.invalid_at)),
            next: 0,
        }
    }
}

/// The array while a walk consumes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply<'a> {
    list: &'a [u64],
    start: u64,
    step: u64,
    null_at: u64,
    /// The first index that is not an ordinary page.
    odd: u64,
    /// Index of the next page; shared by all tables of a walk.
    pub(crate) next: u64,
}

impl Supply<'_> {
    #[inline]
    pub(crate) fn get(&self) -> Page {
        if self.next < self.odd && self.list.is_empty() {
            return Page::At(self.start.wrapping_add(self.next.wrapping_mul(self.step)));
        }
        self.get_odd()
    }

    #[cold]
    fn get_odd(&self) -> Page {
        if self.next == self.null_at {
            return Page::Null;
        }
        if self.next == self.odd {
            return Page::Invalid;
        }
        match self.list.get(self.next as usize) {
            Some(pa) => Page::At(*pa),
            None if self.list.is_empty() => Page::At(self.start.wrapping_add(self.next.wrapping_mul(self.step))),
            None => Page::Null,
        }
    }
}
