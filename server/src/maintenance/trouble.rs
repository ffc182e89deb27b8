//! Says a failure that lasts once, and not each time.

/// Logs an ongoing failure once: a database that is away stays so for many sweeps.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failing: bool,
}

impl Trouble {
    pub(super) fn is_news(&mut self, failed: bool) -> bool {
        !std::mem::replace(&mut self.failing, failed) && failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_until_it_is_over() {
        let mut trouble = Trouble::default();
        let sweeps = [false, true, true, true, false, true];
        let news = sweeps.map(|failed| trouble.is_news(failed));
        assert_eq!(news, [false, true, false, false, false, true]);
    }
}
