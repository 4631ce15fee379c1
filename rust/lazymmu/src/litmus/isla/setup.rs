//! isla's page-table set-up language, stage 1.

use rustc_hash::FxHashMap;

use crate::litmus::error::{LitmusError, Result};
use crate::litmus::lexer::{Token, Tokens};

use super::expression::{DEFAULT_ATTRIBUTES, Scope, evaluate, field};

/// Where virtual, then physical, pages of variables start, and the table that exists where none is declared.
const VIRTUAL: u64 = 0x80_0020_0000;
const PHYSICAL: u64 = 0x1_0000_0000;
pub(super) const DEFAULT_TABLE: &str = "page_table_base";
const DEFAULT_BASE: u64 = 0x1000_0000;

/// One tree of tables.
#[derive(Clone, Debug)]
struct Tree {
    root: u64,
    /// Where the next table of it goes.
    next: u64,
}

/// Every table, and what it holds at the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    trees: FxHashMap<String, Tree>,
    /// Entry cell to word.
    pub entries: FxHashMap<u64, u64>,
    pub names: FxHashMap<u64, String>,
}

impl Tables {
    pub(super) fn has(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    pub(super) fn root(&self, name: &str) -> Option<u64> {
        self.trees.get(name).map(|t| t.root)
    }

    pub(super) fn word(&self, cell: u64) -> u64 {
        self.entries.get(&cell).copied().unwrap_or(0)
    }

    /// The cell of an entry, by the tables as they are at the start.
    pub(super) fn entry(&self, tree: &str, va: u64, level: u8) -> Option<u64> {
        let mut table = self.trees.get(tree)?.root;
        for at in 0..=level {
            let cell = table + 8 * (va >> (12 + 9 * u32::from(3 - at)) & 0x1ff);
            if at == level {
                return Some(cell);
            }
            let word = self.word(cell);
            if word & 3 != 3 {
                return None;
            }
            table = word & 0x0000_ffff_ffff_f000;
        }
        None
    }

    /// Writes an entry, with the tables above it.
    fn map(&mut self, tree: &str, va: u64, level: u8, word: u64) -> Option<u64> {
        let mut table = self.trees.get(tree)?.root;
        for at in 0..level {
            let cell = table + 8 * (va >> (12 + 9 * u32::from(3 - at)) & 0x1ff);
            let word = self.word(cell);
            table = if word & 3 == 3 {
                word & 0x0000_ffff_ffff_f000
            } else {
                let tree = self.trees.get_mut(tree)?;
                let new = tree.next;
                tree.next += 0x1000;
                self.entries.insert(cell, new | 3);
                new
            };
        }
        let cell = table + 8 * (va >> (12 + 9 * u32::from(3 - level)) & 0x1ff);
        self.entries.insert(cell, word);
        Some(cell)
    }

    /// Address ranges that hold tables.
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        let mut all: Vec<_> = self.trees.values().map(|t| (t.root, t.next)).collect();
        all.sort_unstable();
        all
    }
}

/// What the set-up says.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub virtuals: FxHashMap<String, u64>,
    pub physicals: FxHashMap<String, u64>,
    pub tables: Tables,
    /// Physical cell to value.
    pub memory: Vec<(u64, u64)>,
    order: Vec<String>,
    next_virtual: u64,
    next_physical: u64,
    mapped: Vec<String>,
    default_tables: bool,
}

impl Scope for Setup {
    fn name(&self, name: &str) -> Option<u64> {
        self.virtuals.get(name).or_else(|| self.physicals.get(name)).copied().or_else(|| self.tables.root(name))
    }

    fn tables(&self) -> &Tables {
        &self.tables
    }

    fn label(&self, _: &str) -> Option<u64> {
        None
    }
}

/// What an entry is given.
enum To {
    Invalid,
    Table(u64),
    Page(u64),
    Raw(u64),
}

impl Setup {
    pub(super) fn new(symbolic: &[String]) -> Setup {
        let mut setup =
            Setup { next_virtual: VIRTUAL, next_physical: PHYSICAL, default_tables: true, ..Setup::default() };
        setup.tree(DEFAULT_TABLE, DEFAULT_BASE);
        for name in symbolic {
            setup.make_virtual(name, 0x1000);
        }
        setup
    }

    fn tree(&mut self, name: &str, root: u64) {
        self.tables.trees.insert(name.to_owned(), Tree { root, next: root + 0x1000 });
    }

    fn make_virtual(&mut self, name: &str, align: u64) {
        if self.virtuals.contains_key(name) && align <= 0x1000 {
            return;
        }
        let at = self.next_virtual.next_multiple_of(align.max(0x1000));
        self.next_virtual = at + align.max(0x1000);
        self.virtuals.insert(name.to_owned(), at);
        self.order.push(name.to_owned());
    }

    fn make_physical(&mut self, name: &str, align: u64) {
        if !self.physicals.contains_key(name) {
            let at = self.next_physical.next_multiple_of(align.max(0x1000));
            self.next_physical = at + align.max(0x1000);
            self.physicals.insert(name.to_owned(), at);
        }
    }

    /// Variables that no table maps are their own physical pages.
    pub(super) fn unmapped(&self) -> impl Iterator<Item = (&String, u64)> {
        self.virtuals.iter().filter(|(name, _)| !self.mapped.contains(name)).map(|(name, at)| (name, *at))
    }

    /// The physical address that a virtual one has at the start.
    pub(super) fn physical_of(&self, va: u64) -> u64 {
        let found = self.tables.trees.keys().find_map(|tree| {
            let word = self.tables.word(self.tables.entry(tree, va, 3)?);
            (word & 3 == 3).then_some(word & 0x0000_ffff_ffff_f000 | va & 0xfff)
        });
        found.unwrap_or(va)
    }

    pub(super) fn read(&mut self, tokens: &mut Tokens) -> Result<()> {
        self.block(tokens, None)
    }

    fn block(&mut self, tokens: &mut Tokens, tree: Option<&str>) -> Result<()> {
        while let Some(token) = tokens.peek().cloned() {
            let line = tokens.line();
            match token {
                Token::Mark(";") => {
                    tokens.next();
                }
                Token::Mark("}") if tree.is_some() => return Ok(()),
                Token::Mark("*") => {
                    tokens.next();
                    let address = evaluate(tokens, self)?;
                    tokens.expect("=")?;
                    let value = evaluate(tokens, self)?;
                    // A virtual address stands for the page it maps.
                    let known = self.virtuals.values().any(|v| *v == address & !0xfff);
                    let cell = if known { self.physical_of(address) } else { address };
                    self.memory.push((cell, value));
                }
                Token::Name(word) => self.statement(&word, tokens, tree.unwrap_or(DEFAULT_TABLE), line)?,
                _ => return Err(tokens.wrong("a statement")),
            }
        }
        if tree.is_some() {
            return Err(tokens.wrong("\"}\""));
        }
        Ok(())
    }

    fn names(tokens: &mut Tokens) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(Token::Name(name)) = tokens.peek() {
            names.push(name.clone());
            tokens.next();
        }
        names
    }

    fn statement(&mut self, word: &str, tokens: &mut Tokens, tree: &str, line: usize) -> Result<()> {
        let mut align = 0x1000;
        let mut word = word.to_owned();
        let declares = !matches!(tokens.peek_at(1), Some(Token::Mark("|->" | "?->")));
        if declares && word == "aligned" {
            tokens.next();
            match tokens.next() {
                Some(Token::Number(n)) if n.is_power_of_two() => align = n,
                _ => return Err(LitmusError::bad(line, "aligned: expected a power of two")),
            }
            word = match tokens.peek() {
                Some(Token::Name(word)) => word.clone(),
                _ => return Err(tokens.wrong("virtual, intermediate or physical")),
            };
        }
        match word.as_str() {
            "option" if declares => {
                tokens.next();
                let name = tokens.name()?;
                tokens.expect("=")?;
                let value = tokens.name()?;
                if name == "default_tables" {
                    self.default_tables = value == "true";
                }
            }
            "virtual" if declares => {
                tokens.next();
                for name in Setup::names(tokens) {
                    self.make_virtual(&name, align);
                }
            }
            // An intermediate address that is mapped once and for all is the physical one.
            "physical" | "intermediate" if declares => {
                tokens.next();
                for name in Setup::names(tokens) {
                    self.make_physical(&name, align);
                }
            }
            "assert" if declares => {
                while !matches!(tokens.peek(), None | Some(Token::Mark(";"))) {
                    tokens.next();
                }
            }
            "let" if declares => return Err(LitmusError::unsupported(line, "functions of its own")),
            "identity" if declares => {
                tokens.next();
                let at = evaluate(tokens, self)?;
                let (attributes, level) = self.attributes(tokens)?;
                if self.tables.map(tree, at, level, at & !0xfff | attributes | 3).is_none() {
                    return Err(LitmusError::bad(line, "a mapping outside every table"));
                }
            }
            "s2table" if declares => return Err(LitmusError::unsupported(line, "stage 2 translation")),
            "s1table" if declares => {
                tokens.next();
                let name = tokens.name()?;
                if let Some(Token::Number(_)) = tokens.peek() {
                    let root = evaluate(tokens, self)?;
                    self.tree(&name, root);
                } else if !self.tables.has(&name) {
                    return Err(LitmusError::bad(line, format!("no table {name:?}")));
                }
                if tokens.eat("{") {
                    self.block(tokens, Some(&name))?;
                    tokens.expect("}")?;
                }
            }
            _ => self.mapping(tokens, tree, line)?,
        }
        Ok(())
    }

    /// `x |-> pa1 with ... at level 3`, or `?->` for what it may become.
    fn mapping(&mut self, tokens: &mut Tokens, tree: &str, line: usize) -> Result<()> {
        let name = match tokens.peek() {
            Some(Token::Name(name)) if !matches!(tokens.peek_at(1), Some(Token::Mark("("))) => Some(name.clone()),
            _ => None,
        };
        if let Some(name) = &name
            && self.name(name).is_none()
        {
            self.make_virtual(name, 0x1000);
        }
        let from = evaluate(tokens, self)?;
        let certain = if tokens.eat("|->") {
            true
        } else {
            tokens.expect("?->")?;
            false
        };
        let intermediate =
            name.as_ref().is_some_and(|n| self.physicals.contains_key(n) && !self.virtuals.contains_key(n));
        let to = self.target(tokens, line)?;
        let (attributes, level) = self.attributes(tokens)?;
        if intermediate {
            return match (to, certain) {
                // Stage 2 that never changes: give both the same address.
                (To::Page(at), true) if tree == DEFAULT_TABLE => {
                    if let Some(name) = name {
                        self.physicals.insert(name, at);
                    }
                    Ok(())
                }
                _ => Err(LitmusError::unsupported(line, "stage 2 translation")),
            };
        }
        if !certain {
            return Ok(());
        }
        let word = match to {
            To::Invalid => 0,
            To::Raw(word) => word,
            To::Table(at) => at | 3,
            To::Page(at) if level == 3 => at & !0xfff | attributes | 3,
            To::Page(at) => at & !((1 << (12 + 9 * (3 - u32::from(level)))) - 1) | attributes | 1,
        };
        let Some(cell) = self.tables.map(tree, from, level, word) else {
            return Err(LitmusError::bad(line, "a mapping outside every table"));
        };
        if let Some(name) = name {
            let shown = if tree == DEFAULT_TABLE { name.clone() } else { format!("{name}, {tree}") };
            self.tables.names.insert(cell, format!("pte{level}({shown})"));
            if !self.mapped.contains(&name) {
                self.mapped.push(name);
            }
        }
        Ok(())
    }

    fn target(&mut self, tokens: &mut Tokens, line: usize) -> Result<To> {
        if tokens.eat_word("invalid") {
            return Ok(To::Invalid);
        }
        for (word, table) in [("table", true), ("raw", false)] {
            if matches!(tokens.peek(), Some(Token::Name(n)) if n == word)
                && tokens.peek_at(1) == Some(&Token::Mark("("))
            {
                tokens.next();
                tokens.expect("(")?;
                let at = evaluate(tokens, self)?;
                tokens.expect(")")?;
                return Ok(if table { To::Table(at) } else { To::Raw(at) });
            }
        }
        if let Some(Token::Name(name)) = tokens.peek().cloned()
            && self.name(&name).is_none()
            && tokens.peek_at(1) != Some(&Token::Mark("("))
        {
            if name.is_empty() {
                return Err(LitmusError::bad(line, "expected what it maps to"));
            }
            self.make_physical(&name, 0x1000);
        }
        Ok(To::Page(evaluate(tokens, self)?))
    }

    /// `with [AP = 0b11] and default at level 2 as w`.
    fn attributes(&self, tokens: &mut Tokens) -> Result<(u64, u8)> {
        let mut attributes = DEFAULT_ATTRIBUTES;
        let mut level = 3;
        let mut first = true;
        loop {
            if tokens.eat_word("with") || tokens.eat_word("and") {
                if tokens.eat("[") {
                    while !tokens.eat("]") {
                        let line = tokens.line();
                        let name = tokens.name()?;
                        tokens.expect("=")?;
                        let value = evaluate(tokens, self)?;
                        let Some((at, width)) = field(&name) else {
                            return Err(LitmusError::bad(line, format!("{name:?} is no field of an entry")));
                        };
                        // What follows "and" is of stage 2.
                        if first {
                            let mask = ((1u64 << width) - 1) << at;
                            attributes = attributes & !mask | (value << at) & mask;
                        }
                        tokens.eat(",");
                    }
                } else if tokens.name()? == "code" && first {
                    attributes = 1 << 10 | 3 << 6;
                }
                first = false;
            } else if tokens.eat_word("at") {
                if !tokens.eat_word("level") {
                    return Err(tokens.wrong("\"level\""));
                }
                match tokens.next() {
                    Some(Token::Number(n)) if n <= 3 => level = n as u8,
                    _ => return Err(tokens.wrong("a level from 0 to 3")),
                }
            } else if tokens.eat_word("as") {
                tokens.name()?;
            } else {
                return Ok((attributes, level));
            }
        }
    }
}
