//! Images of table pages: everything that a walk from some roots reaches, as it lay in memory.
//!
//! The file is `PTIMG1`, a line of JSON (the header), and the pages by ascending physical address.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// First line of an image.
pub const MAGIC: &str = "PTIMG1";

/// Bytes of the largest tables that are larger than a page: the root of powerpc's radix tree.
const LARGEST_TABLE: u64 = 0x1_0000;

/// An image that cannot be read or walked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ImageError {
    /// Where: a line, a header field, or an entry.
    pub place: String,
    pub problem: String,
}

impl ImageError {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> ImageError {
        ImageError { place: place.into(), problem: problem.into() }
    }
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Root {
    #[serde(deserialize_with = "number")]
    pub pa: u64,
    /// Hardware levels.
    pub levels: u8,
    /// Virtual address bits that the levels and the page offset take together.
    pub va_bits: u8,
    /// Entries of the root table.
    pub entries: u64,
}

/// How the bytes of a word follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    #[default]
    Little,
    Big,
}

/// The line of JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// `arm64`, `x86_64`, `i386`, ...
    pub arch: String,
    pub page_bytes: u64,
    pub entry_bytes: u8,
    /// Entries of a table below the root.
    pub entries_per_table: u64,
    /// Shift and entries of each level, leaf tables first, where tables of different levels have different sizes.
    #[serde(default)]
    pub levels: Vec<(u32, u64)>,
    #[serde(default)]
    pub byte_order: ByteOrder,
    /// What entries hold where nothing is, leaf tables first, where the kernel's image decides that (loongarch).
    #[serde(default, deserialize_with = "numbers")]
    pub empty: Vec<u64>,
    pub roots: BTreeMap<String, Root>,
    /// Physical addresses of the pages that follow.
    #[serde(deserialize_with = "numbers")]
    pub pages: Vec<u64>,
    /// Tables that whoever made the image could not read.
    #[serde(default, deserialize_with = "numbers")]
    pub missing: Vec<u64>,
}

impl Header {
    /// Address bits below the index of a level, which counts from 1.
    #[must_use]
    pub fn shift(&self, level: u8) -> u32 {
        let n = u32::from(level.saturating_sub(1));
        let even = self.page_bytes.trailing_zeros() + n * self.entries_per_table.trailing_zeros();
        self.levels.get(n as usize).map_or(even, |(shift, _)| *shift)
    }

    /// Entries of a table of a level, below the root.
    #[must_use]
    pub fn entries(&self, level: u8) -> u64 {
        let n = usize::from(level.saturating_sub(1));
        self.levels.get(n).map_or(self.entries_per_table, |(_, entries)| *entries)
    }

    /// Whether a word of a level says that nothing is there, as far as the header tells.
    #[must_use]
    pub fn nothing(&self, level: u8, word: u64) -> bool {
        word == 0 || self.empty.get(usize::from(level.saturating_sub(1))) == Some(&word)
    }

    /// Each level begins where the one below it ends.
    fn check_levels(&self, fits: impl Fn(u64) -> bool) -> Result<(), ImageError> {
        let mut wanted = self.page_bytes.trailing_zeros();
        for (n, (shift, entries)) in self.levels.iter().enumerate() {
            if *shift != wanted || !fits(*entries) {
                let problem = format!("shift {shift} with {entries} entries, expected shift {wanted}");
                return Err(ImageError::new(format!("levels, number {}", n + 1), problem));
            }
            wanted += entries.trailing_zeros();
        }
        Ok(())
    }
}

/// A number, or a text such as `0x1000`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Result<u64, String> {
        match self {
            Number::Plain(n) => Ok(*n),
            Number::Text(text) => text
                .strip_prefix("0x")
                .map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok())
                .ok_or_else(|| format!("{text:?} is no number")),
        }
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Number::deserialize(deserializer)?.value().map_err(D::Error::custom)
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let all = Vec::<Number>::deserialize(deserializer)?;
    all.iter().map(|n| n.value().map_err(D::Error::custom)).collect()
}

/// A table image.
#[derive(Clone, Debug)]
pub struct Image {
    pub header: Header,
    bytes: Vec<u8>,
    /// Where the first page begins.
    start: usize,
}

impl Image {
    /// Reads an image; the bytes are those of the file, decompressed.
    pub fn new(bytes: Vec<u8>) -> Result<Image, ImageError> {
        let line = |from: usize| bytes[from..].iter().position(|b| *b == b'\n').map(|n| from + n);
        let first = line(0).filter(|end| &bytes[..*end] == MAGIC.as_bytes());
        let Some(first) = first else {
            let seen = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]).into_owned();
            return Err(ImageError::new("line 1", format!("not a table image: expected {MAGIC}, got {seen:?}")));
        };
        let Some(second) = line(first + 1) else {
            return Err(ImageError::new("line 2", "the header has no end: the file is truncated"));
        };
        let header: Header = serde_json::from_slice(&bytes[first + 1..second])
            .map_err(|error| ImageError::new("line 2", format!("not a header: {error}")))?;
        let image = Image { header, bytes, start: second + 1 };
        image.check()?;
        Ok(image)
    }

    fn check(&self) -> Result<(), ImageError> {
        let h = &self.header;
        if !h.page_bytes.is_power_of_two() || !(0x1000..=0x100_0000).contains(&h.page_bytes) {
            return Err(ImageError::new("page_bytes", format!("{} is no page size", h.page_bytes)));
        }
        if h.entry_bytes != 4 && h.entry_bytes != 8 {
            return Err(ImageError::new("entry_bytes", format!("expected 4 or 8, got {}", h.entry_bytes)));
        }
        let most = h.page_bytes.max(LARGEST_TABLE) / u64::from(h.entry_bytes);
        let fits = |n: u64| n.is_power_of_two() && n > 1 && n <= most;
        h.check_levels(fits)?;
        if !fits(h.entries_per_table) {
            let problem = format!("expected a power of two up to {most}, got {}", h.entries_per_table);
            return Err(ImageError::new("entries_per_table", problem));
        }
        let wanted = h.pages.len() as u64 * h.page_bytes;
        let found = (self.bytes.len() - self.start) as u64;
        if wanted != found {
            let why = if found < wanted { "the file is truncated" } else { "the file is too long" };
            let problem = format!("expected {} pages, {wanted} bytes, got {found} bytes: {why}", h.pages.len());
            return Err(ImageError::new("pages", problem));
        }
        if let Some(pa) = h.pages.iter().find(|pa| *pa % h.page_bytes != 0) {
            return Err(ImageError::new("pages", format!("{pa:#x} is not a multiple of {:#x}", h.page_bytes)));
        }
        if let Some(pair) = h.pages.windows(2).find(|pair| pair[0] >= pair[1]) {
            let problem = format!("{:#x} comes behind {:#x}: expected ascending addresses", pair[1], pair[0]);
            return Err(ImageError::new("pages", problem));
        }
        for (name, root) in &h.roots {
            let place = format!("root {name:?}");
            let described = h.levels.is_empty() || usize::from(root.levels) <= h.levels.len();
            if !(1..=5).contains(&root.levels) || !described || !fits(root.entries) {
                let problem = format!("{} levels with {} entries in the root", root.levels, root.entries);
                return Err(ImageError::new(place, problem));
            }
            let bits = h.shift(root.levels) + root.entries.trailing_zeros();
            if bits != u32::from(root.va_bits) || bits > 64 {
                let problem = format!("its levels take {bits} address bits, but va_bits is {}", root.va_bits);
                return Err(ImageError::new(place, problem));
            }
            if self.table(root.pa, root.entries).is_none() {
                return Err(ImageError::new(place, format!("no page of the image holds {:#x}", root.pa)));
            }
        }
        Ok(())
    }

    /// The root of this name.
    pub fn root(&self, name: &str) -> Result<Root, ImageError> {
        self.header.roots.get(name).copied().ok_or_else(|| {
            let known: Vec<_> = self.header.roots.keys().map(String::as_str).collect();
            ImageError::new("roots", format!("no root {name:?}: expected one of {}", known.join(", ")))
        })
    }

    /// The bytes of a table of so many entries, if it lies inside one page of the image, or in whole ones.
    #[must_use]
    pub fn table(&self, pa: u64, entries: u64) -> Option<&[u8]> {
        let h = &self.header;
        let (page, offset) = (pa & !(h.page_bytes - 1), pa & (h.page_bytes - 1));
        let bytes = entries * u64::from(h.entry_bytes);
        if offset % bytes.min(h.page_bytes) != 0 || offset + bytes > h.page_bytes && offset != 0 {
            return None;
        }
        let index = h.pages.binary_search(&page).ok()?;
        let last = (bytes - 1) / h.page_bytes;
        // Addresses ascend: the last page is in its place only where all before it are.
        if h.pages.get(index + last as usize) != Some(&page.checked_add(last * h.page_bytes)?) {
            return None;
        }
        let at = self.start + (index as u64 * h.page_bytes + offset) as usize;
        self.bytes.get(at..at + bytes as usize)
    }

    /// One word of a table's bytes.
    #[must_use]
    pub fn word(&self, table: &[u8], index: usize) -> u64 {
        let width = usize::from(self.header.entry_bytes);
        let bytes = &table[index * width..(index + 1) * width];
        let join = |word, byte: &u8| word << 8 | u64::from(*byte);
        match self.header.byte_order {
            ByteOrder::Little => bytes.iter().rev().fold(0, join),
            ByteOrder::Big => bytes.iter().fold(0, join),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, pages: usize) -> Vec<u8> {
        let mut bytes = format!("{MAGIC}\n{header}\n").into_bytes();
        bytes.resize(bytes.len() + pages * 4096, 0);
        bytes
    }

    const HEADER: &str = r#"{"arch": "x86_64", "page_bytes": 4096, "entry_bytes": 8, "entries_per_table": 512,
        "roots": {"kernel": {"pa": "0x1000", "levels": 4, "va_bits": 48, "entries": 512}}, "pages": ["0x1000", 8192]}"#;

    fn header() -> String {
        HEADER.replace('\n', "")
    }

    fn problem(bytes: Vec<u8>) -> String {
        Image::new(bytes).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn reads_words() {
        let mut bytes = file(&header(), 2);
        let at = bytes.len() - 4096 + 8;
        bytes[at] = 0x34;
        bytes[at + 1] = 0x12;
        let image = Image::new(bytes).expect("valid");
        let table = image.table(0x2000, 512).expect("there");
        assert_eq!((image.word(table, 0), image.word(table, 1)), (0, 0x1234));
        assert!(image.table(0x3000, 512).is_none());
        assert!(image.table(0x2800, 512).is_none());
    }

    #[test]
    fn tables_larger_than_a_page_and_the_other_byte_order() {
        let header = r#"{"arch": "s390x", "page_bytes": 4096, "entry_bytes": 8, "entries_per_table": 256,
            "levels": [[12, 256], [20, 2048]], "byte_order": "big",
            "roots": {"kernel": {"pa": 4096, "levels": 2, "va_bits": 31, "entries": 2048}},
            "pages": [4096, 8192, 12288, 16384, 32768]}"#;
        let header = header.replace('\n', "");
        let mut bytes = file(&header, 5);
        let at = bytes.len() - 4096 - 8;
        bytes[at + 7] = 0x34;
        bytes[at + 6] = 0x12;
        let image = Image::new(bytes).expect("valid");
        let table = image.table(0x1000, 2048).expect("there");
        assert_eq!((image.word(table, 2047), image.word(table, 0)), (0x1234, 0));
        assert!(image.table(0x8800, 256).is_some());
        assert!(image.table(0x2000, 2048).is_none() && image.table(0x8000, 2048).is_none());
        assert!(problem(file(&header.replace("[20,", "[21,"), 5)).contains("levels, number 2"));
        assert!(problem(file(&header.replace(", [20, 2048]", ""), 5)).contains("2 levels"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(problem(b"PTIMG2\n{}\n".to_vec()).contains("expected PTIMG1"));
        assert!(problem(file("{", 0)).contains("line 2"));
        assert!(problem(file(&header(), 1)).contains("truncated"));
        assert!(problem(file(&header(), 3)).contains("too long"));
        assert!(problem(file(&header().replace("\"pa\": \"0x1000\"", "\"pa\": 12288"), 2)).contains("0x3000"));
        assert!(problem(file(&header().replace("8192", "0"), 2)).contains("ascending"));
        assert!(problem(file(&header().replace("48", "47"), 2)).contains("va_bits"));
        assert!(problem(file(&header().replace("0x1000", "0xzz"), 2)).contains("0xzz"));
    }
}
