use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind};

use candle_core::DType;
use rand::Rng as _;

use super::super::fs::{Content as _, Op};
use super::*;
use crate::rng::Key;

fn sample(step: u64) -> Checkpoint {
    let key = Key::new(step);
    let normal = |n: usize, dtype| key.at(n as u64).normal((n, 3), dtype, &Device::Cpu).unwrap();
    let tensors = [
        ("energy.0.weight", normal(4, DType::F32)),
        ("adam.m", normal(2, DType::F64)),
        ("chain.age", Tensor::new(&[1u32, 7, u32::MAX], &Device::Cpu).unwrap()),
        ("cursor", Tensor::new(i64::MIN, &Device::Cpu).unwrap()),
        ("image", Tensor::new(&[[0u8, 255], [3, 4]], &Device::Cpu).unwrap()),
        ("none", Tensor::zeros((0, 5), DType::F32, &Device::Cpu).unwrap()),
    ];
    Checkpoint {
        step,
        config: "seed = 7\nname = \"ε\"\n".into(),
        meta: [("best", "0.1"), ("a", "b")].map(|(k, v)| (k.into(), v.into())).into(),
        tensors: tensors.map(|(k, v)| (k.to_owned(), v)).into(),
    }
}

fn bytes_of(t: &Tensor) -> (DType, Vec<usize>, Vec<f64>) {
    let values = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (t.dtype(), t.dims().to_vec(), values)
}

fn assert_same(a: &Checkpoint, b: &Checkpoint) {
    assert_eq!((a.step, &a.config, &a.meta), (b.step, &b.config, &b.meta));
    assert_eq!(a.tensors.keys().collect::<Vec<_>>(), b.tensors.keys().collect::<Vec<_>>());
    a.tensors.iter().for_each(|(name, t)| assert_eq!(bytes_of(t), bytes_of(&b.tensors[name]), "{name}"));
}

fn encoded(c: &Checkpoint) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    format::Encoded::new(c).unwrap().each(&mut take).unwrap();
    bytes
}

/// A file whose content was changed but whose checksum was made to fit: what a hostile writer can do.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.windows(8).position(|w| w == b"checksum").unwrap() + "checksum\":\"".len();
    bytes[at..at + 64].fill(b'0');
    let sum = sha256(&bytes);
    bytes[at..at + 64].copy_from_slice(sum.as_bytes());
    bytes
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + to.len()..]].concat()
}

fn refusal(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    let error = Checkpoint::load(path, &Device::Cpu).expect_err("a bad file was loaded");
    assert_eq!(error.exit_code(), 4, "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("hint: "), "{text}");
    text
}

#[test]
fn what_is_saved_is_loaded_and_equal_states_give_equal_files() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|n| dir.path().join(n));
    let sum = sample(5).save(&a).unwrap();
    assert_eq!(sum, sample(5).save(&b).unwrap());
    assert_eq!(sum, sha256(&fs::read(&a).unwrap()));
    assert_ne!(sum, sample(6).save(&b).unwrap());
    assert_same(&Checkpoint::load(&a, &Device::Cpu).unwrap(), &sample(5));
}

#[test]
fn other_readers_of_safetensors_read_it() {
    let bytes = encoded(&sample(5));
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert_eq!(tensors.len(), 6);
    tensors.iter().for_each(|(name, t)| assert_eq!(bytes_of(t), bytes_of(&sample(5).tensors[name])));
}

/// What [`refusal`] looks at without the file, for tests that try thousands.
fn is_refused(bytes: &[u8]) -> bool {
    format::decode(bytes, &Device::Cpu).is_err()
}

#[test]
fn every_flipped_byte_of_the_header_is_found() {
    let bytes = encoded(&sample(5));
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in 0..header {
        for mask in [1, 0x20, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= mask;
            assert!(is_refused(&bad), "byte {at}, mask {mask:#x}");
        }
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = encoded(&sample(5));
    let mut rng = Key::new(1).rng();
    for _ in 0..1000 {
        let mut bad = bytes.clone();
        let bit = rng.random_range(0..bad.len() * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(is_refused(&bad), "bit {bit}");
    }
}

#[test]
fn truncation_and_growth_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let bytes = encoded(&sample(5));
    let mut rng = Key::new(2).rng();
    for _ in 0..200 {
        let text = refusal(&path, &bytes[..rng.random_range(0..bytes.len())]);
        assert!(text.contains("truncated"), "{text}");
    }
    refusal(&path, &[&bytes[..], b"\0"].concat());
}

#[test]
fn files_that_are_something_else_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let other = sample(1).tensors;
    let other = safetensors::serialize(other.iter().map(|(k, v)| (k.as_str(), v)), None).unwrap();
    for (bytes, says) in [
        (&b""[..], "truncated"),
        (&[0; 64][..], "zeros"),
        (&[0; 5000][..], "zeros"),
        (&[0xff; 64][..], "limit"),
        (b"PK\x03\x04 a zip file, such as PyTorch writes", "limit"),
        (&other[..], "not a checkpoint of this program"),
    ] {
        let text = refusal(&path, bytes);
        assert!(text.contains(says), "{text}");
    }
    assert!(Checkpoint::load(dir.path(), &Device::Cpu).unwrap_err().to_string().contains("not a file"));
    assert!(Checkpoint::load(&dir.path().join("none"), &Device::Cpu).unwrap_err().to_string().contains("none"));
}

#[test]
fn hostile_headers_with_a_right_checksum_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let bytes = encoded(&sample(5));
    for (from, to, says) in [
        (r#""format":"1""#, r#""format":"9""#, "newer"),
        (r#""step":"5""#, r#""step":"x""#, "step"),
        (r#""F64""#, r#""I16""#, "malformed"),
        (r#""F64""#, r#""C64""#, "not supported"),
        (r#""shape":[4,3]"#, r#""shape":[5,3]"#, "malformed"),
        (r#""data_offsets":[0,"#, r#""data_offsets":[9,"#, "malformed"),
        ("energy.0.weight", "energy.0.wei\"ht", "malformed"),
    ] {
        let text = refusal(&path, &signed(replaced(&bytes, from, to)));
        assert!(text.contains(says), "{to}: {text}");
    }
    let huge = br#"{"__metadata__":{"checksum":"0000000000000000000000000000000000000000000000000000000000000000"},"#;
    let max = usize::MAX;
    for rest in [
        format!(r#""a":{{"dtype":"F32","shape":[{max},{max}],"data_offsets":[0,{max}]}}}}"#),
        format!(r#""a":{{"dtype":"U8","shape":[{}],"data_offsets":[0,{}]}}}}"#, max >> 4, max >> 4),
        "[".repeat(100_000),
    ] {
        let header = [&huge[..], rest.as_bytes()].concat();
        refusal(&path, &signed([&(header.len() as u64).to_le_bytes()[..], &header].concat()));
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let mut checkpoint = sample(5);
    checkpoint.check_finite(Path::new("x")).unwrap();
    let bad = Tensor::new(&[1f32, f32::INFINITY], &Device::Cpu).unwrap();
    checkpoint.tensors.insert("energy.1.bias".into(), bad);
    let text = checkpoint.check_finite(Path::new("x")).unwrap_err().to_string();
    assert!(text.contains("`energy.1.bias` has inf at index 1"), "{text}");
}

#[test]
fn names_and_shapes_are_compared_both_ways() {
    let checkpoint = sample(5);
    let mut want = checkpoint.tensors.clone();
    checkpoint.check_names(Path::new("x"), &want).unwrap();
    want.remove("image");
    for (name, shape) in [("adam.m", &[3usize, 2][..]), ("critic.bias", &[1])] {
        want.insert(name.into(), Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap());
    }
    let text = checkpoint.check_names(Path::new("x"), &want).unwrap_err().to_string();
    for says in ["1 missing: critic.bias", "1 unknown: image", "adam.m [2, 3] instead of [3, 2]"] {
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let mut checkpoint = sample(5);
    checkpoint.tensors.insert("half".into(), Tensor::zeros(3, DType::BF16, &Device::Cpu).unwrap());
    let text = checkpoint.save(&path).unwrap_err().to_string();
    assert!(text.contains("`half`") && text.contains("BF16"), "{text}");
    checkpoint.tensors.remove("half");
    checkpoint.tensors.insert("__metadata__".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    assert!(checkpoint.save(&path).unwrap_err().to_string().contains("reserved"));
    assert!(!path.exists());
}

#[test]
fn the_folder_keeps_what_the_policy_says_and_last_is_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let keep = Keep { last: 2, every: 40 };
    for step in [10, 20, 30, 40, 50, 60] {
        save_in(dir.path(), &sample(step), &keep, (step >= 20).then_some(20)).unwrap();
        assert_eq!(Checkpoint::load(&last_of(dir.path()), &Device::Cpu).unwrap().step, step);
        let best = Checkpoint::load(&best_of(dir.path()), &Device::Cpu).map(|c| c.step);
        assert_eq!(best.ok(), (step >= 20).then_some(20));
    }
    // A kill right behind the file of step 70: the rest of saving it is done again.
    sample(70).save(&path_of(dir.path(), 70)).unwrap();
    for _ in 0..2 {
        settle(dir.path(), 70, &keep, Some(20)).unwrap();
        assert_eq!(steps(dir.path()).unwrap(), [20, 40, 60, 70]);
        assert_eq!(Checkpoint::load(&last_of(dir.path()), &Device::Cpu).unwrap().step, 70);
    }
    fs::write(dir.path().join("step-7.safetensors"), "not ours").unwrap();
    assert_eq!(steps(dir.path()).unwrap(), [20, 40, 60, 70]);
}

#[test]
fn damage_to_the_newest_falls_back_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(latest_good(dir.path(), &Device::Cpu).unwrap_err().exit_code(), 4);
    for step in [10, 20] {
        save_in(dir.path(), &sample(step), &Keep::default(), None).unwrap();
    }
    assert_eq!(latest_good(dir.path(), &Device::Cpu).unwrap().1.step, 20);
    fs::write(path_of(dir.path(), 20), "torn").unwrap();
    assert_eq!(latest_good(dir.path(), &Device::Cpu).unwrap().1.step, 10);
    fs::write(path_of(dir.path(), 10), "torn").unwrap();
    let text = latest_good(dir.path(), &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("step-00000020"), "{text}");
}

#[test]
fn the_newest_is_found_by_its_content_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(format!("{name}.safetensors"));
    let found = || {
        let (path, checkpoint) = latest_good(dir.path(), &Device::Cpu).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), checkpoint.step)
    };
    sample(3).save(&at("step-00000009")).unwrap();
    sample(5).save(&at("best")).unwrap();
    assert_eq!(found(), ("best".into(), 5));
    sample(5).save(&at("last")).unwrap();
    assert_eq!(found(), ("last".into(), 5));
    // It takes the name of its step, by which the files that follow know it.
    adopt(dir.path(), &at("last"), 5).unwrap();
    assert_eq!((found(), steps(dir.path()).unwrap()), (("step-00000005".into(), 5), vec![5, 9]));
    fs::write(at("last"), "torn").unwrap();
    fs::create_dir(at("folder")).unwrap();
    assert_eq!(found().1, 5);
    // The file of step 9 is of no step after 5: with one kept, it is the newest that stays.
    settle(dir.path(), 5, &Keep { last: 1, every: 0 }, None).unwrap();
    assert_eq!(steps(dir.path()).unwrap(), [5, 9]);
    // A newer version's file may be good: nothing older takes its place.
    let newer = replaced(&encoded(&sample(8)), "\"format\":\"1\"", "\"format\":\"2\"");
    fs::write(at("step-00000008"), signed(newer)).unwrap();
    let text = latest_good(dir.path(), &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("newer `ebm`"), "{text}");
}

#[test]
fn a_full_disk_at_any_operation_leaves_a_checkpoint_that_loads() {
    struct FullAt(Cell<usize>);
    impl Witness for FullAt {
        fn before(&self, _: &Op<'_>) -> io::Result<()> {
            self.0.set(self.0.get().wrapping_sub(1));
            if self.0.get() == usize::MAX { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }
    let mut k = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        save_in(dir.path(), &sample(10), &Keep { last: 1, every: 0 }, None).unwrap();
        let keep = Keep { last: 1, every: 0 };
        let saved = save_in_watched(dir.path(), &sample(20), &keep, None, &FullAt(Cell::new(k)));
        let (_, found) = latest_good(dir.path(), &Device::Cpu).unwrap();
        let last = Checkpoint::load(&last_of(dir.path()), &Device::Cpu).unwrap();
        assert_same(&found, &sample(found.step));
        assert_same(&last, &sample(last.step));
        match saved {
            Err(error) => assert_eq!(error.exit_code(), 5, "{error}"),
            // A failed hard link is made up for by a copy, so the fault there goes unnoticed.
            Ok(_) => assert_eq!((last.step, steps(dir.path()).unwrap()), (20, vec![20])),
        }
        if k > 12 {
            break;
        }
        k += 1;
    }
}
