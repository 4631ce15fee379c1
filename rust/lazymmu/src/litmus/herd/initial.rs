//! The initial state: variables, entries, registers.

use crate::descriptor::arm64;
use crate::litmus::error::{LitmusError, Result};
use crate::litmus::lexer::{Token, Tokens};
use crate::litmus::program::{Names, Reg, Thread};
use crate::visibility::Architecture;
use crate::visibility::entry::{riscv, x86};

/// The one table, and that its entries are reached untranslated at the same addresses.
pub(super) const TABLE: u64 = 0x4000_0000;
/// Where physical pages start.
const PHYSICAL: u64 = 0x1_0000_0000;
/// Entries of the table.
const PAGES: usize = 500;

/// Gives variables their pages, and collects what memory holds.
pub(super) struct Layout {
    architecture: Architecture,
    variables: Vec<String>,
    cells: Vec<(u64, u64)>,
    entries: Vec<(u64, u64)>,
    /// Sets of memory attributes met, by their place.
    attributes: Vec<String>,
}

/// A place an assignment or condition names.
pub(super) enum Left {
    Register(usize, Reg),
    Cell(u64),
    Entry(u64),
}

impl Layout {
    pub(super) fn new(architecture: Architecture) -> Layout {
        Layout {
            architecture,
            variables: Vec::new(),
            cells: Vec::new(),
            entries: Vec::new(),
            attributes: vec![String::new()],
        }
    }

    /// The place of a variable, made where it is new.
    fn variable(&mut self, line: usize, name: &str) -> Result<u64> {
        let at = match self.variables.iter().position(|v| v == name) {
            Some(at) => at,
            None if self.variables.len() == PAGES => return Err(LitmusError::bad(line, "too many variables")),
            None => {
                self.variables.push(name.to_owned());
                self.variables.len() - 1
            }
        };
        Ok(at as u64 + 1)
    }

    fn page(&mut self, line: usize, name: &str) -> Result<u64> {
        Ok(self.variable(line, name)? << 12)
    }

    fn frame(&mut self, line: usize, name: &str) -> Result<u64> {
        Ok(PHYSICAL + (self.variable(line, name)? << 12))
    }

    fn entry(&mut self, line: usize, name: &str) -> Result<u64> {
        Ok(TABLE + 8 * self.variable(line, name)?)
    }

    /// The page a variable's entry maps where nothing else is said.
    pub(super) fn frame_of_entry(cell: u64) -> u64 {
        PHYSICAL + (((cell - TABLE) / 8) << 12)
    }

    /// The virtual address of a variable, or of its entry.
    pub(super) fn address(&mut self, line: usize, name: &str) -> Result<u64> {
        match name.strip_prefix("pte_") {
            Some(inner) => self.entry(line, inner),
            None => self.page(line, name),
        }
    }

    /// An entry with everything as a usable mapping has it.
    fn usual(&self, frame: u64) -> u64 {
        match self.architecture {
            Architecture::Armv8 => frame | 3 | arm64::AF | arm64::USER,
            Architecture::X86Tso => frame | x86::P | x86::RW | x86::US | x86::A | x86::D,
            Architecture::Rvwmo => {
                frame >> 12 << riscv::PPN_SHIFT | (riscv::V | riscv::R | riscv::W | riscv::U | riscv::A | riscv::D)
            }
        }
    }

    fn bit(&self, field: &str) -> Option<(u64, bool)> {
        let arm = self.architecture == Architecture::Armv8;
        let x86 = self.architecture == Architecture::X86Tso;
        let riscv = self.architecture == Architecture::Rvwmo;
        Some(match field {
            "valid" if arm => (arm64::VALID, true),
            "af" if arm => (arm64::AF, true),
            "db" if arm => (arm64::RDONLY, false),
            "dbm" if arm => (arm64::WRITE, true),
            "el0" if arm => (arm64::USER, true),
            "x" if arm => (arm64::UXN, false),
            "ng" if arm => (arm64::NG, true),
            "p" | "valid" if x86 => (x86::P, true),
            "rw" if x86 => (x86::RW, true),
            "us" if x86 => (x86::US, true),
            "a" if x86 => (x86::A, true),
            "d" if x86 => (x86::D, true),
            "g" if x86 => (x86::G, true),
            "v" | "valid" if riscv => (riscv::V, true),
            "r" if riscv => (riscv::R, true),
            "w" if riscv => (riscv::W, true),
            "x" if riscv => (riscv::X, true),
            "u" if riscv => (riscv::U, true),
            "g" if riscv => (riscv::G, true),
            "a" if riscv => (riscv::A, true),
            "d" if riscv => (riscv::D, true),
            _ => return None,
        })
    }

    fn frame_bits(&self, frame: u64) -> u64 {
        if self.architecture == Architecture::Rvwmo { frame >> 12 << riscv::PPN_SHIFT } else { frame }
    }

    /// `(oa:PA(x), valid:0, ...)`, after the opening parenthesis. `own` is the variable of the entry it is for.
    fn descriptor(&mut self, tokens: &mut Tokens, own: Option<u64>) -> Result<u64> {
        let mut frame = own;
        let mut sets = Vec::new();
        loop {
            let line = tokens.line();
            let key = tokens.name()?;
            if key == "oa" {
                tokens.expect(":")?;
                let name = tokens.name()?;
                let found = match (name.as_str(), name.strip_prefix("phy_")) {
                    ("PA", _) => {
                        tokens.expect("(")?;
                        let name = tokens.name()?;
                        tokens.expect(")")?;
                        self.frame(line, &name)?
                    }
                    ("PTE" | "TTD", _) => return Err(LitmusError::unsupported(line, "an entry that maps a table")),
                    (_, Some(name)) => self.frame(line, name)?,
                    _ => return Err(LitmusError::bad(line, format!("oa:{name}: expected PA(name)"))),
                };
                frame = Some(found);
            } else if key == "attrs" {
                tokens.expect(":")?;
                tokens.expect("(")?;
                let mut names = Vec::new();
                while !tokens.eat(")") {
                    match tokens.next() {
                        Some(Token::Name(name)) => names.push(name),
                        Some(Token::Mark(",")) => {}
                        _ => return Err(tokens.wrong("a memory attribute")),
                    }
                }
                sets.push(self.attribute(line, names)?);
            } else if let Some((bit, when_set)) = self.bit(&key) {
                tokens.expect(":")?;
                let value = match tokens.next() {
                    Some(Token::Number(v)) if v < 2 => v == 1,
                    _ => return Err(LitmusError::bad(line, format!("{key}: expected 0 or 1"))),
                };
                sets.push((bit, if value == when_set { bit } else { 0 }));
            } else if matches!(tokens.peek(), Some(Token::Mark("," | ")"))) && self.architecture == Architecture::Armv8
            {
                sets.push(self.attribute(line, vec![key])?);
            } else {
                return Err(LitmusError::bad(line, format!("{key:?} is no field of an entry")));
            }
            if tokens.eat(")") {
                break;
            }
            tokens.expect(",")?;
        }
        let mut word = self.usual(0) | self.frame_bits(frame.unwrap_or(0));
        for (mask, value) in sets {
            word = word & !mask | value;
        }
        Ok(word)
    }

    /// Memory attributes: they distinguish entries, and have no effect on ordering here. Bits 4:2 and 9:8.
    fn attribute(&mut self, line: usize, mut names: Vec<String>) -> Result<(u64, u64)> {
        let known = |n: &str| {
            let parts = ["NSH", "ISH", "OSH", "iWB", "iWT", "iNC", "oWB", "oWT", "oNC", "Normal", "TaggedNormal"];
            parts.contains(&n)
                || n.starts_with("Device-")
                || ["shareable", "back", "through", "cacheable"].iter().any(|e| n.ends_with(e))
        };
        if let Some(name) = names.iter().find(|n| !known(n)) {
            return Err(LitmusError::bad(line, format!("{name:?} is no field and no memory attribute")));
        }
        // What the default is made of.
        names.retain(|n| !["Normal", "ISH", "iWB", "oWB", "Inner-shareable"].contains(&n.as_str()));
        names.sort();
        let set = names.join(",");
        let at = match self.attributes.iter().position(|a| *a == set) {
            Some(at) => at as u64,
            None if self.attributes.len() == 32 => {
                return Err(LitmusError::bad(line, "too many sets of memory attributes"));
            }
            None => {
                self.attributes.push(set);
                self.attributes.len() as u64 - 1
            }
        };
        Ok((7 << 2 | 3 << 8, (at & 7) << 2 | (at >> 3) << 8))
    }

    fn name_value(&mut self, line: usize, name: &str, tokens: &mut Tokens) -> Result<u64> {
        if tokens.is("(") && matches!(name, "PTE" | "TTD" | "PA") {
            tokens.expect("(")?;
            let inner = tokens.name()?;
            if tokens.is("(") {
                return Err(LitmusError::unsupported(line, "entries of tables"));
            }
            tokens.expect(")")?;
            return if name == "PA" { self.frame(line, &inner) } else { self.entry(line, &inner) };
        }
        if let Some(inner) = name.strip_prefix("pte_") {
            return self.entry(line, inner);
        }
        if let Some(inner) = name.strip_prefix("phy_") {
            return self.frame(line, inner);
        }
        let page = self.page(line, name)?;
        if tokens.eat("+") || tokens.eat("[") {
            let Some(Token::Number(offset)) = tokens.next() else { return Err(tokens.wrong("an offset")) };
            tokens.eat("]");
            return Ok(page.wrapping_add(offset));
        }
        Ok(page)
    }

    /// A value: a number, an address, a label, an entry.
    pub(super) fn value(&mut self, threads: &[Thread], tokens: &mut Tokens, own: Option<u64>) -> Result<u64> {
        let line = tokens.line();
        tokens.eat("&");
        if tokens.eat("(") {
            return self.descriptor(tokens, own);
        }
        if let (Some(Token::Name(word)), Some(Token::Mark(":")), Some(Token::Text(text))) =
            (tokens.peek(), tokens.peek_at(1), tokens.peek_at(2).cloned())
            && word == "label"
        {
            for _ in 0..3 {
                tokens.next();
            }
            let found = text.split_once(':').and_then(|(thread, label)| {
                let thread = threads.get(thread.strip_prefix('P').unwrap_or(thread).parse::<usize>().ok()?)?;
                thread.code.iter().find(|l| l.labels.iter().any(|n| n == label))
            });
            return found.map(|l| l.address).ok_or_else(|| LitmusError::bad(line, format!("no label {text:?}")));
        }
        let thread = match tokens.peek() {
            Some(Token::Number(n)) => Some(*n as usize),
            Some(Token::Name(n)) => n.strip_prefix('P').and_then(|n| n.parse::<usize>().ok()),
            _ => None,
        };
        if tokens.peek_at(1) == Some(&Token::Mark(":"))
            && let Some(thread) = thread
            && let Some(Token::Name(label)) = tokens.peek_at(2).cloned()
        {
            for _ in 0..3 {
                tokens.next();
            }
            let code = threads.get(thread).map_or(&[][..], |t| &t.code);
            let found = code.iter().find(|l| l.labels.contains(&label));
            return found
                .map(|l| l.address)
                .ok_or_else(|| LitmusError::bad(line, format!("no label {label:?} in thread {thread}")));
        }
        match tokens.next() {
            Some(Token::Number(value)) => Ok(value),
            Some(Token::Name(name)) if matches!(name.as_str(), "NOP" | "instr") => {
                Err(LitmusError::unsupported(line, "instructions as data"))
            }
            Some(Token::Name(name)) => {
                if tokens.is(":") {
                    return Err(LitmusError::unsupported(line, "memory tagging"));
                }
                self.name_value(line, &name, tokens)
            }
            Some(Token::Mark(":")) => Err(LitmusError::unsupported(line, "memory tagging")),
            Some(Token::Mark("{")) => Err(LitmusError::unsupported(line, "values of several elements")),
            _ => Err(LitmusError::bad(line, "expected a value")),
        }
    }

    /// `0:X1`, `x`, `[x]`, `PTE(x)`, `pte_x`.
    pub(super) fn left(&mut self, threads: &mut [Thread], tokens: &mut Tokens, make: bool) -> Result<Left> {
        let line = tokens.line();
        let bracket = tokens.eat("[");
        tokens.eat("*");
        let thread = match tokens.peek() {
            Some(Token::Number(n)) => Some(*n as usize),
            Some(Token::Name(n)) if tokens.peek_at(1) == Some(&Token::Mark(":")) => {
                n.strip_prefix('P').and_then(|n| n.parse().ok())
            }
            _ => None,
        };
        if let Some(thread) = thread {
            tokens.next();
            tokens.expect(":")?;
            let name = tokens.name()?;
            let Some(t) = threads.get_mut(thread) else {
                return Err(LitmusError::bad(line, format!("no thread {thread}")));
            };
            let name = self.register(&name);
            let reg = if make { Some(t.intern(&name)) } else { t.register(&name) };
            let reg = reg.ok_or_else(|| LitmusError::bad(line, format!("thread {thread} has no register {name}")))?;
            return Ok(Left::Register(thread, reg));
        }
        let name = tokens.name()?;
        let entry = name.starts_with("pte_") || name == "PTE" || name == "TTD";
        let physical = name == "PA" || name.starts_with("phy_");
        let mut value = self.name_value(line, &name, tokens)?;
        if bracket {
            tokens.expect("]")?;
        }
        if tokens.eat("[") {
            let Some(Token::Number(index)) = tokens.next() else { return Err(tokens.wrong("an index")) };
            tokens.expect("]")?;
            value += 4 * index;
        }
        Ok(match (entry, physical) {
            (true, _) => Left::Entry(value),
            (_, true) => Left::Cell(value),
            // The contents of a variable are those of the page it has at the start.
            _ => Left::Cell(value + PHYSICAL),
        })
    }

    /// The full name of a register.
    fn register(&self, name: &str) -> String {
        match self.architecture {
            Architecture::Armv8 => {
                let upper = name.to_ascii_uppercase();
                match upper.strip_prefix('W') {
                    Some(number) if number.parse::<u8>().is_ok() => format!("X{number}"),
                    _ => upper,
                }
            }
            Architecture::X86Tso => crate::litmus::x86::full_register(name),
            Architecture::Rvwmo => crate::litmus::riscv::full_register(name),
        }
    }

    /// Reads the whole initial state.
    pub(super) fn read(&mut self, threads: &mut [Thread], mut tokens: Tokens) -> Result<()> {
        while tokens.peek().is_some() {
            if tokens.eat(";") {
                continue;
            }
            let line = tokens.line();
            // A type, where two names or a name and a register follow each other.
            let mut declared = false;
            while let (Some(Token::Name(name)), Some(next)) = (tokens.peek(), tokens.peek_at(1)) {
                let typed = matches!(next, Token::Name(_) | Token::Number(_) | Token::Mark("*"))
                    || (*next == Token::Mark("[") && (name.ends_with("_t") || name == "int"));
                if !typed {
                    break;
                }
                tokens.next();
                while tokens.eat("*") {}
                declared = true;
            }
            let place = self.left(threads, &mut tokens, true)?;
            if !tokens.eat("=") {
                let done = matches!(tokens.peek(), None | Some(Token::Mark(";")));
                if !done {
                    return Err(tokens.wrong("\"=\" or \";\""));
                }
                if !declared {
                    self.assign(threads, &place, 0);
                }
                continue;
            }
            if let Left::Cell(cell) = place
                && tokens.eat("{")
            {
                // An array: its declared length was taken for an index by `left`.
                let mut values = Vec::new();
                while !tokens.eat("}") {
                    values.push(self.value(threads, &mut tokens, None)?);
                    tokens.eat(",");
                }
                let start = cell & !0xfff;
                self.cells.extend(values.into_iter().enumerate().map(|(i, v)| (start + 4 * i as u64, v)));
                continue;
            }
            let own = match place {
                Left::Entry(cell) => Some(Layout::frame_of_entry(cell)),
                _ => None,
            };
            let value = self.value(threads, &mut tokens, own)?;
            if !matches!(tokens.peek(), None | Some(Token::Mark(";"))) {
                return Err(tokens.wrong(&format!("\";\" after the assignment in line {line}")));
            }
            self.assign(threads, &place, value);
        }
        Ok(())
    }

    fn assign(&mut self, threads: &mut [Thread], place: &Left, value: u64) {
        match place {
            Left::Register(thread, reg) => threads[*thread].initial[usize::from(*reg)] = value,
            Left::Cell(cell) => self.cells.push((*cell, value)),
            Left::Entry(cell) => self.entries.push((*cell, value)),
        }
    }

    /// Memory, names, and the cells of entries.
    pub(super) fn finish(self, threads: &[Thread]) -> (Vec<(u64, u64)>, Names, Vec<u64>) {
        let mut names = Names::default();
        let mut cells = self.cells.clone();
        let mut managed = Vec::new();
        for (i, name) in self.variables.iter().enumerate() {
            let at = i as u64 + 1;
            let (cell, frame) = (TABLE + 8 * at, PHYSICAL + (at << 12));
            names.pages.insert(at, name.clone());
            names.physical.insert(frame, name.clone());
            names.entries.insert(cell, format!("PTE({name})"));
            let given = self.entries.iter().rev().find(|e| e.0 == cell);
            cells.push((cell, given.map_or_else(|| self.usual(frame), |e| e.1)));
            managed.push(cell);
        }
        for (i, thread) in threads.iter().enumerate() {
            for line in &thread.code {
                if let Some(label) = line.labels.first() {
                    names.code.insert(line.address, format!("P{i}:{label}"));
                }
            }
        }
        cells.sort_unstable_by_key(|c| c.0);
        (cells, names, managed)
    }
}
