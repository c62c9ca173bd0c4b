//! `ebm energy`: the model as a function on files.

use candle_core::{DType, Device, Tensor};
use ebm::data::file;
use ebm::density::{Energy as _, Stored};

use super::*;

fn numbers(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let file::Array { shape, values } = file::array(path).unwrap();
    (shape, values)
}

#[test]
fn energies_and_scores_are_those_of_the_model() {
    let lab = lab_with_run(&bare("ml_grid", 5));
    let x: Vec<f64> = (0..14).map(|i| f64::from(0.25 * i as f32 - 2.0)).collect();
    std::fs::write(lab.path("x.npy"), file::npy_bytes(&[7, 2], &x).unwrap()).unwrap();
    let asked = |words: &[&str]| lab.ok(&[&["-q", "energy", "--data", "x.npy", "--ckpt"], words].concat());
    let table = asked(&[LAST, "--what", "energy,score", "--batch", "3"]);
    let model = Stored::load(&lab.path(LAST), &Device::Cpu).unwrap().model;
    let (energy, grad) =
        model.grad(&Tensor::from_vec(x, (7, 2), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()).unwrap();
    let want: Vec<f64> = energy.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    let score: Vec<f64> = grad.neg().unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} and {b}");
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap(), "energy,score.0,score.1");
    for ((line, energy), score) in lines.zip(&want).zip(score.chunks(2)) {
        let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        [*energy, score[0], score[1]].iter().zip(&row).for_each(|(b, a)| close(*a, *b));
    }
    assert_eq!(table.lines().count(), 8);
    // The run's folder in the place of the checkpoint, and a NumPy file in that of the table.
    asked(&["run", "--out", "e.npy"]);
    let (shape, energies) = numbers(&lab.path("e.npy"));
    assert_eq!(shape, [7]);
    energies.iter().zip(&want).for_each(|(a, b)| close(*a, *b));
    asked(&["run", "--what", "score,energy", "--out", "both.npz"]);
    let archive = zip::ZipArchive::new(Cursor::new(read(&lab.path("both.npz")))).unwrap();
    let names: Vec<_> = (0..archive.len()).map(|i| archive.name_for_index(i).unwrap().unwrap().into_owned()).collect();
    assert_eq!(names, ["score.npy", "energy.npy"]);
}

#[test]
fn what_a_model_has_not_and_what_is_no_file_is_refused() {
    let lab = lab_with_run(&bare("pcd", 3));
    for (words, says) in [
        (&["--what", "logits"][..], "no classes"),
        (&["--what", "log_prob"], "ais"),
        (&["--out", "e.txt"], ".npz"),
        (&["--what", "energy,score", "--out", "e.npy"], "one array"),
        (&["--batch", "0"], "--batch"),
    ] {
        lab.refused(2, &[&["-q", "energy", "--ckpt", "run"], words].concat(), &[says]);
    }
    let told =
        lab.json(&["-q", "energy", "--ckpt", "run", "--set", "dataset.limit=20", "--out", "e.csv", "--split", "train"]);
    assert_eq!(told["items"], 20, "{told:#}");
    lab.refused(4, &["-q", "energy", "--ckpt", "nothing", "--out", "e.csv"], &["nothing"]);
}
