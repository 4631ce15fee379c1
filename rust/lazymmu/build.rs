//! Finds what the folders `src/geometry`, `src/descriptor` and `src/backend` hold, so that an architecture is added by
//! adding files: the `mod` lines of those folders and their registries are written here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

struct Room {
    folder: &'static str,
    /// Files that belong to the room itself.
    own: &'static [&'static str],
    /// Name and type of the static that a part announces itself with.
    announced: (&'static str, &'static str),
}

const ROOMS: [Room; 3] = [
    Room { folder: "geometry", own: &["mod.rs"], announced: ("GEOMETRIES", "Geometries") },
    Room { folder: "descriptor", own: &["mod.rs", "any.rs"], announced: ("READER", "Reader") },
    Room { folder: "backend", own: &["mod.rs", "registry.rs"], announced: ("REGISTRATION", "Registration") },
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    println!("cargo::rerun-if-changed=build.rs");
    for Room { folder, own, announced } in ROOMS {
        let path = root.join("src").join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = describe(&path, own, announced)?;
        let target = out.join(format!("{folder}.rs"));
        if fs::read_to_string(&target).ok().as_deref() != Some(text.as_str()) {
            fs::write(target, text)?;
        }
    }
    Ok(())
}

/// `pub mod` for each file of a room, and for each folder with a `mod.rs`, and the array of what they announce.
fn describe(folder: &Path, own: &[&str], (name, kind): (&str, &str)) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.join("mod.rs").is_file() {
            files.push((name.to_owned(), path.join("mod.rs")));
        } else if let Some(stem) = name.strip_suffix(".rs").filter(|_| !own.contains(&name)) {
            files.push((stem.to_owned(), path));
        }
    }
    files.sort();
    let mut text = String::new();
    let mut parts = Vec::new();
    for (stem, path) in &files {
        writeln!(text, "#[path = {:?}]\npub mod {stem};", path.display().to_string()).map_err(io::Error::other)?;
        let mark = format!("pub static {name}: {kind} ");
        if fs::read_to_string(path)?.lines().any(|line| line.starts_with(&mark)) {
            parts.push(format!("&{stem}::{name}"));
        }
    }
    writeln!(text, "static PARTS: &[&{kind}] = &[{}];", parts.join(", ")).map_err(io::Error::other)?;
    Ok(text)
}
