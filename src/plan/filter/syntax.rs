//! The text of a condition: tokens, and the tree they form.

use std::fmt;

/// Conditions nest at most so deep, so that no text exhausts the stack.
const DEPTH_MAX: usize = 100;

/// At most so many comparisons are joined, for the same reason; `in` takes any number of values.
const CONDITIONS_MAX: usize = 2_000;

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// Where in the text, in bytes from its start.
    pub offset: usize,
    /// What is wrong there.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.offset + 1, self.message)
    }
}

impl std::error::Error for FilterError {}

/// A condition as a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    IsNull(String),
    Compare(String, Comparison, Operand),
    In(String, Vec<Literal>),
}

/// What stands to the right of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Column(String),
    Literal(Literal),
}

/// A constant, as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(String),
    Boolean(bool),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The operator with its sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// Whether it holds for sides that are so ordered.
    pub(super) fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Expression {
    pub(super) fn columns<'a>(&'a self, into: &mut Vec<&'a str>) {
        let mut add = |name: &'a str| {
            if !into.contains(&name) {
                into.push(name);
            }
        };
        match self {
            Self::And(a, b) | Self::Or(a, b) => {
                a.columns(into);
                b.columns(into);
            }
            Self::Not(a) => a.columns(into),
            Self::IsNull(column) | Self::In(column, _) => add(column),
            Self::Compare(column, _, operand) => {
                add(column);
                if let Operand::Column(other) = operand {
                    add(other);
                }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A bare word: a column or a keyword.
    Word(String),
    /// A name in double quotes.
    Name(String),
    Text(String),
    Number(String),
    Operator(Comparison),
    Open,
    Close,
    Comma,
    End,
}

impl Token {
    fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn shown(&self) -> String {
        match self {
            Self::Word(word) | Self::Number(word) => word.clone(),
            Self::Name(name) => format!("{name:?}"),
            Self::Text(text) => format!("'{text}'"),
            Self::Operator(_) => "an operator".to_owned(),
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::Comma => ",".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = token(text, at, first)?;
        tokens.push((at, token));
        at += length;
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

/// The token that begins at `at`, and its length.
fn token(text: &str, at: usize, first: char) -> Result<(Token, usize), FilterError> {
    let rest = &text[at..];
    let fail =
        |message: String, hint: &str| Err(FilterError { offset: at, message, hint: Some(hint.to_owned()) });
    let operator = |comparison, length| Ok((Token::Operator(comparison), length));
    match first {
        '(' => Ok((Token::Open, 1)),
        ')' => Ok((Token::Close, 1)),
        ',' => Ok((Token::Comma, 1)),
        '\'' | '"' => match quoted(rest, first) {
            Some((content, length)) if first == '"' => Ok((Token::Name(content), length)),
            Some((content, length)) => Ok((Token::Text(content), length)),
            None => fail(format!("no {first} ends this"), "write a quote inside quoted text twice"),
        },
        '=' if rest.starts_with("==") => fail("expected =, found ==".to_owned(), "one = compares"),
        '=' => operator(Comparison::Equal, 1),
        '<' if rest.starts_with("<=") => operator(Comparison::LessOrEqual, 2),
        '<' if rest.starts_with("<>") => operator(Comparison::NotEqual, 2),
        '<' => operator(Comparison::Less, 1),
        '>' if rest.starts_with(">=") => operator(Comparison::GreaterOrEqual, 2),
        '>' => operator(Comparison::Greater, 1),
        '!' if rest.starts_with("!=") => operator(Comparison::NotEqual, 2),
        c if c.is_ascii_digit() || "+-.".contains(c) => number(rest, at),
        c if c.is_alphabetic() || c == '_' => {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || "_.$".contains(c))).unwrap_or(rest.len());
            Ok((Token::Word(rest[..end].to_owned()), end))
        }
        c => fail(
            format!("unexpected {c:?}"),
            "put names of columns that are not plain words in double quotes",
        ),
    }
}

/// The content of quoted text at the start of `rest`, and its length with quotes.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            content.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, at + quote.len_utf8()));
        }
    }
    None
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), FilterError> {
    let mut end = 0;
    for (i, c) in rest.char_indices() {
        let after_exponent = i > 0 && matches!(rest.as_bytes()[i - 1], b'e' | b'E');
        let sign = "+-".contains(c) && (i == 0 || after_exponent);
        if !(sign || c == '.' || c.is_alphanumeric()) {
            break;
        }
        end = i + c.len_utf8();
    }
    let text = &rest[..end];
    if super::exact::ExactNumber::parse(text).is_some() {
        return Ok((Token::Number(text.to_owned()), end));
    }
    let message = format!("{text} is not a number");
    Err(FilterError { offset: at, message, hint: Some("put text in single quotes".to_owned()) })
}

/// Reads a whole condition.
pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, conditions: 0 };
    let expression = parser.or()?;
    if *parser.peek() == Token::End { Ok(expression) } else { Err(parser.expected("and, or, or the end")) }
}

struct Parser {
    /// Ends with [`Token::End`], which is never taken.
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    conditions: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_word(keyword);
        if found {
            self.next += 1;
        }
        found
    }

    fn take_exactly(&mut self, token: &Token, what: &str) -> Result<(), FilterError> {
        if self.peek() == token {
            self.next += 1;
            return Ok(());
        }
        Err(self.expected(what))
    }

    fn expected(&self, what: &str) -> FilterError {
        let (offset, token) = &self.tokens[self.next];
        FilterError {
            offset: *offset,
            message: format!("expected {what}, found {}", token.shown()),
            hint: None,
        }
    }

    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.and()?;
        while self.take_word("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.not()?;
        while self.take_word("and") {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.expected(&format!("at most {DEPTH_MAX} levels of parentheses and not")));
        }
        let expression = if self.take_word("not") {
            Expression::Not(Box::new(self.not()?))
        } else if *self.peek() == Token::Open {
            self.next += 1;
            let inner = self.or()?;
            self.take_exactly(&Token::Close, ")")?;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn condition(&mut self) -> Result<Expression, FilterError> {
        let start = self.next;
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return Err(
                self.expected(&format!("at most {CONDITIONS_MAX} comparisons, with `in` for many values"))
            );
        }
        let left = self.operand()?;
        let column = match &left {
            Operand::Column(column) => Some(column.clone()),
            Operand::Literal(_) => None,
        };
        match (self.take(), column) {
            (Token::Operator(comparison), _) => {
                let right = self.operand()?;
                self.comparison(start, left, comparison, right)
            }
            (token, Some(column)) if token.is_word("is") => {
                let negated = self.take_word("not");
                if !self.take_word("null") {
                    return Err(self.expected("null"));
                }
                Ok(negate(Expression::IsNull(column), negated))
            }
            (token, Some(column)) if token.is_word("in") => self.list(column),
            (token, Some(column)) if token.is_word("not") && self.take_word("in") => {
                Ok(negate(self.list(column)?, true))
            }
            _ => {
                self.next = (start + 1).min(self.tokens.len() - 1);
                Err(self.expected("an operator such as =, <>, <, in or is null"))
            }
        }
    }

    /// A comparison with the column on the left.
    fn comparison(
        &self,
        start: usize,
        left: Operand,
        comparison: Comparison,
        right: Operand,
    ) -> Result<Expression, FilterError> {
        match (left, right) {
            (Operand::Column(column), right) => Ok(Expression::Compare(column, comparison, right)),
            (literal, Operand::Column(column)) => {
                Ok(Expression::Compare(column, comparison.mirrored(), literal))
            }
            _ => Err(FilterError {
                offset: self.tokens[start].0,
                message: "a comparison names at least one column".to_owned(),
                hint: Some("columns stand bare or in double quotes, text in single quotes".to_owned()),
            }),
        }
    }

    fn list(&mut self, column: String) -> Result<Expression, FilterError> {
        self.take_exactly(&Token::Open, "(")?;
        let mut literals = Vec::new();
        loop {
            match self.operand()? {
                Operand::Literal(literal) => literals.push(literal),
                Operand::Column(_) => {
                    self.next -= 1;
                    return Err(self.expected("text in single quotes or a number"));
                }
            }
            if self.take_exactly(&Token::Comma, ",").is_err() {
                break;
            }
        }
        self.take_exactly(&Token::Close, ", or )")?;
        Ok(Expression::In(column, literals))
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        let operand = match self.peek().clone() {
            Token::Name(name) => Operand::Column(name),
            Token::Text(text) => Operand::Literal(Literal::Text(text)),
            Token::Number(number) => Operand::Literal(Literal::Number(number)),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Operand::Literal(Literal::Boolean(true)),
                "false" => Operand::Literal(Literal::Boolean(false)),
                "null" => {
                    let mut error = self.expected("a column or a value");
                    error.hint = Some("compare with null by `is null` or `is not null`".to_owned());
                    return Err(error);
                }
                "and" | "or" | "not" | "in" | "is" => return Err(self.expected("a column or a value")),
                "date" | "timestamp" | "time" if matches!(self.tokens[self.next + 1].1, Token::Text(_)) => {
                    self.next += 1;
                    return self.operand();
                }
                _ => Operand::Column(word),
            },
            _ => return Err(self.expected("a column or a value")),
        };
        self.next += 1;
        Ok(operand)
    }
}

fn negate(expression: Expression, negated: bool) -> Expression {
    if negated { Expression::Not(Box::new(expression)) } else { expression }
}
