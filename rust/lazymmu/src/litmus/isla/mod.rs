//! isla's `.litmus.toml` format, with page-table set-up.

mod expression;
mod setup;

use rustc_hash::FxHashMap;
use toml::{Table, Value};

use crate::visibility::{Architecture, Ets, Initial, Profile};

use super::aarch64;
use super::assembly::{Parsed, Source, lay_out, split_labels};
use super::condition::{Condition, Formula, Place, Quantifier};
use super::error::{LitmusError, Result};
use super::lexer::{Token, Tokens};
use super::program::{Inst, Litmus, Names, OnFault, Thread};
use expression::{Scope, evaluate};
use setup::{DEFAULT_TABLE, Setup, Tables};

const CODE: u64 = 0x40_0000;
const CODE_STEP: u64 = 0x1000;

/// The file as text, to say on which line something is.
struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn line_of(&self, what: &str) -> usize {
        self.text.find(what.trim()).map_or(1, |at| 1 + self.text[..at].matches('\n').count())
    }
}

/// Names while a thread's registers are read.
struct Registers<'a> {
    setup: &'a Setup,
    thread: &'a Thread,
}

impl Scope for Registers<'_> {
    fn name(&self, name: &str) -> Option<u64> {
        self.setup.name(name)
    }

    fn tables(&self) -> &Tables {
        &self.setup.tables
    }

    fn label(&self, name: &str) -> Option<u64> {
        self.thread.code.iter().find(|l| l.labels.iter().any(|n| n == name)).map(|l| l.address)
    }
}

fn strip_comment(line: &str) -> &str {
    let end = line.find("//").unwrap_or(line.len());
    line[..end].trim()
}

/// Reads a test. `more` are variants asked for.
///
/// # Errors
/// What in which line makes no sense, or is outside the subset.
pub fn read(text: &str, more: &[String]) -> Result<Litmus> {
    let file = File { text };
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |s| s.start).min(text.len());
        LitmusError::bad(1 + text[..at].matches('\n').count(), error.message().to_owned())
    })?;
    let word = |key: &str| table.get(key).and_then(Value::as_str);
    let (architecture, instruction): (_, super::herd::ReadInstruction) = match word("arch") {
        Some("AArch64") => (Architecture::Armv8, aarch64::parse),
        Some("x86" | "X86_64" | "x86_64") => (Architecture::X86Tso, super::x86::parse),
        Some("RISCV" | "RISC-V" | "riscv") => (Architecture::Rvwmo, super::riscv::parse),
        Some(other) => {
            return Err(LitmusError::unsupported(file.line_of("arch"), format!("the architecture {other:?}")));
        }
        None => return Err(LitmusError::bad(1, "no \"arch\"")),
    };
    let mut profile = match architecture {
        Architecture::Armv8 => Profile::armv8(),
        Architecture::X86Tso => Profile::x86_tso(),
        Architecture::Rvwmo => Profile::rvwmo(),
    };
    for name in more {
        match (name.to_ascii_lowercase().as_str(), architecture) {
            ("vmsa", _) => {}
            ("ets", Architecture::Armv8) => profile.ets = profile.ets.max(Ets::Ets),
            ("ets2", Architecture::Armv8) => profile.ets = profile.ets.max(Ets::Ets2),
            ("ets3", Architecture::Armv8) => profile.ets = Ets::Ets3,
            _ => return Err(LitmusError::bad(0, format!("unknown variant {name:?} for this file"))),
        }
    }
    let symbolic: Vec<String> = table
        .get("symbolic")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let mut setup = Setup::new(&symbolic);
    if let Some(text) = word("page_table_setup") {
        let line = file.line_of("page_table_setup") + 1;
        if let Some(long) = text.split(|c: char| !c.is_alphanumeric()).find(|w| w.starts_with("0x") && w.len() > 18) {
            return Err(LitmusError::unsupported(line, format!("the value {long}, wider than 64 bits")));
        }
        let clean: Vec<&str> = text.lines().map(strip_comment).collect();
        setup.read(&mut Tokens::new(&clean.join("\n"), line)?)?;
    }
    let mut threads = threads(&file, &table, instruction)?;
    for (i, thread) in threads.iter_mut().enumerate() {
        registers(&file, &table, i, thread, &setup)?;
    }
    let mut cells: Vec<(u64, u64)> = setup.tables.entries.iter().map(|(c, w)| (*c, *w)).collect();
    cells.extend(setup.memory.iter().copied());
    for section in ["locations", "memory"] {
        if let Some(locations) = table.get(section).and_then(Value::as_table) {
            for (name, value) in locations {
                let at = setup.name(name).map(|va| setup.physical_of(va));
                let (Some(at), Some(value)) = (at, number(value, &setup)) else {
                    return Err(LitmusError::bad(
                        file.line_of(name),
                        format!("{name}: expected a known name and a number"),
                    ));
                };
                cells.push((at, value));
            }
        }
    }
    let condition = condition(&file, &table, &setup, &threads)?;
    let names = names(&setup, &threads);
    let mut direct = setup.tables.ranges();
    direct.extend(setup.unmapped().map(|(_, at)| (at, at + 0x1000)));
    cells.sort_by_key(|c| c.0);
    cells.dedup_by_key(|c| c.0);
    Ok(Litmus {
        name: word("name").unwrap_or("").to_owned(),
        profile,
        threads,
        initial: Initial::new(cells),
        direct,
        root_level: 0,
        on_fault: OnFault::Fatal,
        condition,
        names,
        variants: more.iter().map(|v| v.to_ascii_lowercase()).collect(),
        managed: Vec::new(),
    })
}

fn number(value: &Value, scope: &dyn Scope) -> Option<u64> {
    match value {
        Value::Integer(n) => Some(*n as u64),
        Value::String(text) => evaluate(&mut Tokens::new(text, 1).ok()?, scope).ok(),
        _ => None,
    }
}

fn threads(file: &File<'_>, table: &Table, instruction: super::herd::ReadInstruction) -> Result<Vec<Thread>> {
    let Some(list) = table.get("thread").and_then(Value::as_table) else {
        return Err(LitmusError::bad(1, "no threads"));
    };
    let mut threads = Vec::new();
    for i in 0..list.len() {
        let Some(body) = list.get(&i.to_string()).and_then(Value::as_table) else {
            return Err(LitmusError::bad(file.line_of("[thread"), format!("no [thread.{i}]")));
        };
        let code = body.get("code").and_then(Value::as_str);
        let Some(code) = code else {
            return Err(LitmusError::bad(file.line_of(&format!("[thread.{i}]")), "a thread without code"));
        };
        if body.contains_key("breakpoints") {
            return Err(LitmusError::unsupported(file.line_of("breakpoints"), "breakpoints"));
        }
        let mut thread = Thread { levels: true, ..Thread::default() };
        let mut sources = Vec::new();
        read_code(file, &mut thread, code, None, false, instruction, &mut sources)?;
        if let Some(sections) = table.get("section").and_then(Value::as_table) {
            for (name, section) in sections {
                let owner = name.strip_prefix("thread").and_then(|n| n.split('_').next()?.parse::<usize>().ok());
                // A section of no thread belongs to those that name it.
                let mentions = || code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
                if owner.map_or_else(|| !mentions(), |owner| owner != i) {
                    continue;
                }
                let address = section.get("address").and_then(|v| match v {
                    Value::Integer(n) => Some(*n as u64),
                    Value::String(text) => super::lexer::parse_number(text),
                    _ => None,
                });
                let (Some(address), Some(code)) = (address, section.get("code").and_then(Value::as_str)) else {
                    return Err(LitmusError::bad(file.line_of(name), "a section without address or code"));
                };
                let code = format!("{name}:\n{code}");
                read_code(file, &mut thread, &code, Some(address), owner.is_some(), instruction, &mut sources)?;
            }
        }
        lay_out(&mut thread, sources, CODE + CODE_STEP * i as u64)?;
        for name in ["ELR", "ESR", "FAR", "SPSR"] {
            for level in ["EL1", "EL2"] {
                thread.intern(&format!("{name}_{level}"));
            }
        }
        threads.push(thread);
    }
    Ok(threads)
}

/// Numeric labels are local: `1f` is the next `1:`.
fn local_labels(code: &str) -> String {
    let mut counts: FxHashMap<char, usize> = FxHashMap::default();
    let mut out = String::new();
    for line in code.lines() {
        let line = strip_comment(line);
        let mut rest = line;
        if let Some((label, after)) = line.split_once(':')
            && let Some(digit) = label.chars().next().filter(char::is_ascii_digit)
            && label.len() == 1
        {
            let count = counts.entry(digit).or_default();
            *count += 1;
            out.push_str(&format!("local_{digit}_{count}:"));
            rest = after;
        }
        let at = rest.rfind([' ', ',']).map_or(0, |at| at + 1);
        let (head, last) = rest.split_at(at);
        match last.as_bytes() {
            [digit, direction @ (b'f' | b'b')] if digit.is_ascii_digit() => {
                let digit = char::from(*digit);
                let count = counts.get(&digit).copied().unwrap_or(0) + usize::from(*direction == b'f');
                out.push_str(&format!("{head}local_{digit}_{count}\n"));
            }
            _ => out.push_str(&format!("{rest}\n")),
        }
    }
    out
}

fn read_code(
    file: &File<'_>,
    thread: &mut Thread,
    code: &str,
    mut address: Option<u64>,
    handler: bool,
    instruction: super::herd::ReadInstruction,
    sources: &mut Vec<Source>,
) -> Result<()> {
    let code = local_labels(code);
    let mut labels = Vec::new();
    let mut line = 1;
    for statement in code.split(['\n', ';']) {
        let (found, rest) = split_labels(statement);
        labels.extend(found);
        if rest.is_empty() {
            continue;
        }
        line = file.line_of(rest);
        let parsed = instruction(thread, line, rest)?;
        sources.push(Source {
            line,
            labels: std::mem::take(&mut labels),
            text: rest.to_owned(),
            parsed,
            address: address.take(),
            handler,
        });
    }
    let parsed = Parsed::done(Inst::Stop);
    sources.push(Source { line, labels, text: String::new(), parsed, address: address.take(), handler });
    Ok(())
}

fn registers(file: &File<'_>, table: &Table, i: usize, thread: &mut Thread, setup: &Setup) -> Result<()> {
    let body = table.get("thread").and_then(|t| t.get(i.to_string()));
    let root = setup.tables.root(DEFAULT_TABLE).unwrap_or(0);
    thread.roots = [(root, 0); 2];
    for section in ["init", "reset"] {
        let Some(values) = body.and_then(|b| b.get(section)).and_then(Value::as_table) else { continue };
        for (name, value) in values {
            let text = match value {
                Value::Integer(n) => n.to_string(),
                Value::String(text) => text.clone(),
                _ => continue,
            };
            let line = file.line_of(&text);
            let name = name.to_ascii_uppercase();
            if name.starts_with("VTTBR") {
                return Err(LitmusError::unsupported(line, "stage 2 translation"));
            }
            if name.starts_with("__") || matches!(name.as_str(), "SCTLR_EL1" | "TCR_EL1") {
                continue;
            }
            let value = {
                let mut tokens = Tokens::new(&text, line)?;
                let value = evaluate(&mut tokens, &Registers { setup, thread })?;
                if tokens.peek().is_some() {
                    return Err(tokens.wrong("the end of the value"));
                }
                value
            };
            match name.as_str() {
                "PSTATE.EL" | "CURRENTEL" if value <= 2 => thread.level = value as u8,
                "PSTATE.SP" => thread.own_stack = value & 1 == 1,
                "TTBR0_EL1" | "TTBR0_EL2" => {
                    let at = usize::from(name.ends_with('2'));
                    thread.roots[at] = (value & 0x0000_ffff_ffff_f000, (value >> 48) as u16);
                }
                "VBAR_EL1" => thread.vectors.base[1] = Some(value),
                "VBAR_EL2" => thread.vectors.base[2] = Some(value),
                _ => {
                    let full = match name.strip_prefix(['R', 'W']) {
                        Some(number) if number.parse::<u8>().is_ok() => format!("X{number}"),
                        _ => name,
                    };
                    let reg = thread.intern(&full);
                    thread.initial[usize::from(reg)] = value;
                }
            }
        }
    }
    Ok(())
}

struct Final<'a> {
    setup: &'a Setup,
    threads: &'a [Thread],
    tokens: Tokens,
    places: Vec<(Place, String)>,
}

fn condition(file: &File<'_>, table: &Table, setup: &Setup, threads: &[Thread]) -> Result<Condition> {
    let last = table.get("final").and_then(Value::as_table);
    let Some(text) = last.and_then(|f| f.get("assertion")).and_then(Value::as_str) else {
        return Err(LitmusError::bad(file.line_of("[final]"), "no final assertion"));
    };
    let kind = last.and_then(|f| f.get("kind")).and_then(Value::as_str).unwrap_or("exists");
    let quantifier = match kind {
        "exists" => Quantifier::Exists,
        "forall" => Quantifier::Forall,
        "~exists" | "not exists" => Quantifier::NotExists,
        other => return Err(LitmusError::bad(file.line_of("kind"), format!("{other:?} is no quantifier"))),
    };
    let tokens = Tokens::new(text, file.line_of("assertion"))?;
    let mut reader = Final { setup, threads, tokens, places: Vec::new() };
    let body = reader.disjunction()?;
    if reader.tokens.peek().is_some() {
        return Err(reader.tokens.wrong("the end of the assertion"));
    }
    Ok(Condition { quantifier, body, filter: None, places: reader.places })
}

impl Final<'_> {
    fn disjunction(&mut self) -> Result<Formula> {
        let mut any = vec![self.conjunction()?];
        while self.tokens.eat("|") || self.tokens.eat("||") {
            any.push(self.conjunction()?);
        }
        if self.tokens.eat("=>") {
            let right = self.disjunction()?;
            return Ok(Formula::Implies(Box::new(Formula::Or(any)), Box::new(right)));
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Formula::Or(any) })
    }

    fn conjunction(&mut self) -> Result<Formula> {
        let mut all = vec![self.atom()?];
        while self.tokens.eat("&") || self.tokens.eat("&&") {
            all.push(self.atom()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Formula::And(all) })
    }

    fn atom(&mut self) -> Result<Formula> {
        if self.tokens.eat("~") {
            return Ok(Formula::Not(Box::new(self.atom()?)));
        }
        if self.tokens.eat("(") {
            let inner = self.disjunction()?;
            self.tokens.expect(")")?;
            return Ok(inner);
        }
        if self.tokens.eat_word("true") {
            return Ok(Formula::True);
        }
        if self.tokens.eat_word("false") {
            return Ok(Formula::False);
        }
        let line = self.tokens.line();
        let (place, name) = if self.tokens.eat("*") {
            let start = self.tokens.clone();
            let address = evaluate(&mut self.tokens, self.setup)?;
            let virtual_page = self.setup.virtuals.values().any(|v| *v == address & !0xfff);
            let cell = if virtual_page { self.setup.physical_of(address) } else { address };
            let name = match start.peek() {
                Some(Token::Name(name)) => format!("*{name}"),
                _ => format!("*{address:#x}"),
            };
            (Place::Memory(cell), name)
        } else {
            let Some(Token::Number(thread)) = self.tokens.next() else {
                return Err(LitmusError::bad(line, "expected thread:register or *address"));
            };
            self.tokens.expect(":")?;
            let name = self.tokens.name()?;
            let full = match name.to_ascii_uppercase().strip_prefix(['R', 'W', 'X']) {
                Some(number) if number.parse::<u8>().is_ok() => format!("X{number}"),
                _ => name.clone(),
            };
            let full = if self.threads.first().is_some_and(|t| t.levels) && full == name {
                super::x86::full_register(&full)
            } else {
                full
            };
            if full.eq_ignore_ascii_case("PC") {
                return Err(LitmusError::unsupported(line, "conditions on the program counter"));
            }
            let Some(thread_ref) = self.threads.get(thread as usize) else {
                return Err(LitmusError::bad(line, format!("no thread {thread}")));
            };
            let Some(reg) = thread_ref.register(&full) else {
                return Err(LitmusError::bad(line, format!("thread {thread} has no register {name}")));
            };
            (Place::Register { thread: thread as u8, reg }, format!("{thread}:{full}"))
        };
        let differs = self.tokens.eat("!=");
        if !differs && !self.tokens.eat("==") {
            self.tokens.expect("=")?;
        }
        let value = evaluate(&mut self.tokens, self.setup)?;
        let at = self.places.iter().position(|p| p.0 == place).unwrap_or_else(|| {
            self.places.push((place, name));
            self.places.len() - 1
        });
        let equal = Formula::Equal { place: at, value, mask: u64::MAX };
        Ok(if differs { Formula::Not(Box::new(equal)) } else { equal })
    }
}

fn names(setup: &Setup, threads: &[Thread]) -> Names {
    let mut names = Names::default();
    for (name, at) in &setup.virtuals {
        names.pages.insert(at >> 12, name.clone());
    }
    for (name, at) in &setup.physicals {
        names.physical.insert(*at, name.clone());
    }
    for (name, at) in setup.unmapped() {
        names.physical.insert(at, name.clone());
    }
    names.entries.clone_from(&setup.tables.names);
    for (i, thread) in threads.iter().enumerate() {
        for line in &thread.code {
            if let Some(label) = line.labels.first() {
                names.code.insert(line.address, format!("P{i}:{label}"));
            }
        }
    }
    names
}
