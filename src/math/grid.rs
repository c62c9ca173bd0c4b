//! Quadrature on a regular grid in the plane, by which 2-D densities get their normaliser.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;

/// The midpoint rule on n × n cells over a window `[[x_lo, x_hi], [y_lo, y_hi]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    window: [[f64; 2]; 2],
    n: usize,
}

impl Grid {
    /// The grid of n × n cells over the window.
    pub fn new(window: [[f64; 2]; 2], n: usize) -> Self {
        Grid { window, n }
    }

    /// The grid of as many cells over the window stretched by `factor` about its centre.
    pub fn widened(self, factor: f64) -> Self {
        let stretch = |[lo, hi]: [f64; 2]| {
            let (centre, half) = ((lo + hi) / 2.0, factor * (hi - lo) / 2.0);
            [centre - half, centre + half]
        };
        Grid { window: self.window.map(stretch), n: self.n }
    }

    /// The window, `[[x_lo, x_hi], [y_lo, y_hi]]`.
    pub fn window(&self) -> [[f64; 2]; 2] {
        self.window
    }

    /// The number n of cells along each axis.
    pub fn side(&self) -> usize {
        self.n
    }

    /// The width and height of one cell.
    fn cell(&self) -> [f64; 2] {
        self.window.map(|[lo, hi]| (hi - lo) / self.n as f64)
    }

    /// One point in each cell, `[n², 2]` in f32, with y the outer loop. `shift` in [0, 1)² places it within the cell;
    /// (½, ½) is the middle.
    pub fn points(&self, shift: [f64; 2], device: &Device) -> Result<Tensor> {
        let at = |axis: usize, i: usize| (self.window[axis][0] + (i as f64 + shift[axis]) * self.cell()[axis]) as f32;
        let cells = (0..self.n).flat_map(|j| (0..self.n).map(move |i| (i, j)));
        let flat: Vec<f32> = cells.flat_map(|(i, j)| [at(0, i), at(1, j)]).collect();
        Ok(Tensor::from_vec(flat, (self.n * self.n, 2), device)?)
    }

    /// The range of cells along an axis (0 for x, 1 for y) whose middle lies in the interval.
    pub fn cells_within(&self, axis: usize, [lo, hi]: [f64; 2]) -> Range<usize> {
        let (start, width) = (self.window[axis][0], self.cell()[axis]);
        let first_after = |v: f64| (((v - start) / width - 0.5).ceil().max(0.0) as usize).min(self.n);
        first_after(lo)..first_after(hi)
    }

    /// The interval that the range `cells` along an axis covers.
    pub fn extent(&self, axis: usize, cells: &Range<usize>) -> [f64; 2] {
        let edge = |i: usize| self.window[axis][0] + i as f64 * self.cell()[axis];
        [edge(cells.start), edge(cells.end)]
    }

    /// The integral log ∫ exp(v) over the window by the midpoint rule, from the values v at the points.
    pub fn log_integral(&self, v: &[f64]) -> f64 {
        let [dx, dy] = self.cell();
        super::logsumexp(v) + (dx * dy).ln()
    }

    /// The integral [`Grid::log_integral`] from every other cell only, as on a chessboard. Its distance from the whole
    /// bounds the error.
    pub fn log_integral_of_half(&self, v: &[f64]) -> f64 {
        let black = |k: &usize| (k % self.n + k / self.n).is_multiple_of(2);
        let half: Vec<f64> = (0..v.len()).filter(black).map(|k| v[k]).collect();
        self.log_integral(&half) + (v.len() as f64 / half.len() as f64).ln()
    }

    /// The share of the mass exp(v) that lies in the outermost ring of cells. The mass beyond the window is of that
    /// order.
    pub fn edge_mass(&self, v: &[f64]) -> f64 {
        let total = super::logsumexp(v);
        let on_edge = |k: usize| [k % self.n, k / self.n].iter().any(|&i| i == 0 || i + 1 == self.n);
        v.iter().enumerate().filter(|(k, _)| on_edge(*k)).map(|(_, v)| (v - total).exp()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_log_density(grid: &Grid, shift: [f64; 2]) -> Vec<f64> {
        let points = grid.points(shift, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let log_density = |p: &Vec<f32>| {
            let square: f64 = p.iter().map(|v| f64::from(*v).powi(2)).sum();
            -0.5 * square - (2.0 * std::f64::consts::PI).ln()
        };
        points.iter().map(log_density).collect()
    }

    #[test]
    fn a_normal_density_integrates_to_one_wherever_the_grid_is_shifted() {
        let grid = Grid::new([[-8.0, 8.0], [-7.0, 9.0]], 64);
        for shift in [[0.5, 0.5], [0.0, 0.9], [0.3, 0.1]] {
            let v = normal_log_density(&grid, shift);
            assert!(grid.log_integral(&v).abs() < 1e-6, "{shift:?}");
            assert!(grid.log_integral_of_half(&v).abs() < 1e-6, "{shift:?}");
            assert!(grid.edge_mass(&v) < 1e-9);
        }
    }

    #[test]
    fn a_window_that_cuts_the_density_shows_at_its_edge() {
        let grid = Grid::new([[-1.0, 1.0], [-1.0, 1.0]], 32);
        assert!(grid.edge_mass(&normal_log_density(&grid, [0.5, 0.5])) > 0.05);
        assert_eq!(grid.widened(2.0).window(), [[-2.0, 2.0], [-2.0, 2.0]]);
    }

    #[test]
    fn the_cells_of_a_part_cover_that_part() {
        let grid = Grid::new([[-1.0, 1.0], [-1.0, 1.0]], 32).widened(2.0);
        let cells = grid.cells_within(0, [-1.0, 1.0]);
        assert_eq!((cells.clone(), grid.extent(0, &cells)), (8..24, [-1.0, 1.0]));
        assert_eq!(grid.cells_within(1, [-9.0, 9.0]), 0..32);
    }
}
