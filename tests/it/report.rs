//! `ebm report`: what is in the page, that nothing is fetched from anywhere, and that a browser draws it without a
//! complaint (`$EBM_CHROMIUM`, or chromium or google-chrome on the path).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Lab, bare, read};

const PLAN: &str =
    "config = \"lsd.toml\"\nseeds = 2\n[grid]\n\"optim.lr\" = [1e-3, 1e-2]\n\"method.lambda\" = [1, 10]\n";

/// The likelihood on a grid, whose pictures are `samples/density`.
const LOOKS: &str = "[[probe]]\nname = \"nll\"\nevery = 5\npoints = 16\nitems = 50\nsamples = 20\n";

/// A lab with a finished sweep of eight short runs in `runs/p`.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("lsd.toml", &(bare("lsd", 10).replace("log_every = 10", "log_every = 1") + LOOKS));
    lab.write("p.toml", PLAN);
    lab.ok(&["-q", "sweep", "p.toml"]);
    lab
}

fn page(lab: &Lab, name: &str) -> String {
    String::from_utf8(read(&lab.path(name))).unwrap()
}

/// The document inside the page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Nothing in the page names a place to fetch from.
fn stands_alone(page: &str) {
    let namespace = "http://www.w3.org/2000/svg";
    let rest = page.replace(namespace, "");
    for word in ["http:", "https:", "@import", "url(", "<iframe", "fetch(", "XMLHttp", "import(", "src=\"/", "{{"] {
        assert!(!rest.contains(word), "the page contains `{word}`");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_sweep_is_one_file_with_its_numbers_curves_and_pictures() {
    let lab = lab();
    let said = lab.json(&["report", "runs/p", "--out", "r.html", "--title", "A <sweep>"]);
    let page = page(&lab, "r.html");
    assert_eq!((&said["runs"], &said["bytes"]), (&8.into(), &page.len().into()));
    stands_alone(&page);
    assert!(page.contains("<title>A &lt;sweep&gt;</title>"));
    let data = data(&page);
    assert_eq!(data["title"], "A <sweep>");
    assert_eq!(data["axes"], serde_json::json!(["method.lambda", "optim.lr", "seed"]));
    assert_eq!(data["common"]["method.name"], "lsd");
    for run in data["runs"].as_array().unwrap() {
        let dir = run["dir"].as_str().unwrap();
        assert_eq!((&run["last"], &run["status"]), (&lab.manifest(dir)["last_metrics"], &"finished".into()));
        let log = String::from_utf8(read(&lab.path(dir).join("metrics.jsonl"))).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for name in ["lsd", "test_ll"] {
            let lines = || lines.iter().filter(|line| line.get(name).is_some());
            let curve = &run["curves"][name];
            assert!(lines().map(|line| &line["step"]).eq(curve["steps"].as_array().unwrap()), "{name}: {curve}");
            assert!(lines().map(|line| &line[name]).eq(curve["values"].as_array().unwrap()), "{name}: {curve}");
        }
        let picture = run["pictures"].as_array().unwrap().iter().find(|p| p["name"] == "samples/density").unwrap();
        let steps: Vec<_> = picture["frames"].as_array().unwrap().iter().map(|f| f["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [5, 10]);
    }
    // Direction and meaning are those declared, the means those of `ebm compare`.
    assert_eq!(
        (&data["numbers"]["test_ll"]["better"], &data["numbers"]["test_ll"]["lead"]),
        (&"higher".into(), &true.into())
    );
    let compared = lab.json(&["compare", "runs/p", "--metric", "test_ll"]);
    let groups = data["groups"]["rows"].as_array().unwrap();
    assert_eq!(groups.len(), 4);
    for (group, other) in groups.iter().zip(compared["groups"].as_array().unwrap()) {
        assert_eq!(group["metrics"]["test_ll"], other["metrics"]["test_ll"]);
    }
    let sources = data["sources"].as_array().unwrap().iter().map(|source| source["bibtex"].as_str().unwrap());
    let bibtex: Vec<&str> = sources.filter(|entry| entry.starts_with("@misc{grathwohl2020learning")).collect();
    assert!(bibtex.len() == 1 && bibtex[0].contains("{2002.05616}"), "{bibtex:?}");
}

#[test]
fn what_cannot_be_reported_on_is_refused_and_damage_is_passed_over() {
    let lab = Lab::new();
    std::fs::create_dir_all(lab.path("runs/broken")).unwrap();
    lab.refused(2, &["report", "runs"], &["no runs in runs"]);
    lab.refused(2, &["report", "runs", "--out", "r.pdf"], &["must be .html"]);
    lab.refused(2, &["report", "runs", "--out", "none/r.html"], &["there is no folder"]);
    lab.write("runs/broken/manifest.json", "{\"status\": ");
    lab.write("runs/broken/metrics.jsonl", "{\"step\":1,\"loss\":2.0}\n{\"st");
    let said = lab.run(&["report", "runs", "--out", "r.html"]);
    assert!(said.code == Some(0) && said.stderr.contains("not a manifest"), "{}", said.stderr);
    let data = data(&page(&lab, "r.html"));
    assert_eq!(data["runs"][0]["status"], "unreadable");
    assert_eq!(data["runs"][0]["curves"]["loss"]["values"], serde_json::json!([2.0]));
    assert!(data["notes"].to_string().contains("not a manifest"), "the page says so too");
}

/// One file that cannot be read costs its part of the page, not the page.
#[test]
fn runs_under_way_of_one_name_and_half_readable_are_told_apart_and_reported() {
    let lab = Lab::new();
    for dir in ["a/run/samples/grid-00000001.png", "b/run/metrics.jsonl"] {
        std::fs::create_dir_all(lab.path(dir)).unwrap();
    }
    lab.write("a/run/samples/grid-100000000.png", "later");
    lab.write("a/run/samples/grid-00000002.png", "sooner");
    lab.write("a/run/manifest.json", "{\"status\": \"running\", \"last_metrics\": {\"loss\": 3.0}}");
    lab.write("b/run/manifest.json", "{}");
    // A line between others is damage, one that is being written is not.
    let log =
        "{\"step\":1,\"loss\":3.0}\ngarbage\n{\"step\":2,\"loss\":2.0,\"gap\":1.0}\n{\"step\":3,\"loss\":1.0}\n{\"st";
    lab.write("a/run/metrics.jsonl", log);
    lab.ok(&["-q", "report", "a", "b", "--out", "r.html"]);
    let data = data(&page(&lab, "r.html"));
    let runs = data["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["name"], &runs[1]["name"]), (&"a/run".into(), &"b/run".into()));
    assert_eq!(runs[0]["last"], serde_json::json!({"loss": 1.0, "gap": 1.0}));
    let notes = data["notes"].to_string();
    assert!(notes.contains("1 damaged line passed over, the first is line 2") && notes.contains("b/run/metrics.jsonl"));
    let frames = runs[0]["pictures"][0]["frames"].as_array().unwrap();
    assert_eq!(frames.iter().map(|f| f["step"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 100_000_000]);
}

fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EBM_CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let places = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// The page as the browser has it after all scripts, and what the console said.
fn drawn(chromium: &Path, lab: &Lab, page: &str) -> (String, String) {
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", lab.path("profile").display()));
    command.arg("--virtual-time-budget=5000").arg(format!("file://{}", lab.path(page).display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    let dom = String::from_utf8(output.stdout).unwrap();
    // What was drawn stands before the data and the script.
    (dom.split_once("<script").unwrap().0.to_owned(), console.join("\n"))
}

/// Uses every control of the page once: what a reader may do must not fail either.
const READER: &str = "<script>\
    for (const fold of document.querySelectorAll('details')) fold.open = true;\
    for (const node of document.querySelectorAll('select, input')) {\
      if (node.tagName === 'SELECT') for (const o of node.options) { node.value = o.value; fire(node, 'change'); }\
      else if (node.type === 'checkbox') { node.checked = !node.checked; fire(node, 'change'); fire(node, 'input'); }\
      else { node.value = node.type === 'range' ? node.max : 'l'; fire(node, 'input'); }\
    }\
    for (const node of document.querySelectorAll('svg')) {\
      node.dispatchEvent(new PointerEvent('pointermove', { clientX: 200, clientY: 100, bubbles: true }));\
    }\
    for (const name of ['test_ll', 'test_ll', 'optim.lr']) {\
      [...document.querySelectorAll('#runs th button')].find((b) => b.textContent.startsWith(name)).click();\
    }\
    function fire(node, what) { node.dispatchEvent(new Event(what, { bubbles: true })); }\
    document.body.dataset.used = 'all';</script></body>";

#[test]
fn a_browser_draws_it_and_every_control_without_an_error() {
    let Some(chromium) = chromium() else {
        println!("skipped: no Chromium; apt-get install chromium, or name one in $EBM_CHROMIUM");
        return;
    };
    let lab = lab();
    lab.ok(&["report", "runs/p", "--out", "r.html"]);
    let (dom, console) = drawn(&chromium, &lab, "r.html");
    assert_eq!(console, "");
    let count = |dom: &str, what: &str| dom.matches(what).count();
    let table = dom.split_once("id=\"runs\"").unwrap().1.split_once("</table>").unwrap().0.to_owned();
    assert_eq!(count(&table, "<tr>"), 9, "{table}");
    assert_eq!(count(&dom, "class=\"strand\""), 8);
    assert!(dom.contains("id=\"heat\"") && dom.contains("id=\"bibtex\"") && dom.contains("data:image/png;base64,"));
    assert!(count(&dom, "class=\"curve ") > 8 && !dom.contains("NaN") && !dom.contains("undefined"));
    lab.write("used.html", &page(&lab, "r.html").replace("</body>", READER));
    let (dom, console) = drawn(&chromium, &lab, "used.html");
    assert_eq!(console, "");
    assert!(dom.contains("data-used=\"all\"") && dom.contains("aria-sort=\"ascending\"") && !dom.contains("undefined"));
    // A single run, and one without numbers.
    let run = std::fs::read_dir(lab.path("runs/p")).unwrap().map(|e| e.unwrap().path());
    let run = run.into_iter().find(|dir| dir.join("manifest.json").exists()).unwrap();
    lab.ok(&["report", run.to_str().unwrap(), "--out", "one.html"]);
    std::fs::create_dir_all(lab.path("bare")).unwrap();
    lab.write("bare/manifest.json", "{}");
    lab.ok(&["report", "bare", "--out", "bare.html"]);
    for name in ["one.html", "bare.html"] {
        let (dom, console) = drawn(&chromium, &lab, name);
        assert!(console.is_empty() && dom.contains("id=\"summary\""), "{name}: {console}");
    }
}
