//! `ebm compare` on logs that are not whole.

use crate::compare::ica;

#[test]
fn a_damaged_line_of_a_log_hides_no_other_and_is_told_once() {
    let lab = ica();
    let log = lab.path("sweep/ml-10-0/metrics.jsonl");
    let text = String::from_utf8(crate::harness::read(&log)).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    lab.write("sweep/ml-10-0/metrics.jsonl", &format!("{first}\n\u{1b}garbage\n{rest}"));
    let outcome = lab.run(&["compare", "sweep/ml-10-0", "--by", "method", "--at", "max", "--json"]);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("-11"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("1 damaged line passed over, the first is line 2").count(), 1);
}
