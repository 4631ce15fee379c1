//! herd's `.litmus` format.
//!
//! The parts: a first line with architecture and name; lines of information up to the initial state in braces; a table
//! of programs, one column a thread; the final condition.

mod final_state;
mod initial;

use crate::visibility::{Architecture, Ets, Initial, Profile};

use super::aarch64;
use super::assembly::{Parsed, Source, lay_out, split_labels};
use super::error::{LitmusError, Result};
use super::lexer::Tokens;
use super::program::{Inst, Litmus, OnFault, Thread};
use initial::{Layout, TABLE};

/// Where the code of thread 0 starts; each further thread is this much later.
const CODE: u64 = 0x2000_0000;
const CODE_STEP: u64 = 0x1_0000;

pub(in crate::litmus) type ReadInstruction = fn(&mut Thread, usize, &str) -> Result<Parsed>;

/// What variants and information lines ask for.
struct Settings {
    profile: Profile,
    on_fault: OnFault,
    variants: Vec<String>,
    /// `TTHM`: per thread, access flag and dirty state by hardware.
    hardware: Vec<(Option<usize>, bool, bool)>,
    /// `EL0`.
    user: Vec<usize>,
}

/// Blanks comments, keeping lines.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0usize;
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('(', Some('*')) if !quoted => {
                chars.next();
                depth += 1;
                out.push_str("  ");
            }
            ('*', Some(')')) if depth > 0 => {
                chars.next();
                depth -= 1;
                out.push_str("  ");
            }
            ('\n', _) => {
                quoted = false;
                out.push('\n');
            }
            _ if depth > 0 => out.push(' '),
            ('"', _) => {
                quoted = !quoted;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

impl Settings {
    fn new(architecture: Architecture) -> Settings {
        let profile = match architecture {
            Architecture::Armv8 => Profile::armv8(),
            Architecture::X86Tso => Profile::x86_tso(),
            Architecture::Rvwmo => Profile::rvwmo(),
        };
        Settings { profile, on_fault: OnFault::Fatal, variants: Vec::new(), hardware: Vec::new(), user: Vec::new() }
    }

    fn variant(&mut self, line: usize, name: &str) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        let arm = self.profile.architecture == Architecture::Armv8;
        let riscv = self.profile.architecture == Architecture::Rvwmo;
        match lower.as_str() {
            "vmsa" | "kvm" => {}
            "ets" if arm => self.profile.ets = self.profile.ets.max(Ets::Ets),
            "ets2" if arm => self.profile.ets = self.profile.ets.max(Ets::Ets2),
            "ets3" if arm => self.profile.ets = Ets::Ets3,
            "exs" if arm => self.profile.exs = true,
            "eis" if arm => self.profile.eis = true,
            "eos" if arm => self.profile.eos = true,
            "svvptc" if riscv => self.profile.svvptc = true,
            "svinval" if riscv => self.profile.svinval = true,
            "fatal" | "precise" => self.on_fault = OnFault::Fatal,
            "handled" | "imprecise" => self.on_fault = OnFault::Handled,
            "skip" | "faulttonext" => self.on_fault = OnFault::Skip,
            "ifetch" | "self" => return Err(LitmusError::unsupported(line, "variant ifetch: self-modifying code")),
            "memtag" | "mte" | "tagmem" => {
                return Err(LitmusError::unsupported(line, "variant memtag: memory tagging"));
            }
            "pte2" | "pte-squared" => {
                return Err(LitmusError::unsupported(line, "variant pte2: tables that are translated themselves"));
            }
            "mixed" | "sve" | "sme" | "neon" | "morello" | "pauth1" | "pauth2" | "fpac" | "shadowstack" | "d128" => {
                return Err(LitmusError::unsupported(line, format!("variant {lower}")));
            }
            _ => return Err(LitmusError::bad(line, format!("unknown variant {name:?}"))),
        }
        self.variants.push(lower);
        Ok(())
    }

    fn list(value: &str) -> impl Iterator<Item = &str> {
        value.split([',', ' ', '\t', '\r']).map(str::trim).filter(|w| !w.is_empty())
    }

    fn thread(line: usize, word: &str) -> Result<usize> {
        let number = word.strip_prefix(['P', 'p']).unwrap_or(word);
        number.parse().map_err(|_| LitmusError::bad(line, format!("{word:?} is no thread")))
    }

    /// One `Key=value` line.
    fn information(&mut self, line: usize, key: &str, value: &str) -> Result<()> {
        match key.trim().to_ascii_lowercase().as_str() {
            "variant" => {
                for name in Settings::list(value) {
                    self.variant(line, name)?;
                }
            }
            "tthm" => {
                for word in Settings::list(value) {
                    let (thread, what) = match word.split_once(':') {
                        Some((thread, what)) => (Some(Settings::thread(line, thread)?), what),
                        None => (None, word),
                    };
                    match what {
                        "HA" => self.hardware.push((thread, true, false)),
                        // HD without HA makes no sense, so it means both.
                        "HD" => self.hardware.push((thread, true, true)),
                        "SW" => {}
                        _ => return Err(LitmusError::bad(line, format!("TTHM={what}: expected HA, HD or SW"))),
                    }
                }
            }
            "el0" => {
                for word in Settings::list(value) {
                    self.user.push(Settings::thread(line, word)?);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where the initial state ends: the brace that closes the one at `open`.
fn closing(text: &str, open: usize) -> Result<usize> {
    let mut depth = 0;
    for (i, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(open + i);
                }
            }
            _ => {}
        }
    }
    Err(LitmusError::bad(line_of(text, open), "an initial state without an end"))
}

/// Where the final clause starts.
fn final_start(text: &str, from: usize) -> Result<usize> {
    let words = ["locations", "filter", "exists", "~exists", "~ exists", "forall"];
    let mut best = None;
    for word in words {
        for (i, _) in text[from..].match_indices(word) {
            let at = from + i;
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            let outside = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
            if outside(before) && outside(after) {
                best = Some(best.map_or(at, |b: usize| b.min(at)));
                break;
            }
        }
    }
    best.ok_or_else(|| LitmusError::bad(line_of(text, text.len()), "no final condition"))
}

/// Reads a test. `more` are variants asked for beside the file's own.
///
/// # Errors
/// What in which line makes no sense, or is outside the subset.
pub fn read(text: &str, more: &[String]) -> Result<Litmus> {
    let clean = without_comments(text);
    let Some(open) = clean.find('{') else { return Err(LitmusError::bad(1, "no initial state")) };
    let head = &clean[..open];
    let mut lines = head.lines().enumerate();
    let (first, title) = loop {
        match lines.next() {
            Some((_, line)) if line.trim().is_empty() => {}
            Some((i, line)) => break (i + 1, line.trim()),
            None => return Err(LitmusError::bad(1, "expected an architecture and a name")),
        }
    };
    let (arch, name) = title.split_once(char::is_whitespace).unwrap_or((title, ""));
    let (architecture, reader): (Architecture, ReadInstruction) = match arch {
        "AArch64" => (Architecture::Armv8, aarch64::parse),
        "X86_64" => (Architecture::X86Tso, super::x86::parse),
        "RISCV" => (Architecture::Rvwmo, super::riscv::parse),
        _ => return Err(LitmusError::unsupported(first, format!("the architecture {arch:?}"))),
    };
    let mut settings = Settings::new(architecture);
    for (i, line) in lines {
        if line.trim_start().starts_with('"') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            settings.information(i + 1, key, value)?;
        }
    }
    for name in more {
        settings.variant(0, name)?;
    }
    let close = closing(&clean, open)?;
    let last = final_start(&clean, close)?;
    let mut threads = program(&clean[close + 1..last], line_of(&clean, close), reader)?;
    for (thread, access, dirty) in &settings.hardware {
        for (i, t) in threads.iter_mut().enumerate() {
            if thread.is_none_or(|n| n == i) {
                t.hardware_access |= access;
                t.hardware_dirty |= dirty;
            }
        }
    }
    if architecture == Architecture::X86Tso {
        for t in &mut threads {
            (t.hardware_access, t.hardware_dirty) = (true, true);
        }
    }
    for &i in &settings.user {
        if let Some(t) = threads.get_mut(i) {
            t.user = true;
        }
    }
    if architecture == Architecture::Rvwmo && !settings.profile.svinval {
        let split = |l: &&crate::litmus::program::Line| matches!(l.inst, Inst::Invalidate(what) if !what.immediate);
        if let Some(line) = threads.iter().flat_map(|t| &t.code).find(split) {
            return Err(LitmusError::bad(first, format!("{:?} needs the variant svinval", line.text)));
        }
    }
    let mut layout = Layout::new(architecture);
    layout.read(&mut threads, Tokens::new(&clean[open + 1..close], line_of(&clean, open))?)?;
    let condition = final_state::read(&mut layout, &mut threads, Tokens::new(&clean[last..], line_of(&clean, last))?)?;
    let (cells, names, managed) = layout.finish(&threads);
    for thread in &mut threads {
        thread.roots = [(TABLE, 0); 2];
    }
    Ok(Litmus {
        name: name.trim().to_owned(),
        profile: settings.profile,
        threads,
        initial: Initial::new(cells),
        direct: vec![(TABLE, TABLE + 0x1000)],
        root_level: 3,
        on_fault: settings.on_fault,
        condition,
        names,
        variants: settings.variants,
        managed,
    })
}

/// The table of programs.
fn program(text: &str, first_line: usize, reader: ReadInstruction) -> Result<Vec<Thread>> {
    let mut rows: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut line = first_line;
    for row in text.split(';') {
        let blank = row.len() - row.trim_start().len();
        let at = line + row[..blank].matches('\n').count();
        line += row.matches('\n').count();
        if !row.trim().is_empty() {
            rows.push((at, row.split('|').collect()));
        }
    }
    let Some((at, heads)) = rows.first().cloned() else {
        return Err(LitmusError::bad(first_line, "no program"));
    };
    let mut columns = Vec::new();
    for head in &heads {
        let head = head.trim();
        let (name, handler) = match head.strip_suffix(".F") {
            Some(name) => (name, true),
            None => (head, false),
        };
        let number = name.strip_prefix('P').and_then(|n| n.split(':').next()?.trim().parse::<usize>().ok());
        match number {
            Some(n) if n < 16 => columns.push((n, handler)),
            _ => return Err(LitmusError::bad(at, format!("{head:?} is no thread"))),
        }
    }
    let count = columns.iter().map(|c| c.0 + 1).max().unwrap_or(0);
    let mut threads: Vec<Thread> = (0..count).map(|_| Thread::default()).collect();
    for (i, thread) in threads.iter_mut().enumerate() {
        if !columns.contains(&(i, false)) {
            return Err(LitmusError::bad(at, format!("no program for thread P{i}")));
        }
        let mut sources = Vec::new();
        for handler in [false, true] {
            let Some(column) = columns.iter().position(|c| *c == (i, handler)) else { continue };
            let begin = sources.len();
            let mut labels = Vec::new();
            let mut last = first_line;
            for (line, cells) in &rows[1..] {
                let Some(cell) = cells.get(column) else { continue };
                last = *line;
                let (found, rest) = split_labels(cell);
                labels.extend(found);
                if rest.is_empty() {
                    continue;
                }
                let parsed = reader(thread, *line, rest)?;
                let labels = std::mem::take(&mut labels);
                let text = rest.trim().to_owned();
                sources.push(Source { line: *line, labels, text, parsed, address: None, handler });
            }
            let parsed = Parsed::done(Inst::Stop);
            sources.push(Source { line: last, labels, text: String::new(), parsed, address: None, handler });
            if handler {
                thread.vectors.handler = Some(begin as u16);
                for name in ["ELR_EL1", "ESR_EL1", "FAR_EL1"] {
                    thread.intern(name);
                }
            }
        }
        lay_out(thread, sources, CODE + CODE_STEP * i as u64)?;
    }
    Ok(threads)
}
