use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use candle_core::{DType, Device, Tensor};

use super::saving::SPENT;
use super::*;
use crate::methods::Part;
use crate::store::{Checkpoint, State};

/// The probe that finds what is best, at the end of a run only.
const LOOK: &str = "[[probe]]\nname = \"nll\"\n";

const ML: &str = "\"ml_grid\"\npoints = 16";

/// A run with an average and a best step, of a method by its name and keys; `more` is added to the configuration.
fn trainer(method: &str, more: &str) -> Trainer {
    let text = format!(
        "seed = 3\n[dataset]\nname = \"moons\"\n[model]\nname = \"neural\"\nnet = {{ name = \"mlp\", hidden = [8] }}\n\
         [method]\nname = {method}\n[train]\nsteps = 8\nbatch_size = 16\nema = 0.9\nbest = \"test_ll\"\n{more}"
    );
    Trainer::new(Experiment::parse("c.toml", &text, &[]).unwrap()).unwrap()
}

fn advance(trainer: &mut Trainer, steps: u64) {
    let mut guard = trainer.guard();
    for _ in 0..steps {
        trainer.advance(&mut guard).unwrap();
    }
}

fn bits(state: &State) -> Vec<(String, Vec<u64>)> {
    let values = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let bits = |t: &Tensor| values(t).into_iter().map(f64::to_bits).collect();
    state.iter().map(|(name, t)| (name.clone(), bits(t))).collect()
}

/// As a file would give it: in storage of its own.
fn saved(trainer: &Trainer) -> Checkpoint {
    let checkpoint = trainer.checkpoint().unwrap();
    let own = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.copy().unwrap());
    Checkpoint { tensors: checkpoint.tensors.iter().map(own).collect(), ..checkpoint }
}

#[test]
fn a_checkpoint_shares_storage_until_it_is_written() {
    let mut trainer = trainer(ML, LOOK);
    advance(&mut trainer, 2);
    let (live, own) = (trainer.checkpoint().unwrap().tensors, saved(&trainer).tensors);
    assert_eq!(bits(&live), bits(&own));
    advance(&mut trainer, 1);
    let now = trainer.state().unwrap();
    for (name, tensor) in now.iter().filter(|(name, _)| !name.starts_with("method.optim.steps.")) {
        let one = |t: &Tensor| bits(&State::from([(name.clone(), t.clone())]));
        assert_eq!(one(&live[name]), one(tensor), "{name} was copied");
        assert_ne!(one(&own[name]), one(tensor), "{name} does not change in a step");
    }
    let bytes = |state: &State| state.values().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum::<usize>();
    assert_eq!(trainer.checkpoint_bytes().unwrap(), bytes(&own));
}

#[test]
fn a_checkpoint_that_is_refused_changes_nothing() {
    let mut older = trainer(ML, LOOK);
    advance(&mut older, 2);
    older.best.as_mut().unwrap().found = Some((2, Metrics::new().with("test_ll", -1.0)));
    older.spent = Spent { values: 5, gradients: 7 };
    let good = saved(&older);
    let mut trainer = trainer(ML, LOOK);
    advance(&mut trainer, 3);
    let stands = |t: &Trainer| (t.step, t.spent, t.best().cloned(), bits(&t.state().unwrap()));
    let before = stands(&trainer);
    let path = Path::new("x.safetensors");
    let refused = |trainer: &mut Trainer, says: &str, spoil: &dyn Fn(&mut Checkpoint)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        let error = trainer.restore(path, &bad).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(stands(trainer) == before, "changed, although refused: {error}");
    };
    let number = |v: f32| Tensor::new(v, &Device::Cpu).unwrap();
    for name in good.tensors.keys() {
        refused(&mut trainer, "1 missing: ", &|c| drop(c.tensors.remove(name)));
        let misshapen = || Tensor::zeros((3, 1, 4, 1), DType::F32, &Device::Cpu).unwrap();
        refused(&mut trainer, "of another shape", &|c| drop(c.tensors.insert(name.clone(), misshapen())));
    }
    refused(&mut trainer, "1 unknown: ema.more", &|c| drop(c.tensors.insert("ema.more".into(), number(1.0))));
    let negative = || Tensor::new(-1i64, &Device::Cpu).unwrap();
    let count = good.tensors.keys().find(|name| name.starts_with("method.optim.steps.")).unwrap();
    refused(&mut trainer, "is negative: -1", &|c| drop(c.tensors.insert(count.clone(), negative())));
    refused(&mut trainer, "`best`", &|c| drop(c.meta.insert("best".into(), "[1]".into())));
    refused(&mut trainer, "`spent`", &|c| drop(c.meta.insert("spent".into(), "{\"values\":-1}".into())));
    trainer.restore(path, &good).unwrap();
    assert!(stands(&trainer) == stands(&older));
}

#[test]
fn what_was_spent_is_restored_exactly_and_unknown_in_old_checkpoints() {
    let mut first = trainer(ML, LOOK);
    first.spent = Spent { values: u64::MAX, gradients: (1 << 53) + 1 };
    let mut checkpoint = saved(&first);
    let mut second = trainer(ML, LOOK);
    second.restore(Path::new("x"), &checkpoint).unwrap();
    assert_eq!(second.spent, first.spent);
    checkpoint.meta.remove(SPENT);
    second.restore(Path::new("x"), &checkpoint).unwrap();
    assert_eq!(second.spent, Spent::default());
}

/// A method that counts how often it is asked for its state.
struct Asked {
    method: Box<dyn Method>,
    times: Rc<Cell<u32>>,
}

impl Method for Asked {
    fn step(&mut self, cx: &StepContext, batches: &[Batch]) -> Result<Metrics> {
        self.method.step(cx, batches)
    }

    fn model(&self) -> &Model {
        self.method.model()
    }
}

impl Part for Asked {
    fn save(&self, state: &mut State) -> Result<()> {
        self.times.set(self.times.get() + 1);
        self.method.save(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.method.load(state)
    }
}

#[test]
fn a_probe_asks_for_the_state_of_a_method_with_a_proposal_only() {
    for (method, times) in [(ML, 0), ("\"pcd\"\nbuffer = 40\nsampler.steps = 1", 1)] {
        let mut trainer =
            trainer(method, "[[probe]]\nname = \"nll\"\nevery = 1\npoints = 16\nitems = 20\nsamples = 20\n");
        let asked = Rc::new(Cell::new(0));
        trainer.step = 1;
        trainer.method = Box::new(Asked { method: trainer.method, times: asked.clone() });
        assert!(trainer.look().unwrap().metrics.get("test_ll").is_some());
        assert_eq!(asked.get(), times, "{method}");
    }
}

#[test]
fn as_many_checkpoints_are_expected_as_stay() {
    let mut seen = 0;
    let often = [(20, 3, 2, 0), (20, 3, 0, 0), (20, 3, 1, 6), (20, 2, 1, 5)];
    let seldom = [(8, 500, 2, 0), (8, 1, 2, 0), (9, 0, 2, 3), (1, 1, 9, 1)];
    for (steps, every, keep, keep_every) in often.into_iter().chain(seldom) {
        let text = format!("checkpoint_every = {every}\nkeep = {keep}\nkeep_every = {keep_every}\n{LOOK}");
        let mut trainer = trainer(ML, &text);
        (trainer.total, trainer.best) = (steps, None);
        let due = |step: &u64| *step == steps || (every > 0 && step.is_multiple_of(every));
        let written: Vec<u64> = (1..=steps).filter(due).collect();
        let stay = written.len() - trainer.keep().to_delete(&written, None).len();
        let estimate = trainer.estimate(&mut trainer.guard()).unwrap();
        assert_eq!(estimate.checkpoints, stay as u64, "{steps} steps, {every}, {keep}, {keep_every}");
        assert!(estimate.disk > estimate.checkpoint * estimate.checkpoints && estimate.steps <= steps.min(10));
        assert!(estimate.seconds >= estimate.first_seconds && trainer.step() == estimate.steps);
        seen += stay;
    }
    assert_eq!(seen, 20, "checkpoints of all together");
}
