//! Where in a valid document's text a statement stands.

/// The line and the column, both from 1, of a statement's first character and of what follows its
/// last; none if there are fewer statements.
pub(super) fn of(text: &str, number: usize) -> Option<((i32, i32), (i32, i32))> {
    let mut scan = Scan::default();
    let (mut line, mut column) = (1, 0);
    let mut start = None;
    for c in text.chars() {
        column += 1;
        if c == '\n' {
            line += 1;
            column = 0;
        }
        match scan.step(c) {
            Edge::Begins if scan.seen == number + 1 => start = Some((line, column)),
            Edge::Ends if scan.seen == number + 1 => return Some((start?, (line, column + 1))),
            Edge::Begins | Edge::Ends | Edge::None => {}
        }
    }
    None
}

/// What a character does to statements.
enum Edge {
    Begins,
    Ends,
    None,
}

#[derive(Default)]
struct Scan {
    in_string: bool,
    escaped: bool,
    /// The text of the string that was last read at the top.
    last: String,
    /// What is open: braces and brackets.
    open: Vec<char>,
    in_statements: bool,
    /// How many statements began.
    seen: usize,
}

impl Scan {
    fn step(&mut self, c: char) -> Edge {
        if self.in_string {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.in_string = false,
                _ => {}
            }
            if self.in_string && self.open.len() == 1 {
                self.last.push(c);
            }
            return Edge::None;
        }
        match c {
            '"' => {
                self.in_string = true;
                self.last.clear();
            }
            ':' if self.open.len() == 1 => self.in_statements = self.last == "Statement",
            '{' | '[' => {
                self.open.push(c);
                return if c == '{' && self.is_statement() {
                    self.seen += 1;
                    Edge::Begins
                } else {
                    Edge::None
                };
            }
            '}' | ']' => {
                let ends = c == '}' && self.is_statement();
                self.open.pop();
                return if ends { Edge::Ends } else { Edge::None };
            }
            _ => {}
        }
        Edge::None
    }

    /// Whether the innermost object is a statement: the only one, or one of a list.
    fn is_statement(&self) -> bool {
        self.in_statements && matches!(self.open.as_slice(), ['{', '{'] | ['{', '[', '{'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_found_by_line_and_column() {
        let text = "{\"Id\": \"{\",\n \"Statement\": [{\"a\": {\"b\": \"}\"}},\n  {\"c\": 1}]}";
        assert_eq!(of(text, 0), Some(((2, 16), (2, 33))));
        assert_eq!(of(text, 1), Some(((3, 3), (3, 11))));
        assert_eq!(of(text, 2), None);
        assert_eq!(of("{\"Statement\":{\"a\":1}}", 0), Some(((1, 14), (1, 21))));
    }
}
