//! One word at a time: decode into named fields, encode from them.

use std::fmt;

use super::AnyFormat;
use super::field::{Field, Kind, Layout, Role, Verdict};
use crate::geometry::{Geometry, Level};

/// Where a word stands: everything that decides how its bits are read.
#[derive(Clone, Debug)]
pub struct Place {
    pub geometry: &'static str,
    pub level: Level,
    /// Width of a word.
    pub bits: u8,
    /// Width of a physical address.
    pub pa_bits: u8,
    pub layouts: Vec<Layout>,
}

/// A field that is not what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: &'static str,
    pub value: u64,
    /// What it may be.
    pub limit: String,
    pub verdict: Verdict,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:#x}, limit: {}", self.field, self.value, self.limit)
    }
}

/// Input that names no word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    #[error("geometry {geometry} has no level {level}: levels = {value}, limit: {limit}; its root is {root}")]
    Level { geometry: &'static str, level: &'static str, value: u8, limit: u8, root: &'static str },
    #[error("no format describes the fields of {geometry}")]
    NoFormat { geometry: &'static str },
    #[error("pa_bits = {value}, limit: {geometry} has addresses of {low} to {limit} bits")]
    PhysicalWidth { geometry: &'static str, value: u8, low: u32, limit: u8 },
    #[error("{at}: word = {value:#x}, limit: {bits} bits")]
    Word { at: String, value: u64, bits: u8 },
    #[error("{at}: {problem}")]
    Field { at: String, problem: Problem },
    #[error("{at}: kind {name:?} does not exist here: expected one of {}", .known.join(", "))]
    UnknownKind { at: String, name: String, known: Vec<&'static str> },
    #[error("{at}: field {name:?} does not exist here: expected some of {}", .known.join(", "))]
    UnknownField { at: String, name: String, known: Vec<&'static str> },
}

/// A word taken apart.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    pub word: u64,
    pub layout: &'a Layout,
    /// Values of the layout's fields, in their order.
    pub values: Vec<u64>,
    pub verdict: Verdict,
    pub problems: Vec<Problem>,
}

impl Place {
    /// A level of a geometry under a format. `pa_bits`: of a CPU with narrower physical addresses than the format has.
    pub fn new(
        format: &dyn AnyFormat,
        geometry: &Geometry,
        level: Level,
        pa_bits: Option<u8>,
    ) -> Result<Place, DescriptorError> {
        if geometry.folded(level) {
            return Err(DescriptorError::Level {
                geometry: geometry.name,
                level: level.name(),
                value: level.number(),
                limit: geometry.levels,
                root: geometry.root().name(),
            });
        }
        let width = pa_bits.unwrap_or(geometry.pa_bits);
        let layouts = format.layouts(level);
        // PSE-36 gives two-level x86 leaves more than its geometry says.
        let widest =
            |layout: &Layout| layout.address().map_or(0, |field| 64 - field.value_mask().leading_zeros() as u8);
        let limit = layouts.iter().map(widest).fold(geometry.pa_bits, u8::max);
        if u32::from(width) <= geometry.page_shift || width > limit {
            let low = geometry.page_shift + 1;
            return Err(DescriptorError::PhysicalWidth { geometry: geometry.name, value: width, low, limit });
        }
        if layouts.is_empty() {
            return Err(DescriptorError::NoFormat { geometry: geometry.name });
        }
        Ok(Place { geometry: geometry.name, level, bits: geometry.bytes(level) * 8, pa_bits: width, layouts })
    }

    fn at(&self) -> String {
        format!("{} {}", self.geometry, self.level.name())
    }

    /// The layout that takes the word. Formats have one for every word; the last one stands for what they forgot.
    #[must_use]
    pub fn layout(&self, word: u64) -> usize {
        self.layouts.iter().position(|layout| layout.takes(word)).unwrap_or(self.layouts.len() - 1)
    }

    fn address_limit(&self) -> u64 {
        u64::MAX >> (64 - self.pa_bits)
    }

    fn problems(&self, layout: &Layout, word: u64) -> Vec<Problem> {
        let mut out = Vec::new();
        for field in &layout.fields {
            let value = field.get(word);
            match field.role {
                Role::Reserved | Role::Res0 if value != 0 => {
                    let limit = format!("0: {}", field.about);
                    out.push(Problem { field: field.name, value, limit, verdict: field.role.verdict() });
                }
                Role::Address if layout.kind != Kind::Invalid && value > self.address_limit() => {
                    let limit = format!("{:#x}, {} bits of physical address", self.address_limit(), self.pa_bits);
                    out.push(Problem { field: field.name, value, limit, verdict: Verdict::Invalid });
                }
                _ => {}
            }
        }
        for rule in layout.rules.iter().filter(|rule| word & rule.mask == rule.value) {
            let value = layout.field(rule.field).map_or(word & rule.mask, |field| field.get(word));
            out.push(Problem { field: rule.field, value, limit: rule.says.to_owned(), verdict: rule.verdict });
        }
        out
    }

    /// Takes a word apart. The only error is a word wider than an entry: what is reserved shows in the verdict.
    pub fn decode(&self, word: u64) -> Result<Decoded<'_>, DescriptorError> {
        if self.bits < 64 && word >> self.bits != 0 {
            return Err(DescriptorError::Word { at: self.at(), value: word, bits: self.bits });
        }
        let layout = &self.layouts[self.layout(word)];
        let values = layout.fields.iter().map(|field| field.get(word)).collect();
        let problems = self.problems(layout, word);
        let verdict = problems.iter().map(|p| p.verdict).max().unwrap_or(Verdict::Valid);
        Ok(Decoded { word, layout, values, verdict, problems })
    }

    /// The error for a word with this verdict, if the verdict is [`Verdict::Invalid`].
    pub fn refuse(&self, decoded: &Decoded<'_>) -> Result<(), DescriptorError> {
        match decoded.problems.iter().find(|p| p.verdict == Verdict::Invalid) {
            Some(problem) => Err(DescriptorError::Field { at: self.at(), problem: problem.clone() }),
            None => Ok(()),
        }
    }

    /// The word with these fields; those not named are zero, or what makes the entry of this kind. Without a kind it is
    /// the first one that has all the fields and takes the word.
    pub fn encode(&self, kind: Option<&str>, values: &[(String, u64)]) -> Result<u64, DescriptorError> {
        let named = |layout: &&Layout| kind.is_none_or(|kind| kind == layout.name);
        let mut candidates = self.layouts.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            let known = self.layouts.iter().map(|l| l.name).collect();
            let name = kind.unwrap_or_default().to_owned();
            return Err(DescriptorError::UnknownKind { at: self.at(), name, known });
        }
        // The most telling error is that of the layout that got furthest.
        let mut worst: Option<(u8, DescriptorError)> = None;
        for layout in candidates {
            match self.assemble(layout, values) {
                Ok(word) => return Ok(word),
                Err((rank, error)) => {
                    if worst.as_ref().is_none_or(|(best, _)| rank > *best) {
                        worst = Some((rank, error));
                    }
                }
            }
        }
        Err(worst
            .map_or_else(|| DescriptorError::Word { at: self.at(), value: 0, bits: self.bits }, |(_, error)| error))
    }

    fn assemble(&self, layout: &Layout, values: &[(String, u64)]) -> Result<u64, (u8, DescriptorError)> {
        let field_error = |problem| DescriptorError::Field { at: self.at(), problem };
        let mut word = layout.value;
        for field in layout.fields.iter().filter(|f| f.inverted) {
            word |= field.put(0);
        }
        for (name, value) in values {
            let Some(field) = layout.field(name) else {
                let known = layout.fields.iter().map(|f| f.name).collect();
                return Err((0, DescriptorError::UnknownField { at: self.at(), name: name.clone(), known }));
            };
            if let Some(limit) = self.limit(field, *value) {
                let problem = Problem { field: field.name, value: *value, limit, verdict: Verdict::Invalid };
                return Err((2, field_error(problem)));
            }
            word = (word & !field.mask()) | field.put(*value);
        }
        let taken = &self.layouts[self.layout(word)];
        if taken != layout {
            let decides = |field: &&Field| field.mask() & (layout.mask | taken.mask) != 0;
            let blamed = layout.fields.iter().find(|f| decides(f) && values.iter().any(|(name, _)| name == f.name));
            let field = blamed.or_else(|| layout.fields.iter().find(decides));
            let value = field.map_or(word, |f| f.get(word));
            let limit = format!("the word would be a {} entry, not a {} entry", taken.name, layout.name);
            let field = field.map_or("word", |f| f.name);
            return Err((1, field_error(Problem { field, value, limit, verdict: Verdict::Invalid })));
        }
        let invalid = self.problems(layout, word).into_iter().find(|p| p.verdict == Verdict::Invalid);
        match invalid {
            Some(problem) => Err((3, field_error(problem))),
            None => Ok(word),
        }
    }

    /// What a field may be, if it may not be this.
    fn limit(&self, field: &Field, value: u64) -> Option<String> {
        if field.role == Role::Address && value > self.address_limit() {
            return Some(format!("{:#x}, {} bits of physical address", self.address_limit(), self.pa_bits));
        }
        let mask = field.value_mask();
        if value & !mask == 0 {
            return None;
        }
        if value > mask {
            return Some(format!("{mask:#x}"));
        }
        Some(format!("a multiple of {:#x}", 1u64 << mask.trailing_zeros()))
    }
}
