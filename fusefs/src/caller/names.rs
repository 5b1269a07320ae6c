//! The components still to be walked.

use std::borrow::Cow;

/// The components of a path, with the bodies of links put in where the links
/// stood.
pub(super) struct Names<'a> {
    /// Texts and how far each has been walked; the last one goes first.
    texts: Vec<(Cow<'a, [u8]>, usize)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(path: &'a [u8]) -> Self {
        Self { texts: vec![(Cow::Borrowed(path), 0)] }
    }

    /// Walk `body` before the rest.
    pub(super) fn insert(&mut self, body: Vec<u8>) {
        self.texts.push((Cow::Owned(body), 0));
    }

    /// The next component; never empty.
    pub(super) fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        while let Some((text, walked)) = self.texts.last_mut() {
            let rest = &text[*walked..];
            let Some(start) = rest.iter().position(|&byte| byte != b'/') else {
                self.texts.pop();
                continue;
            };
            let start = *walked + start;
            let length = text[start..].iter().position(|&byte| byte == b'/').unwrap_or(text.len() - start);
            *walked = start + length;
            return Some(match text {
                Cow::Borrowed(text) => Cow::Borrowed(&text[start..start + length]),
                Cow::Owned(text) => Cow::Owned(text[start..start + length].to_vec()),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Names;

    fn all(mut names: Names<'_>) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| names.next()).map(Cow::into_owned).collect()
    }

    #[test]
    fn slashes_only_separate() {
        assert_eq!(all(Names::new(b"//a///b/./../c//")), [&b"a"[..], b"b", b".", b"..", b"c"]);
        assert!(all(Names::new(b"/")).is_empty());
        assert!(all(Names::new(b"")).is_empty());
    }

    #[test]
    fn a_link_goes_before_the_rest() {
        let mut names = Names::new(b"link/end");
        assert_eq!(names.next().as_deref(), Some(&b"link"[..]));
        names.insert(b"../x/".to_vec());
        assert_eq!(all(names), [&b".."[..], b"x", b"end"]);
    }
}
