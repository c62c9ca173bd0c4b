//! The second-order tangent pass: y'' against differences of the tangent pass, its gradients against differences.

use candle_core::Tensor;
use ebm::Result;
use ebm::nets::{Curve, Jet};

use super::assert_gradient;
use super::cases::{Case, Subject, all, nets};
use super::difference::{H, analytic, assert_close, entries, inner};

/// A line, and a curve that bends already, through a case's point.
fn curves(case: &Case) -> [(&'static str, Tensor, Curve); 2] {
    let (v, w) = (case.constant("velocity", &case.x), case.constant("acceleration", &case.x));
    let line = Curve::line(&case.x, &v).unwrap();
    let bent = Curve::new(&case.x, &v, &w).unwrap();
    [("line", w.zeros_like().unwrap(), line), ("curve", w, bent)]
}

/// y, y', y'' against forward, the tangent pass, and the difference of tangents along x(t) = x + tv + ½t²w.
#[test]
fn the_second_derivative_is_the_difference_of_tangents() {
    for case in all() {
        let v = case.constant("velocity", &case.x);
        for (shape, w, curve) in curves(&case) {
            let at = |t: f64| {
                let x = ((&case.x + (&v * t).unwrap()).unwrap() + (&w * (0.5 * t * t)).unwrap()).unwrap();
                let velocity = (&v + (&w * t).unwrap()).unwrap();
                case.layer().jvp(&Jet::new(&x, &velocity).unwrap(), case.pass).unwrap()
            };
            let y = case.layer().curve(&curve, case.pass).unwrap();
            let (jet, name) = (at(0.0), format!("{} on a {shape}", case.name));
            assert_close(&format!("{name}: value"), &entries(&y.value().unwrap()), &entries(&jet.value().unwrap()));
            assert_close(&format!("{name}: slope"), &entries(&y.first().unwrap()), &entries(&jet.tangent().unwrap()));
            let difference = (at(H).tangent().unwrap() - at(-H).tangent().unwrap()).unwrap();
            let want = (difference / (2.0 * H)).unwrap();
            assert_close(&format!("{name}: bend"), &entries(&y.second().unwrap()), &entries(&want));
        }
    }
}

/// ∇ of Σ a∘y + b∘y' + c∘y'' for every weight and for x, by ONE backward: what score matching descends.
#[test]
#[ignore = "slow: cargo test --release -- --include-ignored"]
fn the_gradient_of_the_second_derivative_is_right() {
    for case in all() {
        let y = case.layer().forward(&case.x, case.pass).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|purpose| case.constant(purpose, &y));
        for (shape, _, _) in curves(&case) {
            let loss = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
                // Built anew: the differences move x.
                let [line, bent] = curves(&case).map(|(_, _, curve)| curve);
                let y = case.layer().curve(if shape == "line" { &line } else { &bent }, case.pass)?;
                let terms = (inner(a, &y.value()?)? + inner(b, &y.first()?)?)?;
                Ok((terms + inner(&c, &y.second()?)?)?)
            };
            let zero = y.zeros_like().unwrap();
            assert_gradient(&case, &format!("bend of a {shape}"), &|| loss(&zero, &zero));
            assert_gradient(&case, &format!("all of a {shape}"), &|| loss(&a, &b));
        }
    }
}

/// No weight is cut off from y'' in silence where the network bends.
#[test]
fn every_weight_of_a_smooth_network_shapes_its_curvature() {
    let smooth = |case: &&Case| case.name.starts_with("mlp (hidden = [4, 3])");
    let cases = nets();
    for case in cases.iter().filter(smooth) {
        let Subject::Net(net) = &case.layer else { continue };
        let [_, _, bend] = net.curve(&case.x, &case.constant("velocity", &case.x), ebm::nets::Pass::EVAL).unwrap();
        let gradients = analytic(&case.vars, &bend.sum_all().unwrap());
        for (name, gradient) in gradients.iter().filter(|(name, _)| *name != "net.2.bias") {
            assert!(gradient.iter().any(|g| g.abs() > 1e-12), "{}: {name} has no gradient", case.name);
        }
        assert!(gradients["net.2.bias"].iter().all(|g| *g == 0.0), "a constant has no curvature");
    }
    assert_eq!(cases.iter().filter(smooth).count(), 1);
}
