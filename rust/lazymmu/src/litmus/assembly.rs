//! What the assembly readers share: operand lists, labels, laying out code.

use super::error::{LitmusError, Result};
use super::program::{Extend, Inst, Line, Op, Operand, Reg, Test, Thread, Width};

pub(super) type Label = String;

/// What is missing from an instruction until labels have places.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Branch(Test, Label),
    /// A register gets a label's address.
    Address(Reg, Label),
}

#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub inst: Inst,
    pub pending: Option<Pending>,
}

impl Parsed {
    pub(super) fn done(inst: Inst) -> Parsed {
        Parsed { inst, pending: None }
    }

    pub(super) fn branch(test: Test, label: Label) -> Parsed {
        Parsed { inst: Inst::Nop, pending: Some(Pending::Branch(test, label)) }
    }
}

/// Splits at commas outside brackets.
pub(super) fn operands(text: &str) -> Vec<String> {
    let mut list = Vec::new();
    let mut depth = 0usize;
    let mut current = String::new();
    for c in text.chars() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            list.push(std::mem::take(&mut current).trim().to_owned());
        } else {
            current.push(c);
        }
    }
    if !current.trim().is_empty() || !list.is_empty() {
        list.push(current.trim().to_owned());
    }
    list
}

/// One source line: where it is, its labels, its instruction.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub line: usize,
    pub labels: Vec<Label>,
    pub text: String,
    pub parsed: Parsed,
    /// Code address, where the file says one.
    pub address: Option<u64>,
    pub handler: bool,
}

/// Lays out a thread's code, and gives labels their places.
pub(super) fn lay_out(thread: &mut Thread, sources: Vec<Source>, base: u64) -> Result<()> {
    let mut address = base;
    let mut pending = Vec::new();
    for source in sources {
        if let Some(at) = source.address {
            address = at;
        }
        if let Some(wanted) = source.parsed.pending {
            pending.push((thread.code.len(), source.line, wanted));
        }
        let Source { labels, text, handler, .. } = source;
        thread.code.push(Line { inst: source.parsed.inst, text, labels, address, handler });
        address += 4;
    }
    for (at, line, wanted) in pending {
        let place = |label: &str| {
            thread
                .code
                .iter()
                .position(|l| l.labels.iter().any(|n| n == label))
                .ok_or_else(|| LitmusError::bad(line, format!("no label {label:?} in this thread")))
        };
        let inst = match wanted {
            Pending::Branch(test, label) => Inst::Branch { test, target: place(&label)? as u16 },
            Pending::Address(to, label) => Inst::Compute {
                op: Op::Or,
                to: Some(to),
                a: Operand::Imm(0),
                b: Operand::Imm(thread.code[place(&label)?].address),
                extend: Extend::Shift(0),
                width: Width::Double,
                flags: false,
            },
        };
        thread.code[at].inst = inst;
    }
    Ok(())
}

/// Splits leading labels off an instruction.
pub(super) fn split_labels(text: &str) -> (Vec<Label>, &str) {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once(':') {
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            break;
        }
        labels.push(name.to_owned());
        rest = after.trim();
    }
    (labels, rest)
}
