//! The pages of the guide: all are in the contents and in rustdoc, end with links to others, and no link is broken.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the pages, without `README.md` and `SUMMARY.md`.
fn pages() -> Vec<String> {
    let files = fs::read_dir(root().join("docs/guide")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".md") && !["README.md", "SUMMARY.md"].contains(&&**name))
        .collect()
}

#[test]
fn every_page_is_in_the_contents_and_in_rustdoc() {
    let (summary, questions) = (read("docs/guide/SUMMARY.md"), read("docs/guide/README.md"));
    let crates =
        ["palisade/src/guide.rs", "palisade-bench/src/lib.rs", "palisade-testing/src/lib.rs"];
    let rustdoc: String = crates.map(|file| read(format!("crates/{file}"))).concat();
    assert!(pages().len() > 20);
    for page in pages() {
        let link = format!("]({page})");
        assert!(summary.contains(&link), "{page} is not in SUMMARY.md");
        assert!(questions.contains(&link), "{page} is not in README.md");
        assert!(rustdoc.contains(&page), "{page} is in no documentation of a crate");
    }
}

#[test]
fn every_page_ends_with_next_steps() {
    for page in pages() {
        let text = read(format!("docs/guide/{page}"));
        let last = text.lines().rfind(|line| line.starts_with("## "));
        assert_eq!(last, Some("## Next steps"), "{page}");
    }
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut files: Vec<_> = pages().into_iter().map(|page| format!("docs/guide/{page}")).collect();
    files.extend(
        ["README.md", "docs/README.md", "docs/guide/README.md", "docs/guide/SUMMARY.md"]
            .map(Into::into),
    );
    for file in files {
        let text = read(&file);
        let prose: String = text.split("```").step_by(2).collect();
        for target in prose.split("](").skip(1).filter_map(|text| text.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&file).parent().unwrap();
            let path = if path.is_empty() { PathBuf::from(&file) } else { folder.join(path) };
            assert!(root().join(&path).exists(), "{file} links to {target}");
            if !anchor.is_empty() && path.extension().is_some_and(|extension| extension == "md") {
                let headings = read(&path);
                let mut anchors =
                    headings.lines().filter(|line| line.starts_with('#')).map(anchor_of);
                assert!(anchors.any(|known| known == anchor), "{file} links to {target}");
            }
        }
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
