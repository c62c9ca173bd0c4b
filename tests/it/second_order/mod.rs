//! The contract of [`Layer`](ebm::nets::Layer), for every layer and every network of the registry: first and second
//! derivatives against finite differences in f64.

mod cases;
mod curve;
pub mod difference;

use self::cases::{Case, Subject, all};
use self::difference::{H, analytic, assert_close, entries, inner, number, numeric};
use candle_core::Tensor;
use ebm::Result;
use ebm::nets::{Gradients, Jet, Tape};

/// ȳ·∂f/∂x against differences of ȳ·f and against candle's backward through `forward`.
#[test]
fn the_pull_back_is_the_transposed_jacobian() {
    for case in all() {
        let (layer, x) = (case.layer(), &case.x);
        let (y, pull) = layer.vjp(x, case.pass).unwrap();
        let forward = layer.forward(x, case.pass).unwrap();
        assert_close(&format!("{}: value", case.name), &entries(&y), &entries(&forward));
        let w = case.constant("cotangent", &y);
        let have = entries(&pull(&w).unwrap());
        let loss = || inner(&layer.forward(x, case.pass)?, &w);
        assert_close(&case.name, &have, &numeric(&case.vars["x"], &loss));
        assert_close(&format!("{}: candle", case.name), &have, &analytic(&case.vars, &loss().unwrap())["x"]);
    }
}

/// The gradients that a layer's own reverse pass writes, for x and for every weight, against those of candle's graph; a
/// network's are those of one node, for an x that is tracked and for one that is not.
#[test]
fn the_reverse_pass_has_the_gradients_of_candles_graph() {
    for case in all() {
        let y = case.layer().forward(&case.x, case.pass).unwrap();
        let w = case.constant("cotangent", &y);
        let want = analytic(&case.vars, &inner(&y, &w).unwrap());
        let assert_same = |how: &str, name: &str, have: Option<Tensor>| {
            let have = have.map_or_else(|| vec![0.0; want[name].len()], |g| entries(&g));
            assert_close(&format!("{}: {name} {how}", case.name), &have, &want[name]);
        };
        for wanted in [true, false] {
            let (mut tape, mut grads) = (Tape::default(), Gradients::default());
            let recorded = case.layer().record(&case.x.detach(), case.pass, &mut tape).unwrap();
            assert!(!recorded.track_op(), "{}: a recorded pass has a graph", case.name);
            assert_close(&format!("{}: value", case.name), &entries(&recorded), &entries(&y));
            let gx = case.layer().reverse(&w, &mut tape, &mut grads, wanted).unwrap();
            assert!(tape.pop().is_err(), "{}: something is left on the tape", case.name);
            if wanted {
                assert_same("by reverse", "x", gx);
            }
            for (name, var) in case.vars.iter().filter(|(name, _)| *name != "x") {
                assert_same("by reverse", name, grads.take(var));
            }
        }
        let Subject::Net(net) = &case.layer else { continue };
        for x in [case.x.clone(), case.x.detach()] {
            let store = inner(&net.forward(&x, case.pass).unwrap(), &w).unwrap().backward().unwrap();
            for (name, var) in case.vars.iter().filter(|(name, _)| *name != "x" || x.track_op()) {
                assert_same("by one node", name, store.get(var).cloned());
            }
        }
    }
}

/// ∂f/∂x·ẋ against a difference of f along ẋ, and ⟨ȳ, Jẋ⟩ = ⟨Jᵀȳ, ẋ⟩.
#[test]
fn the_tangent_is_the_directional_derivative() {
    for case in all() {
        let (layer, x) = (case.layer(), &case.x);
        let v = case.constant("tangent", x);
        let jet = layer.jvp(&Jet::new(x, &v).unwrap(), case.pass).unwrap();
        let at = |step: f64| layer.forward(&(x + v.affine(step, 0.0).unwrap()).unwrap(), case.pass).unwrap();
        let want = ((at(H) - at(-H)).unwrap() / (2.0 * H)).unwrap();
        let (y, tangent) = (jet.value().unwrap(), jet.tangent().unwrap());
        assert_close(&format!("{}: value", case.name), &entries(&y), &entries(&at(0.0)));
        assert_close(&case.name, &entries(&tangent), &entries(&want));
        let (_, pull) = layer.vjp(x, case.pass).unwrap();
        let w = case.constant("cotangent", &y);
        let (left, right) = (inner(&w, &tangent).unwrap(), inner(&pull(&w).unwrap(), &v).unwrap());
        assert_close(&format!("{}: transpose", case.name), &[number(&left)], &[number(&right)]);
    }
}

/// ∇‖∇x E‖² for every weight and x, by ONE backward through the pull-back, with E = Σ w∘f.
#[test]
fn the_gradient_penalty_has_the_right_gradient() {
    gradient_penalty(all().into_iter().step_by(3));
}

#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_gradient_penalty_of_every_layer_has_the_right_gradient() {
    gradient_penalty(all());
}

fn gradient_penalty(cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        let w = case.constant("energy", &case.layer().forward(&case.x, case.pass).unwrap());
        let penalty = || {
            let (_, pull) = case.layer().vjp(&case.x, case.pass)?;
            Ok(pull(&w)?.sqr()?.sum_all()?)
        };
        assert_gradient(&case, "gradient penalty", &penalty);
    }
}

/// LSD's ∇φ[εᵀ(∂f/∂x)ε + s·f], by the pull-back and by the tangent pass (ε on the left and ε on the right are two
/// constants here, for layers whose output has another shape than the input).
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_stein_term_has_the_right_gradient_both_ways() {
    for case in all() {
        let stein = Stein::new(&case);
        let (by_vjp, by_jvp) = (|| stein.by_vjp(&case), || stein.by_jvp(&case));
        assert_gradient(&case, "Stein term by vjp", &by_vjp);
        assert_gradient(&case, "Stein term by jvp", &by_jvp);
        let (a, b) = (analytic(&case.vars, &by_vjp().unwrap()), analytic(&case.vars, &by_jvp().unwrap()));
        for (name, gradient) in &a {
            assert_close(&format!("{}: {name} both ways", case.name), gradient, &b[name]);
        }
    }
}

/// No weight is cut off from the objective, in silence, by an operation without a backward.
#[test]
fn every_parameter_gets_a_gradient() {
    for case in all() {
        let stein = Stein::new(&case);
        for (how, loss) in [("vjp", stein.by_vjp(&case)), ("jvp", stein.by_jvp(&case))] {
            for (name, gradient) in analytic(&case.vars, &loss.unwrap()) {
                assert!(gradient.iter().any(|g| g.abs() > 1e-12), "{}: {name} has no gradient by {how}", case.name);
            }
        }
    }
}

/// ∇φ tr(∂f/∂x), by the closed forms of small perceptrons and by D pull-backs, for critics that learn from exact
/// traces.
#[test]
fn the_exact_trace_has_the_right_gradient() {
    let square = |case: &&Case| matches!(&case.layer, Subject::Net(net) if net.io().input == net.io().output);
    let cases = cases::nets();
    assert!(cases.iter().filter(square).count() >= 4);
    for case in cases.iter().filter(square) {
        let weights = case.constant("trace", &case.layer().trace(&case.x).unwrap());
        assert_gradient(case, "trace", &|| inner(&case.layer().trace(&case.x)?, &weights));
    }
}

struct Stein {
    left: Tensor,
    right: Tensor,
    score: Tensor,
}

impl Stein {
    fn new(case: &Case) -> Self {
        let y = case.layer().forward(&case.x, case.pass).unwrap();
        let of = |purpose: &str, like: &Tensor| case.constant(purpose, like);
        Stein { left: of("left", &y), right: of("right", &case.x), score: of("score", &y) }
    }

    fn by_vjp(&self, case: &Case) -> Result<Tensor> {
        let (y, pull) = case.layer().vjp(&case.x, case.pass)?;
        Ok((inner(&pull(&self.left)?, &self.right)? + inner(&self.score, &y)?)?)
    }

    fn by_jvp(&self, case: &Case) -> Result<Tensor> {
        let jet = case.layer().jvp(&Jet::new(&case.x, &self.right)?, case.pass)?;
        Ok((inner(&self.left, &jet.tangent()?)? + inner(&self.score, &jet.value()?)?)?)
    }
}

/// One backward of `loss` against its differences, for every entry of every weight and of x.
fn assert_gradient(case: &Case, what: &str, loss: &dyn Fn() -> Result<Tensor>) {
    let value = loss().unwrap();
    // A loss that no weight enters, such as the penalty of a map that is linear and has none, has no graph.
    for (name, gradient) in analytic(&case.vars, &value) {
        let want = numeric(&case.vars[&name], loss);
        assert_close(&format!("{}: {what}, {name}", case.name), &gradient, &want);
    }
}
