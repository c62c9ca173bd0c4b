//! `ebm sample`: draws as numbers with energies and labels, of one class, from given starts, in the units of a table.

use ebm::data::file;
use ebm::math::stats;
use serde_json::Value;

use super::*;

fn rows(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = String::from_utf8(read(path)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

fn array(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let file::Array { shape, values } = file::array(path).unwrap();
    (shape, values)
}

/// The arrays of an archive by name.
fn arrays(lab: &Lab, name: &str) -> Vec<(String, Vec<usize>, Vec<f64>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(read(&lab.path(name)))).unwrap();
    let count = archive.len();
    let member = |i: usize| {
        let mut bytes = Vec::new();
        let mut member = archive.by_index(i).unwrap();
        let name = member.name().unwrap().into_owned();
        std::io::Read::read_to_end(&mut member, &mut bytes).unwrap();
        std::fs::write(lab.path("member.npy"), bytes).unwrap();
        let (shape, values) = array(&lab.path("member.npy"));
        (name, shape, values)
    };
    (0..count).map(member).collect()
}

/// A classifier of moons, as JEM trains one.
fn jem() -> Lab {
    let lab = Lab::new();
    lab.write("rows.csv", &(0..200).map(|i| format!("{}.{},{},{}\n", i % 3, i, i / 50, i % 3)).collect::<String>());
    let dataset = "[dataset]\nname = \"table\"\npath = \"rows.csv\"\nlabel = \"-1\"\nstandardise = true\n";
    let model = "[model]\nname = \"classifier\"\nnet = { name = \"mlp\", hidden = [8] }\n[method]\nname = \"jem\"\n";
    lab.write("c.toml", &format!("{dataset}{model}[train]\nsteps = 30\nbatch_size = 16\n[sampler]\nsteps = 20\n"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    lab
}

#[test]
fn draws_come_with_energies_and_labels_and_of_one_class() {
    let lab = jem();
    let sample = ["-q", "sample", "--ckpt", "run", "--n", "12"];
    lab.ok(&[&sample[..], &["--out", "x.npz"]].concat());
    let found = arrays(&lab, "x.npz");
    let names: Vec<_> = found.iter().map(|(name, shape, _)| (name.as_str(), shape.as_slice())).collect();
    assert_eq!(names, [("x.npy", &[12, 2][..]), ("energy.npy", &[12]), ("label.npy", &[12])]);
    // The energies of the items in the file, as `ebm energy` has them in the same units.
    lab.ok(&[&sample[..], &["--out", "x.npy"]].concat());
    assert_eq!(array(&lab.path("x.npy")).1, found[0].2);
    lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "x.npy", "--space", "data", "--out", "e.npy"]);
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-3, "{a} and {b}"));
    close(&array(&lab.path("e.npy")).1, &found[1].2);
    // Of one class: p(x|y) has its energy -f(x)[y], and every label is the class.
    lab.ok(&[&sample[..], &["--class", "2", "--out", "two.npz"]].concat());
    let two = arrays(&lab, "two.npz");
    assert!(two[2].2.iter().all(|label| *label == 2.0));
    lab.ok(&[&sample[..], &["--class", "2", "--out", "two.npy"]].concat());
    let logits = ["--data", "two.npy", "--space", "data", "--what", "logits", "--out", "l.npy"];
    lab.ok(&[&["-q", "energy", "--ckpt", "run"], &logits[..]].concat());
    let of_two: Vec<f64> = array(&lab.path("l.npy")).1.chunks(3).map(|row| -row[2]).collect();
    close(&of_two, &two[1].2);
    lab.refused(2, &[&sample[..], &["--class", "3"]].concat(), &["3 classes"]);
    let other = lab_with_run(&bare("pcd", 2));
    other.refused(2, &["sample", "--ckpt", "run", "--class", "0"], &["0 classes"]);
}

/// Chains in the noise of VERA's generator begin at its draws and bring their energies down; a method without one has
/// no such space, and a model with a noise of its own keeps its density.
#[test]
fn chains_refine_the_draws_of_a_generator_in_its_noise() {
    let lab = lab_with_run(&bare("vera", 40));
    let downhill = ["sampler.name=sgld", "sampler.drift=0.05", "sampler.noise=0", "sampler.space=noise"];
    let downhill = downhill.map(|key| ["--set", key]).concat();
    let sample = |steps: &str, prior: &str| {
        let words = ["sample", "--ckpt", "run", "--n", "200", "--save-npy", "x.npy", "--steps", steps, "--set", prior];
        let mean = lab.json(&[&words[..], &downhill[..]].concat())["mean_energy"].as_f64().unwrap();
        lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "x.npy", "--space", "model", "--out", "e.npy"]);
        (mean, stats::mean(&array(&lab.path("e.npy")).1), array(&lab.path("x.npy")))
    };
    let (alone, with_prior) = ("sampler.noise_prior=false", "sampler.noise_prior=true");
    let (mean, of_draws, (shape, drawn)) = sample("0", alone);
    assert!(shape == [200, 2] && (mean - of_draws).abs() < 1e-3 * (1.0 + mean.abs()), "{mean} and {of_draws}");
    // Points of 3 + 2 standard normal numbers, whose density is the potential's other part: on average 5/2 (1 + ln 2π).
    let noise = sample("0", with_prior).0 - mean;
    assert!((noise - 2.5 * (1.0 + std::f64::consts::TAU.ln())).abs() < 0.5, "{noise}");
    let (_, refined, (_, moved)) = sample("60", alone);
    assert!(moved != drawn && refined < of_draws, "{of_draws}, {refined}");
    let other = lab_with_run(&bare("pcd", 2));
    let noise = ["sample", "--ckpt", "run", "--set", "sampler.space=noise"];
    other.refused(2, &noise, &["nor its method a generator"]);
    let vae = lab_with_run(&bare("vae", 2));
    let flat = ["--set", "sampler.name=mala", "--set", "sampler.noise_prior=false"];
    vae.refused(2, &[&noise[..], &flat].concat(), &["noise_prior"]);
}

/// A generator that draws for a class, and one whose draws the classifier tells apart, as they are and moved by chains.
#[test]
fn draws_of_one_class_from_a_generator() {
    let lab = jem();
    let base = String::from_utf8(read(&lab.path("c.toml"))).unwrap();
    let (head, tail) = base.split_once("name = \"jem\"\n").unwrap();
    let mlp = "{ name = \"mlp\", hidden = [8] }";
    let conditional = format!(
        "name = \"vae_sampler\"\ncondition = \"class\"\nsampler.steps = 2\n[method.vae]\nname = \"vae\"\nlatent = 2\n\
         encoder = {mlp}\ndecoder = {mlp}\n"
    );
    let amortised = format!("name = \"vera\"\nclassify = 1.0\nlatent = 2\nsamples = 2\ngenerator = {mlp}\n");
    for method in [conditional, amortised] {
        lab.write("c.toml", &format!("{head}{method}{tail}"));
        lab.ok(&["-q", "train", "c.toml", "--run-dir", "run", "--overwrite"]);
        let draws = |line: &str| {
            let common = "-q sample --ckpt run --set sampler.init=proposal --out x.npz --save-npy x.npy";
            lab.ok(&common.split(' ').chain(line.split(' ')).collect::<Vec<_>>());
            arrays(&lab, "x.npz")
        };
        for steps in ["--steps 0", "--steps 3"] {
            let two = draws(&format!("{steps} --n 40 --class 2"));
            assert_eq!((&two[0].1[..], &two[2].2), (&[40, 2][..], &vec![2.0; 40]));
            assert_ne!(two[0].2, draws(&format!("{steps} --n 40 --class 1"))[0].2);
        }
        if method.contains("vera") {
            // Draws of q(x) p(y|x): more likely of the class than draws of q(x).
            let share = |class: &str| {
                draws(&format!("--n 300 --steps 0{class}"));
                let logits = ["-q", "energy", "--ckpt", "run", "--data", "x.npy", "--what", "logits", "--out", "l.npy"];
                lab.ok(&logits);
                let of_two = |row: &[f64]| row[2].exp() / row.iter().map(|v| v.exp()).sum::<f64>();
                array(&lab.path("l.npy")).1.chunks(3).map(of_two).sum::<f64>() / 300.0
            };
            let (all, two) = (share(""), share(" --class 2"));
            assert!(two > all, "{two} and {all}");
        }
    }
}

#[test]
fn chains_start_at_the_rows_of_a_file() {
    let lab = lab_with_run(&bare("pcd", 2));
    let x = [0.25, -0.5, 1.0, 0.75, -1.5, 0.125];
    std::fs::write(lab.path("x.npy"), file::npy_bytes(&[3, 2], &x).unwrap()).unwrap();
    let sample = ["-q", "sample", "--ckpt", "run", "--init", "x.npy", "--set", "sampler.steps=0"];
    lab.ok(&[&sample[..], &["--out", "same.npy"]].concat());
    assert_eq!(array(&lab.path("same.npy")), (vec![3, 2], x.to_vec()));
    lab.ok(&[&sample[..], &["--n", "2", "--out", "two.csv"]].concat());
    let (header, two) = rows(&lab.path("two.csv"));
    assert_eq!(header, ["x0", "x1", "energy"]);
    assert_eq!((two.len(), &two[1][..2]), (2, &["1".to_owned(), "0.75".to_owned()][..]));
    lab.refused(2, &[&sample[..], &["--n", "4"]].concat(), &["has 3 rows"]);
    lab.refused(4, &["sample", "--ckpt", "run", "--init", "none.npy"], &["none.npy"]);
}

#[test]
fn rows_of_a_table_are_in_its_units_unless_the_model_s_are_asked_for() {
    let lab = Lab::new();
    let lines: String =
        (0..300).map(|i| format!("{},{}\n", 1_000 + (i * 7) % 200, 0.001 * f64::from((i * 13) % 50))).collect();
    lab.write("rows.csv", &format!("weight,length\n{lines}"));
    let dataset = "[dataset]\nname = \"table\"\npath = \"rows.csv\"\nstandardise = true\n";
    let model =
        "[model]\nname = \"gaussian\"\n[method]\nname = \"none\"\n[sampler]\nname = \"exact\"\n[train]\nsteps = 1\n";
    lab.write("c.toml", &format!("{dataset}{model}"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    // Without the file: the scaling is in the checkpoint.
    std::fs::remove_file(lab.path("rows.csv")).unwrap();
    let sample = |more: &[&str]| lab.ok(&[&["-q", "sample", "--ckpt", "run", "--n", "200"], more].concat());
    sample(&["--out", "x.csv"]);
    let (header, found) = rows(&lab.path("x.csv"));
    assert_eq!(header, ["weight", "length", "energy"]);
    let mean = |c: usize| found.iter().map(|row| row[c].parse::<f64>().unwrap()).sum::<f64>() / 200.0;
    assert!((mean(0) - 1_099.5).abs() < 25.0 && (mean(1) - 0.0245).abs() < 0.006, "{} {}", mean(0), mean(1));
    sample(&["--out", "m.npy", "--space", "model"]);
    sample(&["--out", "d.npy"]);
    let (model, data) = (array(&lab.path("m.npy")).1, array(&lab.path("d.npy")).1);
    assert!(model.iter().all(|v| v.abs() < 6.0));
    let spread = 57.7;
    for (m, d) in model.chunks(2).zip(data.chunks(2)) {
        assert!((m[0] * spread + 1_099.5 - d[0]).abs() < 8.0, "{m:?} {d:?}");
    }
    // Back again as starts, in the same units.
    lab.ok(&[
        "-q",
        "sample",
        "--ckpt",
        "run",
        "--init",
        "d.npy",
        "--set",
        "sampler.name=mala",
        "--set",
        "sampler.steps=0",
        "--out",
        "back.npy",
    ]);
    let back = array(&lab.path("back.npy")).1;
    back.iter().zip(&data).for_each(|(a, b)| assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} and {b}"));
}

#[test]
fn pictures_one_by_one_in_a_folder() {
    let lab = Lab::new();
    lab.write("c.toml", &bare("none", 1).replace("name = \"moons\"", "name = \"digits\""));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let told: Value = lab.json(&["-q", "sample", "--ckpt", "run", "--n", "3", "--steps", "0", "--out", "grid/"]);
    assert_eq!(told["folder"], "grid/", "{told:#}");
    for i in 0..3 {
        let picture = image::open(lab.path(&format!("grid/0000{i}.png"))).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 8));
    }
    assert!(!lab.path("grid/00003.png").exists());
    let plane = lab_with_run(&bare("pcd", 2));
    plane.refused(2, &["sample", "--ckpt", "run", "--out", "grid/"], &["are no pictures", ".csv"]);
}

/// A table of three classes with these names, and `c.toml`, a classifier of them.
fn lab_with_classes(names: [&str; 3]) -> Lab {
    let lab = Lab::new();
    let line = |i: u32| format!("{},{},{}\n", i % 13, (i * 7) % 11, names[i as usize % 3]);
    lab.write("t.csv", &format!("a,b,kind\n{}", (0..90).map(line).collect::<String>()));
    let config = "[dataset]\nname = \"table\"\npath = \"t.csv\"\nlabel = \"kind\"\n[model]\nname = \"classifier\"\n\
                  net = { name = \"mlp\", hidden = [8] }\n[method]\nname = \"classifier\"\n\
                  [train]\nsteps = 2\nbatch_size = 8\n";
    lab.write("c.toml", config);
    lab
}

#[test]
fn classes_are_called_as_the_files_call_them() {
    let lab = lab_with_classes(["lion", "ant", "3"]);
    assert!(lab.ok(&["check", "c.toml"]).contains("3 classes: 3, ant, lion"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    // The names lie in the checkpoint.
    std::fs::remove_file(lab.path("t.csv")).unwrap();
    let sample = |class: &str, out: &str| {
        let words = ["sample", "--ckpt", "run", "--n", "5", "--steps", "3", "--class", class, "--out", out];
        lab.json(&[&["-q"], &words[..]].concat())["class"].as_u64().unwrap()
    };
    assert_eq!([sample("lion", "x.csv"), sample("ant", "z.csv"), sample("3", "w.csv")], [2, 1, 0]);
    let text = |file: &str| String::from_utf8(read(&lab.path(file))).unwrap();
    assert!(text("x.csv").lines().skip(1).all(|line| line.ends_with(",lion")));
    assert!(text("x.csv") != text("z.csv"));
    let wrong = ["sample", "--ckpt", "run", "--class", "lino"];
    lab.refused(2, &wrong, &["--class lino: the data set has 3 classes", "they are 3, ant, lion"]);
}

/// Classes that the files call 1, 2 and 5 are called so, and a number that none is called is none.
#[test]
fn classes_that_are_called_numbers_are_those_of_the_files() {
    let lab = lab_with_classes(["5", "1", "2"]);
    assert!(lab.ok(&["check", "c.toml"]).contains("3 classes: 1, 2, 5"));
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    let sample = ["-q", "sample", "--ckpt", "run", "--n", "3", "--steps", "2", "--out", "x.csv", "--class"];
    assert_eq!(lab.json(&[&sample[..], &["5"]].concat())["class"], 2);
    assert!(String::from_utf8(read(&lab.path("x.csv"))).unwrap().lines().skip(1).all(|line| line.ends_with(",5")));
    lab.refused(2, &[&sample[..], &["0"]].concat(), &["--class 0: the data set has 3 classes", "they are 1, 2, 5"]);
}
