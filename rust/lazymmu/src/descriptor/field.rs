//! Fields of entries as data: what each format says of its bits, level by level.
//!
//! A format lists the [`Layout`]s of a level. A layout is one kind of entry (a page, a block, a table, a swap entry);
//! its fields cover every bit of the word exactly once. Everything that names bits (decoding, encoding, explaining,
//! arrays of words) is derived from these lists.

/// What hardware makes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A walk that reaches it faults.
    Invalid,
    Table,
    Leaf,
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Table => "table",
            Kind::Leaf => "leaf",
        }
    }
}

/// What may be said of a word at its level, the harshest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// The architecture defines every bit as it is. An entry that is not present is valid: it says so.
    Valid = 0,
    /// Hardware takes it today, but a bit is set that software should keep clear, or a combination has no defined meaning.
    Acceptable = 1,
    /// Reserved at this level: hardware faults where the entry would otherwise be used, or an address is too wide.
    Invalid = 2,
}

impl Verdict {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Acceptable => "acceptable",
            Verdict::Invalid => "invalid",
        }
    }
}

/// Who reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The physical address of the table, or of the memory that is mapped.
    Address,
    /// Hardware.
    Control,
    /// The kernel only.
    Software,
    /// Nobody.
    Ignored,
    /// Nobody yet; software keeps it zero, and hardware does not check.
    Res0,
    /// Nobody; hardware faults where it is not zero.
    Reserved,
}

impl Role {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Address => "address",
            Role::Control => "control",
            Role::Software => "software",
            Role::Ignored => "ignored",
            Role::Res0 => "res0",
            Role::Reserved => "reserved",
        }
    }

    /// What it says of a word that the field is not zero.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Role::Res0 => Verdict::Acceptable,
            Role::Reserved => Verdict::Invalid,
            _ => Verdict::Valid,
        }
    }
}

/// Bits `high` to `low` of the word, which are the bits of the field's value from `at` upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub high: u8,
    pub low: u8,
    pub at: u8,
}

impl Part {
    const fn ones(self) -> u64 {
        u64::MAX >> (63 - (self.high - self.low))
    }

    /// Bits of the word.
    #[must_use]
    pub const fn mask(self) -> u64 {
        self.ones() << self.low
    }

    const fn value_mask(self) -> u64 {
        self.ones() << self.at
    }
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    /// Lowest first.
    pub parts: Vec<Part>,
    pub role: Role,
    pub about: &'static str,
    /// What values mean.
    pub values: &'static [(u64, &'static str)],
    /// The word holds the complement of the value.
    pub inverted: bool,
}

impl Field {
    #[must_use]
    pub fn new(name: &'static str, high: u8, low: u8, role: Role, about: &'static str) -> Field {
        Field { name, parts: vec![Part { high, low, at: 0 }], role, about, values: &[], inverted: false }
    }

    /// A physical address whose bits stand in the word where they are in the address.
    #[must_use]
    pub fn address(high: u8, low: u8) -> Field {
        let mut field = Field::new("address", high, low, Role::Address, "physical address");
        field.parts[0].at = low;
        field
    }

    /// Another part of the value.
    #[must_use]
    pub fn and(mut self, high: u8, low: u8, at: u8) -> Field {
        self.parts.push(Part { high, low, at });
        self.parts.sort_by_key(|part| part.low);
        self
    }

    /// The value's bits begin at `at`; of a field with one part.
    #[must_use]
    pub fn at(mut self, at: u8) -> Field {
        self.parts[0].at = at;
        self
    }

    #[must_use]
    pub fn values(self, values: &'static [(u64, &'static str)]) -> Field {
        Field { values, ..self }
    }

    #[must_use]
    pub fn about(self, about: &'static str) -> Field {
        Field { about, ..self }
    }

    #[must_use]
    pub fn inverted(self) -> Field {
        Field { inverted: true, ..self }
    }

    /// Bits of the word.
    #[must_use]
    pub fn mask(&self) -> u64 {
        self.parts.iter().fold(0, |mask, part| mask | part.mask())
    }

    /// Bits that a value may have.
    #[must_use]
    pub fn value_mask(&self) -> u64 {
        self.parts.iter().fold(0, |mask, part| mask | part.value_mask())
    }

    /// The field's value in a word.
    #[must_use]
    pub fn get(&self, word: u64) -> u64 {
        let word = if self.inverted { !word } else { word };
        self.parts.iter().fold(0, |value, part| value | ((word & part.mask()) >> part.low) << part.at)
    }

    /// The bits of the word for a value; bits of the value that the field does not have are lost.
    #[must_use]
    pub fn put(&self, value: u64) -> u64 {
        let value = if self.inverted { !value } else { value };
        self.parts.iter().fold(0, |word, part| word | ((value & part.value_mask()) >> part.at) << part.low)
    }

    /// What the value means, if that has a name.
    #[must_use]
    pub fn meaning(&self, value: u64) -> Option<&'static str> {
        self.values.iter().find(|(v, _)| *v == value).map(|(_, text)| *text)
    }
}

/// A combination of bits that is not what it should be: `word & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The field to blame.
    pub field: &'static str,
    pub mask: u64,
    pub value: u64,
    pub verdict: Verdict,
    pub says: &'static str,
}

/// One kind of entry at one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub name: &'static str,
    pub kind: Kind,
    pub about: &'static str,
    /// Words of this kind are those with `word & mask == value` that no layout before it takes.
    pub mask: u64,
    pub value: u64,
    /// Lowest first.
    pub fields: Vec<Field>,
    pub rules: Vec<Rule>,
}

impl Layout {
    #[must_use]
    pub fn new(name: &'static str, kind: Kind, mask: u64, value: u64, about: &'static str) -> Layout {
        Layout { name, kind, about, mask, value, fields: Vec::new(), rules: Vec::new() }
    }

    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Layout {
        self.fields.extend(fields);
        self
    }

    #[must_use]
    pub fn rule(mut self, field: &'static str, mask: u64, value: u64, verdict: Verdict, says: &'static str) -> Layout {
        self.rules.push(Rule { field, mask, value, verdict, says });
        self
    }

    /// Gives the bits that no field has, in a word of `bits`, to one more; then the fields are in order.
    #[must_use]
    pub fn rest(mut self, name: &'static str, role: Role, bits: u8, about: &'static str) -> Layout {
        let covered = self.fields.iter().fold(0, |mask, field| mask | field.mask());
        let mut free = !covered & (u64::MAX >> (64 - bits));
        let mut field = Field { name, parts: Vec::new(), role, about, values: &[], inverted: false };
        let mut at = 0;
        while free != 0 {
            let low = free.trailing_zeros() as u8;
            let width = (free >> low).trailing_ones() as u8;
            let part = Part { high: low + width - 1, low, at };
            free &= !part.mask();
            at += width;
            field.parts.push(part);
        }
        if !field.parts.is_empty() {
            self.fields.push(field);
        }
        self.fields.sort_by_key(|field| field.parts.first().map_or(64, |part| part.low));
        self
    }

    #[must_use]
    pub fn takes(&self, word: u64) -> bool {
        word & self.mask == self.value
    }

    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    #[must_use]
    pub fn address(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.role == Role::Address)
    }
}
