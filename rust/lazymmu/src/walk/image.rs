//! Walks over a table image: one address, or everything that is mapped.

use crate::descriptor::{self, AnyFormat, Attributes, Grants, Half};
use crate::geometry::Level;
use crate::memory::image::{Image, ImageError, Root};

/// Ranges a listing may have before it is given up: more than any real kernel's, and they still fit in memory.
const MOST_RANGES: usize = 1 << 22;

/// Consecutive leaves of one level with the same attributes, mapping consecutive memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRange {
    pub va: u64,
    /// Address of the last byte.
    pub last: u64,
    pub pa: u64,
    pub level: Level,
    /// Bytes of one leaf.
    pub page_size: u64,
    /// The first leaf's word.
    pub raw: u64,
    /// Whether hardware uses it.
    pub valid: bool,
    /// What the leaf and the entries above it grant together.
    pub attributes: Attributes,
}

/// An entry on the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub level: Level,
    pub index: usize,
    pub raw: u64,
}

/// What a hardware walk of one address meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// From the root down to where the walk ends.
    pub steps: Vec<Step>,
    /// The physical address, unless the walk ends in a fault.
    pub pa: Option<u64>,
    pub attributes: Option<Attributes>,
}

/// A walker of one tree of an image.
#[derive(Debug)]
pub struct ImageWalk<'i> {
    image: &'i Image,
    format: Box<dyn AnyFormat>,
    half: Half,
    root: Root,
}

struct Listing {
    ranges: Vec<LeafRange>,
    /// The tables on the way down.
    above: Vec<u64>,
    left: u64,
}

impl<'i> ImageWalk<'i> {
    /// A walker from the root of this name.
    pub fn new(image: &'i Image, root: &str) -> Result<ImageWalk<'i>, ImageError> {
        let h = &image.header;
        let at = image.root(root)?;
        let page_shift = h.page_bytes.trailing_zeros();
        let index_bits = [1, 2, 3].map(|level| h.entries(level).trailing_zeros() as u8);
        let Root { levels, va_bits, .. } = at;
        let shape = descriptor::Shape { page_shift, entry_bytes: h.entry_bytes, levels, va_bits, index_bits };
        let format = descriptor::of_architecture(&h.arch, shape).map_err(|problem| ImageError::new("arch", problem))?;
        let half = format.half(root == "kernel");
        Ok(ImageWalk { image, format, half, root: at })
    }

    fn level(number: u8) -> Level {
        Level::from_number(number).unwrap_or(Level::Pgd)
    }

    /// Address bits below the index of a level.
    fn shift(&self, level: Level) -> u32 {
        self.image.header.shift(level.number())
    }

    fn entries(&self, level: Level) -> u64 {
        if level.number() == self.root.levels { self.root.entries } else { self.image.header.entries(level.number()) }
    }

    fn canonical(&self, va: u64) -> u64 {
        let spare = 64 - u32::from(self.root.va_bits);
        match self.half {
            Half::Upper => va | (u64::MAX << (63 - spare) << 1),
            Half::Lower => va,
            Half::At(base) => va | base,
            Half::Signed if self.root.va_bits <= 32 => va,
            Half::Signed => (((va << spare) as i64) >> spare) as u64,
        }
    }

    fn leaf(&self, level: Level, word: u64) -> bool {
        level == Level::Pte || self.format.leaf(level, word)
    }

    fn table(&self, level: Level, pa: u64, va: u64, word: u64) -> Result<&'i [u8], ImageError> {
        self.image.table(pa, self.entries(level)).ok_or_else(|| {
            let above = Self::level(level.number() + 1).name();
            let place = format!("{above} entry of {va:#x}");
            ImageError::new(place, format!("{word:#x} points to a table at {pa:#x}, which is not in the image"))
        })
    }

    fn tree(&self, at: &str, problem: &str) -> ImageError {
        ImageError::new(at, problem)
    }

    /// What lies behind an address.
    pub fn path(&self, va: u64) -> Result<Path, ImageError> {
        let spare = 64 - u32::from(self.root.va_bits);
        if self.canonical(va << spare >> spare) != va {
            let problem = format!("{va:#x} is not an address of these {}-bit tables", self.root.va_bits);
            return Err(ImageError::new("VA", problem));
        }
        let mut steps = Vec::new();
        let (mut pa, mut from) = (self.root.pa, 0);
        let mut grants = Grants::ALL;
        for number in (1..=self.root.levels).rev() {
            let level = Self::level(number);
            let table = self.table(level, pa, va, from)?;
            let index = (va >> self.shift(level) & (self.entries(level) - 1)) as usize;
            let raw = self.image.word(table, index);
            steps.push(Step { level, index, raw });
            if self.image.header.nothing(number, raw) || !self.format.walkable(level, raw) {
                return Ok(Path { steps, pa: None, attributes: None });
            }
            pa = self.format.address(level, raw);
            if self.leaf(level, raw) {
                let offset = va & ((1 << self.shift(level)) - 1);
                let attributes = self.format.attributes(level, raw).limited(grants);
                return Ok(Path {
                    steps,
                    pa: Some((pa & !((1 << self.shift(level)) - 1)) | offset),
                    attributes: Some(attributes),
                });
            }
            grants = grants.and(self.format.table_grants(level, raw));
            from = raw;
        }
        Err(self.tree("VA", "the walk does not end"))
    }

    /// Everything that is mapped, by ascending address.
    pub fn ranges(&self) -> Result<Vec<LeafRange>, ImageError> {
        let pages = self.image.header.pages.len() as u64;
        // Real kernels let a few tables appear at many places; a damaged image must not take for ever.
        let mut listing = Listing { ranges: Vec::new(), above: Vec::new(), left: 64 * pages + 65_536 };
        self.list(&mut listing, Self::level(self.root.levels), (self.root.pa, 0), 0, Grants::ALL)?;
        if self.half == Half::Signed {
            listing.ranges.sort_by_key(|range| range.va);
        }
        Ok(listing.ranges)
    }

    fn list(
        &self,
        listing: &mut Listing,
        level: Level,
        (pa, from): (u64, u64),
        base: u64,
        grants: Grants,
    ) -> Result<(), ImageError> {
        let va = self.canonical(base);
        let place = || format!("{} table of {va:#x}", level.name());
        if listing.above.contains(&pa) {
            return Err(self.tree(&place(), &format!("the table at {pa:#x} lies below itself")));
        }
        let Some(left) = listing.left.checked_sub(1) else {
            return Err(self.tree(&place(), "the tables form no tree: the same ones appear again and again"));
        };
        listing.left = left;
        let table = self.table(level, pa, va, from)?;
        listing.above.push(pa);
        for index in 0..self.entries(level) {
            let raw = self.image.word(table, index as usize);
            if self.image.header.nothing(level.number(), raw) || self.format.none(level, raw) {
                continue;
            }
            let here = base + (index << self.shift(level));
            if self.leaf(level, raw) {
                if self.format.dumped(level, raw) {
                    self.add(listing, level, here, raw, grants)?;
                }
            } else if self.format.walkable(level, raw) {
                let below = self.format.address(level, raw);
                if !self.image.header.missing.contains(&below) {
                    let grants = grants.and(self.format.table_grants(level, raw));
                    self.list(listing, level.below(), (below, raw), here, grants)?;
                }
            }
        }
        listing.above.pop();
        Ok(())
    }

    fn add(&self, listing: &mut Listing, level: Level, base: u64, raw: u64, grants: Grants) -> Result<(), ImageError> {
        let page_size = 1u64 << self.shift(level);
        let va = self.canonical(base);
        let new = LeafRange {
            va,
            last: va | (page_size - 1),
            pa: self.format.address(level, raw) & !(page_size - 1),
            level,
            page_size,
            raw,
            valid: self.format.walkable(level, raw),
            attributes: self.format.attributes(level, raw).limited(grants),
        };
        if let Some(range) = listing.ranges.last_mut() {
            let bytes = range.last.wrapping_sub(range.va).wrapping_add(1);
            let same = (range.level, range.valid, range.attributes) == (level, new.valid, new.attributes);
            // The rest of the word is the same too: only the address has moved on.
            if same
                && range.last.wrapping_add(1) == va
                && range.pa.wrapping_add(bytes) == new.pa
                && raw.wrapping_sub(range.raw) == bytes
            {
                range.last = new.last;
                return Ok(());
            }
        }
        if listing.ranges.len() == MOST_RANGES {
            return Err(self.tree("ranges", &format!("more than {MOST_RANGES}")));
        }
        listing.ranges.push(new);
        Ok(())
    }
}
