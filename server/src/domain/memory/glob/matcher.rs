//! Matches a path against a pattern in time bounded by the product of their lengths, whatever the pattern.
//!
//! The pattern is an automaton without a table: a position a piece, and all positions that are possible after a character are
//! kept at once (K. Thompson, "Regular expression search algorithm", 1968). Nothing is tried twice, so nothing explodes.

use super::Piece;

/// Where in the pattern the rest of a path may go on.
struct Positions {
    /// Each of them once, in no order.
    list: Vec<usize>,
    /// By position: whether the list has it.
    has: Vec<bool>,
}

impl Positions {
    fn new(pieces: &[Piece]) -> Self {
        Self { list: Vec::new(), has: vec![false; pieces.len() + 1] }
    }

    /// Adds `position`, and those behind it that it leads to without a character.
    fn arrive(&mut self, pieces: &[Piece], mut position: usize) {
        while self.add(position) && pieces.get(position).is_some_and(Piece::may_be_nothing) {
            position += 1;
        }
    }

    /// Whether it was not there before.
    fn add(&mut self, position: usize) -> bool {
        let is_new = !std::mem::replace(&mut self.has[position], true);
        if is_new {
            self.list.push(position);
        }
        is_new
    }

    fn clear(&mut self) {
        for position in self.list.drain(..) {
            self.has[position] = false;
        }
    }
}

/// Whether `pieces` describe the whole of `path`.
pub(super) fn matches(pieces: &[Piece], path: &str) -> bool {
    let mut now = Positions::new(pieces);
    let mut next = Positions::new(pieces);
    now.arrive(pieces, 0);
    for char in path.chars() {
        for &position in &now.list {
            let Some(piece) = pieces.get(position) else { continue };
            if piece.goes_on(char) {
                next.add(position);
            }
            if piece.ends_with(char) {
                next.arrive(pieces, position + 1);
            }
        }
        now.clear();
        std::mem::swap(&mut now, &mut next);
        if now.list.is_empty() {
            return false;
        }
    }
    now.has[pieces.len()]
}

impl Piece {
    /// Whether it also describes no character at all.
    fn may_be_nothing(&self) -> bool {
        matches!(self, Self::Star | Self::Stars | Self::Segments)
    }

    /// Whether `char` may be one of its characters with more of them to come.
    fn goes_on(&self, char: char) -> bool {
        match self {
            Self::Star => char != '/',
            Self::Stars | Self::Segments => true,
            Self::Literal(_) | Self::Any | Self::Class { .. } => false,
        }
    }

    /// Whether `char` may be the last of its characters.
    fn ends_with(&self, char: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == char,
            Self::Any | Self::Star => char != '/',
            Self::Stars => true,
            Self::Segments => char == '/',
            Self::Class { ranges, negated } => {
                let is_member = ranges.iter().any(|(from, to)| (*from..=*to).contains(&char));
                char != '/' && is_member != *negated
            }
        }
    }
}
