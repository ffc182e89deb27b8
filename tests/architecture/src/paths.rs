//! Finds the paths in a source: imports, and what is named by its path in code, types, attributes and macros' arguments.

use std::iter::Peekable;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// A path that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// From the crate's root on, `crate` left out; of another crate, its name first.
    pub(crate) path: Vec<String>,
    /// Whether it begins with another crate's name.
    pub(crate) foreign: bool,
    /// The line where it begins.
    pub(crate) line: usize,
}

/// What is known of the module that is read.
struct Scope<'a> {
    /// Its path from the root of the crate.
    module: Vec<String>,
    /// Modules that are declared in it: a path may begin with their names.
    children: Vec<String>,
    /// The crate's own name, as its binary says it.
    own: &'a str,
    /// Other crates that are looked for.
    crates: &'a [String],
}

/// The paths that the source of a module names.
pub(crate) fn named(
    source: TokenStream,
    module: Vec<String>,
    own: &str,
    crates: &[String],
) -> Vec<Named> {
    let children = declared(source.clone());
    let mut found = Vec::new();
    Scope { module, children, own, crates }.read(source, Delimiter::None, &mut found);
    found
}

/// The modules that are declared at the top of a source.
fn declared(source: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut tokens = source.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_word(&token, "mod")
            && let Some(TokenTree::Ident(name)) = tokens.peek()
        {
            names.push(name.to_string());
        }
    }
    names
}

impl Scope<'_> {
    fn read(&self, tokens: TokenStream, within: Delimiter, found: &mut Vec<Named>) {
        let mut tokens = tokens.into_iter().peekable();
        // The token before, and whether it ends a `::` that no path has taken.
        let (mut before, mut colons): (Option<TokenTree>, bool) = (None, false);
        while let Some(token) = tokens.next() {
            match &token {
                TokenTree::Group(group) => self.read(group.stream(), group.delimiter(), found),
                TokenTree::Ident(word) if word == "mod" => {
                    self.module(&mut tokens, found);
                }
                // `pub(in path)` says who may see it: that is no use of the path.
                TokenTree::Ident(word)
                    if word == "in" && before.is_none() && within == Delimiter::Parenthesis =>
                {
                    return;
                }
                // `use<'a>` says what a type captures.
                TokenTree::Ident(word)
                    if word == "use" && !tokens.peek().is_some_and(|next| is_sign(next, '<')) =>
                {
                    while tokens.next_if(|token| is_sign(token, ':')).is_some() {}
                    self.import(&mut tokens, &[], found);
                }
                TokenTree::Ident(_) if !colons && !goes_on(before.as_ref()) => {
                    let line = token.span().start().line;
                    let mut path = vec![token.to_string()];
                    while separator(&mut tokens) {
                        match tokens.peek() {
                            Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
                            _ => break,
                        }
                        tokens.next();
                    }
                    self.add(&path, line, false, found);
                }
                _ => {}
            }
            let colon = |token: &TokenTree| is_sign(token, ':');
            colons = colon(&token) && before.as_ref().is_some_and(colon);
            before = Some(token);
        }
    }

    /// What follows `mod`: a name, and the module where it stands right there.
    fn module(&self, tokens: &mut Peekable<token_stream::IntoIter>, found: &mut Vec<Named>) {
        let Some(TokenTree::Ident(name)) = tokens.next() else { return };
        if let Some(TokenTree::Group(group)) = tokens.peek()
            && group.delimiter() == Delimiter::Brace
        {
            let source = group.stream();
            let module = [self.module.as_slice(), &[name.to_string()]].concat();
            let children = declared(source.clone());
            Scope { module, children, ..*self }.read(source, Delimiter::Brace, found);
            tokens.next();
        }
    }

    /// One tree of an import, up to the comma or semicolon behind it.
    fn import(
        &self,
        tokens: &mut Peekable<token_stream::IntoIter>,
        around: &[String],
        found: &mut Vec<Named>,
    ) {
        let mut path = around.to_vec();
        let mut line = 0;
        for token in tokens.by_ref() {
            match token {
                TokenTree::Ident(ref word) if word == "as" => {}
                TokenTree::Ident(word) => {
                    // A name behind `as` is not part of the path, but does no harm at its end.
                    line = word.span().start().line;
                    path.push(word.to_string());
                }
                TokenTree::Group(group) => {
                    let mut inner = group.stream().into_iter().peekable();
                    while inner.peek().is_some() {
                        self.import(&mut inner, &path, found);
                    }
                    path.clear();
                }
                TokenTree::Punct(sign) if ",;".contains(sign.as_char()) => break,
                other => line = other.span().start().line,
            }
        }
        if !path.is_empty() {
            self.add(&path, line, true, found);
        }
    }

    fn add(&self, path: &[String], line: usize, import: bool, found: &mut Vec<Named>) {
        let Some(first) = path.first() else { return };
        let is_first = |name: &String| name == first;
        let ours = first.starts_with("agentfs_") && first != self.own;
        let foreign = ours || self.crates.iter().any(is_first);
        let up = path.iter().take_while(|segment| ["self", "super"].contains(&segment.as_str()));
        let (up, supers) = up.fold((0, 0), |(all, supers), segment| {
            (all + 1, supers + usize::from(segment == "super"))
        });
        let (base, rest) = if first == "crate" || first == self.own {
            (&[][..], &path[1..])
        } else if up > 0 {
            let kept = self.module.len().saturating_sub(supers);
            (&self.module[..kept], &path[up..])
        } else if foreign {
            (&[][..], path)
        } else if self.children.iter().any(is_first) {
            (self.module.as_slice(), path)
        } else {
            return;
        };
        // A bare `crate` or `super` is a visibility, a bare `self` a value, and other bare names are not these modules.
        let alone = if up > 0 || first == "crate" { rest.is_empty() } else { path.len() == 1 };
        if import || !alone {
            found.push(Named { path: [base, rest].concat(), foreign, line });
        }
    }
}

/// Whether what comes behind such a token is no path's beginning: `a.b`, or a lifetime.
fn goes_on(before: Option<&TokenTree>) -> bool {
    before.is_some_and(|token| ['.', '\''].iter().any(|sign| is_sign(token, *sign)))
}

/// Takes a `::`, if it is there.
fn separator(tokens: &mut Peekable<token_stream::IntoIter>) -> bool {
    let mut ahead = tokens.clone();
    let there = ahead.next().is_some_and(|token| is_sign(&token, ':'))
        && ahead.next().is_some_and(|token| is_sign(&token, ':'));
    if there {
        *tokens = ahead;
    }
    there
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}
