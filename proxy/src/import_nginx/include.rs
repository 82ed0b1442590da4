//! A configuration with its `include`s, as one tree.
//!
//! As in Nginx, relative paths start at the directory of the main file and a pattern that matches nothing is
//! fine. A tree copied from another machine still names `/etc/nginx/`: such files are looked for beside the
//! main one first, and one that is nowhere is listed, for the rest is worth having.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::ImportError;
use super::losses::Losses;
use super::read::{self, Directive};

pub(super) const DEPTH_MAX: usize = 16;
pub(super) const FILES_MAX: usize = 1000;
/// Directives that name a file for the proxy to read.
const OF_FILES: [&str; 3] = ["ssl_certificate", "ssl_certificate_key", "proxy_ssl_trusted_certificate"];
const USUAL_PREFIX: &str = "/etc/nginx";

struct Reader<'a> {
    prefix: &'a Path,
    files: usize,
    losses: &'a Losses,
}

/// The directives of a main file, includes resolved.
pub(super) fn read(path: &Path, losses: &Losses) -> Result<Vec<Directive>, ImportError> {
    let prefix = path.parent().unwrap_or_else(|| Path::new(""));
    Reader { prefix, files: 0, losses }.file(path, 0)
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Directive>, ImportError> {
        let name: Rc<str> = path.display().to_string().into();
        let bytes =
            fs::read(path).map_err(|source| ImportError::Unreadable { path: name.to_string(), source })?;
        let directives = read::parse(&String::from_utf8_lossy(&bytes), &name, self.files)?;
        self.files += 1;
        self.resolve(directives, depth)
    }

    fn resolve(&mut self, found: Vec<Directive>, depth: usize) -> Result<Vec<Directive>, ImportError> {
        let mut resolved = Vec::with_capacity(found.len());
        for mut directive in found {
            if directive.name == "include" && directive.block.is_none() {
                resolved.extend(self.included(&directive, depth)?);
                continue;
            }
            self.place(&mut directive);
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.resolve(block, depth)?);
            }
            resolved.push(directive);
        }
        Ok(resolved)
    }

    fn included(&mut self, directive: &Directive, depth: usize) -> Result<Vec<Directive>, ImportError> {
        let paths = self.matches(directive.first());
        if paths.is_empty() && !is_pattern(directive.first()) {
            self.losses.add(directive, "the file is not there: copy it beside nginx.conf and import again");
        }
        if depth >= DEPTH_MAX || self.files + paths.len() > FILES_MAX {
            let path = directive.at.file.to_string();
            return Err(ImportError::TooManyIncludes { path, line: directive.at.line });
        }
        let mut directives = Vec::new();
        for path in paths {
            directives.extend(self.file(&path, depth + 1)?);
        }
        Ok(directives)
    }

    /// Certificates are named relative to the main file, too.
    fn place(&self, directive: &mut Directive) {
        if !OF_FILES.contains(&directive.name.as_str()) {
            return;
        }
        if let Some(path) = directive.args.first_mut().filter(|path| !path.contains(['$', ':'])) {
            *path = self.prefix.join(&*path).display().to_string();
        }
    }

    fn matches(&self, pattern: &str) -> Vec<PathBuf> {
        let inside = Path::new(pattern).strip_prefix(USUAL_PREFIX);
        let beside = inside.map(|inside| glob(&self.prefix.join(inside))).unwrap_or_default();
        if beside.is_empty() { glob(&self.prefix.join(pattern)) } else { beside }
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The existing files that a path with `*`, `?` and `[a-z]` names, sorted by name.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        found = found.iter().flat_map(|directory| step(directory, component)).collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn step(directory: &Path, component: Component<'_>) -> Vec<PathBuf> {
    let text = component.as_os_str().to_string_lossy();
    if !is_pattern(&text) {
        return vec![directory.join(component)];
    }
    let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let wanted: Vec<char> = text.chars().collect();
    let hidden = |name: &str| name.starts_with('.') && !text.starts_with('.');
    let mut names: Vec<String> =
        names.filter(|name| !hidden(name) && fits(&wanted, &name.chars().collect::<Vec<_>>())).collect();
    names.sort();
    names.iter().map(|name| directory.join(name)).collect()
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|taken| fits(rest, &name[taken..])),
        (['?', rest @ ..], [_, name @ ..]) => fits(rest, name),
        (['[', rest @ ..], [first, name @ ..]) => class(rest, *first).is_some_and(|rest| fits(rest, name)),
        ([wanted, rest @ ..], [first, name @ ..]) => wanted == first && fits(rest, name),
        _ => false,
    }
}

/// What follows `[…]` when the character is one of it.
fn class(pattern: &[char], char: char) -> Option<&[char]> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let start = usize::from(negated);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|char| *char == ']')?;
    let mut set = &pattern[start..end];
    let mut inside = false;
    while let [first, rest @ ..] = set {
        set = rest;
        match set {
            ['-', last, rest @ ..] => {
                inside |= (*first..=*last).contains(&char);
                set = rest;
            }
            _ => inside |= *first == char,
        }
    }
    (inside != negated).then(|| &pattern[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name) in
            [("*.conf", "a.conf"), ("*", ""), ("a?c", "abc"), ("[a-c]*", "bx"), ("[!a]", "b")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.conf~"), ("a?c", "ac"), ("[a-c]", "d"), ("[!a]", "a"), ("[", "[")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn includes_are_sorted_nested_and_relative_to_the_main_file() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        put("sites/b", "b 1;");
        put("sites/a", "a 1;\ninclude more/x.conf;");
        put("more/x.conf", "x 1;");
        let main =
            put("nginx.conf", "http {\ninclude /etc/nginx/sites/*;\ninclude gone.conf;\ninclude none/*;\n}");
        let losses = Losses::default();
        let http = read(&main, &losses).unwrap().remove(0);
        let names: Vec<&str> = http.directives().iter().map(|directive| directive.name.as_str()).collect();
        assert_eq!(names, ["a", "x", "b"]);
        let lost = losses.into_list();
        assert_eq!((lost.len(), lost[0].line, lost[0].directive.as_str()), (1, 3, "include gone.conf"));
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("nginx.conf");
        fs::write(&main, "include nginx.conf;").unwrap();
        assert!(read(&main, &Losses::default()).unwrap_err().to_string().contains("include itself"));
    }
}
