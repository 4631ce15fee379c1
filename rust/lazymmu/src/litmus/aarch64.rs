//! The AArch64 instructions of litmus tests.

use crate::visibility::{Fence, Strength};

use super::assembly::{Label, Parsed, Pending, operands};
use super::error::{LitmusError, Result};
use super::lexer::parse_number;
use super::program::{Address, Change, Extend, Inst, Invalidate, Op, Operand, Reg, Test, Thread, Width};

const CONDITIONS: [(&str, u8); 18] = [
    ("EQ", 0),
    ("NE", 1),
    ("CS", 2),
    ("HS", 2),
    ("CC", 3),
    ("LO", 3),
    ("MI", 4),
    ("PL", 5),
    ("VS", 6),
    ("VC", 7),
    ("HI", 8),
    ("LS", 9),
    ("GE", 10),
    ("LT", 11),
    ("GT", 12),
    ("LE", 13),
    ("AL", 14),
    ("NV", 15),
];

/// Mnemonics that belong to features which are not modelled.
const OUTSIDE: [(&str, &str); 16] = [
    ("DC", "cache maintenance"),
    ("IC", "instruction cache maintenance"),
    ("STG", "memory tagging"),
    ("LDG", "memory tagging"),
    ("STZG", "memory tagging"),
    ("ADDG", "memory tagging"),
    ("IRG", "memory tagging"),
    ("LDP", "pairs of registers"),
    ("STP", "pairs of registers"),
    ("LDXP", "pairs of registers"),
    ("STXP", "pairs of registers"),
    ("STILP", "ordered pairs of registers (FEAT_LRCPC3)"),
    ("LDIAPP", "ordered pairs of registers (FEAT_LRCPC3)"),
    ("AT", "address translation instructions"),
    ("BR", "indirect branches"),
    ("BLR", "indirect branches"),
];

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

    /// A general register and its width; none for the zero register.
    fn general(&mut self, name: &str) -> Result<(Option<Reg>, Width)> {
        let name = name.to_ascii_uppercase();
        let (kind, rest) = name.split_at(name.len().min(1));
        let width = match kind {
            "X" | "R" => Width::Double,
            "W" => Width::Word,
            _ => return self.bad(&format!("{name:?} is no general register")),
        };
        if rest == "ZR" {
            return Ok((None, width));
        }
        match rest.parse::<u8>() {
            Ok(n) if n <= 30 && !rest.starts_with('+') => Ok((Some(self.thread.intern(&format!("X{n}"))), width)),
            _ => self.bad(&format!("{name:?} is no general register")),
        }
    }

    fn value(&mut self, text: &str) -> Result<Operand> {
        if let Some(number) = immediate(text) {
            return Ok(Operand::Imm(number));
        }
        Ok(self.general(text)?.0.map_or(Operand::Imm(0), Operand::Reg))
    }

    fn extend(&self, text: &str) -> Result<Extend> {
        let mut parts = text.split_whitespace();
        let kind = parts.next().unwrap_or("").to_ascii_uppercase();
        let by = match parts.next() {
            None => 0,
            Some(amount) => match immediate(amount) {
                Some(n) if n < 64 => n as u8,
                _ => return self.bad("a shift amount out of range"),
            },
        };
        match kind.as_str() {
            "LSL" | "UXTX" | "SXTX" => Ok(Extend::Shift(by)),
            "SXTW" => Ok(Extend::SignedWord(by)),
            "UXTW" => Ok(Extend::UnsignedWord(by)),
            _ => self.outside(&format!("the extension {kind:?}")),
        }
    }

    fn address(&mut self, text: &str, more: &[String]) -> Result<Address> {
        if !more.is_empty() || text.ends_with('!') {
            return self.outside("write-back addressing");
        }
        let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else {
            return self.bad(&format!("{text:?} is no address"));
        };
        let parts = operands(inner);
        let base = match parts.first() {
            Some(base) => self.value(base)?,
            None => return self.bad("an address without a base"),
        };
        let mut address = Address { base, index: None, offset: 0 };
        if let Some(second) = parts.get(1) {
            if let Some(offset) = immediate(second) {
                address.offset = offset as i64;
            } else {
                let (reg, width) = self.general(second)?;
                let extend = match parts.get(2) {
                    Some(text) => self.extend(text)?,
                    None if width == Width::Word => return self.bad("an index in a W register needs an extension"),
                    None => Extend::Shift(0),
                };
                address.index = reg.map(|reg| (reg, extend));
            }
        }
        Ok(address)
    }

    fn count(&self, list: &[String], least: usize, most: usize) -> Result<()> {
        if (least..=most).contains(&list.len()) {
            return Ok(());
        }
        self.bad(&format!("{} operands, expected {least}", list.len()))
    }
}

fn immediate(text: &str) -> Option<u64> {
    let text = text.strip_prefix('#').unwrap_or(text).trim();
    if let Some((a, b)) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).and_then(|t| t.split_once("<<")) {
        return parse_number(a.trim())?.checked_shl(parse_number(b.trim())? as u32);
    }
    parse_number(text)
}

/// Size suffix of a memory mnemonic.
fn narrow(suffix: &str, width: Width) -> Option<Width> {
    match suffix {
        "" => Some(width),
        "B" => Some(Width::Byte),
        "H" => Some(Width::Half),
        _ => None,
    }
}

/// `A`, `L`, `AL` and the size of an atomic's mnemonic.
fn atomic_suffix(mut suffix: &str, width: Width) -> Option<(bool, bool, Width)> {
    let acquire = suffix.starts_with('A');
    suffix = suffix.strip_prefix('A').unwrap_or(suffix);
    let release = suffix.starts_with('L');
    suffix = suffix.strip_prefix('L').unwrap_or(suffix);
    narrow(suffix, width).map(|width| (acquire, release, width))
}

fn atomic_op(name: &str) -> Option<Op> {
    Some(match name {
        "ADD" => Op::Add,
        "SET" => Op::Or,
        "CLR" => Op::Clear,
        "EOR" => Op::Xor,
        "SMAX" => Op::MaxSigned,
        "SMIN" => Op::MinSigned,
        "UMAX" => Op::MaxUnsigned,
        "UMIN" => Op::MinUnsigned,
        _ => return None,
    })
}

fn fence(domain: &str, synchronises: bool) -> Option<Fence> {
    let domain = domain.replace(['.', ' '], "");
    let kind = domain.strip_prefix("ISH").or_else(|| domain.strip_prefix("OSH")).or_else(|| domain.strip_prefix("NSH"));
    let kind = kind.unwrap_or(&domain);
    let (reads, writes) = match kind {
        "" | "SY" => (true, true),
        "LD" => (true, false),
        "ST" => (false, true),
        _ => return None,
    };
    Some(Fence {
        reads,
        writes,
        before_reads: reads || synchronises,
        before_writes: true,
        stores: false,
        synchronises,
        completes: synchronises && reads && writes,
    })
}

fn tlbi(name: &str, argument: Option<Operand>) -> Option<Invalidate> {
    let (kind, _) = name.strip_suffix("NXS").map_or((name, false), |n| (n, true));
    let (kind, broadcast) = match kind.strip_suffix("IS").or_else(|| kind.strip_suffix("OS")) {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let base = Invalidate {
        packed: None,
        address: None,
        asid: None,
        by_asid: false,
        by_page: false,
        last_level: false,
        global: true,
        broadcast,
        remote: None,
        immediate: false,
        all_tables: false,
    };
    let stage1 = kind.strip_suffix("E1").or_else(|| kind.strip_suffix("E2"))?;
    Some(match stage1 {
        "VMALL" | "ALL" if argument.is_none() => base,
        "ASID" => Invalidate { packed: Some(argument?), by_asid: true, global: false, ..base },
        // EL2 without a host has no identifiers.
        "VA" | "VAL" if kind.ends_with('2') => {
            Invalidate { packed: Some(argument?), by_page: true, last_level: stage1 == "VAL", ..base }
        }
        "VA" => Invalidate { packed: Some(argument?), by_asid: true, by_page: true, ..base },
        "VAL" => Invalidate { packed: Some(argument?), by_asid: true, by_page: true, last_level: true, ..base },
        "VAA" => Invalidate { packed: Some(argument?), by_page: true, ..base },
        "VAAL" => Invalidate { packed: Some(argument?), by_page: true, last_level: true, ..base },
        _ => return None,
    })
}

/// Reads one instruction.
pub(super) fn parse(thread: &mut Thread, line: usize, text: &str) -> Result<Parsed> {
    let text = text.trim();
    let (mnemonic, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = mnemonic.to_ascii_uppercase();
    let list = operands(rest);
    let mut reader = Reader { thread, line, text };
    if let Some((_, why)) = OUTSIDE.iter().find(|(m, _)| *m == name) {
        return reader.outside(why);
    }
    let parsed = match name.as_str() {
        "NOP" => Parsed::done(Inst::Nop),
        "ISB" => Parsed::done(Inst::SynchroniseContext),
        "ERET" => Parsed::done(Inst::Return { exception: true }),
        "RET" => {
            reader.thread.intern("X30");
            Parsed::done(Inst::Return { exception: false })
        }
        "SVC" | "HVC" => {
            let number = list.first().and_then(|t| immediate(t)).unwrap_or(0) as u16;
            Parsed::done(Inst::Call { hypervisor: name == "HVC", number })
        }
        "UDF" => Parsed::done(Inst::Undefined),
        "DMB" | "DSB" => {
            let domain = rest.trim().to_ascii_uppercase();
            match fence(&domain, name == "DSB") {
                Some(fence) => Parsed::done(Inst::Fence(fence)),
                None => return reader.bad(&format!("{domain:?} is no barrier option")),
            }
        }
        "TLBI" => {
            reader.count(&list, 1, 2)?;
            let kind = list[0].to_ascii_uppercase();
            if kind.starts_with("IPAS2") || kind.contains("S12") {
                return reader.outside("stage 2 translation");
            }
            let argument = list.get(1).map(|t| reader.value(t)).transpose()?;
            match tlbi(&kind, argument) {
                Some(what) => Parsed::done(Inst::Invalidate(what)),
                None => return reader.outside("this TLBI operation"),
            }
        }
        "MSR" | "MRS" => reader.system(&name, &list)?,
        "B" => Parsed::branch(Test::Always, reader.label(&list, 0)?),
        "CBZ" | "CBNZ" => {
            reader.count(&list, 2, 2)?;
            let label = reader.label(&list, 1)?;
            match (reader.general(&list[0])?.0, name.as_str()) {
                (Some(reg), "CBZ") => Parsed::branch(Test::Zero(reg), label),
                (Some(reg), _) => Parsed::branch(Test::NotZero(reg), label),
                (None, "CBZ") => Parsed::branch(Test::Always, label),
                (None, _) => Parsed::done(Inst::Nop),
            }
        }
        "TBZ" | "TBNZ" => {
            reader.count(&list, 3, 3)?;
            let label = reader.label(&list, 2)?;
            let (Some(reg), Some(bit)) = (reader.general(&list[0])?.0, immediate(&list[1]).filter(|b| *b < 64)) else {
                return reader.bad("expected a register and a bit number");
            };
            let test = if name == "TBZ" { Test::BitClear(reg, bit as u8) } else { Test::BitSet(reg, bit as u8) };
            Parsed::branch(test, label)
        }
        "ADR" => {
            reader.count(&list, 2, 2)?;
            let label = reader.label(&list, 1)?;
            let Some(to) = reader.general(&list[0])?.0 else { return reader.bad("ADR to the zero register") };
            Parsed { inst: Inst::Nop, pending: Some(Pending::Address(to, label)) }
        }
        _ => return reader.other(&name, &list),
    };
    Ok(parsed)
}

impl Reader<'_> {
    fn label(&self, list: &[String], at: usize) -> Result<Label> {
        match list.get(at) {
            Some(name) if name.starts_with('.') => self.outside("branches by distance"),
            Some(name) => Ok(name.clone()),
            None => self.bad("expected a label"),
        }
    }

    fn system(&mut self, name: &str, list: &[String]) -> Result<Parsed> {
        self.count(list, 2, 2)?;
        let (register, general) = if name == "MSR" { (&list[0], &list[1]) } else { (&list[1], &list[0]) };
        let register = register.to_ascii_uppercase();
        let inst = match (name, register.as_str()) {
            (_, r) if r.starts_with("VTTBR") => return self.outside("stage 2 translation"),
            ("MSR", "TTBR0_EL1" | "TTBR0_EL2") => {
                Inst::SetRoot { from: self.value(general)?, hypervisor: register.ends_with('2') }
            }
            (_, r)
                if r.starts_with("TTBR")
                    || r.starts_with("VTTBR")
                    || r.starts_with("TCR")
                    || r.starts_with("SCTLR") =>
            {
                return self.outside(&format!("the system register {r}"));
            }
            ("MSR", _) => {
                let from = self.value(general)?;
                let to = self.thread.intern(&register);
                move_to(to, from, Width::Double)
            }
            _ => {
                let from = Operand::Reg(self.thread.intern(&register));
                match self.general(general)?.0 {
                    Some(to) => move_to(to, from, Width::Double),
                    None => Inst::Nop,
                }
            }
        };
        Ok(Parsed::done(inst))
    }

    fn other(&mut self, name: &str, list: &[String]) -> Result<Parsed> {
        if let Some(cond) = name.strip_prefix("B.").or_else(|| name.strip_prefix('B'))
            && let Some((_, number)) = CONDITIONS.iter().find(|(c, _)| *c == cond)
        {
            return Ok(Parsed::branch(Test::Flags(*number), self.label(list, 0)?));
        }
        if let Some(parsed) = self.memory(name, list)? {
            return Ok(parsed);
        }
        if let Some(inst) = self.arithmetic(name, list)? {
            return Ok(Parsed::done(inst));
        }
        self.outside("this instruction")
    }

    fn memory(&mut self, name: &str, list: &[String]) -> Result<Option<Parsed>> {
        // Loads and stores of one register.
        for (prefix, load, strength, exclusive) in [
            ("LDAXR", true, Strength::Strong, true),
            ("LDXR", true, Strength::Plain, true),
            ("LDAPUR", true, Strength::Processor, false),
            ("LDAPR", true, Strength::Processor, false),
            ("LDAR", true, Strength::Strong, false),
            ("LDRS", true, Strength::Plain, false),
            ("LDR", true, Strength::Plain, false),
            ("LDUR", true, Strength::Plain, false),
            ("STLXR", false, Strength::Strong, true),
            ("STXR", false, Strength::Plain, true),
            ("STLUR", false, Strength::Strong, false),
            ("STLR", false, Strength::Strong, false),
            ("STR", false, Strength::Plain, false),
            ("STUR", false, Strength::Plain, false),
        ] {
            let Some(suffix) = name.strip_prefix(prefix) else { continue };
            let first = usize::from(exclusive && !load);
            self.count(list, 2 + first, 4)?;
            let (reg, register_width) = self.general(&list[first])?;
            let signed = prefix == "LDRS";
            let width = match (signed, suffix) {
                (true, "W") => Some(Width::Word),
                _ => narrow(suffix, register_width),
            };
            let Some(width) = width else { continue };
            let address = self.address(&list[first + 1], &list[first + 2..])?;
            let from = reg.map_or(Operand::Imm(0), Operand::Reg);
            let inst = match (load, exclusive) {
                (true, _) => Inst::Load { to: reg, address, width, signed, strength, exclusive },
                (false, false) => Inst::Store { from, address, width, strength },
                (false, true) => {
                    let status = self.general(&list[0])?.0;
                    Inst::StoreExclusive { status, from, address, width, strength }
                }
            };
            return Ok(Some(Parsed::done(inst)));
        }
        self.atomic(name, list)
    }

    fn atomic(&mut self, name: &str, list: &[String]) -> Result<Option<Parsed>> {
        let widest = |reader: &mut Self, at: usize| Ok(reader.general(&list[at])?.1);
        if let Some(suffix) = name.strip_prefix("SWP") {
            self.count(list, 3, 3)?;
            let width = widest(self, 0)?;
            let Some((acquire, release, width)) = atomic_suffix(suffix, width) else { return Ok(None) };
            let (operand, to) = (self.value(&list[0])?, self.general(&list[1])?.0);
            let address = self.address(&list[2], &[])?;
            return Ok(Some(Parsed::done(Inst::Atomic {
                op: Op::Swap,
                to,
                operand,
                address,
                width,
                acquire,
                release,
            })));
        }
        if let Some(suffix) = name.strip_prefix("CAS") {
            self.count(list, 3, 3)?;
            let width = widest(self, 0)?;
            let Some((acquire, release, width)) = atomic_suffix(suffix, width) else { return Ok(None) };
            let Some(expected) = self.general(&list[0])?.0 else {
                return self.outside("a compare with the zero register");
            };
            let new = self.value(&list[1])?;
            let address = self.address(&list[2], &[])?;
            return Ok(Some(Parsed::done(Inst::CompareSwap { expected, new, address, width, acquire, release })));
        }
        for (prefix, returns) in [("LD", true), ("ST", false)] {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            for length in [4, 3] {
                let Some((op, suffix)) = rest.split_at_checked(length) else { continue };
                let Some(op) = atomic_op(op) else { continue };
                let wanted = if returns { 3 } else { 2 };
                self.count(list, wanted, wanted)?;
                let width = widest(self, 0)?;
                let Some((acquire, release, width)) = atomic_suffix(suffix, width) else { continue };
                let operand = self.value(&list[0])?;
                let to = if returns { self.general(&list[1])?.0 } else { None };
                let address = self.address(&list[wanted - 1], &[])?;
                return Ok(Some(Parsed::done(Inst::Atomic { op, to, operand, address, width, acquire, release })));
            }
        }
        Ok(None)
    }

    fn arithmetic(&mut self, name: &str, list: &[String]) -> Result<Option<Inst>> {
        let plain = Extend::Shift(0);
        if let "CSEL" | "CSINC" | "CSINV" | "CSNEG" = name {
            self.count(list, 4, 4)?;
            let (to, width) = self.general(&list[0])?;
            let condition = self.condition(&list[3])?;
            let change = match name {
                "CSEL" => Change::Keep,
                "CSINC" => Change::Increment,
                "CSINV" => Change::Invert,
                _ => Change::Negate,
            };
            let (yes, no) = (self.value(&list[1])?, self.value(&list[2])?);
            return Ok(Some(to.map_or(Inst::Nop, |to| Inst::Select { to, condition, yes, no, change, width })));
        }
        if let "CSET" | "CSETM" = name {
            self.count(list, 2, 2)?;
            let (to, width) = self.general(&list[0])?;
            let condition = self.condition(&list[1])?;
            let (yes, change) = if name == "CSET" { (1, Change::Keep) } else { (u64::MAX, Change::Keep) };
            let (yes, no) = (Operand::Imm(yes), Operand::Imm(0));
            return Ok(Some(to.map_or(Inst::Nop, |to| Inst::Select { to, condition, yes, no, change, width })));
        }
        let (base, flags) = match name {
            "ADDS" | "SUBS" | "ANDS" | "BICS" => (&name[..3], true),
            "CMP" => ("SUB", true),
            "CMN" => ("ADD", true),
            "TST" => ("AND", true),
            _ => (name, false),
        };
        if let "MOV" | "MOVZ" | "MVN" | "NEG" | "SXTW" | "UXTW" = base {
            self.count(list, 2, 3)?;
            let (to, width) = self.general(&list[0])?;
            let b = self.value(&list[1])?;
            let zero = Operand::Imm(0);
            let extend = match (base, list.get(2)) {
                ("SXTW", _) => Extend::SignedWord(0),
                ("UXTW", _) => Extend::UnsignedWord(0),
                (_, Some(text)) => self.extend(text)?,
                _ => plain,
            };
            let (op, a) = match base {
                "NEG" => (Op::Sub, zero),
                "MVN" => (Op::Xor, Operand::Imm(u64::MAX)),
                _ => (Op::Or, zero),
            };
            return Ok(Some(Inst::Compute { op, to, a, b, extend, width, flags: false }));
        }
        if base == "UBFX" {
            self.count(list, 4, 4)?;
            let (to, width) = self.general(&list[0])?;
            let a = self.value(&list[1])?;
            let (Some(low), Some(count)) = (immediate(&list[2]), immediate(&list[3])) else {
                return self.bad("expected two numbers");
            };
            let b = Operand::Imm(low << 8 | count);
            return Ok(Some(Inst::Compute { op: Op::Extract, to, a, b, extend: plain, width, flags: false }));
        }
        let op = match base {
            "ADD" => Op::Add,
            "SUB" => Op::Sub,
            "AND" => Op::And,
            "ORR" => Op::Or,
            "EOR" => Op::Xor,
            "BIC" => Op::Clear,
            "LSL" => Op::ShiftLeft,
            "LSR" => Op::ShiftRight,
            "ASR" => Op::ShiftRightSigned,
            "MUL" => Op::Mul,
            _ => return Ok(None),
        };
        let compare = matches!(name, "CMP" | "CMN" | "TST");
        let first = usize::from(!compare);
        self.count(list, first + 2, first + 3)?;
        let (to, width) = if compare { (None, self.general(&list[0])?.1) } else { self.general(&list[0])? };
        let (a, b) = (self.value(&list[first])?, self.value(&list[first + 1])?);
        let extend = list.get(first + 2).map_or(Ok(plain), |text| self.extend(text))?;
        Ok(Some(Inst::Compute { op, to, a, b, extend, width, flags }))
    }

    fn condition(&self, name: &str) -> Result<u8> {
        let name = name.to_ascii_uppercase();
        match CONDITIONS.iter().find(|(c, _)| *c == name) {
            Some((_, number)) => Ok(*number),
            None => self.bad(&format!("{name:?} is no condition")),
        }
    }
}

fn move_to(to: Reg, from: Operand, width: Width) -> Inst {
    Inst::Compute {
        op: Op::Or,
        to: Some(to),
        a: Operand::Imm(0),
        b: from,
        extend: Extend::Shift(0),
        width,
        flags: false,
    }
}
