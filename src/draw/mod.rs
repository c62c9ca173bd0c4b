use candle_core::Tensor;
use crate::{Result, math::Grid};
pub fn points(x:&Tensor)->Result<Vec<[f64;2]>>{ Ok(x.to_vec2::<f32>()?.iter().map(|r|[f64::from(r[0]),f64::from(r[1])]).collect()) }
pub fn density2d(_:&[[f64;2]],_:(&[f64],Grid),_:&[[f64;2]],_:[[f64;2];2])->Result<Vec<u8>>{Ok(vec![])}
pub fn grid(_:&Tensor)->Result<Vec<u8>>{Ok(vec![])}
pub fn scatter(_:&[[f64;2]],_:&[[f64;2]],_:[[f64;2];2])->Result<Vec<u8>>{Ok(vec![])}
pub fn gif(_:&[Vec<u8>])->Result<Vec<u8>>{Ok(vec![])}
pub fn size(_:&[u8])->Result<(u32,u32)>{Ok((1,1))}
