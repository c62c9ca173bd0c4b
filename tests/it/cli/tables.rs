//! Files of a table that are read for a run: what stands for a category, and columns without names.

use super::*;

fn lab(rows: &str, more: &str) -> Lab {
    let lab = Lab::new();
    lab.write("t.csv", rows);
    let dataset = format!("[dataset]\nname = \"table\"\npath = \"t.csv\"\n{more}");
    let model = "[model]\nname = \"gaussian\"\nfrom_data = true\n[method]\nname = \"none\"\n[train]\nsteps = 1\n";
    lab.write("c.toml", &format!("{dataset}{model}"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab
}

fn energies(lab: &Lab, file: &str) -> Vec<f64> {
    let told = lab.ok(&["-q", "energy", "--ckpt", "run", "--data", file]);
    told.lines().skip(1).map(|line| line.parse().unwrap()).collect()
}

/// Codes are codes in every form: a place stands for a word only where the words are no numbers.
#[test]
fn codes_of_a_category_are_no_places() {
    let line = |i: u32| format!("{},{},{}\n", i % 13, (i * 7) % 11, [1, 2, 5][i as usize % 3]);
    let rows: String = (0..90).map(line).collect();
    let lab = lab(&rows, "categorical = [\"2\"]\nnoise = 0.1\n");
    lab.write("named.csv", "0,1,2\n3,4,2\n5,6,5\n");
    lab.write("bare.csv", "3,4,2\n5,6,5\n");
    lab.write("written.csv", "3,4,2.0\n5,6,5.0\n");
    let npy = ebm::data::file::npy_bytes(&[2, 3], &[3.0, 4.0, 2.0, 5.0, 6.0, 5.0]).unwrap();
    std::fs::write(lab.path("x.npy"), npy).unwrap();
    let want = energies(&lab, "named.csv");
    for file in ["bare.csv", "written.csv", "x.npy"] {
        assert_eq!(energies(&lab, file), want, "{file}");
    }
    assert_eq!(energies(&lab, "t.csv").len(), 90);
    // What is drawn has codes too.
    let sample = [
        "sample",
        "--ckpt",
        "run",
        "--n",
        "40",
        "--set",
        "sampler.name=exact",
        "--out",
        "d.csv",
        "--save-npy",
        "d.npy",
    ];
    let told = lab.json(&sample);
    assert_eq!(told["numbers"], serde_json::json!(["d.csv", "d.npy"]));
    let near = |a: &[f64], b: &[f64]| a.len() == 40 && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(near(&energies(&lab, "d.csv"), &energies(&lab, "d.npy")));
    lab.write("bad.csv", "3,4,3\n");
    lab.refused(4, &["energy", "--ckpt", "run", "--data", "bad.csv"], &["3 stands for no word of `x2`", "1, 2, 5"]);
}

/// A column that has no name is a column all the same, wherever it stands.
#[test]
fn a_column_without_a_name_among_others_is_read() {
    let line = |i: u32| format!("{},{},{}\n", 100 + i % 7, 200 + i % 11, 300 + i % 5);
    let rows: String = (0..100).map(line).collect();
    for header in ["a,,b", "a,b,"] {
        let lab = lab(&format!("{header}\n{rows}"), "");
        let told = lab.json(&["check", "c.toml"]);
        assert_eq!(told["shape"], serde_json::json!([3]), "{header}");
        lab.ok(&["-q", "sample", "--ckpt", "run", "--n", "50", "--set", "sampler.name=exact", "--out", "s.csv"]);
        let text = String::from_utf8(read(&lab.path("s.csv"))).unwrap();
        for line in text.lines().skip(1) {
            let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            assert!(
                (row[0] - 103.0).abs() < 15.0 && (row[1] - 205.0).abs() < 25.0 && (row[2] - 302.0).abs() < 12.0,
                "{line}"
            );
        }
    }
}

#[test]
fn names_that_are_none_of_the_tables_are_told() {
    let lab = lab(&format!("u,v\n{}", (0..40).map(|i| format!("{},{}\n", i % 7, 50 + i % 9)).collect::<String>()), "");
    lab.write("other.csv", "V,U\n3,51\n");
    let told = lab.run(&["-q", "energy", "--ckpt", "run", "--data", "other.csv"]);
    assert!(
        told.code == Some(0)
            && told.stderr.contains("read by position: its columns are V, U, those of the run's table u, v"),
        "{}",
        told.stderr
    );
    lab.write("same.csv", "v,u\n51,3\n");
    let same = lab.run(&["-q", "energy", "--ckpt", "run", "--data", "same.csv"]);
    assert!(same.stderr.is_empty() && same.stdout == told.stdout, "{} {}", same.stderr, same.stdout);
}
