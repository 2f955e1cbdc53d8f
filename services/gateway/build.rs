//! Takes the pages about problems into the program: `(slug, text)` of each `docs/problems/*.md`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../docs/problems");
    let folder = folder.canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let slug = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "md") && slug != "README" {
            // A file's name as a literal of Rust, whatever characters it has.
            let file = path.to_str().ok_or("the path is not Unicode")?;
            pages.push(format!("({slug:?}, include_str!({file:?})),"));
        }
    }
    // The same pages in another order are the same program.
    pages.sort();
    let mut source = String::from("[");
    writeln!(source, "{}]", pages.join("\n"))?;
    let target = PathBuf::from(std::env::var("OUT_DIR")?).join("problems.rs");
    std::fs::write(target, source)?;
    Ok(())
}
