//! The final clause: `locations`, `filter`, and the condition.

use super::initial::{Layout, Left};
use crate::litmus::condition::{Condition, FaultAtom, Formula, Place, Quantifier};
use crate::litmus::error::{LitmusError, Result};
use crate::litmus::lexer::{Token, Tokens};
use crate::litmus::program::Thread;

struct Reader<'a> {
    layout: &'a mut Layout,
    threads: &'a mut Vec<Thread>,
    tokens: Tokens,
    places: Vec<(Place, String)>,
}

/// What a fault atom can ask for.
const KINDS: [&str; 6] =
    ["MMU:Translation", "MMU:AccessFlag", "MMU:Permission", "SupervisorCall", "UndefinedInstruction", "TagCheck"];

pub(super) fn read(layout: &mut Layout, threads: &mut Vec<Thread>, tokens: Tokens) -> Result<Condition> {
    let mut reader = Reader { layout, threads, tokens, places: Vec::new() };
    if reader.tokens.eat_word("locations") {
        reader.locations()?;
    }
    let filter = if reader.tokens.eat_word("filter") { Some(reader.implication()?) } else { None };
    if reader.tokens.peek().is_none() {
        // Only the states are asked for.
        return Ok(Condition { quantifier: Quantifier::Forall, body: Formula::True, filter, places: reader.places });
    }
    let negated = reader.tokens.eat("~");
    let quantifier = match reader.tokens.name()?.as_str() {
        "exists" if negated => Quantifier::NotExists,
        "exists" => Quantifier::Exists,
        "forall" => Quantifier::Forall,
        word => return Err(LitmusError::bad(reader.tokens.line(), format!("{word:?} is no quantifier"))),
    };
    let body = reader.implication()?;
    if reader.tokens.peek().is_some() && !matches!(reader.tokens.peek(), Some(Token::Name(n)) if n == "with") {
        return Err(reader.tokens.wrong("the end of the condition"));
    }
    Ok(Condition { quantifier, body, filter, places: reader.places })
}

impl Reader<'_> {
    fn place(&mut self) -> Result<usize> {
        let begin = self.tokens.clone();
        let (place, name) = match self.layout.left(self.threads, &mut self.tokens, false)? {
            Left::Register(thread, reg) => {
                let name = format!("{thread}:{}", self.threads[thread].registers[usize::from(reg)]);
                (Place::Register { thread: thread as u8, reg }, name)
            }
            Left::Cell(cell) | Left::Entry(cell) => (Place::Memory(cell), self.tokens.since(&begin)),
        };
        Ok(self.places.iter().position(|p| p.0 == place).unwrap_or_else(|| {
            self.places.push((place, name));
            self.places.len() - 1
        }))
    }

    fn locations(&mut self) -> Result<()> {
        self.tokens.expect("[")?;
        while !self.tokens.eat("]") {
            if self.tokens.eat(";") {
                continue;
            }
            if matches!(self.tokens.peek(), Some(Token::Name(n)) if n.eq_ignore_ascii_case("fault")) {
                self.fault()?;
                continue;
            }
            self.place()?;
            // A type.
            while matches!(self.tokens.peek(), Some(Token::Name(_) | Token::Mark("*"))) {
                self.tokens.next();
            }
        }
        Ok(())
    }

    fn implication(&mut self) -> Result<Formula> {
        let left = self.disjunction()?;
        if self.tokens.eat("=>") {
            let right = self.implication()?;
            return Ok(Formula::Implies(Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn disjunction(&mut self) -> Result<Formula> {
        let mut any = vec![self.conjunction()?];
        while self.tokens.eat("\\/") {
            any.push(self.conjunction()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Formula::Or(any) })
    }

    fn conjunction(&mut self) -> Result<Formula> {
        let mut all = vec![self.atom()?];
        while self.tokens.eat("/\\") {
            all.push(self.atom()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Formula::And(all) })
    }

    fn atom(&mut self) -> Result<Formula> {
        if self.tokens.eat("~") || self.tokens.eat_word("not") {
            return Ok(Formula::Not(Box::new(self.atom()?)));
        }
        if self.tokens.eat("(") {
            let inner = self.implication()?;
            self.tokens.expect(")")?;
            return Ok(inner);
        }
        if self.tokens.eat_word("true") {
            return Ok(Formula::True);
        }
        if self.tokens.eat_word("false") {
            return Ok(Formula::False);
        }
        if matches!(self.tokens.peek(), Some(Token::Name(n)) if n.eq_ignore_ascii_case("fault")) {
            return Ok(Formula::Fault(self.fault()?));
        }
        let entry_start = self.tokens.clone();
        let place = self.place()?;
        let differs = if self.tokens.eat("!=") {
            true
        } else {
            if !self.tokens.eat("==") {
                self.tokens.expect("=")?;
            }
            false
        };
        // An entry without an output address means the variable's own.
        let own = match self.layout.left(self.threads, &mut entry_start.clone(), false)? {
            Left::Entry(cell) => Some(Layout::frame_of_entry(cell)),
            _ => None,
        };
        let value = self.layout.value(self.threads, &mut self.tokens, own)?;
        let mask = if value > 0xffff_ffff && value >> 31 == (1 << 33) - 1 { 0xffff_ffff } else { u64::MAX };
        let equal = Formula::Equal { place, value, mask };
        Ok(if differs { Formula::Not(Box::new(equal)) } else { equal })
    }

    fn fault(&mut self) -> Result<FaultAtom> {
        let line = self.tokens.line();
        self.tokens.next();
        self.tokens.expect("(")?;
        let mut text = String::from("fault(");
        let thread = match self.tokens.next() {
            Some(Token::Number(n)) => Some(n as usize),
            Some(Token::Name(n)) => n.strip_prefix('P').and_then(|n| n.parse().ok()),
            _ => None,
        };
        let Some(thread) = thread.filter(|t| *t < self.threads.len()) else {
            return Err(LitmusError::bad(line, "a fault of no thread"));
        };
        text.push_str(&format!("P{thread}"));
        let mut label = None;
        if self.tokens.eat(":") {
            let name = self.tokens.name()?;
            let known = self.threads[thread].code.iter().any(|l| l.labels.contains(&name));
            if !known {
                return Err(LitmusError::bad(line, format!("no label {name:?} in thread {thread}")));
            }
            text.push_str(&format!(":{name}"));
            label = Some(name);
        }
        let (mut address, mut kind) = (None, None);
        while self.tokens.eat(",") {
            let name = self.tokens.name()?;
            let joined = self.tokens.is(":") && matches!(name.as_str(), "MMU" | "D-MMU" | "I-MMU" | "GCS" | "PacCheck");
            if joined {
                self.tokens.expect(":")?;
                kind = Some(format!("{}:{}", name.trim_start_matches("D-"), self.tokens.name()?));
            } else if KINDS.contains(&name.as_str()) {
                kind = Some(name);
            } else if matches!(name.as_str(), "PTE" | "TTD") {
                self.tokens.expect("(")?;
                let inner = self.tokens.name()?;
                self.tokens.expect(")")?;
                address = Some(self.layout.address(line, &format!("pte_{inner}"))?);
            } else {
                address = Some(self.layout.address(line, &name)?);
            }
        }
        if let Some(kind) = &kind {
            text.push_str(&format!(",{kind}"));
            if !KINDS.contains(&kind.as_str()) {
                return Err(LitmusError::unsupported(line, format!("faults of kind {kind}")));
            }
        }
        self.tokens.expect(")")?;
        text.push(')');
        Ok(FaultAtom { thread: thread as u8, label, address, kind, text })
    }
}
