//! Images that lie pixel by pixel, and weights that are kept so.

use candle_core::{DType, Device, Tensor, Var};

use crate::device::Precision;
use crate::ops::backend::{Backend, on};
use crate::ops::contract::{entries, normal};
use crate::ops::order::by_pixel;
use crate::ops::{
    Activation, Kept, LayerWeights, OpCheck, Order, activate, add, assign, channels_first, group_norm, stacked,
};

fn laid(t: &Tensor) -> Tensor {
    Order::Last.images(&Order::Last.lay(t).unwrap()).unwrap()
}

#[test]
fn images_that_lie_pixel_by_pixel_are_known_and_come_back() {
    let x = normal("x", &[2, 3, 4, 5]);
    let there = laid(&x);
    assert!(by_pixel(&there) && !by_pixel(&x) && there.dims() == x.dims());
    assert!(entries(&there) == entries(&x));
    assert!(by_pixel(&there.narrow(0, 1, 1).unwrap()) && !by_pixel(&there.narrow(1, 0, 2).unwrap()));
    let back = channels_first(&there).unwrap();
    assert!(back.is_contiguous() && entries(&back) == entries(&x));
    // In both orders at once.
    for shape in [[2, 1, 4, 5], [2, 3, 1, 1]] {
        assert!(!by_pixel(&laid(&normal("x", &shape))));
    }
    assert!(!by_pixel(&normal("x", &[4, 3]).t().unwrap()));
    let brief = Order::Last.lay_as(&x, DType::F32).unwrap();
    assert_eq!((brief.dims(), brief.dtype()), (&[2, 4, 5, 3][..], DType::F32));
}

#[test]
fn operations_on_pixels_are_those_on_images() {
    let all = OpCheck::all().unwrap();
    let mine: Vec<_> = all.iter().filter(|check| check.name.contains("pixel by pixel")).collect();
    assert!(mine.len() > 10);
    for check in mine {
        let off = check.distance(DType::F64, &Device::Cpu).unwrap();
        assert!(off <= check.bound(DType::F64, Precision::F32), "{}: {off:e}", check.name);
    }
}

#[test]
fn numbers_go_on_as_they_lie_where_nothing_is_tracked() {
    let (x, act) = (normal("x", &[4, 3, 4, 5]), Activation::Swish);
    let there = laid(&x);
    on(Backend::Kernels, || {
        let y = activate(act, &there).unwrap();
        assert!(by_pixel(&y) && by_pixel(&add(&x, &y).unwrap()) && by_pixel(&stacked(&[&y, &x]).unwrap()));
    });
    // A graph is built of tensors in the usual order.
    let tracked = Var::from_tensor(&there).unwrap();
    assert!(!by_pixel(&activate(act, &tracked).unwrap()) && !by_pixel(&add(&tracked, &there).unwrap()));
    let gain = Var::ones(3, DType::F64, &Device::Cpu).unwrap();
    assert!(group_norm(&there, &gain, &gain, 3).unwrap().is_contiguous());
}

#[test]
fn weights_are_laid_once_a_version_and_anew_where_they_are_wanted_otherwise() {
    let live = Var::from_tensor(&normal("w", &[4, 3, 2, 2])).unwrap();
    let (twin, kept) = (live.as_detached_tensor(), Kept::default());
    let weights = LayerWeights::kept(&twin, &kept);
    let now = |order, dtype| weights.laid(order, dtype).unwrap();
    let first = now(Order::Last, DType::F64);
    assert_eq!(first.dims(), [4, 2, 2, 3]);
    assert_eq!(now(Order::Last, DType::F64).id(), first.id(), "kept");
    let brief = now(Order::Last, DType::F32);
    assert_eq!((brief.dtype(), now(Order::Last, DType::F32).id()), (DType::F32, brief.id()));
    let straight = now(Order::First, DType::F32);
    assert_eq!((straight.dims(), now(Order::First, DType::F32).id()), (&[4, 3, 2, 2][..], straight.id()));
    let again = now(Order::Last, DType::F64);
    assert!(again.id() != first.id() && entries(&again) == entries(&first));
    assign(&live, &normal("v", &[4, 3, 2, 2])).unwrap();
    let moved = now(Order::Last, DType::F64);
    assert!(entries(&moved) != entries(&first) && entries(&moved) == entries(&Order::Last.lay(&twin).unwrap()));
    // What is tracked has no place.
    let tracked = LayerWeights::kept(&live, &kept);
    assert_ne!(tracked.laid(Order::Last, DType::F64).unwrap().id(), moved.id());
}
