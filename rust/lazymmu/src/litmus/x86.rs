//! The x86-64 instructions of litmus tests: Intel operand order as herd has it, or AT&T's with `%` and `$`.

use crate::visibility::{Fence, Strength};

use super::assembly::{Label, Parsed, operands};
use super::error::{LitmusError, Result};
use super::lexer::parse_number;
use super::program::{Address, Extend, Inst, Invalidate, Op, Operand, Reg, Test, Thread, Width};

const NAMES: [[&str; 4]; 8] = [
    ["rax", "eax", "ax", "al"],
    ["rbx", "ebx", "bx", "bl"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsp", "esp", "sp", "spl"],
];

/// A fence that everything waits for, and that waits for everything.
pub(super) const FULL: Fence = Fence {
    reads: true,
    writes: true,
    before_reads: true,
    before_writes: true,
    stores: false,
    synchronises: true,
    completes: true,
};

/// Condition suffixes, by Arm's numbers for the same flags.
const CONDITIONS: [(&str, u8); 14] = [
    ("e", 0),
    ("z", 0),
    ("ne", 1),
    ("nz", 1),
    ("ae", 2),
    ("b", 3),
    ("s", 4),
    ("ns", 5),
    ("a", 8),
    ("be", 9),
    ("ge", 10),
    ("l", 11),
    ("g", 12),
    ("le", 13),
];

fn split_name(name: &str) -> Option<(String, Width)> {
    let name = name.trim_start_matches('%').to_ascii_lowercase();
    let widths = [Width::Double, Width::Word, Width::Half, Width::Byte];
    for row in NAMES {
        if let Some(at) = row.iter().position(|n| *n == name) {
            return Some((row[0].to_uppercase(), widths[at]));
        }
    }
    let digits = name.strip_prefix('r')?;
    let (digits, width) = match digits.as_bytes().last()? {
        b'd' => (&digits[..digits.len() - 1], Width::Word),
        b'w' => (&digits[..digits.len() - 1], Width::Half),
        b'b' => (&digits[..digits.len() - 1], Width::Byte),
        _ => (digits, Width::Double),
    };
    let number: u8 = digits.parse().ok()?;
    (8..16).contains(&number).then(|| (format!("R{number}"), width))
}

/// The 64-bit register a name is part of, as threads call it.
pub(super) fn full_register(name: &str) -> String {
    split_name(name).map_or_else(|| name.to_ascii_uppercase(), |(name, _)| name)
}

enum Arg {
    Reg(Reg, Width),
    Imm(u64),
    Mem(Address),
    Control,
}

struct Reader<'a> {
    thread: &'a mut Thread,
    line: usize,
    text: &'a str,
}

impl Reader<'_> {
    fn bad<T>(&self, why: &str) -> Result<T> {
        Err(LitmusError::bad(self.line, format!("{:?}: {why}", self.text)))
    }

    fn outside<T>(&self, why: &str) -> Result<T> {
        Err(LitmusError::unsupported(self.line, format!("{:?}: {why}", self.text)))
    }

    fn register(&mut self, name: &str) -> Option<(Reg, Width)> {
        split_name(name).map(|(name, width)| (self.thread.intern(&name), width))
    }

    fn argument(&mut self, text: &str) -> Result<Arg> {
        let text = text.trim();
        if let Some((reg, width)) = self.register(text) {
            return Ok(Arg::Reg(reg, width));
        }
        if text.trim_start_matches('%').eq_ignore_ascii_case("cr3") {
            return Ok(Arg::Control);
        }
        if let Some(number) = parse_number(text.trim_start_matches('$')) {
            return Ok(Arg::Imm(number));
        }
        // [REG], [REG+8], 8(REG), (REG), (REG,REG)
        let (before, inner) = match (text.find(['[', '(']), text.chars().last()) {
            (Some(open), Some(']' | ')')) => (&text[..open], &text[open + 1..text.len() - 1]),
            _ => return self.bad(&format!("{text:?} is no operand")),
        };
        let mut offset = if before.is_empty() { Some(0) } else { parse_number(before) };
        let mut parts = inner.split([',', '+']).map(str::trim);
        let Some((base, _)) = parts.next().and_then(|name| self.register(name)) else {
            return self.bad("an address without a base register");
        };
        let mut index = None;
        for part in parts {
            if let Some(number) = parse_number(part) {
                offset = offset.map(|o: u64| o.wrapping_add(number));
            } else if let Some((reg, _)) = self.register(part) {
                index = Some((reg, Extend::Shift(0)));
            } else {
                offset = None;
            }
        }
        match offset {
            Some(offset) => Ok(Arg::Mem(Address { base: Operand::Reg(base), index, offset: offset as i64 })),
            None => self.bad("an address that makes no sense"),
        }
    }
}

fn operand(arg: &Arg) -> Option<Operand> {
    match arg {
        Arg::Reg(reg, _) => Some(Operand::Reg(*reg)),
        Arg::Imm(value) => Some(Operand::Imm(*value)),
        Arg::Mem(_) | Arg::Control => None,
    }
}

fn invalidate(address: Option<Operand>) -> Invalidate {
    Invalidate {
        packed: None,
        address,
        asid: None,
        by_asid: false,
        by_page: false,
        last_level: false,
        // INVLPG takes global entries too; a write of CR3 leaves them.
        global: address.is_some(),
        broadcast: false,
        remote: None,
        immediate: true,
        all_tables: true,
    }
}

/// Reads one instruction. Loads are acquires and stores are releases that later loads do not wait for: that is TSO.
pub(super) fn parse(thread: &mut Thread, line: usize, text: &str) -> Result<Parsed> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let (locked, body) = match lower.strip_prefix("lock") {
        Some(rest) if rest.starts_with([' ', '\t', ';']) => (true, rest.trim_start_matches([' ', '\t', ';'])),
        _ => (false, lower.as_str()),
    };
    let (name, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
    let att = rest.contains(['%', '$']);
    let mut reader = Reader { thread, line, text };
    let mut list = operands(rest);
    if name != "ipi"
        && let Some(parsed) = reader.control_flow(name, &list)?
    {
        return Ok(parsed);
    }
    if att {
        list.reverse();
    }
    if name == "ipi" {
        // A function call on another CPU that invalidates there, and waits for it.
        let Some(cpu) = list.first().and_then(|p| p.strip_prefix('p')?.parse::<u8>().ok()) else {
            return reader.bad("expected IPI Pn, INVLPG [REG] or IPI Pn, FLUSH");
        };
        let what = list.get(1).map_or("", String::as_str);
        let address = match what.strip_prefix("invlpg") {
            Some(place) => match reader.argument(place)? {
                Arg::Mem(Address { base, index: None, offset: 0 }) => Some(base),
                _ => return reader.bad("expected INVLPG [REG]"),
            },
            None if what == "flush" => None,
            None => return reader.bad("expected INVLPG [REG] or FLUSH"),
        };
        let remote = Invalidate { remote: Some(cpu), global: true, ..invalidate(address) };
        return Ok(Parsed::done(Inst::Invalidate(remote)));
    }
    let mut args = Vec::new();
    for text in &list {
        args.push(reader.argument(text)?);
    }
    reader.operation(name, att, locked, &args).map(Parsed::done)
}

impl Reader<'_> {
    fn control_flow(&mut self, name: &str, list: &[Label]) -> Result<Option<Parsed>> {
        let label = || match list.first() {
            Some(_) => self.text.split_whitespace().last().map(str::to_owned),
            None => None,
        };
        if name == "jmp" {
            return match label() {
                Some(label) => Ok(Some(Parsed::branch(Test::Always, label))),
                None => self.bad("expected a label"),
            };
        }
        if let Some(suffix) = name.strip_prefix('j')
            && let Some((_, number)) = CONDITIONS.iter().find(|(c, _)| *c == suffix)
        {
            return match label() {
                Some(label) => Ok(Some(Parsed::branch(Test::Flags(*number), label))),
                None => self.bad("expected a label"),
            };
        }
        let inst = match name {
            "nop" | "pause" | "lfence" | "sfence" => Inst::Nop,
            "mfence" | "serialize" | "cpuid" => Inst::Fence(FULL),
            "iret" | "iretq" => Inst::Return { exception: true },
            _ => return Ok(None),
        };
        Ok(Some(Parsed::done(inst)))
    }

    fn operation(&mut self, name: &str, att: bool, locked: bool, args: &[Arg]) -> Result<Inst> {
        // AT&T's size suffix.
        let known = ["mov", "xchg", "add", "sub", "and", "or", "xor", "inc", "dec", "cmp", "xadd", "cmpxchg", "test"];
        let (name, suffix) = match name.split_at(name.len().saturating_sub(1)) {
            (head, s @ ("b" | "w" | "l" | "q")) if (att || args.len() < 3) && known.contains(&head) => (head, Some(s)),
            _ => (name, None),
        };
        let width = match suffix {
            Some("b") => Width::Byte,
            Some("w") => Width::Half,
            Some("l") => Width::Word,
            Some(_) => Width::Double,
            None => args
                .iter()
                .find_map(|a| if let Arg::Reg(_, width) = a { Some(*width) } else { None })
                .unwrap_or(Width::Word),
        };
        let plain = |op, to, a, b, flags| Inst::Compute { op, to, a, b, extend: Extend::Shift(0), width, flags };
        let atomic =
            |op, to, operand, address| Inst::Atomic { op, to, operand, address, width, acquire: true, release: true };
        let binary = match name {
            "add" => Some(Op::Add),
            "sub" => Some(Op::Sub),
            "and" => Some(Op::And),
            "or" => Some(Op::Or),
            "xor" => Some(Op::Xor),
            _ => None,
        };
        Ok(match (name, args) {
            ("mov", [Arg::Control, from]) => match operand(from) {
                Some(_) => Inst::Invalidate(invalidate(None)),
                None => return self.bad("expected a register"),
            },
            ("mov", [Arg::Reg(to, _), Arg::Control]) => {
                plain(Op::Or, Some(*to), Operand::Imm(0), Operand::Imm(0), false)
            }
            ("mov", [Arg::Reg(to, _), Arg::Mem(address)]) => Inst::Load {
                to: Some(*to),
                address: *address,
                width,
                signed: false,
                strength: Strength::Processor,
                exclusive: false,
            },
            ("mov", [Arg::Mem(address), from]) => match operand(from) {
                Some(from) => Inst::Store { from, address: *address, width, strength: Strength::Strong },
                None => return self.bad("two memory operands"),
            },
            ("mov", [Arg::Reg(to, _), from]) => match operand(from) {
                Some(from) => plain(Op::Or, Some(*to), Operand::Imm(0), from, false),
                None => return self.bad("expected a register or a number"),
            },
            ("xchg", [Arg::Mem(address), Arg::Reg(reg, _)] | [Arg::Reg(reg, _), Arg::Mem(address)]) => {
                atomic(Op::Swap, Some(*reg), Operand::Reg(*reg), *address)
            }
            ("xadd", [Arg::Mem(address), Arg::Reg(reg, _)]) if locked => {
                atomic(Op::Add, Some(*reg), Operand::Reg(*reg), *address)
            }
            ("cmpxchg", [Arg::Mem(address), Arg::Reg(reg, _)]) if locked => {
                let expected = self.thread.intern("RAX");
                Inst::CompareSwap {
                    expected,
                    new: Operand::Reg(*reg),
                    address: *address,
                    width,
                    acquire: true,
                    release: true,
                }
            }
            ("inc" | "dec", [Arg::Mem(address)]) if locked => {
                let by = if name == "inc" { 1 } else { u64::MAX };
                let scratch = self.thread.intern("(old)");
                atomic(Op::Add, Some(scratch), Operand::Imm(by), *address)
            }
            ("inc" | "dec", [Arg::Reg(reg, _)]) => {
                let by = if name == "inc" { 1 } else { u64::MAX };
                plain(Op::Add, Some(*reg), Operand::Reg(*reg), Operand::Imm(by), true)
            }
            ("cmp" | "test", [Arg::Reg(reg, _), with]) => match operand(with) {
                Some(with) => {
                    plain(if name == "cmp" { Op::Sub } else { Op::And }, None, Operand::Reg(*reg), with, true)
                }
                None => return self.outside("comparisons with memory"),
            },
            ("invlpg", [Arg::Mem(Address { base, index: None, offset: 0 })]) => {
                Inst::Invalidate(invalidate(Some(*base)))
            }
            (_, [Arg::Mem(address), from]) if locked && binary.is_some() => match (binary, operand(from)) {
                (Some(Op::Sub), Some(Operand::Imm(by))) => {
                    let scratch = self.thread.intern("(old)");
                    atomic(Op::Add, Some(scratch), Operand::Imm(by.wrapping_neg()), *address)
                }
                (Some(op), Some(from)) if op != Op::Sub => {
                    let scratch = self.thread.intern("(old)");
                    atomic(op, Some(scratch), from, *address)
                }
                _ => return self.outside("this locked operation"),
            },
            (_, [Arg::Reg(to, _), from]) if binary.is_some() => match (binary, operand(from)) {
                (Some(op), Some(from)) => plain(op, Some(*to), Operand::Reg(*to), from, true),
                _ => return self.outside("arithmetic on memory"),
            },
            _ => return self.outside("this instruction"),
        })
    }
}
