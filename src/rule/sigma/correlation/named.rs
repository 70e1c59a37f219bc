//! Extended conditions: names of rules joined by `and`, `or` and `not`.

use super::super::super::spec::correlate::Named;
use super::super::super::suggest::nearest;
use super::super::super::yaml::{Entry, Node, inside};
use super::super::Word;
use super::Reading;

/// Parentheses of an extended condition inside each other.
const MAX_DEPTH: usize = 16;
/// Words of an extended condition.
const MAX_WORDS: usize = 500;

/// The rules that an extended condition names, where there is no list of them.
pub(in crate::rule::sigma) fn named_rules(source: &str, entries: &[Entry]) -> Vec<Word> {
    let condition = entries.iter().find(|entry| entry.key.text == "condition");
    let Some((node, text)) = condition.and_then(|entry| Some((&entry.value, &entry.value.scalar()?.text)))
    else {
        return Vec::new();
    };
    let mut words: Vec<Word> = Vec::new();
    for (at, word) in split(text) {
        if !is_operator(word) && words.iter().all(|other| other.text != word) {
            words.push(Word { text: word.to_owned(), span: inside(source, node, at, at + word.len()) });
        }
    }
    words
}

impl Reading<'_> {
    /// An extended condition.
    pub(super) fn named(&mut self, node: &Node) -> Option<Named> {
        let text = node.scalar().map_or(String::new(), |scalar| scalar.text.clone());
        let names: Vec<String> = self.section.rules.iter().map(|word| word.text.clone()).collect();
        let words = split(&text);
        let source = self.problems.source.clone();
        if words.is_empty() || words.len() > MAX_WORDS {
            let message = if words.is_empty() {
                "the condition is empty".to_owned()
            } else {
                format!("the condition has more than {MAX_WORDS} words")
            };
            self.fault(node.span, message, "join names of rules with `and`, `or` and `not`");
            return None;
        }
        let mut parser = Parser { words, at: 0, depth: 0, names: &names, used: vec![false; names.len()] };
        let named = parser.any().and_then(|named| {
            if parser.at < parser.words.len() { Err(parser.unexpected()) } else { Ok(named) }
        });
        let used = parser.used.clone();
        match named {
            Ok(named) => {
                let section = self.section;
                for (word, _) in section.rules.iter().zip(used).filter(|(_, used)| !used) {
                    let message = format!("the condition does not name `{}`", word.text);
                    self.problems.warn(word.span, message, "name it, or take it out of `rules`");
                }
                Some(named)
            }
            Err((word, message, hint)) => {
                let (at, end) =
                    parser.words.get(word).map_or((0, text.len()), |(at, word)| (*at, at + word.len()));
                self.fault(inside(&source, node, at, end), message, hint);
                None
            }
        }
    }
}

/// Words and parentheses with the byte where each begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        let parenthesis = matches!(c, '(' | ')');
        if parenthesis || c.is_whitespace() {
            words.extend(start.take().map(|start| (start, &text[start..at])));
        } else if start.is_none() {
            start = Some(at);
        }
        if parenthesis {
            words.push((at, &text[at..=at]));
        }
    }
    words.extend(start.map(|start| (start, &text[start..])));
    words
}

fn is_operator(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "(" | ")")
}

/// What is wrong with which word, and the way out.
type Wrong = (usize, String, String);

/// Reads an extended condition: `not` binds closest, then `and`, then `or`.
struct Parser<'t> {
    words: Vec<(usize, &'t str)>,
    at: usize,
    depth: usize,
    names: &'t [String],
    used: Vec<bool>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(|(_, word)| *word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Named, Wrong> {
        let mut parts = vec![self.all()?];
        while self.eat("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Named::Any(parts) })
    }

    fn all(&mut self) -> Result<Named, Wrong> {
        let mut parts = vec![self.not()?];
        while self.eat("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Named::All(parts) })
    }

    fn not(&mut self) -> Result<Named, Wrong> {
        let mut negated = false;
        while self.eat("not") {
            negated = !negated;
        }
        let part = self.atom()?;
        Ok(if negated { Named::Not(Box::new(part)) } else { part })
    }

    fn atom(&mut self) -> Result<Named, Wrong> {
        let open = self.at;
        if self.eat("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                let message = format!("parentheses are more than {MAX_DEPTH} deep");
                return Err((open, message, "make a correlation of a part, and refer to it".to_owned()));
            }
            let part = self.any()?;
            if !self.eat(")") {
                return Err((open, "this `(` is never closed".to_owned(), "add `)`".to_owned()));
            }
            self.depth -= 1;
            return Ok(part);
        }
        let Some(word) = self.peek().filter(|word| !is_operator(word)) else { return Err(self.unexpected()) };
        let Some(number) = self.names.iter().position(|name| name == word) else {
            let hint = match (word, nearest(word, self.names.iter().map(String::as_str))) {
                ("AND" | "OR" | "NOT" | "&&" | "||" | "!", _) => {
                    "the words are `and`, `or` and `not`".to_owned()
                }
                (_, Some(near)) => format!("did you mean `{near}`?"),
                (_, None) => "name it in `rules`".to_owned(),
            };
            return Err((self.at, format!("the condition names `{word}`, which is not in `rules`"), hint));
        };
        self.used[number] = true;
        self.at += 1;
        Ok(Named::Rule(number))
    }

    fn unexpected(&self) -> Wrong {
        match self.peek() {
            Some(word) => {
                let hint = match word {
                    "AND" | "OR" | "NOT" | "&&" | "||" | "!" => "the words are `and`, `or` and `not`",
                    _ => "join names of rules with `and` or `or`, and close what you open",
                };
                (self.at, format!("`{word}` cannot stand here"), hint.to_owned())
            }
            None => (
                self.words.len().saturating_sub(1),
                "the condition stops too early".to_owned(),
                "a name of a rule is missing at its end".to_owned(),
            ),
        }
    }
}
