//! Runs as one HTML file that needs nothing beside itself: no server, no network, no other file.
//!
//! [`page`] puts what the runs left behind into one JSON document inside the page (`data`), pictures as data URIs
//! (`pictures`), sources as BibTeX (`cite`); `page.js` beside this file draws it in the reader's browser.

mod cite;
mod data;
mod pictures;

use super::source::Run;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// Axes and marks as SVG, the parts of a page, and what starts them, in this order.
const SCRIPTS: [&str; 3] = [include_str!("draw.js"), include_str!("sweep.js"), include_str!("page.js")];

/// The page about `runs`; `notes` say what was wrong with them when they were found.
pub fn page(title: &str, runs: &[Run], notes: Vec<String>) -> String {
    let data = data::document(title, runs, notes).to_string();
    // `<` occurs inside strings alone, where JSON may write it so: no text of a run ends the script or begins another.
    let data = data.replace('<', "\\u003c");
    let parts = [("TITLE", escaped(title)), ("STYLE", STYLE.into()), ("SCRIPT", SCRIPTS.concat()), ("DATA", data)];
    filled(PAGE, &parts)
}

/// `template` with every `{{NAME}}` replaced, in one pass: what is put in is not looked at again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        text.extend(parts.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()));
        text.push_str(rest);
    }
    text
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        other => other.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_template_is_filled_and_what_is_put_in_stays_as_it_is() {
        let text = filled("a {{X}} b {{Y}} c", &[("X", "{{Y}}".into()), ("Y", "2".into())]);
        assert_eq!(text, "a {{Y}} b 2 c");
        let places: Vec<&str> = PAGE.split("{{").skip(1).filter_map(|p| Some(p.split_once("}}")?.0)).collect();
        assert_eq!(places, ["TITLE", "STYLE", "DATA", "SCRIPT"]);
    }

    #[test]
    fn no_name_of_a_run_leaves_its_place_in_the_page() {
        let mut run = Run::default();
        run.dir = "</script><img src=x>".into();
        let text = page("<b>&\"", &[run], Vec::new());
        assert!(text.contains("<title>&lt;b&gt;&amp;&quot;</title>"));
        assert!(!text.contains("<img src=x>") && text.contains("\\u003c/script>\\u003cimg src=x>"));
    }
}
