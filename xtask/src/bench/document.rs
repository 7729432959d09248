//! BENCHMARKS.md: what was measured is replaced, what people wrote stays.

/// The document with another text below a heading, up to the next heading. A heading that is not there yet is added
/// at the end of the chapter, or of the document.
pub(crate) fn with_text(document: &str, chapter: &str, heading: &str, text: &str) -> String {
    let lines: Vec<&str> = document.lines().collect();
    let headings = headings(&lines);
    let next = |of: usize| headings.iter().copied().find(|at| *at > of).unwrap_or(lines.len());
    let found = |title: &str| headings.iter().copied().find(|at| lines[*at] == title);
    let (before, after) = match (found(heading), found(chapter)) {
        (Some(at), _) => (at, next(at)),
        (None, Some(chapter)) => {
            let is_chapter = |at: &&usize| **at > chapter && !lines[**at].starts_with("###");
            let end = headings.iter().find(is_chapter).copied().unwrap_or(lines.len());
            (end, end)
        }
        (None, None) => (lines.len(), lines.len()),
    };
    let mut all = lines[..before].join("\n").trim_end().to_owned();
    if found(heading).is_none() && found(chapter).is_none() && heading != chapter {
        all += &format!("\n\n{chapter}");
    }
    all += &format!("\n\n{heading}\n\n{}\n", text.trim());
    if after < lines.len() {
        all += &format!("\n{}\n", lines[after..].join("\n"));
    }
    all.trim_start().to_owned()
}

/// The lines that are headings; in what a program printed there are none.
fn headings(lines: &[&str]) -> Vec<usize> {
    let mut is_printed = false;
    let mut headings = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        is_printed ^= line.starts_with("```");
        if !is_printed && line.starts_with('#') {
            headings.push(at);
        }
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Benchmarks\n\nAbout.\n\n## One\n\n### A\n\nold\n\n```\n# printed\n```\n\n### B\n\nby hand\n\n## Two\n\n### C\n\nold\n";

    // The last section, one in the middle with something that looks like a heading, and the text of a chapter.
    #[test]
    fn the_text_below_a_heading_is_replaced_and_the_rest_stays() {
        let new = with_text(DOCUMENT, "## One", "### A", "new\n");
        assert_eq!(new, DOCUMENT.replace("old\n\n```\n# printed\n```\n", "new\n"));
        let last = with_text(DOCUMENT, "## Two", "### C", "new");
        assert!(last.ends_with("### C\n\nnew\n") && last.contains("# printed"), "{last}");
        let head = with_text(DOCUMENT, "# Benchmarks", "# Benchmarks", "New.");
        assert_eq!(head, DOCUMENT.replace("About.", "New."));
        assert_eq!(
            with_text(DOCUMENT, "## Two", "## Two", "Versions"),
            DOCUMENT.replace("## Two\n", "## Two\n\nVersions\n")
        );
    }

    // A section of a chapter that is there, in the middle and at the end, and of one that is not.
    #[test]
    fn a_heading_that_is_not_there_is_added_at_the_end_of_its_chapter() {
        let new = with_text(DOCUMENT, "## One", "### D", "new");
        assert_eq!(new, DOCUMENT.replace("by hand\n", "by hand\n\n### D\n\nnew\n"));
        let last = with_text(DOCUMENT, "## Two", "### D", "new");
        assert_eq!(last, format!("{DOCUMENT}\n### D\n\nnew\n"));
        let other = with_text(DOCUMENT, "## Three", "### D", "new");
        assert_eq!(other, format!("{DOCUMENT}\n## Three\n\n### D\n\nnew\n"));
    }
}
