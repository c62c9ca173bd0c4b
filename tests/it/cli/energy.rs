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

/// More rows than a batch, a piece and a thousand; the same numbers however many are taken at a time.
#[test]
fn files_of_any_length_go_through_in_pieces() {
    let lab = lab_with_run(&bare("ml_grid", 2));
    let x: Vec<f64> = (0..2 * 2_500).map(|i| f64::from((i % 97) as f32 / 50.0 - 1.0)).collect();
    std::fs::write(lab.path("x.npy"), file::npy_bytes(&[2_500, 2], &x).unwrap()).unwrap();
    let text: String = x.chunks(2).map(|row| format!("{},{}\n", row[0], row[1])).collect();
    lab.write("x.csv", &text);
    let energies = |data: &str, batch: &str, out: &str| {
        let words =
            ["-q", "energy", "--ckpt", "run", "--data", data, "--batch", batch, "--what", "energy", "--out", out];
        lab.ok(&words);
        numbers(&lab.path(out))
    };
    let whole = energies("x.npy", "5000", "a.npy");
    assert!(whole.0 == [2_500]);
    // A product of matrices may round its last digit otherwise in another batch.
    let same = |(shape, values): (Vec<usize>, Vec<f64>), whole: &(Vec<usize>, Vec<f64>)| {
        let far = values.iter().zip(&whole.1).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max);
        shape == whole.0 && values.len() == whole.1.len() && far < 1e-6
    };
    assert!(same(energies("x.npy", "7", "b.npy"), &whole));
    assert!(same(energies("x.csv", "999", "c.npy"), &whole));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    std::fs::write(lab.path("x.csv.gz"), packed.finish().unwrap()).unwrap();
    assert!(same(energies("x.csv.gz", "999", "g.npy"), &whole));
    // A file whose last row is bad leaves nothing behind.
    lab.write("bad.csv", &format!("{text}1,x\n"));
    lab.refused(4, &["-q", "energy", "--ckpt", "run", "--data", "bad.csv", "--out", "d.npy"], &["line 2501"]);
    assert!(lab.names().iter().all(|name| !name.contains("d.npy")), "{:?}", lab.names());
    // A set with noise: the numbers do not depend on the batch either.
    let set = |batch: &str, out: &str| {
        let words = ["-q", "energy", "--ckpt", "run", "--set", "dataset.noise=0.3", "--split", "train"];
        lab.ok(&[&words[..], &["--set", "dataset.limit=1500", "--batch", batch, "--out", out]].concat());
        numbers(&lab.path(out))
    };
    assert!(same(set("64", "f.npy"), &set("1500", "e.npy")));
}

#[test]
fn outliers_are_ranked_by_their_energy() {
    let lab = lab_with_run(&bare("ml_grid", 40));
    let far: Vec<f64> = (0..40).map(|i| 4.0 + f64::from(i)).collect();
    std::fs::write(lab.path("far.npy"), file::npy_bytes(&[20, 2], &far).unwrap()).unwrap();
    let energy = ["-q", "energy", "--ckpt", "run", "--set", "dataset.limit=300"];
    let told = lab.json(&[&energy[..], &["--against", "far.npy"]].concat());
    let found = &told["detection"];
    assert!(found["auroc"].as_f64().unwrap() > 0.95 && found["outliers"] == 20, "{told:#}");
    let said = lab.ok(&[&energy[..], &["--against", "far.npy", "--out", "e.csv"]].concat());
    assert!(said.contains("AUROC") && lab.path("e.csv").exists(), "{said}");
    // Items against themselves cannot be told apart; against another set they can be named.
    lab.ok(&[&energy[..], &["--split", "train", "--out", "x.csv"]].concat());
    let same = lab.json(&["-q", "energy", "--ckpt", "run", "--data", "far.npy", "--against", "far.npy"]);
    assert_eq!(same["detection"]["auroc"], 0.5);
    let rings = lab.json(&["-q", "energy", "--ckpt", "run", "--against", "rings"]);
    assert!(rings["detection"]["auroc"].as_f64().unwrap() > 0.5, "{rings:#}");
    lab.refused(2, &[&energy[..], &["--against", "nowhere"]].concat(), &["there is no nowhere", "data list"]);
}

/// A model of pictures takes a folder of others, at any size.
#[test]
fn a_folder_of_pictures_is_evaluated_in_the_order_of_names() {
    let lab = Lab::new();
    let config =
        bare("none", 1).replace("name = \"moons\"", "name = \"digits\"\ntransform = \"unit\"\ndequantise = false");
    lab.write("c.toml", &config);
    lab.ok(&["-q", "train", "c.toml", "--run-dir", "run"]);
    std::fs::create_dir_all(lab.path("pictures/b")).unwrap();
    let shades = [200u8, 0, 255];
    for (name, shade) in ["a.png", "b/c.png", "d.png"].iter().zip(shades) {
        image::GrayImage::from_pixel(16, 16, image::Luma([shade])).save(lab.path("pictures").join(name)).unwrap();
    }
    lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "pictures", "--out", "e.npy"]);
    let (shape, energies) = numbers(&lab.path("e.npy"));
    assert_eq!(shape, [3]);
    let x: Vec<f64> = shades.iter().flat_map(|shade| vec![f64::from(*shade) / 255.0; 64]).collect();
    std::fs::write(lab.path("x.npy"), file::npy_bytes(&[3, 64], &x).unwrap()).unwrap();
    lab.ok(&["-q", "energy", "--ckpt", "run", "--data", "x.npy", "--out", "f.npy"]);
    let want = numbers(&lab.path("f.npy")).1;
    energies.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} and {b}"));
    let flat = lab_with_run(&bare("pcd", 2));
    std::fs::create_dir(flat.path("pictures")).unwrap();
    flat.refused(2, &["energy", "--ckpt", "run", "--data", "pictures"], &["not trained on pictures"]);
}
