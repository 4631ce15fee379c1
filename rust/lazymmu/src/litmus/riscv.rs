//! The RISC-V instructions of litmus tests.

use crate::visibility::{Fence, Strength};

use super::assembly::{Label, Parsed, operands};
use super::error::{LitmusError, Result};
use super::lexer::parse_number;
use super::program::{Address, Extend, Inst, Invalidate, Op, Operand, Reg, Test, Thread, Width};

const ABI: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2",
    "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

fn number_of(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    if name == "fp" {
        return Some(8);
    }
    if let Some(at) = ABI.iter().position(|n| *n == name) {
        return Some(at as u8);
    }
    name.strip_prefix('x')?.parse().ok().filter(|n| *n < 32)
}

/// The name threads give a register.
pub(super) fn full_register(name: &str) -> String {
    number_of(name).map_or_else(|| name.to_ascii_uppercase(), |n| format!("x{n}"))
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

    /// A register; none for x0.
    fn register(&mut self, name: &str) -> Result<Option<Reg>> {
        match number_of(name.trim()) {
            Some(0) => Ok(None),
            Some(n) => Ok(Some(self.thread.intern(&format!("x{n}")))),
            None => self.bad(&format!("{name:?} is no register")),
        }
    }

    fn value(&mut self, name: &str) -> Result<Operand> {
        match parse_number(name.trim()) {
            Some(number) => Ok(Operand::Imm(number)),
            None => Ok(self.register(name)?.map_or(Operand::Imm(0), Operand::Reg)),
        }
    }

    /// `8(x5)` or `(x5)`.
    fn address(&mut self, text: &str) -> Result<Address> {
        let Some((before, inner)) = text.strip_suffix(')').and_then(|t| t.split_once('(')) else {
            return self.bad(&format!("{text:?} is no address"));
        };
        let offset = if before.trim().is_empty() { Some(0) } else { parse_number(before.trim()) };
        let Some(offset) = offset else { return self.bad("an offset that is no number") };
        Ok(Address { base: self.value(inner)?, index: None, offset: offset as i64 })
    }

    fn count(&self, list: &[String], wanted: usize) -> Result<()> {
        if list.len() == wanted { Ok(()) } else { self.bad(&format!("{} operands, expected {wanted}", list.len())) }
    }
}

fn width(letter: &str) -> Option<(Width, bool)> {
    Some(match letter {
        "b" => (Width::Byte, true),
        "h" => (Width::Half, true),
        "w" => (Width::Word, true),
        "d" => (Width::Double, false),
        "bu" => (Width::Byte, false),
        "hu" => (Width::Half, false),
        "wu" => (Width::Word, false),
        _ => return None,
    })
}

/// SFENCE.VMA and SINVAL.VMA, by their two registers.
fn sfence(address: Option<Reg>, asid: Option<Reg>, immediate: bool) -> Invalidate {
    Invalidate {
        packed: None,
        address: address.map(Operand::Reg),
        asid: asid.map(Operand::Reg),
        by_asid: false,
        by_page: false,
        // With an address only leaf entries are ordered (privileged specification, "Supervisor Memory-Management Fence
        // Instruction").
        last_level: address.is_some(),
        global: asid.is_none(),
        broadcast: false,
        remote: None,
        immediate,
        all_tables: false,
    }
}

const SYNCHRONISES: Fence = Fence {
    reads: true,
    writes: true,
    before_reads: false,
    before_writes: false,
    stores: false,
    synchronises: true,
    completes: true,
};

fn order(text: &str) -> Option<(bool, bool)> {
    let text = text.trim().to_ascii_lowercase();
    if text.is_empty() || !text.chars().all(|c| matches!(c, 'r' | 'w' | 'i' | 'o')) {
        return None;
    }
    Some((text.contains('r'), text.contains('w')))
}

/// Reads one instruction.
pub(super) fn parse(thread: &mut Thread, line: usize, text: &str) -> Result<Parsed> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let (name, rest) = lower.split_once(char::is_whitespace).unwrap_or((&lower, ""));
    let list = operands(rest);
    let original = operands(text.split_once(char::is_whitespace).map_or("", |t| t.1));
    let mut reader = Reader { thread, line, text };
    let full = Fence { synchronises: false, completes: false, before_reads: true, before_writes: true, ..SYNCHRONISES };
    let inst = match name {
        "nop" | "fence.i" => Inst::Nop,
        "fence.tso" => {
            // Reads before everything, writes before writes: two fences in one.
            Inst::Fence(Fence { reads: true, writes: false, stores: true, ..full })
        }
        "fence" if list.is_empty() => Inst::Fence(full),
        "fence" => {
            reader.count(&list, 2)?;
            match (order(&list[0]), order(&list[1])) {
                (Some((reads, writes)), Some((before_reads, before_writes))) => {
                    Inst::Fence(Fence { reads, writes, before_reads, before_writes, ..full })
                }
                _ => return reader.bad("expected sets of r, w, i, o"),
            }
        }
        "sfence.vma" | "sinval.vma" => {
            let address = list.first().map_or(Ok(None), |t| reader.register(t))?;
            let asid = list.get(1).map_or(Ok(None), |t| reader.register(t))?;
            Inst::Invalidate(sfence(address, asid, name == "sfence.vma"))
        }
        "remote.sfence.vma" => {
            // The SBI call to every hart; returns when all have fenced.
            let address = list.first().map_or(Ok(None), |t| reader.register(t))?;
            let asid = list.get(1).map_or(Ok(None), |t| reader.register(t))?;
            Inst::Invalidate(Invalidate { broadcast: true, ..sfence(address, asid, true) })
        }
        "sfence.w.inval" => Inst::Fence(SYNCHRONISES),
        "sfence.inval.ir" => Inst::Fence(SYNCHRONISES),
        "sret" => Inst::Return { exception: true },
        "ecall" => Inst::Call { hypervisor: false, number: 0 },
        "li" | "mv" => {
            reader.count(&list, 2)?;
            let from = reader.value(&list[1])?;
            compute(Op::Or, reader.register(&list[0])?, Operand::Imm(0), from, Width::Double)
        }
        "j" => return Ok(Parsed::branch(Test::Always, reader.label(&original, 0)?)),
        "beqz" | "bnez" => {
            let label = reader.label(&original, 1)?;
            let a = reader.value(&list[0])?;
            let zero = Operand::Imm(0);
            let test = if name == "beqz" { Test::Equal(a, zero) } else { Test::NotEqual(a, zero) };
            return Ok(Parsed::branch(test, label));
        }
        "beq" | "bne" | "blt" | "bge" | "bltu" | "bgeu" => {
            let label = reader.label(&original, 2)?;
            let (a, b) = (reader.value(&list[0])?, reader.value(&list[1])?);
            let test = match name {
                "beq" => Test::Equal(a, b),
                "bne" => Test::NotEqual(a, b),
                "blt" => Test::Less(a, b),
                "bge" => Test::GreaterEqual(a, b),
                "bltu" => Test::LessUnsigned(a, b),
                _ => Test::GreaterEqualUnsigned(a, b),
            };
            return Ok(Parsed::branch(test, label));
        }
        _ => reader.other(name, &list)?,
    };
    Ok(Parsed::done(inst))
}

fn compute(op: Op, to: Option<Reg>, a: Operand, b: Operand, width: Width) -> Inst {
    Inst::Compute { op, to, a, b, extend: Extend::Shift(0), width, flags: false }
}

impl Reader<'_> {
    fn label(&self, list: &[String], at: usize) -> Result<Label> {
        match list.get(at) {
            Some(label) => Ok(label.clone()),
            None => self.bad("expected a label"),
        }
    }

    fn other(&mut self, name: &str, list: &[String]) -> Result<Inst> {
        let mut parts = name.split('.');
        let base = parts.next().unwrap_or("");
        let more: Vec<&str> = parts.collect();
        let acquire = more.contains(&"aq") || more.contains(&"aqrl");
        let release = more.contains(&"rl") || more.contains(&"aqrl");
        let strong = |on: bool| if on { Strength::Strong } else { Strength::Plain };
        let size = more.iter().find_map(|m| match *m {
            "w" => Some(Width::Word),
            "d" => Some(Width::Double),
            _ => None,
        });
        if let (Some(width), "lr") = (size, base) {
            self.count(list, 2)?;
            let to = self.register(&list[0])?;
            let address = self.address(&list[1])?;
            return Ok(Inst::Load { to, address, width, signed: true, strength: strong(acquire), exclusive: true });
        }
        if let (Some(width), "sc") = (size, base) {
            self.count(list, 3)?;
            let status = self.register(&list[0])?;
            let from = self.value(&list[1])?;
            let address = self.address(&list[2])?;
            return Ok(Inst::StoreExclusive { status, from, address, width, strength: strong(release) });
        }
        if let (Some(width), Some(kind)) = (size, base.strip_prefix("amo")) {
            let op = match kind {
                "swap" => Op::Swap,
                "add" => Op::Add,
                "and" => Op::And,
                "or" => Op::Or,
                "xor" => Op::Xor,
                "max" => Op::MaxSigned,
                "min" => Op::MinSigned,
                "maxu" => Op::MaxUnsigned,
                "minu" => Op::MinUnsigned,
                _ => return self.outside("this atomic"),
            };
            self.count(list, 3)?;
            let to = self.register(&list[0])?;
            let operand = self.value(&list[1])?;
            let address = self.address(&list[2])?;
            // The read counts as a read whatever becomes of its value.
            let to = Some(to.unwrap_or_else(|| self.thread.intern("(old)")));
            return Ok(Inst::Atomic { op, to, operand, address, width, acquire, release });
        }
        if more.is_empty() {
            if let Some((width, signed)) = base.strip_prefix('l').and_then(width) {
                self.count(list, 2)?;
                let to = self.register(&list[0])?;
                let address = self.address(&list[1])?;
                return Ok(Inst::Load { to, address, width, signed, strength: Strength::Plain, exclusive: false });
            }
            if let Some((width, _)) = base.strip_prefix('s').and_then(width) {
                self.count(list, 2)?;
                let from = self.value(&list[0])?;
                let address = self.address(&list[1])?;
                return Ok(Inst::Store { from, address, width, strength: Strength::Plain });
            }
            let (stem, width) = match base.strip_suffix('w') {
                Some(stem) if stem.starts_with("add") || stem.starts_with("sub") => (stem, Width::Word),
                _ => (base, Width::Double),
            };
            let op = match stem.strip_suffix('i').unwrap_or(stem) {
                "add" => Op::Add,
                "sub" => Op::Sub,
                "and" => Op::And,
                "or" => Op::Or,
                "xor" => Op::Xor,
                "sll" => Op::ShiftLeft,
                "srl" => Op::ShiftRight,
                "sra" => Op::ShiftRightSigned,
                "slt" => Op::LessSigned,
                "sltu" => Op::LessUnsigned,
                "mul" => Op::Mul,
                _ => return self.outside("this instruction"),
            };
            self.count(list, 3)?;
            let to = self.register(&list[0])?;
            let (a, b) = (self.value(&list[1])?, self.value(&list[2])?);
            return Ok(compute(op, to, a, b, width));
        }
        self.outside("this instruction")
    }
}
