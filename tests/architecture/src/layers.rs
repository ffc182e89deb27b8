//! Reads `layers.txt`: which module may use which.

/// Where it stands, for messages.
pub(crate) const FILE: &str = "tests/architecture/layers.txt";

/// All that the file says.
#[derive(Debug)]
pub struct Layers {
    /// One chapter a crate.
    pub crates: Vec<Crate>,
}

/// The chapter of a crate.
#[derive(Debug, Default)]
pub struct Crate {
    /// The folder of its sources.
    pub folder: String,
    /// Crates of others whose use is an arrow too. Our own always are.
    pub watched: Vec<String>,
    /// What each module may use.
    pub modules: Vec<Module>,
    /// What no line may allow.
    pub rules: Vec<Rule>,
}

/// The line of a module.
#[derive(Debug)]
pub struct Module {
    /// Its path, such as `store` or `store/search`. What lies below belongs to it, unless it has a line of its own.
    pub name: String,
    /// What it may use.
    pub uses: Vec<String>,
    /// Where the line stands.
    pub line: usize,
}

/// A `never` or an `only`.
#[derive(Debug)]
pub struct Rule {
    /// `never`: these may not use the targets; `only`: nobody else may.
    never: bool,
    users: Vec<String>,
    targets: Vec<String>,
    text: String,
}

impl Layers {
    /// Reads the file's text.
    ///
    /// # Errors
    /// A sentence that names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut crates: Vec<Crate> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.split('#').next().unwrap_or_default().trim());
            if line.is_empty() {
                continue;
            }
            if let Some(folder) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                crates.push(Crate { folder: folder.to_owned(), ..Crate::default() });
                continue;
            }
            let Some(krate) = crates.last_mut() else {
                return Err(format!(
                    "{FILE}:{number}: begin a chapter first, such as [server/src]"
                ));
            };
            krate.add(number, line)?;
        }
        crates.iter().try_for_each(Crate::check)?;
        Ok(Self { crates })
    }
}

impl Crate {
    fn add(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(watched) = line.strip_prefix("watch ").filter(|_| !line.contains("->")) {
            self.watched.extend(words(watched));
            return Ok(());
        }
        let Some((left, right)) = line.split_once("->") else {
            return Err(format!("{FILE}:{number}: write `module -> what it may use`"));
        };
        let (left, right) = (words(left), words(right));
        match left.as_slice() {
            [rule, users @ ..] if (rule == "never" || rule == "only") && !users.is_empty() => {
                let (users, text) = (users.to_vec(), line.to_owned());
                self.rules.push(Rule { never: rule == "never", users, targets: right, text });
            }
            [name] if self.modules.iter().any(|module| module.name == *name) => {
                return Err(format!("{FILE}:{number}: {name} has two lines; make them one"));
            }
            [name] => self.modules.push(Module { name: name.clone(), uses: right, line: number }),
            _ => return Err(format!("{FILE}:{number}: write one module before the arrow")),
        }
        Ok(())
    }

    /// Whether a line allows what a rule forbids.
    fn check(&self) -> Result<(), String> {
        for module in &self.modules {
            for target in &module.uses {
                if let Some(rule) = self.forbids(&module.name, target) {
                    let (line, name) = (module.line, &module.name);
                    return Err(format!(
                        "{FILE}:{line}: `{name} -> {target}` is forbidden by `{rule}`"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The rule that forbids an arrow. What stays within the modules of the rule is free.
    pub fn forbids(&self, from: &str, to: &str) -> Option<&str> {
        let any = |names: &[String], module| names.iter().any(|name| self.is_within(module, name));
        let broken = |rule: &&Rule| {
            let (user, target) = (any(&rule.users, from), any(&rule.targets, to));
            let inner = if rule.never { any(&rule.users, to) } else { any(&rule.targets, from) };
            target && user == rule.never && !inner
        };
        self.rules.iter().find(broken).map(|rule| rule.text.as_str())
    }

    /// The line of a module, or of the nearest one around it.
    pub fn module(&self, path: &[String]) -> Option<&Module> {
        let path = path.join("/");
        let around = self.modules.iter().filter(|module| self.is_within(&path, &module.name));
        around.max_by_key(|module| module.name.len())
    }

    /// Whether a module is the other one or lies below it; `*` is around all modules of this crate.
    fn is_within(&self, module: &str, around: &str) -> bool {
        if around == "*" {
            return !module.starts_with("agentfs_")
                && !self.watched.iter().any(|name| name == module);
        }
        module.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
