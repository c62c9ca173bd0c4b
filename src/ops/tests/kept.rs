//! What a frozen network keeps of its weights: it follows every way in which they change, and its products are right.

use candle_core::{DType, Tensor, Var};

use crate::ops::backend::{Backend, on};
use crate::ops::contract::{assert_close, entries, normal};
use crate::ops::{
    Adam, Conv, Kept, LayerWeights, Sgd, adam_update, assign, conv2d, conv2d_pullback, lerp_update, linear,
    linear_pullback, linear_stacked, sgd_update,
};

const ADAM: Adam =
    Adam { scale: 1.0, l2: 0.0, betas: [0.9, 0.999], rest: [0.1, 0.001], keep: 1.0, rate: 0.1, root: 1.0, eps: 1e-8 };
const SGD: Sgd = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false, scale: 1.0 };

fn single(name: &str, shape: &[usize]) -> Tensor {
    normal(name, shape).to_dtype(DType::F32).unwrap()
}

/// Checks that f of frozen weights and a place is f without what was kept, after every kind of update of their twin. f
/// gives the numbers of a pass and of its pull-back.
fn follows(what: &str, weights: &[usize], f: &dyn Fn(LayerWeights) -> [Vec<f64>; 2]) {
    let live = Var::from_tensor(&single("w", weights)).unwrap();
    let (twin, kept, g) = (live.as_detached_tensor(), Kept::default(), single("g", weights));
    let zeros = || Var::from_tensor(&twin.zeros_like().unwrap()).unwrap();
    let (moment, square) = (zeros(), zeros());
    let fresh = |w: &Tensor| f(LayerWeights::kept(&w.copy().unwrap(), &Kept::default()));
    let changes: [(&str, &dyn Fn()); 4] = [
        ("adam", &|| adam_update(&live, &g, &moment, &square, &ADAM).map(drop).unwrap()),
        ("sgd", &|| sgd_update(&live, &g, &moment, &SGD).map(drop).unwrap()),
        ("lerp", &|| lerp_update(&live, &g, 0.5).unwrap()),
        ("assign", &|| assign(&live, &g).unwrap()),
    ];
    on(Backend::Kernels, || {
        let now = || f(LayerWeights::kept(&twin, &kept));
        let mut before = now();
        assert!(before == now() && before == fresh(&twin), "{what}");
        for (name, change) in changes {
            change();
            let after = now();
            assert!(after != before && after == fresh(&twin), "{what}: {name}");
            before = after;
        }
        // Other weights at the same place.
        assert!(f(LayerWeights::kept(&(&g * 2.0).unwrap(), &kept)) == fresh(&(&g * 2.0).unwrap()), "{what}");
    });
}

#[test]
fn what_is_kept_of_weights_follows_their_updates() {
    for (channels, size, kernel, stride) in [(16, 8, 3, 1), (24, 16, 4, 2)] {
        let (conv, x) = (Conv { stride, padding: 1 }, single("x", &[3, channels, size, size]));
        follows(&format!("{kernel}x{kernel}"), &[channels, channels, kernel, kernel], &|w| {
            let y = conv2d(&x, w, None, conv).unwrap();
            [entries(&conv2d_pullback(&y, w, conv, (size, size)).unwrap()), entries(&y)]
        });
    }
    let x = single("x", &[21, 40]);
    follows("linear", &[33, 40], &|w| {
        let y = linear(&x, w, None).unwrap();
        [entries(&linear_pullback(&y, w).unwrap()), entries(&y)]
    });
}

#[test]
fn products_with_packed_weights_are_as_good_as_f32_can_be() {
    for (rows, inputs, outputs) in [(1, 16, 16), (4, 33, 50), (14, 300, 97), (100, 64, 300), (22, 17, 48), (0, 20, 20)]
    {
        let what = format!("{rows} rows, {inputs} -> {outputs}");
        let (x, w, b) = (normal("x", &[2 * rows, inputs]), normal("w", &[outputs, inputs]), normal("b", &[outputs]));
        let [x32, w32, b32] = [&x, &w, &b].map(|t| t.to_dtype(DType::F32).unwrap());
        let kept = Kept::default();
        let weights = LayerWeights::kept(&w32, &kept);
        on(Backend::Kernels, || {
            let y = linear_stacked(&x32, weights, Some(&b32), 2).unwrap();
            let want = linear_stacked(&x, &w, Some(&b), 2).unwrap();
            assert_close(&what, &y, &want, 5e-6);
            assert_close(&what, &linear_pullback(&y, weights).unwrap(), &linear_pullback(&want, &w).unwrap(), 5e-6);
            // Views: every second row, and a transpose.
            let half = x32.t().unwrap().contiguous().unwrap().t().unwrap();
            assert_eq!(entries(&linear_stacked(&half, weights, Some(&b32), 2).unwrap()), entries(&y), "{what}");
        });
    }
}

#[test]
fn a_row_depends_on_no_other_and_not_on_the_threads() {
    let (x, w, kept) = (single("x", &[200, 300]), single("w", &[300, 300]), Kept::default());
    let weights = LayerWeights::kept(&w, &kept);
    let rows = |from, n| {
        let x = x.narrow(0, from, n).unwrap();
        on(Backend::Kernels, || entries(&linear(&x, weights, None).unwrap()))
    };
    let all = rows(0, 200);
    assert_eq!([rows(0, 101), rows(101, 7), rows(108, 92)].concat(), all);
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    assert!(pool(1).install(|| rows(0, 200)) == all && pool(3).install(|| rows(0, 200)) == all);
}
