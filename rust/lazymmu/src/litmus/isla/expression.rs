//! Values in isla's files: names, numbers, and functions of page tables.

use crate::litmus::error::{LitmusError, Result};
use crate::litmus::lexer::{Token, Tokens};

use super::setup::Tables;

/// What an expression is evaluated in.
pub(super) trait Scope {
    /// The value of a name.
    fn name(&self, name: &str) -> Option<u64>;
    fn tables(&self) -> &Tables;
    /// The address of a label of the thread at hand.
    fn label(&self, name: &str) -> Option<u64>;
}

/// A function's arguments: by place, and by name.
struct Arguments {
    places: Vec<u64>,
    named: Vec<(String, u64)>,
    /// The name of the table argument.
    table: Option<String>,
}

impl Arguments {
    fn named(&self, name: &str) -> Option<u64> {
        self.named.iter().find(|n| n.0 == name).map(|n| n.1)
    }
}

/// Leaf entries get AF; AP is 0b01 unless said.
pub(super) const DEFAULT_ATTRIBUTES: u64 = 1 << 10 | 1 << 6;

/// Field of an entry by its name: where it starts, and its width.
pub(super) fn field(name: &str) -> Option<(u32, u32)> {
    Some(match name.to_ascii_lowercase().as_str() {
        "ap" => (6, 2),
        "af" => (10, 1),
        "ng" => (11, 1),
        "sh" => (8, 2),
        "ns" => (5, 1),
        "attrindx" => (2, 3),
        "uxn" => (54, 1),
        "pxn" => (53, 1),
        "contiguous" => (52, 1),
        "dbm" => (51, 1),
        _ => return None,
    })
}

/// Reads and evaluates one expression.
pub(super) fn evaluate(tokens: &mut Tokens, scope: &dyn Scope) -> Result<u64> {
    let left = unary(tokens, scope)?;
    for (mark, apply) in [("|", (|a, b| a | b) as fn(u64, u64) -> u64), ("+", u64::wrapping_add)] {
        // A condition's `&` and `|` join comparisons: those are not eaten here.
        let operand = matches!(tokens.peek_at(1), Some(Token::Number(_)))
            && !matches!(tokens.peek_at(2), Some(Token::Mark(":" | "=")));
        if tokens.is(mark) && operand {
            tokens.next();
            let right = unary(tokens, scope)?;
            return Ok(apply(left, right));
        }
    }
    Ok(left)
}

fn unary(tokens: &mut Tokens, scope: &dyn Scope) -> Result<u64> {
    let line = tokens.line();
    match tokens.next() {
        Some(Token::Number(value)) => Ok(value),
        Some(Token::Mark("~")) => Ok(!unary(tokens, scope)?),
        Some(Token::Mark("(")) => {
            let value = evaluate(tokens, scope)?;
            tokens.expect(")")?;
            Ok(value)
        }
        Some(Token::Name(name)) if tokens.is("(") => call(&name, tokens, scope),
        Some(Token::Name(name)) if tokens.eat(":") => {
            scope.label(&name).ok_or_else(|| LitmusError::bad(line, format!("no label {name:?}")))
        }
        Some(Token::Name(name)) => match scope.name(&name).or_else(|| scope.label(&name)) {
            Some(value) => Ok(value),
            None if name.contains("s2_page_table") || name.contains("stage2") => {
                Err(LitmusError::unsupported(line, "stage 2 translation"))
            }
            None => Err(LitmusError::bad(line, format!("{name:?} is not defined"))),
        },
        _ => Err(LitmusError::bad(line, "expected a value")),
    }
}

fn arguments(tokens: &mut Tokens, scope: &dyn Scope) -> Result<Arguments> {
    let mut arguments = Arguments { places: Vec::new(), named: Vec::new(), table: None };
    tokens.expect("(")?;
    while !tokens.eat(")") {
        if let (Some(Token::Name(name)), Some(Token::Mark("="))) = (tokens.peek().cloned(), tokens.peek_at(1)) {
            tokens.next();
            tokens.next();
            let value = evaluate(tokens, scope)?;
            arguments.named.push((name, value));
        } else {
            if let Some(Token::Name(name)) = tokens.peek()
                && scope.tables().has(name)
            {
                arguments.table = Some(name.clone());
            }
            arguments.places.push(evaluate(tokens, scope)?);
        }
        if !tokens.is(")") {
            tokens.expect(",")?;
        }
    }
    Ok(arguments)
}

fn call(name: &str, tokens: &mut Tokens, scope: &dyn Scope) -> Result<u64> {
    let line = tokens.line();
    if name.starts_with("s2") || name == "vmid" {
        return Err(LitmusError::unsupported(line, "stage 2 translation"));
    }
    let given = arguments(tokens, scope)?;
    let one = || given.places.first().copied();
    let two = || Some((given.places.first().copied()?, given.places.get(1).copied()?));
    let level = |prefix: &str| name.strip_prefix(prefix).and_then(|l| l.parse::<u8>().ok()).filter(|level| *level <= 3);
    let wrong = || LitmusError::bad(line, format!("{name}: wrong arguments"));
    if let Some(level) = level("pte").or_else(|| level("desc")) {
        let va = one().ok_or_else(wrong)?;
        let table = given.table.as_deref().ok_or_else(wrong)?;
        let cell = scope.tables().entry(table, va, level);
        let cell = cell.ok_or_else(|| LitmusError::bad(line, format!("{name}: no level {level} entry in {table}")))?;
        return Ok(if name.starts_with("pte") { cell } else { scope.tables().word(cell) });
    }
    if let Some(level) = level("mkdesc") {
        return make(level, &given).ok_or_else(wrong);
    }
    match name {
        "extz" => two().map(|(value, width)| if width >= 64 { value } else { value & ((1 << width) - 1) }),
        "exts" => two().map(|(value, width)| {
            let top = 64 - value.leading_zeros();
            let from = if top % 8 == 0 && top > 0 { top } else { 64 };
            let wide = if from >= 64 { value } else { (((value << (64 - from)) as i64) >> (64 - from)) as u64 };
            if width >= 64 { wide } else { wide & ((1 << width) - 1) }
        }),
        "page" => one().map(|value| value >> 12),
        "asid" => one().map(|value| value << 48),
        "ttbr" if given.named("vmid").is_some() => return Err(LitmusError::unsupported(line, "stage 2 translation")),
        "ttbr" => given.named("base").map(|base| base | given.named("asid").unwrap_or(0) << 48),
        "offset" => match (given.named("level"), given.named("va")) {
            (Some(level), Some(va)) if level <= 3 => Some((va >> (12 + 9 * (3 - level)) & 0x1ff) * 8),
            _ => None,
        },
        "bvor" => two().map(|(a, b)| a | b),
        "bvand" => two().map(|(a, b)| a & b),
        "bvxor" => two().map(|(a, b)| a ^ b),
        "bvadd" => two().map(|(a, b)| a.wrapping_add(b)),
        "bvsub" => two().map(|(a, b)| a.wrapping_sub(b)),
        "bvlshr" => two().map(|(a, b)| a.checked_shr(b as u32).unwrap_or(0)),
        "bvshl" => two().map(|(a, b)| a.checked_shl(b as u32).unwrap_or(0)),
        "pa_to_va" | "va_to_pa" | "pa_to_ipa" | "ipa_to_pa" | "va_to_ipa" | "ipa_to_va" => one(),
        _ => return Err(LitmusError::unsupported(line, format!("the function {name}"))),
    }
    .ok_or_else(wrong)
}

fn make(level: u8, given: &Arguments) -> Option<u64> {
    if let Some(table) = given.named("table") {
        return Some(table & 0x0000_ffff_ffff_f000 | 3);
    }
    let kind = if level == 3 { 3 } else { 1 };
    let mut word = given.named("oa")? & 0x0000_ffff_ffff_f000 | kind | DEFAULT_ATTRIBUTES;
    for (name, value) in &given.named {
        if let Some((at, width)) = field(name) {
            let mask = ((1u64 << width) - 1) << at;
            word = word & !mask | (value << at) & mask;
        } else if name != "oa" {
            return None;
        }
    }
    Some(word)
}
