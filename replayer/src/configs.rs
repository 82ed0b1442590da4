//! Where a user's configuration files are: by name in `configs/<kind>/` of the working directory, then in
//! `$KINGTIDE_CONFIG/<kind>/`, or by path. And what their `${VARIABLE}`s stand for ([`secret`], [`dot_env`]).

pub mod dot_env;
pub mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "KINGTIDE_CONFIG";
const HERE: &str = "configs";
const EXTENSION: &str = "toml";

/// Nothing has the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is in none of {}; {}", listed(looked_in), known_names(known))]
pub struct NotFound {
    name: String,
    looked_in: Vec<PathBuf>,
    known: Vec<String>,
}

/// The directories of a kind (`environments`), the first of which goes before the others.
pub fn directories(kind: &str) -> Vec<PathBuf> {
    let further = std::env::var_os(VARIABLE).filter(|root| !root.is_empty()).map(PathBuf::from);
    std::iter::once(PathBuf::from(HERE)).chain(further).map(|root| root.join(kind)).collect()
}

/// The file of a name, or the path itself when it is one (`./a.toml`, `/etc/a`).
pub fn find(name: &str, directories: &[PathBuf]) -> Result<PathBuf, NotFound> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.extension().is_some_and(|extension| extension == EXTENSION) {
        return Ok(path.to_owned());
    }
    let mut files = directories.iter().map(|directory| directory.join(format!("{name}.{EXTENSION}")));
    files.find(|file| file.is_file()).ok_or_else(|| NotFound {
        name: name.to_owned(),
        looked_in: directories.to_vec(),
        known: all(directories).into_keys().collect(),
    })
}

/// Every file by its name; of two with the same name the one that [`find`] finds.
pub fn all(directories: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    for path in directories.iter().flat_map(|directory| entries(directory)) {
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.entry(name_of(&path)).or_insert(path);
        }
    }
    files
}

/// What a file is called by: its name without the extension.
pub fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A directory that is not there has none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn listed(directories: &[PathBuf]) -> String {
    let names: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    names.join(", ")
}

fn known_names(known: &[String]) -> String {
    match known {
        [] => format!("give the path of a file, or set {VARIABLE} to the directory that holds configs"),
        known => format!("there are {}; or give the path of a file", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_order_and_a_path_is_itself() {
        let root = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| root.path().join(name));
        for file in [first.join("a.toml"), second.join("a.toml"), second.join("b.toml"), second.join("c.txt")]
        {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let directories = [first.clone(), second.clone()];
        assert_eq!(find("a", &directories).unwrap(), first.join("a.toml"));
        assert_eq!(find("b", &directories).unwrap(), second.join("b.toml"));
        assert_eq!(find("x/y", &directories).unwrap(), PathBuf::from("x/y"));
        assert_eq!(find("z.toml", &directories).unwrap(), PathBuf::from("z.toml"));
        assert_eq!(all(&directories).into_keys().collect::<Vec<_>>(), ["a", "b"]);
        let refused = find("c", &directories).unwrap_err().to_string();
        assert!(refused.contains("there are a, b"), "{refused}");
        let refused = find("c", &[]).unwrap_err().to_string();
        assert!(refused.contains(VARIABLE), "{refused}");
    }
}
