mod grid; pub use grid::Grid;
pub fn logsumexp(v:&[f64])->f64{let m=v.iter().cloned().fold(f64::MIN,f64::max); m+v.iter().map(|x|(x-m).exp()).sum::<f64>().ln()}
pub mod stats{ pub fn mean(v:&[f64])->f64{v.iter().sum::<f64>()/v.len() as f64} pub fn std(v:&[f64])->f64{let m=mean(v);(v.iter().map(|x|(x-m)*(x-m)).sum::<f64>()/(v.len()-1) as f64).sqrt()}}
