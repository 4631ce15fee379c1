//! Tokens of initial states and conditions.

use super::error::{LitmusError, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    Number(u64),
    Text(String),
    Mark(&'static str),
}

const MARKS: [&str; 25] = [
    "..", "/\\", "\\/", "=>", "!=", "==", "&&", "||", "|->", "?->", "(", ")", "[", "]", "{", "}", ",", ";", ":", "=",
    "~", "&", "*", "+", "|",
];

/// Tokens with the line each stands on.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    list: Vec<(usize, Token)>,
    at: usize,
    last_line: usize,
}

fn number(word: &str) -> Option<u64> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |d| (true, d));
    let digits = digits.replace('_', "");
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if let Some(bits) = digits.strip_prefix("0b") {
        u64::from_str_radix(bits, 2)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        u64::from_str_radix(octal, 8)
    } else {
        digits.parse()
    };
    value.ok().map(|v| if negative { v.wrapping_neg() } else { v })
}

pub(super) fn parse_number(word: &str) -> Option<u64> {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '-').then(|| number(word)).flatten()
}

fn part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

impl Tokens {
    pub(super) fn new(text: &str, first_line: usize) -> Result<Tokens> {
        let mut list = Vec::new();
        let mut line = first_line;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '\n' {
                line += 1;
                rest = &rest[1..];
            } else if c.is_whitespace() {
                rest = &rest[c.len_utf8()..];
            } else if c == '"' {
                let body = &rest[1..];
                let Some(end) = body.find('"') else { return Err(LitmusError::bad(line, "a string without an end")) };
                list.push((line, Token::Text(body[..end].to_owned())));
                rest = &body[end + 1..];
            } else if let Some(mark) = MARKS.iter().find(|m| rest.starts_with(**m)) {
                list.push((line, Token::Mark(mark)));
                rest = &rest[mark.len()..];
            } else if part_of_name(c) || c == '-' || c == '%' {
                let skip = c.len_utf8();
                let end = rest[skip..].find(|c: char| !part_of_name(c)).map_or(rest.len(), |i| i + skip);
                let end = rest[..end].find("..").unwrap_or(end);
                // Memory attributes have a hyphen in their names.
                let hyphen = rest[..end].starts_with(|c: char| c.is_alphabetic())
                    && rest[end..].starts_with('-')
                    && rest[end + 1..].starts_with(|c: char| c.is_alphabetic());
                let end = if hyphen {
                    let from = end + 1;
                    rest[from..].find(|c: char| !part_of_name(c) && c != '-').map_or(rest.len(), |i| i + from)
                } else {
                    end
                };
                let word = &rest[..end];
                let token = match parse_number(word) {
                    Some(value) => Token::Number(value),
                    None if c.is_ascii_digit() || c == '-' => {
                        return Err(LitmusError::bad(line, format!("{word:?} is no number")));
                    }
                    None => Token::Name(word.to_owned()),
                };
                list.push((line, token));
                rest = &rest[end..];
            } else {
                return Err(LitmusError::bad(line, format!("unexpected character {c:?}")));
            }
        }
        Ok(Tokens { list, at: 0, last_line: line })
    }

    pub(super) fn line(&self) -> usize {
        self.list.get(self.at).map_or(self.last_line, |t| t.0)
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.list.get(self.at).map(|t| &t.1)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.list.get(self.at + ahead).map(|t| &t.1)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.list.get(self.at).map(|t| t.1.clone());
        self.at += 1;
        token
    }

    pub(super) fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Some(Token::Mark(m)) if *m == mark)
    }

    /// Takes a mark that may be there.
    pub(super) fn eat(&mut self, mark: &str) -> bool {
        let found = self.is(mark);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes a word that may be there.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(w)) if w == word);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, mark: &str) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.wrong(&format!("{mark:?}"))) }
    }

    pub(super) fn name(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.wrong("a name")),
        }
    }

    /// What has been taken since `begin`, as one word.
    pub(super) fn since(&self, begin: &Tokens) -> String {
        let taken = &self.list[begin.at.min(self.list.len())..self.at.min(self.list.len())];
        taken
            .iter()
            .map(|(_, token)| match token {
                Token::Name(name) => name.clone(),
                Token::Number(number) => number.to_string(),
                Token::Text(text) => text.clone(),
                Token::Mark(mark) => (*mark).to_owned(),
            })
            .collect()
    }

    pub(super) fn wrong(&self, expected: &str) -> LitmusError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Name(n)) => format!("{n:?}"),
            Some(Token::Number(n)) => format!("{n}"),
            Some(Token::Text(t)) => format!("{t:?}"),
            Some(Token::Mark(m)) => format!("{m:?}"),
        };
        LitmusError::bad(self.line(), format!("expected {expected}, found {found}"))
    }
}
